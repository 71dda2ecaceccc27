"""No number without its unit: names of durations, instants and shares end in it, and core never asks the clock."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.meta.files import SOURCE, modules, shown

TIMELY = re.compile(
    r"(?:^|_)(timeout|interval|duration|latency|delay|wait|horizon|retention|elapsed|age|talk|hold|ring|wrap_up)$"
)
"""A number with such a name lacks its unit: `timeout_s`, `talk_ms`."""
VAGUE = {"data", "info", "obj", "manager", "utils", "helpers", "common", "base"}
CLOCK = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}


def numbers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that are annotated as a number: fields, parameters and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, node.annotation
        elif isinstance(node, ast.arg) and node.annotation is not None:
            name, annotation = node.arg, node.annotation
        else:
            continue
        if re.fullmatch(r"(int|float)( \| None)?", ast.unparse(annotation)):
            yield node.lineno, name


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in modules():
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_every_duration_carries_its_unit() -> None:
    bare = [
        f"{shown(path)}:{line} {name}" for path, tree in trees() for line, name in numbers(tree) if TIMELY.search(name)
    ]

    assert bare == []


def test_modules_are_named_by_what_they_do() -> None:
    assert [shown(path) for path in modules() if path.stem in VAGUE] == []


def test_core_never_asks_the_clock() -> None:
    asked = [
        f"{shown(path)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees()
        if SOURCE / "core" in path.parents
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in CLOCK
    ]

    assert asked == []
