"""The import rules of the design hold; `make lint` says the same with more words."""

import logging

from importlinter.cli import lint_imports


def test_imports_go_one_way() -> None:
    heard = [each for each in logging.root.manager.loggerDict.values() if not getattr(each, "disabled", True)]

    assert lint_imports(no_cache=True) == 0

    for logger in heard:  # import-linter's own set-up silences all that there were
        logger.disabled = False
