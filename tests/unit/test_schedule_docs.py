"""The pages on schedules show settings that are read as they stand, and every key that there is."""

import re
from pathlib import Path

import pytest

from kpistream.config import csv_files, yaml_files
from kpistream.core.settings import read_settings
from kpistream.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "settings"
REFERENCE, HOW_TO = ROOT / "docs" / "reference" / "schedules.md", ROOT / "docs" / "how-to" / "schedules.md"
NOTIFY = ROOT / "docs" / "how-to" / "notifications.md"
ROSTER_AND_TARGETS = ROOT / "docs" / "how-to" / "roster-and-targets.md"


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language in a page, without what they are indented by."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text("utf-8"), re.S | re.M)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def example() -> dict[str, str]:
    """The example settings without their schedules."""
    files = {Path(name).name: text for name, text in yaml_files(str(EXAMPLE)).items()}
    del files["schedules.yaml"]
    return files


@pytest.mark.parametrize("page", [REFERENCE, HOW_TO], ids=["reference", "how-to"])
def test_all_blocks_of_a_page_are_settings(page: Path) -> None:
    shifts = {"march.csv": blocks(REFERENCE, "csv")[0]}

    found = blocks(page, "yaml")

    assert len(found) >= 4
    for block in found:
        files = example() | shifts | {"schedules.yaml": block}
        if "pattern: office" in block and "  patterns:\n    office" not in block:
            files["patterns.yaml"] = found[0]
        assert sum(read_settings(files).schedules.counts().values()) > 0


def keys_of_the_code() -> set[str]:
    """Every key that the readers of schedules ask for."""
    asked: set[str] = set()
    for name in ("schedule_settings.py", "settings_dates.py"):
        source = (ROOT / "src" / "kpistream" / "core" / name).read_text("utf-8")
        asked |= set(re.findall(r'(?:section|inner)\.(?:texts?|nodes?|read|choice)\("(\w+)"', source))
        asked |= set(re.findall(r'_(?:required|each|spans|by_weekday|dates|named_dates)\(section, "(\w+)"', source))
    return asked


def test_the_reference_shows_every_key() -> None:
    shown = set(re.findall(r"(\w+):(?=[ \n])", " ".join(blocks(REFERENCE, "yaml"))))

    assert {"pattern", "day_share", "business_hours", "subdivision", "except", "source", "reason"} <= keys_of_the_code()
    assert keys_of_the_code() <= shown


@pytest.mark.parametrize(
    "page", [HOW_TO, ROSTER_AND_TARGETS, NOTIFY], ids=["schedules", "roster-and-targets", "notifications"]
)
def test_the_example_is_what_the_how_tos_say_of_it(page: Path) -> None:
    settings = read_settings(yaml_files(str(EXAMPLE)) | csv_files(str(EXAMPLE)))
    tenants = settings.roster.tenants
    counts = {
        "tenants": len(tenants),
        "people": sum(len(tenant.people) for tenant in tenants.values()),
        "targets": len(settings.targets),
    } | {name: count for name, count in settings.schedules.counts().items() if count}
    counts["receivers"] = len(settings.notify.receivers)

    shown = re.findall(r"^ +\$ kpistream check deploy/settings\n +(.*)$", page.read_text("utf-8"), re.M)

    assert shown == ["fit: " + ", ".join(f"{count} {name}" for name, count in counts.items())]


def test_the_faults_in_the_how_to_are_what_check_prints() -> None:
    yaml = """schedules:
  patterns:
    office:
      # as in the page, with a break that is too late on Fridays
      hours: {mon-thu: 08:00-17:00, fri: 08:00-15:00}
      breaks: {mon-fri: 15:00-15:15}
  shifts:
    - {file: march.csv, source: crm}
"""
    table = "agent_id,date,start,end\n4711,2026-03-02,08:00,12:00\n\n4711,2026-03-03,8:00,12:00\n"

    with pytest.raises(ConfigError) as caught:
        read_settings(example() | {"settings/schedules.yaml": yaml, "settings/march.csv": table})

    for fault in caught.value.faults:
        assert f"    {fault}\n" in HOW_TO.read_text("utf-8")
    assert len(caught.value.faults) == 2
