"""The simulated floor: the same for the same seed, true to life, and honest about what it spoils."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from kpistream.core.decoding import CallFields, DealFields, EventFields, Fields, SurveyFields, decode
from kpistream.core.placing import place
from kpistream.core.roster import Roster
from kpistream.core.settings import read_settings
from kpistream.errors import ConfigError, EventRejected
from kpistream.simulate.agenda import (
    BAD,
    CONFLICT,
    CORRECTION,
    DUPLICATE,
    EVENT,
    MOVE,
    Account,
    Agenda,
    Sent,
)
from kpistream.simulate.delivery import Rates
from kpistream.simulate.floor import TENANT, WARM_UP_MS, Floor, demo_settings, floor_of, floor_tenant, opening_ms
from kpistream.simulate.simulation import simulate

HOUR_MS = 3_600_000
MONDAY_8_MS = 1_790_575_200_000  # 2026-09-28T08:00+02:00
STRANGER = "ext-7351"
ROUGH = Rates(late=0.1, duplicate=0.05, conflict=0.05, bad=0.15)
PANE_MS, EPOCH = 300_000, 1


def floor(seed: int = 1) -> Floor:
    return floor_of(demo_settings().roster, TENANT, MONDAY_8_MS, seed)


def run(hours: float, *, seed: int = 1, rates: Rates | None = None) -> list[Sent]:
    return list(simulate(floor(seed), MONDAY_8_MS, round(hours * HOUR_MS), rates))


def fields_of(sent: Sent) -> EventFields:
    fields: Fields = decode(sent.value, sent.due_ms)
    assert isinstance(fields, EventFields)
    return fields


def identity(fields: EventFields) -> tuple[str, str]:
    return fields.source, fields.event_id


@pytest.fixture(scope="module")
def day() -> list[Sent]:
    return run(11)


@pytest.fixture(scope="module")
def rough() -> list[Sent]:
    return run(11, rates=ROUGH)


@pytest.fixture(scope="module")
def first(day: list[Sent]) -> list[EventFields]:
    """Every event as it was first sent."""
    return [fields_of(sent) for sent in day if sent.what == EVENT]


def calls(events: list[EventFields]) -> list[CallFields]:
    return [each for each in events if isinstance(each, CallFields)]


# ---- a function of its arguments


def test_same_seed_gives_the_same_records():
    assert run(3) == run(3)


def test_another_seed_gives_another_day():
    assert {sent.value for sent in run(3)}.isdisjoint(sent.value for sent in run(3, seed=2))


def test_longer_run_begins_with_the_shorter_one():
    short, long = run(3), run(5)

    assert long[: len(short)] == short
    assert long[len(short)].due_ms >= MONDAY_8_MS + 3 * HOUR_MS


def test_runs_of_two_days_share_no_identity(first: list[EventFields]):
    tuesday = simulate(floor(), MONDAY_8_MS + 24 * HOUR_MS, 3 * HOUR_MS)

    ids = {identity(fields_of(sent)) for sent in tuesday if sent.what == EVENT}

    assert ids.isdisjoint(map(identity, first))


# ---- times


def test_records_come_in_due_order_within_the_run(rough: list[Sent]):
    assert all(earlier.due_ms <= later.due_ms for earlier, later in pairwise(rough))
    assert rough[-1].due_ms < MONDAY_8_MS + 11 * HOUR_MS


def test_nothing_is_due_before_it_happened(rough: list[Sent]):
    for sent in rough:
        if sent.what != BAD:
            assert place(fields_of(sent), PANE_MS, EPOCH).occurred_at_ms <= sent.due_ms


def test_nobody_dials_at_night_or_at_the_weekend():
    week = list(simulate(floor(), MONDAY_8_MS, 7 * 24 * HOUR_MS))

    began = [datetime.fromtimestamp(each.started_at / 1000, UTC) for each in calls([*events_of(week)])]

    assert {each.weekday() for each in began} == {0, 1, 2, 3, 4}
    assert {each.hour for each in began} <= set(range(6, 18))  # 8 to 18 in Berlin and Lisbon


def events_of(records: list[Sent]) -> Iterator[EventFields]:
    for sent in records:
        if sent.what == EVENT:
            yield fields_of(sent)


def test_lunch_is_a_dip(first: list[EventFields]):
    by_hour = Counter((each.started_at - MONDAY_8_MS) // HOUR_MS for each in calls(first))

    assert by_hour[4] < 0.9 * by_hour[2]  # 12 to 13 o'clock beside 10 to 11
    assert by_hour[4] < 0.9 * by_hour[6]  # and beside 14 to 15


def test_agent_does_one_thing_at_a_time(first: list[EventFields]):
    by_agent: dict[str, list[CallFields]] = {}
    for call in calls(first):
        if call.agent_id not in (None, STRANGER):
            by_agent.setdefault(call.agent_id, []).append(call)

    assert len(by_agent) == 24
    for own in by_agent.values():
        own.sort(key=lambda call: call.ended_at)
        for earlier, later in pairwise(own):
            began = later.answered_at if later.direction == "inbound" else later.started_at
            assert began is not None and began >= earlier.ended_at


# ---- true to life


def test_demo_floor_has_three_teams_new_ones_and_veterans():
    roster = demo_settings().roster
    people = roster.tenant(TENANT).people

    teams = Counter(roster.team_of(TENANT, agent, MONDAY_8_MS) for agent in people)
    tiers = Counter(roster.tier_of(TENANT, agent, MONDAY_8_MS) for agent in people)

    assert teams == {"north": 9, "south": 9, "desk": 6}
    assert tiers == {"veteran": 19, "new": 5}


def test_connect_share_and_talk_time_are_those_of_a_sales_floor(first: list[EventFields]):
    dialled = [call for call in calls(first) if call.direction == "outbound" and call.follow_up_of is None]
    talks_s = [(call.talk_ms or 0) / 1000 for call in calls(first) if call.outcome == "connected"]

    share = sum(call.outcome == "connected" for call in dialled) / len(dialled)

    assert 0.30 <= share <= 0.45
    assert 240 <= sum(talks_s) / len(talks_s) <= 330
    assert {call.outcome for call in dialled} == {"connected", "no-answer", "voicemail", "busy", "failed"}


def test_abandoned_calls_belong_to_their_queue(first: list[EventFields]):
    abandoned = [call for call in calls(first) if call.outcome == "abandoned"]

    assert len(abandoned) > 10
    assert {(call.agent_id, call.queue) for call in abandoned} == {(None, "orders")}


def test_deals_and_surveys_come_after_their_calls(first: list[EventFields]):
    ended = {call.call_id: call.ended_at for call in calls(first)}
    deals = [each for each in first if isinstance(each, DealFields)]
    surveys = [each for each in first if isinstance(each, SurveyFields)]

    lags_min = sorted((deal.closed_at - ended[deal.call_id]) / 60_000 for deal in deals)

    assert len(deals) > 100 and len(surveys) > 100
    assert lags_min[0] > 0 and lags_min[len(lags_min) // 2] > 10 and lags_min[-1] > 120
    assert all(survey.completed_at > ended[survey.call_id] for survey in surveys)
    assert {survey.kind for survey in surveys} == {"csat", "nps"}
    assert {deal.customer_type for deal in deals} == {"new", "repeat", None}


def test_follow_ups_keep_promises_that_were_made(first: list[EventFields]):
    promised = {call.call_id: call.next_follow_up_at for call in calls(first) if call.next_follow_up_at is not None}
    kept = [call for call in calls(first) if call.follow_up_of is not None]

    assert len(kept) > 50
    assert all(promised[call.follow_up_of] == call.follow_up_due_at for call in kept)
    on_time = sum(call.started_at <= (call.follow_up_due_at or 0) for call in kept)
    assert 0 < on_time < len(kept)


def test_transferred_call_is_a_second_leg_for_another_agent(first: list[EventFields]):
    legs: dict[str | None, list[CallFields]] = {}
    for call in calls(first):
        legs.setdefault(call.call_id, []).append(call)
    transferred = [each for each in legs.values() if len(each) > 1]

    assert transferred
    for earlier, later in (each[:2] for each in transferred):
        assert (earlier.transfer_leg, later.transfer_leg) == (0, 1)
        assert later.started_at == earlier.ended_at
        assert later.agent_id != earlier.agent_id


def test_somebody_without_an_entry_calls_now_and_then(first: list[EventFields]):
    strangers = sum(call.agent_id == STRANGER for call in calls(first))

    assert 0 < strangers < 0.01 * len(calls(first))


# ---- what goes wrong is what it says it is


def refusal(sent: Sent) -> str | None:
    """Why the contract refuses a record, None when it does not."""
    try:
        decode(sent.value, sent.due_ms)
    except EventRejected as rejected:
        return str(rejected.reason)
    return None


def test_everything_but_the_bad_is_accepted_and_the_bad_refused_for_its_reason(rough: list[Sent]):
    reasons = set()
    for sent in rough:
        found = refusal(sent)
        assert (found is not None) == (sent.what == BAD)
        assert (found or "") == sent.reason
        reasons.add(found)

    assert reasons == {
        None,
        "not-json",
        "missing-field",
        "no-zone",
        "ended-before-started",
        "unknown-currency",
        "score-outside-scale",
    }


def test_duplicates_are_the_same_bytes_later(rough: list[Sent]):
    seen: set[tuple[bytes, bytes]] = set()
    duplicates = 0
    for sent in rough:
        if sent.what == DUPLICATE:
            assert (sent.key, sent.value) in seen
            duplicates += 1
        seen.add((sent.key, sent.value))

    assert duplicates > 100


def test_correction_stays_in_its_place_and_move_names_the_place_it_leaves(rough: list[Sent]):
    last: dict[tuple[str, str], EventFields] = {}
    what = Counter()
    for sent in rough:
        if sent.what not in (EVENT, CORRECTION, MOVE):
            continue
        fields = fields_of(sent)
        before = last.get(identity(fields))
        last[identity(fields)] = fields
        what[sent.what] += 1
        if sent.what == EVENT:
            assert before is None and fields.revision == 0
            continue
        assert before is not None and fields.revision == before.revision + 1
        new, old = place(fields, PANE_MS, EPOCH), place(before, PANE_MS, EPOCH)
        if sent.what == CORRECTION:
            assert (new.key, new.start_ms, new.moved_from) == (old.key, old.start_ms, None)
        else:
            left = (old.key, old.start_ms)
            assert new.moved_from == (None if (new.key, new.start_ms) == left else left)
            assert (new.key, new.occurred_at_ms) != (old.key, old.occurred_at_ms)

    assert what[CORRECTION] > 300 and what[MOVE] > 10


def test_conflict_contradicts_the_last_revision(rough: list[Sent]):
    last = {identity(fields_of(sent)): sent for sent in rough if sent.what in (EVENT, CORRECTION, MOVE)}
    conflicts = [sent for sent in rough if sent.what == CONFLICT]

    assert len(conflicts) > 20
    for sent in conflicts:
        stands = last[identity(fields_of(sent))]
        assert fields_of(sent).revision == fields_of(stands).revision
        assert sent.key == stands.key
        assert sent.value != stands.value


def test_usual_day_has_few_faults(day: list[Sent]):
    what = Counter(sent.what for sent in day)

    assert 3_000 < len(day) < 7_000
    assert 0.001 < what[BAD] / len(day) < 0.01
    assert what[CONFLICT] < 0.003 * len(day)


def test_account_adds_up(rough: list[Sent]):
    account = Account()

    for sent in rough:
        account.add(sent)

    assert account.sent == len(rough) == sum(account.what.values())
    assert account.sent == sum(account.kind.values()) + sum(account.reason.values())
    assert account.what[BAD] == sum(account.reason.values())


# ---- the agenda and the clock


def test_agenda_hands_out_in_due_order_what_actions_send():
    agenda = Agenda()

    def act(now_ms: int) -> None:
        agenda.send(Sent(now_ms + 5, b"", b"later"))
        agenda.send(Sent(now_ms, b"", b"now"))

    agenda.at(20, act)
    agenda.at(10, act)
    agenda.at(24, act)

    assert [(sent.due_ms, sent.value) for sent in agenda.run(until_ms=29)] == [
        (10, b"now"),
        (15, b"later"),
        (20, b"now"),
        (24, b"now"),
        (25, b"later"),
    ]


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-09-28T11:15+02:00", "2026-09-28T08:00+02:00"),  # Monday, when the warm-up has just passed
        ("2026-09-28T11:14+02:00", "2026-09-25T08:00+02:00"),  # before that it is still Friday's floor
        ("2026-09-27T20:00+02:00", "2026-09-25T08:00+02:00"),  # Sunday
        ("2026-10-26T23:00+01:00", "2026-10-26T08:00+01:00"),  # Monday after the clocks went back
    ],
)
def test_demo_opens_on_the_latest_working_day(now: str, opening: str):
    now_ms = round(datetime.fromisoformat(now).timestamp() * 1000)

    opened_ms = opening_ms(now_ms, "Europe/Berlin")

    assert datetime.fromtimestamp(opened_ms / 1000, UTC) == datetime.fromisoformat(opening)
    assert opened_ms + WARM_UP_MS <= now_ms


def test_warm_up_leaves_every_agent_with_numbers():
    events = events_of(list(simulate(floor(), MONDAY_8_MS, WARM_UP_MS)))

    busy = Counter(call.agent_id for call in calls([*events]))

    assert len(busy.keys() - {None, STRANGER}) == 24


def test_floor_is_the_people_of_one_tenant() -> None:
    two = read_settings({"a.yaml": "tenants: {one: {people: {ann: {}}}, two: {people: {bob: {}}}, three: {}}"}).roster

    with pytest.raises(ConfigError, match="people in: one, two"):
        floor_tenant(two)
    with pytest.raises(ConfigError, match="people in: nobody"):
        floor_tenant(Roster())
    assert floor_tenant(read_settings({"a.yaml": "tenants: {one: {people: {ann: {}}}, three: {}}"}).roster) == "one"
