"""Page: the tables of docs/explanation/performance.md, made from the numbers that were kept.

Between `<!-- bench: NAME -->` and `<!-- end -->` stands what the part says, and nothing written by hand.
"""

import re
from pathlib import Path
from typing import Final

from bench.parts import PARTS

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "performance.md"
_PLACE: Final = re.compile(r"<!-- bench: (?P<name>[a-z-]+) -->\n(?P<inside>.*?)<!-- end -->\n", re.DOTALL)


def named(text: str) -> list[str]:
    """Names of the parts that the page shows, in its order."""
    return [match["name"] for match in _PLACE.finditer(text)]


def written(text: str) -> str:
    """The page with every table as the numbers have it. Raises KeyError for a part that there is not."""
    return _PLACE.sub(lambda match: _part(match["name"]), text)


def _part(name: str) -> str:
    if not PARTS[name].path.exists():
        return f'<!-- bench: {name} -->\nNot measured yet: `make bench ARGS="{name}"`.\n<!-- end -->\n'
    report = PARTS[name].read()
    options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in report["options"].items())
    lines = [
        f'`make bench ARGS="{name}{options}"` on: {report["machine"]}.',
        "",
        *PARTS[name].shown(report["measured"]),
    ]
    return "\n".join([f"<!-- bench: {name} -->", *lines, "<!-- end -->", ""])
