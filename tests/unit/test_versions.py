"""Versions: what is in force is a function of the log, whoever wrote what at the same time."""

from collections.abc import Mapping

import msgspec
import pytest

from kpistream.core import versions as v
from kpistream.core.settings import read_settings
from kpistream.core.versions import Draft, VersionLog
from kpistream.errors import ConfigError

ROSTER = "tenants:\n  acme:\n    people:\n      ann: {name: Ann}\n"
TARGETS = "targets:\n  - {name: talk, kpi: average_talk_time, window: business-day, low: 2 m, high: 6 m}\n"
BOTH = {"roster.yaml": ROSTER, "targets.yaml": TARGETS}


def log_of(*records: tuple[bytes, bytes]) -> VersionLog:
    log = VersionLog()
    for offset, (key, value) in enumerate(records):
        log.put(offset, key, value)
    return log


def written(number: int, texts: Mapping[str, str], token: str = "a", known: VersionLog | None = None):
    return v.records(Draft(texts, 1_000, "kim", "why"), number, token, known or VersionLog())


def resaid(record: tuple[bytes, bytes], **fields: object) -> tuple[bytes, bytes]:
    """A manifest that says something else."""
    return record[0], msgspec.json.encode({**msgspec.json.decode(record[1]), **fields})


def test_version_is_read_back_as_it_was_written() -> None:
    log = log_of(*written(1, BOTH))

    version = log.newest()

    assert version is not None
    assert (version.number, version.texts, version.manifest.by, version.manifest.message) == (1, BOTH, "kim", "why")
    assert version.settings.roster.knows("acme", "ann")
    assert [target.name for target in version.settings.targets] == ["talk"]
    assert log.newest(above=1) is None


def test_no_version_is_none() -> None:
    log = log_of((b"cluster", b"{}"), (b"version/1/a/b", b"{}"))

    assert (log.newest(), log.highest, log.rejected) == (None, 0, {})


def test_first_record_of_a_number_stands_whoever_reads() -> None:
    mine, theirs = written(1, {"roster.yaml": ROSTER}, "mine"), written(1, BOTH, "theirs")
    log = log_of(*theirs, *mine)

    assert (log.stands(1, "theirs"), log.stands(1, "mine")) == (True, False)
    assert log.version(1).texts == BOTH
    assert log.highest == 1


def test_text_larger_than_a_message_is_kept_in_parts_that_fit() -> None:
    text = ROSTER + "".join(f"# {number:0>6} é\n" for number in range(100_000))
    records = written(1, {"roster.yaml": text})

    assert len(records) == 1 + -(-len(text.encode()) // v.PART_BYTES) > 2
    assert max(len(value) for _, value in records) < 900_000
    assert log_of(*records).version(1).texts == {"roster.yaml": text}


def test_a_version_costs_what_changed() -> None:
    log = log_of(*written(1, BOTH))

    records = written(2, {**BOTH, v.ABSENCE_FILE: "absences: []\n"}, known=log)

    assert [key.partition(b"/")[0] for key, _ in records] == [b"text", b"version"]
    assert len(log_of(*written(1, BOTH), *records).version(2).texts) == 3


def test_version_whose_hash_is_wrong_is_rejected_and_the_one_before_is_in_force() -> None:
    *texts, manifest = written(2, {"roster.yaml": ROSTER})
    log = log_of(*written(1, BOTH), *texts, resaid(manifest, sha256="0" * 64))

    version = log.newest()

    assert version is not None and version.number == 1
    [rejected] = log.rejected.values()
    assert rejected.number == 2
    assert rejected.faults[0].endswith(f"it says {'0' * 64}")
    assert log.highest == 2, "its number is taken"
    assert not log.news(above=1)


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"format": 2, "files": [1]}, "format 2, this release reads 1"),
        ({"version": 9}, "the record of version 1 says 9"),
        ({"files": None}, "no version: Expected `object`, got `null` - at `$.files`"),
    ],
)
def test_version_that_this_release_cannot_read_says_why(fields: dict[str, object], fact: str) -> None:
    *texts, manifest = written(1, BOTH)

    with pytest.raises(ConfigError) as caught:
        log_of(*texts, resaid(manifest, **fields)).version(1)

    assert caught.value.faults == (fact,)


def test_version_with_a_text_that_is_missing_damaged_or_faulty_says_which() -> None:
    roster, targets, manifest = written(1, BOTH)

    for records, fact in (
        ([roster, manifest], "targets.yaml: part 0 of 1 of its text is missing"),
        ([roster, (targets[0], b"???"), manifest], "targets.yaml: its text cannot be decompressed: "),
        ([roster, (targets[0], roster[1]), manifest], "targets.yaml: its hash is "),
        (written(1, {"roster.yaml": "tenants: 3\n"}), "roster.yaml:1 tenants: must be a mapping of names"),
        (written(1, {"../x.yaml": "zone: UTC\n"}), "../x.yaml: is no name of a YAML or CSV file"),
    ):
        with pytest.raises(ConfigError) as caught:
            log_of(*records).version(1)
        assert caught.value.faults[0].startswith(fact)


def test_part_that_inflates_without_end_is_cut_and_refused() -> None:
    import zlib

    [text, manifest] = written(1, {"roster.yaml": ROSTER})

    with pytest.raises(ConfigError, match=r"roster\.yaml: its hash is"):
        log_of((text[0], zlib.compress(bytes(50 << 20))), manifest).version(1)


def test_texts_that_can_be_no_version_are_refused_before_they_are_written() -> None:
    assert v.faults_of(BOTH) == []
    assert v.faults_of({"a/b.yaml": "", "notes.txt": ""}) == [
        "a/b.yaml: is no name of a YAML or CSV file",
        "notes.txt: is no name of a YAML or CSV file",
    ]
    assert v.faults_of({"big.csv": "é" * (v.MOST_BYTES // 2 + 1)}) == [
        f"the files hold {v.MOST_BYTES + 2} bytes, a version has at most {v.MOST_BYTES}"
    ]


def test_compaction_that_moves_a_text_behind_the_first_version_that_has_it_changes_nothing() -> None:
    roster, first = written(1, {"roster.yaml": ROSTER})
    targets, second = written(2, {"targets.yaml": TARGETS})

    log = log_of(first, targets, second, roster)

    assert log.version(1).texts == {"roster.yaml": ROSTER}


def test_texts_that_stay_are_read_as_if_they_were_new() -> None:
    more = {**BOTH, v.ABSENCE_FILE: "absences:\n  - {agent: ann, date: 2026-11-27}\n"}
    wrong = {**more, "roster.yaml": ROSTER + "zone: Mars\n"}
    log = VersionLog()
    for offset, (number, texts) in enumerate(enumerate((BOTH, more, wrong, more, BOTH), 1)):
        for key, value in written(number, texts, known=log):
            log.put(offset, key, value)

    for number, texts in ((1, BOTH), (2, more), (4, more), (5, BOTH)):
        assert log.version(number).settings == read_settings(texts)
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"roster\.yaml:5 zone: unknown time zone"):
                log.version(3)
