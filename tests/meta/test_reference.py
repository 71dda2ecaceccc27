"""The pages of docs/reference that are made from the code say what the code says."""

import importlib.util
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _pages():
    spec = importlib.util.spec_from_file_location("reference_make", REFERENCE / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize("name", sorted(_pages()))
def test_page_is_the_one_that_the_code_makes(name):
    assert (REFERENCE / name).read_text(encoding="utf-8") == _pages()[name], "run `make reference`"
