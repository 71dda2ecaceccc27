"""Configuration: the only reader of environment variables and configuration files.

Every setting has a name, a default, a unit and a line of help here; `docs/reference/configuration.md` is
generated from this table. All faults are reported at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from ssl import create_default_context
from typing import Any

from kpistream.core.receivers import Secret
from kpistream.errors import ConfigError

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a process. The environment variable of `pane_minutes` is `KPISTREAM_PANE_MINUTES`."""

    broker: str = _setting("127.0.0.1:9092", "Kafka bootstrap servers, host:port, comma separated")
    topic_prefix: str = _setting("kpi.", "prefix of all topic names")
    store: str = _setting(
        "", "ClickHouse: http(s)://user:password@host:port/database, or a directory for the embedded engine"
    )
    settings: str = _setting(
        "",
        "directory with the roster, targets, schedules and receivers in YAML, and shifts in CSV; roles read it only "
        "while `kpi.settings` has no version that they can read",
    )
    group: str = _setting("kpistream", "prefix of the consumer groups; the worker's group is PREFIX-worker")
    instance: str = _setting(
        "", "static group member name of this process (a pod's ordinal); empty: dynamic membership"
    )
    pane_minutes: int = _setting(5, "pane size in minutes; must divide 15; fixed for the life of the topics")
    horizon_hours: int = _setting(
        36, "how long panes stay live behind the newest record, in hours; below 26, business days are provisional"
    )
    history: bool = _setting(True, "false: no sink runs; events for closed panes are dead-lettered")
    flush_ms: int = _setting(250, "time between flushes of a partition, in ms")
    session_timeout_s: int = _setting(15, "group session timeout, in seconds")
    publish_timeout_s: int = _setting(
        60, "records that the broker has not confirmed for longer end the process, in seconds"
    )
    stall_timeout_s: int = _setting(
        120,
        "no progress with lag, no assignment, or a recovery, loop or commit that stands still for longer ends the "
        "process, in seconds",
    )
    loop_timeout_s: int = _setting(60, "an event loop that is blocked for longer ends the process, in seconds")
    store_timeout_s: int = _setting(
        600, "one call to ClickHouse that does not come back for longer ends the sink, in seconds"
    )
    bad_percent: int = _setting(
        20, "alarm when so many of a partition's records, in percent of KPISTREAM_BAD_WINDOW, are refused; 0: never"
    )
    bad_window: int = _setting(1000, "records over which that share is taken")
    bad_consecutive: int = _setting(500, "alarm when so many records of a partition in a row are refused; 0: never")
    bad_stop: int = _setting(
        0, "stop without acknowledging when so many records of a partition in a row are refused; 0: go on"
    )
    events_retention_days: int = _setting(14, "least retention of the events topic, in days")
    metrics_host: str = _setting("127.0.0.1", "address of /metrics, /healthz and /readyz")
    metrics_port: int = _setting(9090, "port of /metrics, /healthz and /readyz; 0 takes a free one, -1 switches it off")
    agent_metrics: int = _setting(0, "export KPIs of at most this many agents to Prometheus; 0: none")
    sink_rows: int = _setting(20_000, "rows of one insert at most")
    sink_ms: int = _setting(1000, "time between inserts of the sink, in ms")
    review_grace_minutes: int = _setting(15, "how long after its end a period closes with results, in minutes")
    security_protocol: str = _setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    sasl_mechanism: str = _setting("PLAIN", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    sasl_username: str = _setting("", "SASL user name")
    sasl_password: str = _setting("", "SASL password; KPISTREAM_SASL_PASSWORD_FILE names a file instead")
    ssl_ca_file: str = _setting("", "certificate authority of the brokers (PEM); empty: the system's")
    embedded: bool = _setting(False, "the broker is the embedded one: no topic checks, record times are events' own")

    @property
    def pane_ms(self) -> int:
        """Pane size in ms."""
        return self.pane_minutes * _MINUTE_MS

    @property
    def horizon_ms(self) -> int:
        """Horizon in ms."""
        return self.horizon_hours * _HOUR_MS

    @property
    def events_retention_ms(self) -> int:
        """Least retention of the events topic in ms."""
        return self.events_retention_days * _DAY_MS

    @property
    def worker_group(self) -> str:
        """Consumer group of the workers (and Faust's application id)."""
        return f"{self.group}-worker"

    @property
    def sink_group(self) -> str:
        """Consumer group of the sinks."""
        return f"{self.group}-sink"

    @property
    def review_group(self) -> str:
        """Consumer group of the reviews."""
        return f"{self.group}-review"

    @property
    def notify_group(self) -> str:
        """Consumer group of the role that tells people."""
        return f"{self.group}-notify"

    def connection(self) -> dict[str, Any]:
        """Arguments for aiokafka clients."""
        out: dict[str, Any] = {"bootstrap_servers": self.broker, "security_protocol": self.security_protocol}
        if "SSL" in self.security_protocol:
            out["ssl_context"] = create_default_context(cafile=self.ssl_ca_file or None)
        if self.security_protocol.startswith("SASL"):
            out["sasl_mechanism"] = self.sasl_mechanism
            out["sasl_plain_username"] = self.sasl_username
            out["sasl_plain_password"] = self.sasl_password
        return out


def load(environment: Mapping[str, str], **overrides: Any) -> Config:
    """Configuration from `KPISTREAM_*` variables; `overrides` (command line) win unless None. Raises ConfigError."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    known = {setting.name: setting for setting in fields(Config)}
    for name, setting in known.items():
        variable = f"KPISTREAM_{name.upper()}"
        text = environment.get(variable)
        if text is None and f"{variable}_FILE" in environment:
            text = Path(environment[f"{variable}_FILE"]).read_text(encoding="utf-8").strip()
        if text is not None:
            try:
                values[name] = _parse(text, type(setting.default))
            except ValueError:
                faults.append(f"{variable}: {text!r} is not a {_KINDS[type(setting.default)]}")
    values.update({name: value for name, value in overrides.items() if value is not None})
    config = Config(**values)
    faults += _check(config)
    if faults:
        raise ConfigError(faults)
    return config


def secret_of(environment: Mapping[str, str], secret: Secret) -> str:
    """The secret that a name in settings stands for. Raises ConfigError, which holds the name only."""
    if secret.kind == "env":
        value = environment.get(secret.name, "")
    else:
        try:
            value = Path(secret.name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"secret {secret}: {type(error).__name__}") from error
    if not value:
        raise ConfigError(f"secret {secret}: there is none")
    return value


def yaml_files(directory: str) -> dict[str, str]:
    """Text of every YAML file of a settings directory, by path. Raises ConfigError when there is none."""
    found = sorted(path for path in Path(directory).glob("*") if path.suffix in (".yaml", ".yml"))
    if not found:
        raise ConfigError(f"settings directory {directory!r} holds no YAML file")
    return {str(path): path.read_text(encoding="utf-8") for path in found}


def csv_files(directory: str) -> dict[str, str]:
    """Text of every CSV file of a settings directory, by path: those that settings name hold shifts."""
    found = sorted(path for path in Path(directory).glob("*.csv"))
    return {str(path): path.read_text(encoding="utf-8", errors="replace") for path in found}


_KINDS = {int: "whole number", bool: "yes or no", str: "text"}


def _parse(text: str, kind: type) -> Any:
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off"):
            return False
        raise ValueError(text)
    return kind(text)


def _check(config: Config) -> list[str]:
    faults = []
    if config.pane_minutes not in (1, 3, 5, 15):
        faults.append(f"KPISTREAM_PANE_MINUTES: {config.pane_minutes} does not divide 15 minutes (1, 3, 5 or 15)")
    if config.horizon_hours < 1:
        faults.append(f"KPISTREAM_HORIZON_HOURS: {config.horizon_hours} h is below 1 h")
    if config.flush_ms < 10:
        faults.append(f"KPISTREAM_FLUSH_MS: {config.flush_ms} ms is below 10 ms")
    if not 0 <= config.bad_percent <= 100:
        faults.append(f"KPISTREAM_BAD_PERCENT: {config.bad_percent} is not 0 to 100")
    if config.bad_window < 1:
        faults.append(f"KPISTREAM_BAD_WINDOW: {config.bad_window} records is below 1")
    if min(config.bad_consecutive, config.bad_stop) < 0:
        faults.append("KPISTREAM_BAD_CONSECUTIVE, KPISTREAM_BAD_STOP: a number of records is below 0")
    for name in ("session", "publish", "stall", "loop", "store"):
        timeout_s = getattr(config, f"{name}_timeout_s")
        if timeout_s < 1:
            faults.append(f"KPISTREAM_{name.upper()}_TIMEOUT_S: {timeout_s} s is below 1 s")
    if config.review_grace_minutes < 0:
        faults.append(f"KPISTREAM_REVIEW_GRACE_MINUTES: {config.review_grace_minutes} is below 0")
    if config.security_protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        faults.append(
            f"KPISTREAM_SECURITY_PROTOCOL: {config.security_protocol!r} is not one of "
            "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
        )
    if config.events_retention_ms <= config.horizon_ms:
        faults.append(
            f"KPISTREAM_EVENTS_RETENTION_DAYS: {config.events_retention_days} d is not longer than "
            f"the horizon of {config.horizon_hours} h"
        )
    return faults
