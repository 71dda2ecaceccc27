"""YAML read with its line numbers: every fault is `file:line key: fact`, and all of them come at once.

Scalars stay the text that was written: `no`, `0010` and `NO_SERVER` mean themselves, never a boolean or a
number. Anchors work; merge keys and tags do not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple, TypeVar

import yaml

from kpistream.errors import ConfigError

Value = TypeVar("Value")
_MAX_DEPTH = 12


class Where(NamedTuple):
    """A place in a file of settings: its line (from 1) and the key as a dotted path."""

    line: int
    key: str


class Faults:
    """The faults of one file, in order of line; `raise_if_any` turns them into one ConfigError."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[tuple[int, str]] = []

    def add(self, where: Where, fact: str) -> None:
        """Note a fault."""
        text = f"{self.file}:{where.line} {where.key}: {fact}"
        if (where.line, text) not in self._found:
            self._found.append((where.line, text))

    @property
    def facts(self) -> list[str]:
        """The faults that were noted, by line."""
        return [text for _, text in sorted(self._found, key=lambda fault: fault[0])]

    def raise_if_any(self) -> None:
        """Raise every fault that was noted."""
        if self._found:
            raise ConfigError(self.facts)


class Node(NamedTuple):
    """One value of the file: text, list or mapping."""

    where: Where
    value: "str | list[Node] | dict[str, Node]"


def parse(text: str, faults: Faults) -> Node:
    """The document as nodes. Raises: ConfigError when it is not YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{faults.file}:{line} yaml: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{faults.file}:1 yaml: {str(error).splitlines()[0]}") from error
    if root is None:
        raise ConfigError(f"{faults.file}:1 yaml: the file is empty")
    return _node(root, "", faults, 0)


class ParsedTexts:
    """Documents of texts that were read before: parsing takes four fifths of reading settings, and most texts stay."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Node] = {}

    def parse(self, text: str, faults: Faults) -> Node:
        """As `parse`; a text that had a fault is parsed again."""
        known = self._known.get((faults.file, text))
        if known is None:
            known = parse(text, faults)
            if not faults.facts:
                self._known[faults.file, text] = known
        return known

    def keep(self, files: Mapping[str, str]) -> None:
        """Forget all texts but these, by file name."""
        known = self._known.copy()  # another thread may be reading another version
        self._known = {key: node for key, node in known.items() if files.get(key[0]) == key[1]}


def _node(node: yaml.Node, key: str, faults: Faults, depth: int) -> Node:
    where = Where(node.start_mark.line + 1, key)
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{faults.file}:{where.line} {key}: nested deeper than {_MAX_DEPTH} levels")
    if isinstance(node, yaml.ScalarNode):
        return Node(where, node.value)
    if isinstance(node, yaml.SequenceNode):
        return Node(
            where,
            [_node(item, f"{key}[{n}]", faults, depth + 1) for n, item in enumerate(node.value)],
        )
    children: dict[str, Node] = {}
    for name_node, value_node in node.value:
        if not isinstance(name_node, yaml.ScalarNode):
            faults.add(
                Where(name_node.start_mark.line + 1, key or "yaml"),
                "a key must be text",
            )
            continue
        name = name_node.value
        path = f"{key}.{name}" if key else name
        if name in children:
            faults.add(Where(name_node.start_mark.line + 1, path), "key appears twice")
        child = _node(value_node, path, faults, depth + 1)
        # A block's own mark is its first inner line; the line that people look for is that of the key.
        children[name] = child._replace(where=Where(name_node.start_mark.line + 1, path))
    return Node(where, children)


def near(name: str, known: Iterable[str]) -> str:
    """`, did you mean "x"?` when something known is close to the name, else nothing."""
    close = get_close_matches(name, list(known), 1, 0.7)
    return f', did you mean "{close[0]}"?' if close else ""


class Section:
    """A mapping node whose keys are taken one by one; `finish` complains about those that nobody took."""

    def __init__(self, node: Node, faults: Faults) -> None:
        self.where = node.where
        self.faults = faults
        self._taken: set[str] = set()
        self._children: dict[str, Node] = {}
        if isinstance(node.value, dict):
            self._children = node.value
        else:
            self.fault("must be a mapping of keys to values")

    def __contains__(self, key: str) -> bool:
        return key in self._children

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def fault(self, fact: str, key: str = "") -> None:
        """Note a fault at one of the keys, or at the section itself."""
        where = self._children[key].where if key in self._children else self.where
        if key and key not in self._children:
            where = Where(where.line, f"{where.key}.{key}" if where.key else key)
        self.faults.add(where if where.key else Where(where.line, "mapping"), fact)

    def node(self, key: str) -> Node | None:
        """The raw node of a key, or None."""
        self._taken.add(key)
        return self._children.get(key)

    def text(self, key: str) -> str | None:
        """The text of a key, or None when it is absent."""
        node = self.node(key)
        if node is None:
            return None
        if isinstance(node.value, str):
            return node.value
        self.fault("must be one text", key)
        return None

    def read(self, key: str, convert: Callable[[str], Value]) -> Value | None:
        """What `convert` makes of a key's text; None when it is absent or `convert` raises ValueError, a fault."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return convert(text)
        except ValueError as error:
            self.fault(str(error), key)
            return None

    def texts(self, key: str) -> list[str]:
        """The list of texts of a key; one text stands for a list of one."""
        node = self.node(key)
        if node is None:
            return []
        if isinstance(node.value, str):
            return [node.value]
        if isinstance(node.value, list) and all(isinstance(item.value, str) for item in node.value):
            return [str(item.value) for item in node.value]
        self.fault("must be a text or a list of texts", key)
        return []

    def choice(self, key: str, allowed: Iterable[str], default: str) -> str:
        """One of the allowed texts."""
        value = self.text(key)
        options = tuple(allowed)
        if value is None or value in options:
            return default if value is None else value
        self.fault(f'"{value}" is none of {", ".join(options)}{near(value, options)}', key)
        return default

    def nodes(self, key: str) -> list[Node]:
        """The items of a list; absent is empty."""
        node = self.node(key)
        if node is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self.fault("must be a list", key)
        return []

    def finish(self) -> None:
        """Complain about every key that nobody asked for."""
        for key in self._children:
            if key not in self._taken:
                self.fault(f"unknown key{near(key, self._taken)}", key)


def named_sections(section: Section, key: str, check: Callable[[str], object]) -> Iterator[tuple[str, Section]]:
    """Name and section of all that a mapping of names defines, in its order. `check` raises ValueError on a name."""
    node = section.node(key)
    if node is None:
        return
    if not isinstance(node.value, dict):
        section.fault("must be a mapping of names", key)
        return
    for name, child in node.value.items():
        try:
            check(name)
        except ValueError as error:
            section.faults.add(child.where, str(error))
        yield name, Section(child, section.faults)
