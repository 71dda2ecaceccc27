"""Results in lists: when they are due, what is in them, each once, and over the death of the process."""

from collections.abc import Callable

import pytest

from kpistream.core.errands import GIVE_UP_MS, Kind, Message, decode, encode
from kpistream.core.receivers import HOUR_MS, MINUTE_MS, Notify
from kpistream.core.result_lists import MOST_LISTED, Collecting, ResultLists
from kpistream.core.result_records import ResultsTold
from kpistream.core.results import Outcome, Result, corrected
from kpistream.core.targets import Direction, Judgement, Severity, Verdict, Why
from kpistream.notify.languages import Language
from kpistream.notify.result_wording import text_of
from tests.unit.desk import CHAT as SLACK
from tests.unit.desk import settings
from tests.unit.telling import DAY_MS, NOON_MS

CHAT = f"{SLACK}, zone: Europe/Berlin"
MORNING = settings(f"floor: {{{CHAT}, results: 08:00}}, b: {{{CHAT}, results: mon 07:30}}", "{to: [floor, b]}")
QUIET = settings(f"floor: {{{CHAT}, quiet: {{hours: {{mon-fri: 20:00-07:00}}}}}}", "{to: floor}")


def result(agent: str = "anna", outcome: Outcome = Outcome.MISSED, as_of_ms: int = 1, **changed: object) -> Result:
    values: dict[str, object] = {
        "result_id": f"{changed.get('target', 'connects')}/acme/agent:{agent}/business-day/7",
        "target": "connects",
        "tenant": "acme",
        "scope": f"agent:{agent}",
        "window": "business-day",
        "window_from_ms": NOON_MS - 13 * HOUR_MS,
        "window_to_ms": NOON_MS + 11 * HOUR_MS,
        "as_of_ms": as_of_ms,
        "outcome": outcome,
        "severity": Severity.WARNING,
        "reason": Why.BELOW_BOUND,
        "kpi": "connect_share",
        "direction": Direction.AT_LEAST,
        "low": 0.25,
        "high": None,
        "value": 0.15,
        "numerator": 24,
        "denominator": 160,
        "team": "north",
    }
    return Result(**{**values, **changed})  # type: ignore[arg-type]


class Desk:
    """Lists of one installation, with a log of results and one of records."""

    def __init__(self, found: Notify, now_ms: int = NOON_MS) -> None:
        self.settings, self.now_ms = found, now_ms
        self.log: list[Result] = []
        self.records: dict[str, bytes] = {}
        self.lists = ResultLists(found)

    def turn(self, name: str = "floor", deliver: Callable[[Message], bool] = lambda _: True) -> list[Message]:
        """What a courier does with what is due now."""
        out = []
        if self.lists.asks(name, self.now_ms):
            start, collecting = self.lists.start(name), Collecting(self.settings, name)
            if start is not None:
                for each in self.log[start[0] :]:
                    collecting.take(each)
            self.lists.seal(name, collecting.found(), {0: len(self.log)}, self.now_ms)
        message = self.lists.next(name, self.now_ms)
        self.save()
        if message is not None and deliver(message):
            self.lists.sent(message, self.now_ms)
            out.append(message)
        elif message is not None and not self.lists.failed(message, self.now_ms):
            self.lists.give_up(message, self.now_ms)
        self.save()
        return out

    def save(self) -> None:
        for key, record in self.lists.changes().items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = encode(record)

    def kill(self) -> None:
        self.lists = ResultLists(self.settings, [decode(key, value) for key, value in self.records.items()])

    def wait(self, ms: int, name: str = "floor") -> list[tuple[int, Message]]:
        """What is told while so much time passes, and when."""
        out = []
        for _ in range(ms // (5 * MINUTE_MS)):
            self.now_ms += 5 * MINUTE_MS
            out += [(self.now_ms, message) for message in self.turn(name)]
        return out


def agents(message: Message) -> list[str]:
    assert message.results is not None
    return [each.result.scope.removeprefix("agent:") for each in message.results.listed]


def test_results_come_at_the_receivers_time_of_day_once_each() -> None:
    """13:00 in Berlin on Wednesday; the day closes at 00:15."""
    desk = Desk(MORNING)
    desk.log.append(result("before"))
    desk.turn()
    desk.log += [result("anna"), result("bela", Outcome.MET)]

    [(at_ms, message)] = desk.wait(DAY_MS)

    assert at_ms == NOON_MS + 19 * HOUR_MS, "08:00 in Berlin"
    assert (message.kind, agents(message)) == (Kind.RESULTS, ["anna", "bela"]), "not what came before it was asked for"
    assert desk.wait(DAY_MS) == [], "nothing closed since"
    desk.log.append(result("chiara"))
    assert [agents(each) for _, each in desk.wait(DAY_MS)] == [["chiara"]]


def test_results_of_a_week_come_on_their_weekday() -> None:
    desk = Desk(MORNING)
    desk.turn("b")
    desk.log.append(result("anna"))

    [(at_ms, _)] = desk.wait(7 * DAY_MS, "b")

    assert at_ms == NOON_MS + 4 * DAY_MS + 18 * HOUR_MS + 30 * MINUTE_MS, "07:30 on Monday 3 August"


def test_results_come_when_quiet_hours_end_and_never_in_them() -> None:
    desk = Desk(QUIET)
    desk.turn()
    desk.log.append(result("anna"))

    assert [at_ms for at_ms, _ in desk.wait(DAY_MS)] == [NOON_MS + 18 * HOUR_MS]
    both = settings(f"floor: {{{CHAT}, results: 21:00, quiet: {{hours: {{mon-fri: 20:00-07:00}}}}}}", "{to: floor}")
    late = Desk(both)
    late.turn()
    late.log.append(result("anna"))
    assert [at_ms for at_ms, _ in late.wait(DAY_MS)] == [NOON_MS + 18 * HOUR_MS]


def test_who_has_neither_a_time_nor_quiet_hours_nor_wants_any_is_told_of_no_result() -> None:
    for more in ("", ", results: never, quiet: {hours: {mon-sun: 20:00-07:00}}"):
        desk = Desk(settings(f"floor: {{{CHAT}{more}}}", "{to: floor}"))
        desk.log.append(result("anna"))
        assert desk.wait(2 * DAY_MS) == []
        assert desk.records == {}


def test_only_what_routes_name_is_told() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}, results: 08:00}}, b: {{{CHAT}}}", "{to: floor, team: north}, {to: b}"))
    desk.turn()
    desk.log += [result("anna"), result("zoe", team="south")]

    assert [agents(message) for _, message in desk.wait(DAY_MS)] == [["anna"]]


def test_correction_before_it_was_told_is_told_as_it_is_and_afterwards_only_when_it_closes_otherwise() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.log += [result("anna"), result("anna", Outcome.MET, 2, was=Outcome.MISSED), result("bela", Outcome.MET)]

    [(_, first)] = desk.wait(DAY_MS)
    assert first.results is not None
    assert [(each.result.outcome, each.was) for each in first.results.listed] == [(Outcome.MET, None)] * 2

    desk.log += [
        result("anna", Outcome.MET, 3, was=Outcome.MET),
        result("bela", Outcome.MET, 4, was=Outcome.MET),
        result("bela", Outcome.MISSED, 5, was=Outcome.MET),
    ]
    [(_, second)] = desk.wait(DAY_MS)
    assert second.results is not None
    assert [(each.result.scope, each.was) for each in second.results.listed] == [("agent:bela", Outcome.MET)]
    assert (second.results.missed, second.results.met) == (1, 0)


def test_who_was_told_of_a_critical_miss_hears_that_it_was_met_and_what_comes_of_it_then() -> None:
    receivers = ", ".join(f"{name}: {{{CHAT}, results: 08:00}}" for name in ("ops", "others"))
    routes = "{to: ops, severity: critical}, {to: others}"
    desks = {name: Desk(settings(receivers, routes)) for name in ("ops", "others")}
    critical = result("anna", severity=Severity.CRITICAL)
    met = corrected(critical, Judgement(Verdict.MET, Why.WITHIN_BOUND), 2)
    missed = corrected(met, Judgement(Verdict.MISSED, Why.BELOW_BOUND), 3)
    told = []
    for name, desk in desks.items():
        desk.turn(name)
        for each in (critical, met, missed):
            desk.log += [each, result("bela", Outcome.MET, each.as_of_ms)]
            lists = [message.results for _, message in desk.wait(DAY_MS, name)]
            told += [(name, one.result.outcome, one.was) for found in lists if found for one in found.listed if one.was]
            agents_of = [one.result.scope for found in lists if found for one in found.listed]
            assert ("agent:bela" in agents_of) == (name == "others"), "a plain result is for those whom routes name"

    met_now, missed_now = (Outcome.MET, Outcome.MISSED), (Outcome.MISSED, Outcome.MET)
    assert told == [(name, *each) for name in ("ops", "others") for each in (met_now, missed_now)]


def test_process_that_dies_before_the_note_tells_the_same_again_under_one_id() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.log.append(result("anna"))
    desk.now_ms = NOON_MS + 20 * HOUR_MS
    told: list[Message] = []

    def unnoted(message: Message) -> bool:
        told.append(message)
        raise InterruptedError

    for _ in range(2):
        with pytest.raises(InterruptedError):
            desk.turn("floor", unnoted)
        desk.kill()
        desk.log.append(result("late"))
        desk.now_ms += HOUR_MS
    told += desk.turn()

    assert len(told) == 3
    assert len({each.id for each in told}) == 1
    assert {tuple(agents(each)) for each in told} == {("anna",)}
    assert [agents(message) for _, message in desk.wait(DAY_MS)] == [["late"]]


def test_list_that_nobody_takes_is_given_up_after_a_day_and_the_next_goes_on_behind_it() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.log.append(result("anna"))
    desk.now_ms = NOON_MS + 19 * HOUR_MS
    begin_ms = desk.now_ms
    while desk.now_ms < begin_ms + GIVE_UP_MS + HOUR_MS:
        desk.turn("floor", lambda _: False)
        desk.now_ms += MINUTE_MS
    desk.log.append(result("bela"))

    assert [agents(message) for _, message in desk.wait(2 * DAY_MS)] == [["bela"]]


def test_receiver_that_leaves_is_forgotten_and_one_that_comes_back_begins_anew() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.settings = settings(f"floor: {{{CHAT}}}", "{to: floor}")
    desk.kill()
    desk.save()
    assert desk.records == {}
    desk.log.append(result("anna"))
    desk.settings = MORNING
    desk.kill()
    assert desk.wait(2 * DAY_MS) == []


def test_of_many_the_gravest_are_listed_and_all_are_counted() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.log += [result(f"met{n:03}", Outcome.MET) for n in range(200)]
    desk.log += [result("few", Outcome.TOO_LITTLE), result("bad"), result("worse", severity=Severity.CRITICAL)]

    [(_, message)] = desk.wait(DAY_MS)

    assert message.results is not None
    assert (message.results.missed, message.results.met, message.results.too_little) == (2, 200, 1)
    assert len(message.results.listed) == MOST_LISTED
    assert agents(message)[:3] == ["worse", "bad", "met000"]
    text = text_of(message, Language("en", "Europe/Berlin"))
    assert text.subject == "Results: 2 missed, 200 met, 1 with too little data"
    assert text.body.splitlines()[1] == (
        "- bad: connect share missed: 15% (24 of 160), target at least 25%; business day from 2026-07-29 00:00"
    )
    assert text.body.splitlines()[0].startswith("- worse: connect share missed (critical): 15%")
    assert text.body.splitlines()[-1] == "and 153 more: kpistream report results"
    short = text_of(message, Language("zh_CN", "Asia/Shanghai"), 2000)
    assert len((short.subject + short.body).encode()) <= 2000
    assert short.subject == "结果：2项未达标，200项达标，1项数据不足"
    assert short.body.startswith(
        "- worse：接通率未达标 (严重)：15%（160中的24），目标不低于25%；营业日，自2026-07-29 06:00起"
    )


def test_record_comes_back_from_json() -> None:
    desk = Desk(MORNING)
    desk.turn()
    desk.log.append(result("anna", was=Outcome.MET))
    desk.now_ms += 20 * HOUR_MS
    desk.turn("floor", lambda _: False)

    record = decode("results/floor", desk.records["results/floor"])

    assert isinstance(record, ResultsTold) and record.sealed is not None
    assert record.sealed.found.listed[0].result == desk.log[0]
    assert record.sealed.attempt == 1
