"""Whatever a file holds, reading it ends with an account that adds up, or with a fault of the operator."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpistream.errors import ConfigError
from kpistream.sources.infer import infer
from kpistream.sources.mapping import Account, load_mapping

HEADER = b"id,agent,start,seconds,price\n"
MAPPING = """
source: pbx
zone: Europe/Berlin
skip: [{as: test, when: {id: {matches: test}}}]
events:
  - type: call.ended
    event_id: "{id}"
    agent_id: "{agent}"
    direction: outbound
    outcome: connected
    started_at: {column: start, format: "%Y-%m-%d %H:%M"}
    answered_at: {field: started_at}
    ended_at: {field: started_at, plus: {column: seconds, unit: s}}
  - type: deal.closed
    when: {price: {empty: no}}
    event_id: "{id}"
    agent_id: "{agent}"
    outcome: won
    currency: EUR
    amount_minor: "{price}"
    closed_at: {column: start, format: "%Y-%m-%d %H:%M"}
"""
CELL = st.one_of(
    st.sampled_from(
        ["1", "test", "anna", "2026-03-04 09:00", "9999-12-31 23:59", "0001-01-01 00:00", "1e999999", "nan"]
    ),
    st.sampled_from(["-1", "60", '"', '"a', 'a"b', "\ud800", "\x00", "ä", "\r", "9" * 30, "Infinity", "0.5", ""]),
    st.text(max_size=8),
)
LINE = st.one_of(
    st.binary(max_size=40),
    st.lists(CELL, min_size=5, max_size=5).map(lambda cells: ",".join(cells).encode("utf-8", "surrogatepass")),
)


@settings(deadline=None)
@given(lines=st.lists(LINE, max_size=8))
def test_any_bytes_are_mapped_skipped_or_rejected(lines: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "m.yaml").write_text(MAPPING, encoding="utf-8")
        (folder / "f.csv").write_bytes(HEADER + b"\n".join(lines))

        account = Account()
        for row in load_mapping(folder / "m.yaml").rows(folder / "f.csv"):
            account.add(row)
            assert (row.records != ()) + (row.skipped is not None) + (row.rejected is not None) == 1
            assert row.raw in HEADER + b"\n".join(lines)

    assert account.rows == account.mapped + account.skipped.total() + account.rejected.total()


@settings(deadline=None)
@example([b"", b"", b"\x00"], "")
@given(
    lines=st.lists(st.one_of(LINE, st.just(b'{"id": 1, "at": {"b": [1, null]}}')), max_size=8),
    name=st.text("a.{", max_size=3),
)
def test_first_mapping_of_any_bytes_can_be_read_or_the_file_is_at_fault(lines: list[bytes], name: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"f{name}.csv"
        file.write_bytes(b"\n".join(lines))

        try:
            guess = infer(file)
        except ConfigError:
            return
        (Path(folder) / "m.yaml").write_text(guess, encoding="utf-8", errors="surrogatepass")
        for row in load_mapping(Path(folder) / "m.yaml").rows(file):
            assert (row.records != ()) + (row.skipped is not None) + (row.rejected is not None) == 1
