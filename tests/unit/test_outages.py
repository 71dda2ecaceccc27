"""Outages: one alert on a source that is silent while its people work, whoever judges and however often it restarts."""

import pytest

from kpistream.core.alerts import State, Transition, alert_after, encode_transition
from kpistream.core.explanation import Happened, explained
from kpistream.core.measures import CALLS
from kpistream.core.outages import HEARD_AGAIN_MS, KEPT_MS, SILENT_MS, usual_ms
from kpistream.core.panes import Pane, PaneSum
from kpistream.core.placing import Place
from kpistream.core.settings import Settings, read_settings
from kpistream.core.tallies import pack_tally
from kpistream.core.targets import Why
from kpistream.log.records import sources_of
from kpistream.stream.flush import sum_record
from kpistream.stream.teams import TeamSums

PANE = 300_000
MINUTE = 60_000
HOUR = 3_600_000
MONDAY = 1_785_110_400_000
"""2026-07-27 00:00 UTC."""
AGENTS = ("anna", "bela", "chiara", "david")
FLOOR = """
tenants:
  acme:
    zone: UTC
    people: {anna: {}, bela: {}, chiara: {}, david: {}}
%s
schedules:
  patterns:
    day: {hours: {mon-fri: 08:00-17:00}, breaks: {mon-fri: 12:00-13:00}}
  assigned: [{tenant: acme, pattern: day}]
"""


def floor(said: str = "") -> Settings:
    return read_settings({"settings.yaml": FLOOR % said})


def clock(text: str, day: int = 0) -> int:
    """Epoch ms of a time of day, so many days after Monday."""
    hours, minutes = text.split(":")
    return MONDAY + day * 24 * HOUR + int(hours) * HOUR + int(minutes) * MINUTE


class Owner:
    """Who follows the sums of the tenant, and the log of alerts that the next one starts from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.records: list[tuple[bytes, tuple[tuple[str, bytes | None], ...]]] = []
        self.log: list[Transition] = []
        self.start()

    def start(self) -> None:
        """A process begins, with what the topics hold."""
        self.sums = TeamSums(self.settings, PANE)
        self.sums.catch_up_to = 0
        self.sums.bench.load(())
        self.sums.outages.load([encode_transition(each) for each in self.log])
        for value, headers in self.records:
            self.sums.put(value, sources_of(headers))

    def heard(self, source: str, begin: str, end: str, agents: tuple[str, ...] = AGENTS, day: int = 0) -> None:
        """Events of a source in every pane of a span."""
        for start_ms in range(clock(begin, day), clock(end, day), PANE):
            for agent in agents:
                names = (source,) if source else ()
                place = Place(f"acme/agent:{agent}", start_ms)
                record = sum_record(PaneSum(place, len(self.records) + 1, pack_tally({CALLS: 1}), names))
                assert record.value is not None
                self.records.append((record.value, tuple(record.headers)))
                self.sums.put(record.value, sources_of(record.headers))

    def look(self, at: str, day: int = 0, whole: bool = True) -> list[tuple[str, str, str]]:
        """Scope, state and reason of what a look at a time of day says."""
        now_ms = clock(at, day)
        _, found = self.sums.look(now_ms, now_ms if whole else None)
        mine = [each for each in found if each.scope.startswith("source:")]
        self.log += mine
        return [(each.scope, str(each.to_state), str(each.reason)) for each in mine]


SILENT = ("source:pbx", "firing", "source-silent")
HEARD = ("source:pbx", "recovering", "source-heard")
OVER = ("source:pbx", "ok", "source-heard")
RESTS = ("source:pbx", "suspended", "off-shift")


#   heard  08:00 =========== 10:00 (pane's end)
#   look                            10:10  10:15 silent
def test_source_that_falls_silent_is_told_once_after_a_quarter_of_an_hour_at_work() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")

    assert owner.look("10:10") == []
    assert owner.look("10:15") == [SILENT]
    assert owner.look("10:16") == owner.look("10:40") == []
    fired = owner.log[0]
    assert (fired.alert_id, fired.hidden, fired.value) == ("source-silent/acme/source:pbx/1", 4, SILENT_MS)
    assert (fired.slip_from_ms, fired.window_from_ms, fired.high) == (clock("10:00"), clock("10:00"), SILENT_MS)


def test_outage_is_over_when_events_have_come_for_five_minutes() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:20")

    owner.heard("pbx", "10:30", "10:35", ("anna",))
    assert owner.look("10:31") == [HEARD]
    assert owner.look("10:35") == []
    assert owner.look("10:36") == [OVER]
    assert owner.log[-1].at_ms - owner.log[-2].at_ms == HEARD_AGAIN_MS
    assert [each.sequence for each in owner.log] == [1, 2, 3]


def test_nobody_is_told_while_it_is_not_known_that_all_that_was_sent_is_here() -> None:
    """A worker that is behind looks the same as a source that is silent."""
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")

    assert owner.look("10:20", whole=False) == []
    assert owner.sums.outages.suspects == {("acme", "pbx")}
    assert owner.look("10:21") == [SILENT]
    assert owner.sums.outages.suspects == set()


def test_silence_counts_up_to_where_everything_is_known() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")

    assert owner.sums.look(clock("10:20"), clock("10:14"))[1] == []
    assert [each.value for each in owner.sums.look(clock("10:21"), clock("10:16"))[1]] == [16 * MINUTE]


@pytest.mark.parametrize("at", ["10:16", "10:40", "16:50"])
def test_process_that_begins_in_an_outage_neither_tells_it_again_nor_ends_it(at: str) -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:15")

    owner.start()

    assert owner.look(at) == []
    owner.heard("pbx", at, at[:-1] + "9", ("anna",))
    assert owner.look(at[:-1] + "1") == [HEARD]


def test_process_that_begins_in_a_silence_knows_how_long_it_has_lasted() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:14")

    owner.start()

    assert owner.look("10:15") == [SILENT]


def test_lunch_of_everybody_neither_begins_an_outage_nor_ends_one() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "11:50")

    assert owner.look("12:30") == []
    assert owner.look("13:14") == []
    assert owner.look("13:15") == [SILENT]


def test_outage_rests_over_night_and_goes_on_only_when_nothing_comes_at_work() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "16:00")

    assert owner.look("16:30") == [SILENT]
    assert owner.look("17:30") == [RESTS]
    assert owner.look("07:00", day=1) == []
    assert owner.look("08:05", day=1) == []
    assert owner.look("08:15", day=1) == [("source:pbx", "firing", "source-silent")]
    assert explained(owner.log[-1]).happened is Happened.SLIPS


def test_source_that_comes_with_the_morning_was_silent_only_in_the_evening() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "16:00")
    owner.look("16:30")
    owner.look("17:30")

    owner.heard("pbx", "08:00", "08:15", day=1)
    assert owner.look("08:03", day=1) == [HEARD]
    assert owner.look("08:09", day=1) == [OVER]


def test_weekend_is_remembered_when_a_source_has_died_in_it() -> None:
    """Friday is 63 hours before Monday."""
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "17:00", day=-3)

    owner.start()
    assert owner.look("08:14") == []
    assert owner.look("08:15") == [SILENT]
    assert KEPT_MS == 72 * HOUR


def test_source_that_nobody_has_heard_for_three_days_is_given_up() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:15")

    assert owner.look("10:20", day=3) == [("source:pbx", "suspended", "not-covered")]
    assert owner.look("10:40", day=3) == []


def test_each_source_has_an_alert_of_its_own() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.heard("dialer", "08:00", "10:30", ("david",))

    assert owner.look("10:20") == [SILENT]
    assert owner.sums.outages.silent == {("acme", "pbx"): True, ("acme", "dialer"): False}


def test_fewer_than_three_at_work_say_nothing_of_a_source() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00", ("anna", "bela"))

    assert owner.look("11:00") == []


def test_people_without_a_schedule_say_nothing_of_a_source() -> None:
    owner = Owner(read_settings({"settings.yaml": "tenants: {acme: {people: {anna: {}, bela: {}, chiara: {}}}}"}))
    owner.heard("pbx", "08:00", "10:00")

    assert owner.look("11:00") == []


def test_source_that_is_rarely_heard_is_waited_for_longer() -> None:
    """Deals in every second pane: 14 panes without any come by chance once in 10,000 times."""
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "12:00")
    owner.heard("pbx", "13:00", "17:00")
    for number in range(24):
        begin = 8 * 60 + number * 10
        owner.heard("crm", f"{begin // 60:02}:{begin % 60:02}", f"{(begin + 5) // 60:02}:{(begin + 5) % 60:02}")

    assert owner.look("13:16") == owner.look("14:09") == []
    assert owner.look("14:10") == [("source:crm", "firing", "source-silent")]
    assert owner.log[0].high == 70 * MINUTE


def test_what_is_said_of_a_source_holds_instead_of_what_is_usual() -> None:
    said = "    silent_after: 1 h\n    sources: {crm: {silent_after: off}, dialer: {silent_after: 30 m}}"
    owner = Owner(floor(said))
    for source in ("pbx", "crm", "dialer"):
        owner.heard(source, "08:00", "08:15")

    assert owner.look("08:44") == []
    assert owner.look("08:45") == [("source:dialer", "firing", "source-silent")]
    assert owner.look("09:15") == [SILENT]


def test_source_that_is_switched_off_rests_and_is_told_again_when_it_is_on() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:15")

    owner.sums.outages.adopt(floor("    sources: {pbx: {silent_after: off}}"))
    assert owner.look("10:20") == [("source:pbx", "suspended", "not-covered")]
    owner.sums.outages.adopt(floor())
    assert owner.look("10:30") == [SILENT]


def test_sums_of_an_earlier_version_may_be_of_any_source() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.heard("", "10:00", "11:00")

    assert owner.look("10:40") == []
    assert owner.look("11:15") == [SILENT]


def test_usual_silence_is_of_panes_in_which_people_worked() -> None:
    always = range(0, 100 * PANE, PANE)
    assert usual_ms(always, always, PANE) == 2 * PANE
    assert usual_ms(list(always)[:23], always, PANE) is None

    seldom = range(0, 96 * PANE, 4 * PANE)
    assert usual_ms(seldom, always, PANE) == usual_ms(seldom, (), PANE) == 32 * PANE
    nights = [day * 24 * HOUR + start for day in range(3) for start in always]
    assert usual_ms(nights, nights, PANE) == 2 * PANE


def test_sources_of_a_pane_are_those_of_its_entries_sealed_or_not() -> None:
    pane = Pane("acme/agent:anna", 0)
    pane.join("acme/pbx/call/1", 1, (), False)
    pane.join("acme/crm/deal/a/b", 1, (), False)
    pane.join("acme/pbx/call/2", 1, (), True)

    assert pane.sources() == ("crm", "pbx")
    pane.join("acme/pbx/call/1", 2, (), False)
    pane.join("acme/dialer/call/1", 1, (), False)
    assert pane.sources() == ("crm", "dialer", "pbx")
    pane.seal()
    assert pane.sources() == ("crm", "dialer", "pbx")
    pane.join("acme/app/call/1", 1, (), False)
    assert pane.sources() == ("app", "crm", "dialer", "pbx")
    filled = Pane("acme/agent:anna", 0)
    filled.fill(pane.packed())
    filled.join("acme/chat/call/1", 1, (), False)
    assert filled.sources() == ("app", "chat", "crm", "dialer", "pbx")


def test_alert_of_a_source_explains_itself() -> None:
    owner = Owner(floor())
    owner.heard("pbx", "08:00", "10:00")
    owner.look("10:15")
    found = explained(owner.log[0])

    assert (found.source, found.hidden, found.unit, found.happened) == ("pbx", 4, "ms", Happened.SLIPS)
    assert (found.last_ms, found.since_ms) == (clock("10:00"), clock("10:00"))
    assert found.ack_command is not None
    assert alert_after(owner.log[0]).state is State.FIRING
    assert found.reason is Why.SOURCE_SILENT
