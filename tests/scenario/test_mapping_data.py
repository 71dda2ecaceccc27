"""Real files by mappings: the reference numbers of the data, exactly.

KPISTREAM_SHARED_DATA names the folder with the data sets; without it these tests are skipped by name.
"""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from kpistream.sources.infer import infer
from kpistream.sources.mapping import Account, Mapping, load_mapping

pytestmark = pytest.mark.data

MAPPINGS = Path(__file__).parent / "mappings"
TECHNION_AGENTS = {
    "KAZAV": (2015, 353760),
    "SHARON": (1996, 282861),
    "TOVA": (1924, 310387),
    "YITZ": (1795, 312658),
    "MICHAL": (1704, 255550),
    "IDIT": (1647, 213551),
    "AVNI": (1506, 420904),
    "ANAT": (1446, 244739),
    "MORIAH": (1366, 275941),
    "YIFAT": (1319, 221460),
    "BENSION": (1284, 187724),
    "BASCH": (1007, 162646),
    "VICKY": (897, 204100),
    "ZOHARI": (891, 229875),
    "TALI": (775, 173798),
    "AVIDAN": (723, 178310),
    "DORIT": (703, 154973),
    "GILI": (679, 107314),
    "NAAMA": (621, 117526),
    "MIKI": (604, 87273),
    "ELI": (388, 172137),
    "GELBER": (344, 58513),
    "SHLOMO": (328, 38310),
    "DARMON": (308, 88028),
    "LORI": (211, 55140),
    "PINHAS": (79, 41127),
    "DAVID": (7, 370),
    "EXPRESS": (3, 1226),
}
"""Calls and talk seconds of every agent in January 1999."""


def shared(path: str) -> Path:
    """A file of the shared data; skips by name when it is not there."""
    folder = os.environ.get("KPISTREAM_SHARED_DATA")
    if not folder or not (Path(folder) / path).exists():
        pytest.skip(f"{path}: set KPISTREAM_SHARED_DATA to the folder with the data sets")
    return Path(folder) / path


def read(mapping: Mapping, file: Path) -> tuple[Account, list[dict[str, object]]]:
    """The account of a file and its events."""
    account, events = Account(), []
    for row in mapping.rows(file):
        account.add(row)
        events += [json.loads(record.value) for record in row.records]
    return account, events


@cache
def technion() -> tuple[Account, list[dict[str, object]]]:
    """January 1999 by the packaged mapping, read once."""
    return read(load_mapping("technion"), shared("technion/january1999.txt.gz"))


def test_technion_gives_every_agent_the_calls_and_talk_of_the_reference() -> None:
    account, events = technion()

    calls: Counter[object] = Counter()
    talk_ms: Counter[object] = Counter()
    for event in events:
        if "agent_id" in event:
            calls[event["agent_id"]] += 1
            talk_ms[event["agent_id"]] += event["talk_ms"]
    assert {agent: (calls[agent], talk_ms[agent] // 1000) for agent in calls} == TECHNION_AGENTS
    assert (calls.total(), talk_ms.total()) == (26_570, 4_950_201_000)
    assert (account.rows, account.mapped) == (31_599, 31_359)
    assert dict(account.skipped) == {"phantom": 240}
    assert dict(account.rejected) == {}
    assert len({event["event_id"] for event in events}) == 31_359


def test_technion_counts_unserved_calls_for_queues_only() -> None:
    _, events = technion()

    kinds = Counter((event["outcome"], "agent_id" in event) for event in events)
    assert kinds == {("connected", True): 26_570, ("connected", False): 490, ("abandoned", False): 4_299}
    assert all("talk_ms" not in event for event in events if event["outcome"] == "abandoned")
    queues = Counter(event["queue"] for event in events if event["outcome"] == "abandoned")
    assert queues == {"PS": 2454, "NW": 1547, "NE": 107, "IN": 85, "TT": 75, "PE": 29, "AA": 2}


def test_technion_services_over_midnight_end_the_next_day() -> None:
    _, events = technion()

    lengths = Counter(
        event["ended_at"] - event["answered_at"] - event["talk_ms"] for event in events if "talk_ms" in event
    )
    assert lengths == {0: 27_060}


def test_bank_marketing_sells_4640_times_in_41188_calls() -> None:
    mapping = load_mapping(MAPPINGS / "bank-marketing.yaml")
    account, events = read(mapping, shared("bank-marketing/bank-additional-full.csv.gz"))

    assert (account.rows, account.mapped) == (41_188, 41_188)
    assert account.events == {"call.ended": 41_188, "deal.closed": 4_640}
    assert sum(event["talk_ms"] for event in events if event["type"] == "call.ended") == 10_638_243_000
    assert Counter(event.get("customer_type") for event in events if "product" in event) == {
        "new": 3_746,
        "repeat": 894,
    }
    assert len({(event["type"], event["event_id"]) for event in events}) == 45_828


def test_crm_deals_are_won_and_lost_and_open_ones_wait() -> None:
    account, events = read(load_mapping(MAPPINGS / "crm.yaml"), shared("crm/sales_pipeline.csv"))

    assert (account.rows, account.mapped) == (6_815, 4_726)
    assert account.skipped == {"open deal": 2_089}
    assert account.rejected == {}
    assert Counter(event["outcome"] for event in events) == {"won": 3_042, "lost": 1_684}
    assert sum(event.get("amount_minor", 0) for event in events) == 720_303_800
    assert len({event["agent_id"] for event in events}) == 30
    assert {event["product"] for event in events} >= {"GTX Pro"}
    assert "GTXPro" not in {event["product"] for event in events}


def test_asterisk_legs_are_calls_of_their_extension() -> None:
    account, events = read(load_mapping(MAPPINGS / "asterisk-cdr.yaml"), shared("vendor-samples/asterisk-cdr.csv"))

    assert (account.rows, account.mapped, dict(account.rejected)) == (1_000, 1_000, {})
    assert Counter(event["outcome"] for event in events) == {
        "connected": 646,
        "no-answer": 250,
        "failed": 92,
        "busy": 12,
    }
    assert len({event["call_id"] for event in events}) == 636


def test_freeswitch_rows_of_one_leg_are_one_identity() -> None:
    account, events = read(load_mapping(MAPPINGS / "freeswitch-cdr.yaml"), shared("vendor-samples/freeswitch-cdr.csv"))

    assert (account.rows, account.mapped) == (10, 10)
    assert len({event["event_id"] for event in events}) == 8


@pytest.mark.parametrize(
    "path",
    [
        "technion/january1999.txt.gz",
        "crm/sales_pipeline.csv",
        "bank-marketing/bank-additional-full.csv.gz",
        "vendor-samples/asterisk-cdr.csv",
        "vendor-samples/freeswitch-cdr.csv",
        "vendor-samples/calls_and_legs.jsonl",
    ],
)
def test_first_mapping_of_every_file_can_be_read_and_fits_its_columns(tmp_path: Path, path: str) -> None:
    file = shared(path)
    (tmp_path / "first.yaml").write_text(infer(file), encoding="utf-8")

    account = Account()
    for row in load_mapping(tmp_path / "first.yaml").rows(file):
        account.add(row)

    assert account.rows == account.mapped + account.skipped.total() + account.rejected.total()
