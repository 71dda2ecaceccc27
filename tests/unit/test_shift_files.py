"""Shift files of any length and shape are read in time that grows with the rows, or told what is wrong with them."""

import sys
from datetime import date, timedelta
from types import FrameType

import pytest

from kpistream.core import shift_files
from kpistream.core.patterns import OFF, Hours, LocalSpan
from kpistream.core.shift_files import read_shifts
from kpistream.core.yaml_nodes import Faults

HEADER = "agent_id,date,start,end,kind\n"
FIRST = date(2026, 1, 1)


def read(text: str) -> tuple[dict[str, dict[date, Hours]], list[str]]:
    """The plans, and the faults."""
    faults = Faults("march.csv")
    return read_shifts(text, lambda agent, day: agent, faults), faults.facts


def table(days: int, *spans: str) -> str:
    """Ann's plan of so many days, a row for each span on each of them."""
    return HEADER + "".join(f"ann,{FIRST + timedelta(days=day)},{span}\n" for day in range(days) for span in spans)


def steps(text: str) -> int:
    """How many instructions of `shift_files.py` it takes to read a file."""
    count = 0

    def trace(frame: FrameType, event: str, _: object):
        nonlocal count
        if frame.f_code.co_filename != shift_files.__file__:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(text)
    finally:
        sys.settrace(before)
    return count


def test_a_row_costs_the_same_in_a_long_file_as_in_a_short_one():
    def of_a_row(days: int) -> float:
        """Instructions of a second row on each day."""
        return (steps(table(days, "08:00,12:00,", "13:00,17:00,")) - steps(table(days, "08:00,12:00,"))) / days

    assert of_a_row(200) < 1.1 * of_a_row(20)


def test_a_plan_is_one_of_many_agents():
    plans, facts = read(HEADER + "ann,2026-03-02,08:00,12:00,\nben,2026-03-03,,,off\nann,2026-03-03,08:00,12:00,\n")

    assert facts == []
    assert plans == {
        "ann": {day: Hours((LocalSpan(480, 720),)) for day in (date(2026, 3, 2), date(2026, 3, 3))},
        "ben": {date(2026, 3, 2): OFF, date(2026, 3, 3): OFF},
    }


def test_a_hundred_faulty_days_are_enough():
    plans, facts = read(table(150, "08:00,12:00,work", "13:00,13:15,break"))

    assert plans == {}
    assert len(facts) == 101
    assert facts[0] == "march.csv:3 start: the break 13:00-13:15 is in no working time of its day"
    assert facts[-1] == "march.csv:201 row: 100 days have a fault, the rest is not read"


@pytest.mark.parametrize("row", [1, 2])
def test_a_cell_that_is_too_long_is_a_fault(row: int):
    text = "agent_id,date,start,end\n" * (row - 1) + "x" * 200_000 + "\n"

    plans, facts = read(text)

    assert plans == {}
    assert [fact.partition(": ")[2] for fact in facts] == ["field larger than field limit (131072)"]
