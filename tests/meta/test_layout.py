"""The repository keeps its shape: headers, sizes, no names of machines, links that lead somewhere."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.meta.files import ROOT, modules, shown, tracked

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 5
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|Users|tmp/[a-z])/?[\w.-]*/[\w./-]+")
"""A path that only exists on somebody's machine."""
REGISTRY = re.compile(
    r"(?:--(?:extra-)?index-url|--trusted-host|find-links)|https?://[\w.-]*(?:pypi|pythonhosted|nexus|artifactory|repo1?\.maven)[\w.-]*"
)
"""Where packages come from is a matter of the machine, never of the repository."""
ALLOWED_REGISTRY = {"tests/meta/test_layout.py"}
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.S | re.M)
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.M)


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0].lineno
    if ast.get_docstring(function) is not None:
        first = (function.body[0].end_lineno or first) + 1
    return (function.end_lineno or first) - first + 1


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([each for each in named if each.arg not in ("self", "cls")])


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Options of a command line are its parameters: as many as the verb needs."""
    return function.name.endswith("_command") or any("option" in ast.unparse(each) for each in function.decorator_list)


def test_package_files_named_init_are_empty() -> None:
    assert [shown(path) for path in modules() if path.name == "__init__.py" and path.stat().st_size] == []


def test_every_module_says_in_its_header_what_it_is() -> None:
    paths = [path for path in tracked() if path.suffix == ".py" and path.name != "__init__.py"]

    bare = [shown(path) for path in paths if ast.get_docstring(ast.parse(text_of(path))) is None]

    assert bare == []


def test_no_module_is_longer_than_one_can_read() -> None:
    lines = {shown(path): len(text_of(path).splitlines()) for path in modules()}

    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{shown(path)}:{function.lineno} {function.name}: {body_lines(function)} lines"
        for path in modules()
        for function in functions(ast.parse(text_of(path)))
        if body_lines(function) > LONGEST_FUNCTION
    ]

    assert long == []


def test_no_function_takes_more_than_five_parameters() -> None:
    wide = [
        f"{shown(path)}:{function.lineno} {function.name}: {parameters(function)} parameters"
        for path in modules()
        for function in functions(ast.parse(text_of(path)))
        if parameters(function) > MOST_PARAMETERS and not is_command(function)
    ]

    assert wide == []


@pytest.mark.parametrize(("pattern", "allowed"), [(MACHINE_PATH, set()), (REGISTRY, ALLOWED_REGISTRY)])
def test_no_file_names_a_machine_or_a_registry(pattern: re.Pattern[str], allowed: set[str]) -> None:
    found = [
        f"{shown(path)}: {match[0]}"
        for path in tracked()
        if shown(path) not in allowed
        for match in pattern.finditer(text_of(path))
    ]

    assert found == []


def test_constraints_are_exact_and_complete() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.]+", line)] == []
    assert lines == sorted(lines, key=str.lower)


def test_the_page_of_the_package_is_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project.get("readme", "") == ("README.md" if (ROOT / "README.md").exists() else "")


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{shown(path)}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in LINK.findall(CODE_BLOCK.sub("", text_of(path)))
        if not re.match(r"[a-z]+:", target) and not resolves(path, target)
    ]

    assert broken == []


def resolves(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (document.parent / name).resolve() if name else document
    if not path.exists():
        return False
    return not anchor or path.suffix != ".md" or anchor in anchors(path)


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = HEADING.findall(CODE_BLOCK.sub("", text_of(document)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_yaml_of_the_deployment_can_be_read() -> None:
    paths = [path for path in tracked() if path.suffix in (".yaml", ".yml")]

    assert paths
    for path in paths:
        assert list(yaml.safe_load_all(text_of(path))), shown(path)


def test_no_folder_or_file_is_empty() -> None:
    paths = [path for path in tracked() if path.name not in ("__init__.py", "py.typed")]

    assert [shown(path) for path in paths if not path.stat().st_size] == []
