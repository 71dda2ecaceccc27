"""The import rules of the design hold; `make lint` says the same with more words."""

from importlinter.cli import lint_imports


def test_imports_go_one_way() -> None:
    assert lint_imports(no_cache=True) == 0
