"""Versions: settings as numbered versions in a log, each a list of texts by file name.

What is in force is a function of the log and of this release: of each number the first record stands, and the highest
number that can be read is in force. Texts are kept under their hash, in parts that fit a message, so a version costs
what changed. A key means the same whoever writes it: compaction takes nothing that counts. Nobody writes tombstones.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from kpistream.core.settings import Settings, read_settings
from kpistream.core.yaml_nodes import ParsedTexts
from kpistream.errors import ConfigError

FORMAT: Final = 1
ABSENCE_FILE: Final = "absences-by-command.yaml"
"""The file of a version that `kpistream absence` keeps; `kpistream apply` takes it over as it is."""
PART_BYTES: Final = 512 << 10
"""Text in one record, before compression: compressed or not it fits a message."""
MOST_BYTES: Final = 64 << 20
"""Text of one version: more than that would take a role a minute to read."""
_VERSION: Final = "version/"
_TEXT: Final = "text/"
_VERSION_KEY: Final = re.compile(r"version/(\d{1,18})/[A-Za-z0-9-]{1,64}")
_TEXT_KEY: Final = re.compile(r"text/([0-9a-f]{64})/(\d{1,6})")
_FILE: Final = re.compile(r"[^/\\\x00-\x1f]{1,200}\.(yaml|yml|csv)")

Record = tuple[bytes, bytes]
"""Key and value."""


class FileRef(msgspec.Struct, frozen=True):
    """A text of a version."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of a version."""

    format: int
    version: int
    sha256: str
    """Of the names and hashes of its files."""
    applied_at_ms: int
    """Epoch ms, by the clock of whoever applied it."""
    by: str = ""
    message: str = ""
    files: dict[str, FileRef]


class Version(NamedTuple):
    """A version that this release can read."""

    manifest: Manifest
    texts: Mapping[str, str]
    """By file name."""
    settings: Settings

    @property
    def number(self) -> int:
        """From 1."""
        return self.manifest.version


class Rejected(NamedTuple):
    """A version that this release cannot read, and why."""

    number: int
    faults: tuple[str, ...]


class Draft(NamedTuple):
    """A version before it has a number."""

    texts: Mapping[str, str]
    applied_at_ms: int
    by: str = ""
    message: str = ""


def digest(files: Mapping[str, FileRef]) -> str:
    """Hash of a version: of the names of its files and of their texts."""
    listed = "".join(f"{ref.sha256}  {name}\n" for name, ref in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def refs(texts: Mapping[str, str]) -> dict[str, FileRef]:
    """Hash and size of each text."""
    encoded = {name: text.encode() for name, text in sorted(texts.items())}
    return {name: FileRef(hashlib.sha256(text).hexdigest(), len(text)) for name, text in encoded.items()}


def faults_of(texts: Mapping[str, str]) -> list[str]:
    """Why texts cannot be a version, whatever they say; empty when they can."""
    faults = [f"{name}: is no name of a YAML or CSV file" for name in texts if _FILE.fullmatch(name) is None]
    size = sum(len(text.encode()) for text in texts.values())
    if size > MOST_BYTES:
        faults.append(f"the files hold {size} bytes, a version has at most {MOST_BYTES}")
    return faults


def records(draft: Draft, number: int, token: str, known: "VersionLog") -> list[Record]:
    """The records of a version, its manifest last; without texts that the log holds.

    `token` is this writer's own: nobody else writes a version under it.
    """
    files = refs(draft.texts)
    out: dict[bytes, bytes] = {}
    for name, ref in files.items():
        if not known.holds(ref):
            out.update(_parts(ref.sha256, draft.texts[name].encode()))
    manifest = Manifest(
        format=FORMAT,
        version=number,
        sha256=digest(files),
        applied_at_ms=draft.applied_at_ms,
        by=draft.by,
        message=draft.message,
        files=files,
    )
    return [*out.items(), (f"{_VERSION}{number}/{token}".encode(), msgspec.json.encode(manifest))]


def _parts(sha256: str, text: bytes) -> Iterator[Record]:
    for number, first in enumerate(range(0, max(1, len(text)), PART_BYTES)):
        yield f"{_TEXT}{sha256}/{number}".encode(), zlib.compress(text[first : first + PART_BYTES])


class VersionLog:
    """What has been read of the settings topic, in the order of the log. Keeps the texts compressed."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[bytes, bytes]] = {}
        """Key and value of the record that stands, by number."""
        self._parts: dict[str, dict[int, bytes]] = {}
        self._parsed = ParsedTexts()
        """Those of the version that was read last: the next one has most of them."""
        self.next_offset = 0
        self.rejected: dict[int, Rejected] = {}
        """Versions that were looked at and cannot be read."""

    def put(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record; those of other kinds and tombstones say nothing about versions."""
        self.next_offset = offset + 1
        name = (key or b"").decode("utf-8", "replace")
        if value is None:
            return
        if found := _VERSION_KEY.fullmatch(name):
            self._first.setdefault(int(found[1]), (key or b"", value))
        elif found := _TEXT_KEY.fullmatch(name):
            self._parts.setdefault(found[1], {})[int(found[2])] = value

    @property
    def highest(self) -> int:
        """The highest number that is taken; 0 before the first version."""
        return max(self._first, default=0)

    @property
    def numbers(self) -> list[int]:
        """All numbers, ascending."""
        return sorted(self._first)

    def stands(self, number: int, token: str) -> bool:
        """True when the version of that number is the one that this writer wrote."""
        return number in self._first and self._first[number][0] == f"{_VERSION}{number}/{token}".encode()

    def holds(self, ref: FileRef) -> bool:
        """True when the log has the text."""
        try:
            self._text(ref)
        except ValueError:
            return False
        return True

    def news(self, above: int) -> bool:
        """True when there is a version above a number that has not been looked at."""
        return any(number > above and number not in self.rejected for number in self._first)

    def newest(self, above: int = 0) -> Version | None:
        """The version in force, None when none above that number can be read. What cannot is in `rejected`."""
        for number in sorted(self._first, reverse=True):
            if number <= above:
                break
            if number in self.rejected:
                continue
            try:
                return self.version(number)
            except ConfigError as error:
                self.rejected[number] = Rejected(number, error.faults)
        return None

    def version(self, number: int) -> Version:
        """A version, read and checked. Raises ConfigError with everything that is wrong with it."""
        manifest = self.manifest(number)
        texts = self._texts(manifest)
        return Version(manifest, texts, self.read(texts))

    def read(self, texts: Mapping[str, str]) -> Settings:
        """What texts by file name say; those that were read last are not parsed again. Raises ConfigError."""
        settings = read_settings(texts, self._parsed)
        self._parsed.keep(texts)
        return settings

    def manifest(self, number: int) -> Manifest:
        """What the record of a version says. Raises ConfigError when there is none that this release can read."""
        if number not in self._first:
            raise ConfigError(f"there is no version {number}")
        value = self._first[number][1]
        try:
            shape = msgspec.json.decode(value, type=_Shape)
            if shape.format != FORMAT:
                raise ConfigError(f"format {shape.format}, this release reads {FORMAT}")
            manifest = msgspec.json.decode(value, type=Manifest)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"no version: {error}") from error
        if manifest.version != number:
            raise ConfigError(f"the record of version {number} says {manifest.version}")
        if digest(manifest.files) != manifest.sha256:
            raise ConfigError(f"its hash is {digest(manifest.files)}, it says {manifest.sha256}")
        return manifest

    def texts(self, number: int) -> dict[str, str]:
        """The texts of a version by file name, whatever they say. Raises ConfigError when one is not as it was."""
        return self._texts(self.manifest(number))

    def _texts(self, manifest: Manifest) -> dict[str, str]:
        out, faults = {}, []
        for name, ref in manifest.files.items():
            try:
                if _FILE.fullmatch(name) is None:
                    raise ValueError("is no name of a YAML or CSV file")
                out[name] = self._text(ref)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        if faults:
            raise ConfigError(faults)
        return out

    def _text(self, ref: FileRef) -> str:
        parts = self._parts.get(ref.sha256, {})
        wanted = range(max(1, -(-ref.size_bytes // PART_BYTES)))
        missing = [number for number in wanted if number not in parts]
        if missing:
            raise ValueError(f"part {missing[0]} of {len(wanted)} of its text is missing")
        text = b"".join(_inflated(parts[number]) for number in wanted)
        if hashlib.sha256(text).hexdigest() != ref.sha256:
            raise ValueError(f"its hash is {hashlib.sha256(text).hexdigest()}, the version says {ref.sha256}")
        return text.decode()


class _Shape(msgspec.Struct, frozen=True):
    """The one field that every format has."""

    format: int


def _inflated(part: bytes) -> bytes:
    """The text of a part, of no more bytes than one may have; raises ValueError."""
    try:
        return zlib.decompressobj().decompress(part, PART_BYTES)
    except zlib.error as error:
        raise ValueError(f"its text cannot be decompressed: {error}") from error
