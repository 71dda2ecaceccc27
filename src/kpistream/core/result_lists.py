"""Result lists: what each receiver is told of results, and when. Pure: results and `now_ms` in, messages out.

A result pages nobody: it comes in a list, at the receiver's time of day or after its quiet hours, each once. One that
is corrected before it was told is told as it is; one that closes otherwise after it was told is told again, with both.
Routes by severity name whoever either of the two names.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from kpistream.core.errands import GIVE_UP_ATTEMPTS, GIVE_UP_MS, Kind, Message, message_id, retry_after_ms
from kpistream.core.receivers import Notify, Receiver
from kpistream.core.result_records import ResultList, ResultsTold, SealedResults, ToldResult
from kpistream.core.results import Outcome, Result
from kpistream.core.targets import Severity

MOST_LISTED: Final = 50
"""Results of a list that are told one by one; of more there are counts, and the misses come first."""
_NEVER_MS: Final = 1 << 62
_ORDER: Final = (Outcome.MISSED, Outcome.MET, Outcome.TOO_LITTLE)
_replace = msgspec.structs.replace


class Collecting:
    """The results that one receiver is told of, out of records of the log in their order."""

    def __init__(self, settings: Notify, name: str) -> None:
        self._settings = settings
        self._name = name
        self._found: dict[str, ToldResult] = {}
        """By id: the last, and what was told before the first of these."""

    def take(self, result: Result) -> None:
        """The next record."""
        known = self._found.get(result.result_id)
        if known is not None:
            if result.as_of_ms >= known.result.as_of_ms:
                self._found[result.result_id] = _replace(known, result=result)
        elif self._is_meant(result):
            self._found[result.result_id] = ToldResult(result, result.was)

    def _is_meant(self, result: Result) -> bool:
        """True when routes name the receiver, for what is so now or for what it may have been told before."""
        severities = {result.severity, result.was_severity or result.severity}
        routes = (route for each in severities for route in self._settings.routes_of(_replace(result, severity=each)))
        return any(self._name in route.to for route in routes)

    def found(self) -> ResultList:
        """What is told; not what closes as it was told before."""
        told = [each for each in self._found.values() if each.was is not each.result.outcome]
        counts = {outcome: sum(each.result.outcome is outcome for each in told) for outcome in Outcome}
        return ResultList(
            met=counts[Outcome.MET],
            missed=counts[Outcome.MISSED],
            too_little=counts[Outcome.TOO_LITTLE],
            listed=tuple(sorted(told, key=_gravity)[:MOST_LISTED]),
        )


def _gravity(each: ToldResult) -> tuple[int, bool, bool, tuple[str, ...]]:
    result = each.result
    place = (result.tenant, result.team or "", result.target, result.scope, result.result_id)
    return _ORDER.index(result.outcome), result.severity is not Severity.CRITICAL, each.was is None, place


class ResultLists:
    """All receivers of an installation."""

    def __init__(self, settings: Notify, records: Iterable[ResultsTold] = ()) -> None:
        self._settings = settings
        self._told: dict[str, ResultsTold] = {}
        self._due_ms: dict[str, int] = {}
        """When the next list is to be made, by receiver."""
        self._changed: dict[str, ResultsTold | None] = {}
        for record in records:
            receiver = settings.receivers.get(record.receiver)
            if receiver is None or (record.sealed is None and _due_ms(receiver, record.looked_ms) == _NEVER_MS):
                self._changed[record.key] = None  # when it is told of results again it begins anew
            else:
                self._told[record.receiver] = record

    def asks(self, name: str, now_ms: int) -> bool:
        """True when the log must be looked at for a receiver: it is new, or its time has come."""
        receiver, told = self._settings.receivers[name], self._told.get(name)
        if name not in self._due_ms:
            self._due_ms[name] = _due_ms(receiver, now_ms if told is None else told.looked_ms)
        if told is None:
            return self._due_ms[name] < _NEVER_MS
        return told.sealed is None and self._due_ms[name] <= now_ms and not _is_quiet(receiver, now_ms)

    def start(self, name: str) -> Mapping[int, int] | None:
        """From where on the log is to be told; None for a new receiver, which hears of what comes from now on."""
        told = self._told.get(name)
        return None if told is None else told.offsets

    def seal(self, name: str, found: ResultList | None, ends: Mapping[int, int], now_ms: int) -> None:
        """Take note of what was found up to these ends; with something to tell it is a message from now on."""
        offsets = dict(ends)
        if found is None or not found.count:
            self._put(ResultsTold(receiver=name, offsets=offsets, looked_ms=now_ms))
            return
        id_ = message_id(name, [f"results/{now_ms}", *(f"{number}/{end}" for number, end in offsets.items())], 0)
        sealed = SealedResults(id=id_, made_ms=now_ms, ends=offsets, found=found)
        self._put(_replace(self._told[name], looked_ms=now_ms, sealed=sealed))

    def next(self, name: str, now_ms: int) -> Message | None:
        """The list that is due for an attempt; None when there is none now."""
        told = self._told.get(name)
        if told is None or told.sealed is None or told.sealed.retry_ms > now_ms:
            return None
        if _is_quiet(self._settings.receivers[name], now_ms):
            return None
        sealed = told.sealed
        return Message(sealed.id, name, Kind.RESULTS, sealed.made_ms, sealed.attempt, (), sealed.found)

    def sent(self, message: Message, now_ms: int) -> None:
        """A channel has delivered the list."""
        told = self._told[message.receiver]
        assert told.sealed is not None
        self._put(_replace(told, offsets=told.sealed.ends, sealed=None))

    def failed(self, message: Message, now_ms: int) -> bool:
        """A channel could not deliver it: tried again later. False when it was tried for long enough: see `give_up`."""
        if now_ms - message.made_ms >= GIVE_UP_MS and message.attempt >= GIVE_UP_ATTEMPTS:
            return False
        told = self._told[message.receiver]
        assert told.sealed is not None
        retry_ms = now_ms + retry_after_ms(message.id, message.attempt)
        self._put(_replace(told, sealed=_replace(told.sealed, attempt=message.attempt + 1, retry_ms=retry_ms)))
        return True

    def give_up(self, message: Message, now_ms: int) -> None:
        """The list is in dead letters."""
        self.sent(message, now_ms)

    def changes(self) -> dict[str, ResultsTold | None]:
        """Records that must be durable before anything that follows from them is done: by key, None to forget."""
        out, self._changed = self._changed, {}
        return out

    def _put(self, record: ResultsTold) -> None:
        self._told[record.receiver] = self._changed[record.key] = record
        self._due_ms.pop(record.receiver, None)


def _due_ms(receiver: Receiver, after_ms: int) -> int:
    """When the next list after an instant is due: at the receiver's time, else when its quiet hours end."""
    found = None
    if receiver.keeps_state:
        pass
    elif receiver.results is not None:
        found = receiver.results.after_ms(after_ms, receiver.zone)
    elif receiver.quiet is not None:
        found = receiver.quiet.next_end_ms(after_ms, receiver.zone)
    return _NEVER_MS if found is None else found


def _is_quiet(receiver: Receiver, now_ms: int) -> bool:
    return receiver.quiet is not None and receiver.quiet.ends_ms(now_ms, receiver.zone) is not None
