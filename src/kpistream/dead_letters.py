"""Dead letters of a running system: which there are, and replaying those that the contract accepts by now.

A replayed record is judged as it was: same bytes, at its first timestamp. What would be refused again is not sent,
only counted. Replaying changes no number twice: an event is known by its identity, and letters that were replayed
are named by a receipt and passed over the next time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kpistream.config import Config
from kpistream.errors import EventRejected, Reason
from kpistream.loading import Loader
from kpistream.log.dead_letters import DeadLetters, Letter, receipt, replayed
from kpistream.log.reading import EventReader
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.sources.mapping import Convert

_RECEIPT_LETTERS: Final = 2000
Progress = Callable[[Letter, "Fate"], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant; what is empty or None does not narrow."""

    reasons: frozenset[str] = frozenset()
    tenant: str | None = None
    key: str | None = None
    source_partition: int | None = None
    from_ms: int | None = None
    """First timestamp of the refused record, itself included."""
    to_ms: int | None = None
    """First instant that is not meant any more."""
    offsets: tuple[int, int] | None = None
    """First and last offset of the letters."""

    def takes(self, letter: Letter) -> bool:
        """True when the letter is meant."""
        key = letter.key or b""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.tenant is None or key.startswith(self.tenant.encode() + b"/"))
            and (self.key is None or key == self.key.encode())
            and self.source_partition in (None, letter.source.partition if letter.source else None)
            and (self.from_ms is None or letter.first_ms >= self.from_ms)
            and (self.to_ms is None or letter.first_ms < self.to_ms)
            and (self.offsets is None or self.offsets[0] <= letter.offset <= self.offsets[1])
        )


@dataclass(slots=True)
class Group:
    """The letters of one reason."""

    letters: int = 0
    replayed: int = 0
    first_ms: int = 0
    last_ms: int = 0
    example: int = 0
    """Offset of the youngest letter."""

    def add(self, letter: Letter, again: bool) -> None:
        """Count a letter."""
        self.first_ms = min(self.first_ms, letter.first_ms) if self.letters else letter.first_ms
        self.last_ms = max(self.last_ms, letter.first_ms)
        self.letters += 1
        self.replayed += again
        self.example = letter.offset


def open_letters(config: Config) -> DeadLetters:
    """The dead letters of the configured system; to be entered."""
    return DeadLetters(config.connection(), Topics(config.topic_prefix).dead_letters)


async def grouped(config: Config, choice: Choice, each: Callable[[Letter, bool], None]) -> dict[str, Group]:
    """The chosen letters by reason; `each` is told every one, and whether it was replayed."""
    groups: dict[str, Group] = {}
    async with open_letters(config) as found:
        async for letter in found.letters():
            if choice.takes(letter):
                again = letter.offset in found.replayed
                groups.setdefault(letter.reason, Group()).add(letter, again)
                each(letter, again)
    return groups


@dataclass(frozen=True, slots=True)
class Fate:
    """What a replay does with a letter: sends events, or says why not."""

    why: str = ""
    """Empty when events are sent; else one of the words of `Account`, or `refused`, `skipped`."""
    name: str = ""
    """The reason of a refusal, or the name of a mapping's skip rule."""
    events: tuple[Outgoing, ...] = ()


@dataclass(slots=True)
class Account:
    """What became of the chosen letters: they are the sum of all counts but `events`."""

    letters: int = 0
    sent: int = 0
    """Letters whose events were sent; in a dry run, would be."""
    events: int = 0
    already: int = 0
    """Replayed before."""
    conflicts: int = 0
    """Need a higher revision; sent again they would change nothing."""
    gone: int = 0
    """Cut, and the log does not hold the whole record any more."""
    refused: Counter[str] = field(default_factory=Counter)
    """Would be refused again, by reason."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Skipped by the mapping, by the name of its rule."""

    def add(self, fate: Fate) -> None:
        """Count a letter."""
        self.letters += 1
        self.events += len(fate.events)
        if not fate.why:
            self.sent += 1
        elif fate.why in ("refused", "skipped"):
            getattr(self, fate.why)[fate.name] += 1
        else:
            setattr(self, fate.why, getattr(self, fate.why) + 1)

    def as_dict(self) -> dict[str, object]:
        """The account as plain numbers and tables, for JSON."""
        counts = {name: getattr(self, name) for name in ("letters", "sent", "events", "already", "conflicts", "gone")}
        return counts | {"refused": dict(self.refused), "skipped": dict(self.skipped)}

    @property
    def left(self) -> int:
        """Letters that somebody must still do something about."""
        return self.conflicts + self.gone + sum(self.refused.values())


class Replay:
    """Decides about letters, one by one."""

    def __init__(self, letters: DeadLetters, reader: EventReader, convert: Convert | None, *, again: bool) -> None:
        self._letters = letters
        self._reader = reader
        self._convert = convert
        self._again = again

    async def fate(self, letter: Letter) -> Fate:
        """What a replay does with the letter."""
        if letter.offset in self._letters.replayed and not self._again:
            return Fate("already")
        if letter.reason == Reason.CONFLICT and self._convert is None:
            return Fate("conflicts")
        whole = await self._letters.whole(letter)
        if whole is None:
            return Fate("gone")
        try:
            return self._mapped(whole, self._convert) if self._convert is not None else self._as_it_is(whole)
        except EventRejected as rejected:
            return Fate("refused", rejected.reason.value)

    def _as_it_is(self, letter: Letter) -> Fate:
        return Fate(events=(self._judged(replayed(letter, "", letter.value, mapped=False), letter),))

    def _mapped(self, letter: Letter, convert: Convert) -> Fate:
        row = convert(letter.value or b"", letter.offset)
        if row.rejected is not None:
            raise row.rejected
        if row.skipped is not None:
            return Fate("skipped", row.skipped)
        made = (replayed(letter, record.key, record.value, mapped=True) for record in row.records)
        return Fate(events=tuple(self._judged(event, letter) for event in made))

    def _judged(self, event: Outgoing, letter: Letter) -> Outgoing:
        """The event with the key of what it says. Raises EventRejected when a worker would refuse it."""
        accepted = self._reader.read(_Arrived(event, letter))
        return event._replace(key=accepted.key.encode("utf-8", "surrogatepass"))


class _Arrived:
    """An event as a worker will read it: its first timestamp counts, so that any later one of the log will do."""

    topic, partition = "", 0

    def __init__(self, event: Outgoing, letter: Letter) -> None:
        self.offset = letter.offset
        self.timestamp = letter.first_ms
        self.key, self.value, self.headers = event.key, event.value, event.headers


@dataclass(frozen=True, slots=True)
class How:
    """How letters are replayed."""

    convert: Convert | None = None
    """Reads the original bytes; None: they are events already."""
    dry_run: bool = False
    again: bool = False
    """Also those that were replayed before."""


async def replay(config: Config, choice: Choice, how: How, tell: Progress) -> Account:
    """Send the events of the chosen letters again; all are durable, and named by receipts, on return.

    Letters that are written meanwhile, such as those of events refused again, are left for the next time.
    """
    account, named = Account(), _Named()
    async with open_letters(config) as found, Loader(config) as loader:
        reader = EventReader(config.pane_ms, loader.partitions)
        deciding = Replay(found, reader, how.convert, again=how.again)
        async for letter in found.letters():
            if not choice.takes(letter):
                continue
            fate = await deciding.fate(letter)
            account.add(fate)
            tell(letter, fate)
            if how.dry_run or fate.why:
                continue
            for event in fate.events:
                await loader.event(event)
            await named.add(letter, fate, loader)
        await named.tell(loader)
    return account


class _Named:
    """Letters that were replayed and that no receipt names yet."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._events = 0

    async def add(self, letter: Letter, fate: Fate, loader: Loader) -> None:
        """Name a letter, its events being handed to the loader."""
        self._offsets.append(letter.offset)
        self._events += len(fate.events)
        if len(self._offsets) >= _RECEIPT_LETTERS:
            await self.tell(loader)

    async def tell(self, loader: Loader) -> None:
        """Write the receipt."""
        if self._offsets:
            await loader.refuse(receipt(self._offsets, self._events))
        self._offsets, self._events = [], 0
