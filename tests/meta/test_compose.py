"""The compose file starts what the documentation says, in an order that works."""

from typing import Any

import yaml

from kpistream.config import load
from tests.meta.files import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ROLES = {name: service for name, service in SERVICES.items() if service["image"] == "kpistream"}


def test_services_are_the_main_job() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "topics", "ddl", "worker", "sink", "review", "notify"}
    assert [service["command"][:2] for service in ROLES.values()] == [
        ["topics", "apply"],
        ["ddl", "apply"],
        ["worker"],
        ["sink"],
        ["review"],
        ["notify"],
    ]


def test_every_setting_is_one_that_kpistream_reads() -> None:
    for service in ROLES.values():
        config = load(service["environment"])

        assert {f"KPISTREAM_{name.upper()}" for name in vars_of(config)} >= set(service["environment"])
        assert config.broker == "kafka:9092"
        assert config.store == "http://kpi:kpi@clickhouse:8123/kpi"


def vars_of(config: object) -> set[str]:
    return set(type(config).__dataclass_fields__)  # type: ignore[attr-defined]


def test_nothing_starts_before_what_it_needs() -> None:
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            runs_on = "healthcheck" in SERVICES[needed]
            assert how["condition"] == ("service_healthy" if runs_on else "service_completed_successfully")


def test_a_role_is_healthy_when_it_is_ready() -> None:
    for name in ("worker", "sink", "review", "notify"):
        probe = SERVICES[name]["healthcheck"]["test"]

        assert f":{load({}).metrics_port}/readyz'" in probe[-1]
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_broker_of_compose_is_the_broker_of_the_tests() -> None:
    version = SERVICES["kafka"]["image"].partition(":")[2]

    assert f"<version>{version}</version>" in (ROOT / "tests/live/kafka/pom.xml").read_text()


def test_published_ports_are_loopback_ports() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
