"""Wording: what a person reads, in each language, and that no language lacks a text."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from kpistream.core.alerts import State
from kpistream.core.contributing import Contributor
from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.explanation import Happened, Next
from kpistream.core.receivers import LOCALES, Mail
from kpistream.core.targets import Direction, Severity, Why
from kpistream.core.windows import CALENDAR_WINDOWS, LIVE_WINDOWS
from kpistream.notify.alertmanager import posted
from kpistream.notify.chat import LIMIT_BYTES
from kpistream.notify.languages import Language
from kpistream.notify.mail import mail_of
from kpistream.notify.result_wording import text_of
from kpistream.notify.source_wording import SOURCE_HEADLINES, SOURCE_NEXTS
from kpistream.notify.webhook import event
from kpistream.notify.wording import (
    KPI,
    REASONS,
    STATES,
    WINDOWS,
    Text,
    names_of_kpis,
    write,
)
from tests.unit.telling import NOON_MS, transition

NOTIFY = Path(__file__).parents[2] / "src" / "kpistream" / "notify"
ENGLISH, CHINESE = Language("en", "Europe/Berlin"), Language("zh_CN", "Asia/Shanghai")
OTHERS = [name for name in LOCALES if name != "en"]


def message(*entries: Entry, kind: Kind = Kind.NEWS) -> Message:
    return Message("id", "floor", kind, NOON_MS, 0, entries)


def read(language: Language, **changed) -> Text:
    return write(message(Entry(transition(**changed), 0, NOON_MS)), language)


def test_slip_in_english_is_all_that_the_explanation_says() -> None:
    text = read(ENGLISH)

    assert text.subject == "Anna Berg: connect share misses its target: 15% (24 of 160), target at least 25%"
    assert text.body.splitlines() == [
        "Anna Berg: connect share misses its target: 15% (24 of 160), target at least 25%",
        "Team: north",
        "Value: 15% (24 of 160), below its bound",
        "Target connects: at least 25%, which holds for all",
        "Evidence: chance alone brings this on fewer than 1 in 730 days; "
        "the target allows a false alarm on 1 in 100 days",
        "Window: business day, 00:00 to 2026-07-30 00:00",
        "Since: 2026-07-29 13:00 (Europe/Berlin); before: ok",
        "Next: the alert is over when the target is met again, by its level to recover where it has one",
        "How it is counted: outbound_connected / outbound_calls",
        "Owner of the target: floor lead",
        "Alert: connects/acme/agent:anna/1",
        'Acknowledge: kpistream alerts ack connects/acme/agent:anna/1 --note "..."',
    ]


def test_slip_in_chinese_says_the_same_in_its_zone() -> None:
    text = read(CHINESE)

    assert text.subject == "Anna Berg：接通率未达目标：15%（160中的24），目标不低于25%"
    assert text.body.splitlines()[1:5] == [
        "团队：north",
        "当前值：15%（160中的24），低于界限",
        "目标 connects：不低于25%，适用于所有人",
        "依据：仅凭偶然，730天中不到1天会出现这种情况；目标允许每100天一次误报",
    ]
    assert "开始时间：2026-07-29 19:00（Asia/Shanghai）；之前状态：正常" in text.body
    assert '确认命令：kpistream alerts ack connects/acme/agent:anna/1 --note "..."' in text.body


def test_pace_says_how_many_are_missing_and_that_no_shift_is_known() -> None:
    late = {
        "kpi": "calls",
        "value": 1038,
        "numerator": 1038,
        "denominator": None,
        "low": 2000.0,
        "expected": 1145.5,
        "basis": "business-hours",
        "reason": Why.BEHIND_PACE,
    }

    assert (
        "Pace: 1,038 of 1,145.5 expected by now, 107.5 behind, by business hours: no shift known"
        in read(ENGLISH, **late).body
    )
    assert "进度：已完成1,038，此时应为1,145.5，落后107.5，按营业时间（班次未知）计算" in read(CHINESE, **late).body


@pytest.mark.parametrize("language", [ENGLISH, CHINESE], ids=["en", "zh_CN"])
@pytest.mark.parametrize("state", [State.NO_DATA, State.SUSPENDED])
def test_resting_alert_never_reads_as_recovered(language: Language, state: State) -> None:
    text = read(language, sequence=2, to=state)

    for word in ("recovered", "已恢复"):
        assert word not in text.subject + text.body
    assert ("not over" if language is ENGLISH else "尚未结束") in text.subject


def test_band_of_talk_times_is_in_minutes() -> None:
    band = {
        "kpi": "average_talk_time",
        "direction": Direction.BETWEEN,
        "low": 120_000.0,
        "high": 360_000.0,
        "value": 405_000.0,
        "numerator": 64_800_000,
        "reason": Why.ABOVE_BOUND,
    }

    assert read(ENGLISH, **band).subject == (
        "Anna Berg: average talk time misses its target: 6 min 45 s (of 160 cases), target 2 min 0 s to 6 min 0 s"
    )
    assert "6分45秒（共160个样本），目标2分0秒至6分0秒" in read(CHINESE, **band).subject


def test_bound_says_where_it_comes_from() -> None:
    assert "Target connects: at least 25%, from tier new" in read(ENGLISH, bound_from="tier new").body


def test_subject_says_what_is_urgent_again_or_unanswered() -> None:
    entry = Entry(transition(severity=Severity.CRITICAL), 2, NOON_MS)

    assert write(message(entry, kind=Kind.REPEAT), ENGLISH).subject.startswith("[critical] [again] Anna Berg")
    assert write(message(entry, kind=Kind.ESCALATION), CHINESE).subject.startswith("[严重] [无人确认] Anna Berg")
    assert "Told before: 2 times" in write(message(entry, kind=Kind.REPEAT), ENGLISH).body


def test_message_of_many_has_a_line_and_a_command_for_each() -> None:
    entries = [Entry(transition(scope=f"agent:{n}", display_name=f"Agent {n}"), 0, NOON_MS) for n in range(7)]

    text = write(message(*entries), ENGLISH)

    assert text.subject == "7 alerts of team north"
    assert text.body.count("kpistream alerts ack") == 7
    assert len(text.body.splitlines()) == 14
    assert write(message(*entries[:3]), CHINESE).subject == "3条告警（团队north）"
    assert write(message(*entries[:3]), ENGLISH).body.count("Evidence:") == 3


CALLS = (
    Contributor("acme/pbx/call/call-7", NOON_MS - 600_000, 0, 1),
    Contributor("acme/pbx/call/call\n9", NOON_MS - 900_000, 0, 1),
)


def test_events_behind_an_alert_have_a_line_each_and_the_command_that_opens_them() -> None:
    text = read(ENGLISH, contributors=CALLS)

    shown = text.body.splitlines()
    begin = shown.index("Most to do with it:")
    assert shown[begin + 1 : begin + 4] == [
        "  pbx/call/call-7, 12:50",
        "  pbx/call/call 9, 12:45",
        "Open them: kpistream alerts events connects/acme/agent:anna/1",
    ]
    assert "主要相关：\n  pbx/call/call-7, 18:50" in read(CHINESE, contributors=CALLS).body


PARTS_OF_AN_EXPLANATION = (
    "connect share misses its target",
    "15% (24 of 160)",
    "at least 25%",
    "from tier new",
    "Evidence: chance alone",
    "Window: business day",
    "Since: 2026-07-29 13:00",
    "before: ok",
    "Next: the alert is over when",
    "pbx/call/call-7",
    "kpistream alerts events connects/acme/agent:anna/1",
    "Alert: connects/acme/agent:anna/1",
    "kpistream alerts ack connects/acme/agent:anna/1",
)


@pytest.mark.parametrize(
    "channel", ["alertmanager", "webhook", "mail", "slack", "teams", "dingtalk", "feishu", "wecom"]
)
def test_every_channel_says_all_of_the_explanation(channel: str) -> None:
    entry = Entry(transition(contributors=CALLS, bound_from="tier new"), 0, NOON_MS)
    mail = Mail(("a@b.example",), "c@d.example", "h", 25)
    written = {
        "alertmanager": lambda: posted(entry, entry.transition, ENGLISH, NOON_MS)["annotations"]["description"],
        "webhook": lambda: json.loads(event(message(entry), ENGLISH))["data"]["text"],
        "mail": lambda: mail_of(message(entry), mail, ENGLISH).get_content(),
    }

    text = written[channel]() if channel in written else text_of(message(entry), ENGLISH, LIMIT_BYTES[channel]).body

    assert [part for part in PARTS_OF_AN_EXPLANATION if part not in text] == []


def test_value_of_an_event_is_told_where_it_has_one_of_its_own() -> None:
    talk = {"kpi": "average_talk_time", "value": 500_000.0, "low": 60_000.0, "high": 300_000.0}
    long = Contributor("acme/pbx/call/long", NOON_MS, 754_000, 1)
    deal = Contributor("acme/crm/deal/d", NOON_MS, 12_300, None)

    assert "  pbx/call/long, 13:00: 12 min 34 s" in read(ENGLISH, contributors=(long,), **talk).body
    assert "  crm/deal/d, 13:00: 12,300" in read(ENGLISH, contributors=(deal,), kpi="revenue").body


def test_team_is_told_its_agents_and_where_to_look_them_up() -> None:
    bob = Contributor("agent:bob", None, 20, 100)

    body = read(ENGLISH, scope="team:north", contributors=(bob,)).body

    assert "Most to do with it:\n  bob: 20% (20 of 100)\nOpen them: kpistream report agents --tenant acme " in body
    assert "--from 2026-07-28T22:00:00+00:00 --to 2026-07-29T22:00:00+00:00" in body


SILENT = {
    "target": "source-silent",
    "scope": "source:pbx",
    "kpi": "source_silence",
    "window": "silence",
    "window_from_ms": NOON_MS - 900_000,
    "direction": Direction.AT_MOST,
    "low": None,
    "high": 900_000.0,
    "value": 930_000,
    "numerator": 930_000,
    "denominator": None,
    "team": None,
    "display_name": "pbx",
    "owner": None,
    "against": None,
    "alpha": None,
    "reason": Why.SOURCE_SILENT,
    "hidden": 12,
}


def test_alert_that_was_not_true_says_what_was_told_and_what_is_known() -> None:
    then = {"corrects": 1, "told_at_ms": NOON_MS - 3_600_000, "told_value": 0.15, "told_numerator": 24}
    now = {"reason": Why.CORRECTED, "value": 0.3, "numerator": 48, "against": None, "told_denominator": 160}

    lines = read(ENGLISH, sequence=2, to=State.OK, **then, **now).body.splitlines()

    assert (
        lines[0]
        == "Anna Berg: connect share: the alert was not true: 30% (48 of 160) at that time, target at least 25%"
    )
    assert lines[2:4] == [
        "Value: 30% (48 of 160), events came late or were corrected",
        "Target connects: at least 25%, which holds for all",
    ]
    told = "15% (24 of 160). That was not true: events came late or were corrected"
    assert f"Told 2026-07-29 12:00 (Europe/Berlin): {told}" in lines
    chinese = read(CHINESE, sequence=2, to=State.OK, **then, **now)
    assert chinese.subject == "Anna Berg：接通率的告警不成立：当时为30%（160中的48），目标不低于25%"


def test_good_news_are_short() -> None:
    news = {"from_state": State.OK, "reason": Why.REACHED, "kpi": "calls", "value": 100, "numerator": 100}
    news |= {"denominator": None, "low": 96.0, "against": None, "alpha": 0.01, "basis": "shift"}

    assert read(ENGLISH, to=State.OK, **news).body.splitlines() == [
        "Anna Berg: calls has reached its target: 100, target at least 96",
        "Team: north",
        "Window: business day, 00:00 to 2026-07-30 00:00",
        "Owner of the target: floor lead",
        "Alert: connects/acme/agent:anna/1",
    ]
    assert read(CHINESE, to=State.OK, **news).subject == "Anna Berg：通话数已达成目标：100，目标不低于96"
    best = read(ENGLISH, to=State.OK, **{**news, "reason": Why.PERSONAL_BEST})
    assert best.subject == "Anna Berg: calls: best day of twelve weeks: 100, the best before: 96"


def test_silent_source_says_since_when_and_whom_it_hides() -> None:
    assert read(ENGLISH, **SILENT).body.splitlines() == [
        "pbx, tenant acme: the source is silent for 15 min 30 s, and hides 12 people at work",
        "Last event: before 2026-07-29 12:45 (Europe/Berlin)",
        "Told after: 15 min 0 s at work",
        "Look at the source, at its way to Kafka, and at what was refused: kpistream dlq list",
        "Next: the alert is over when events have come again for five minutes",
        "Alert: source-silent/acme/source:pbx/1",
        'Acknowledge: kpistream alerts ack source-silent/acme/source:pbx/1 --note "..."',
    ]
    assert read(CHINESE, **SILENT).subject == "数据源pbx（租户acme）已静默15分30秒，12名在岗人员的情况不明"


def test_source_that_is_heard_again_says_so() -> None:
    over = {**SILENT, "to": State.OK, "reason": Why.SOURCE_HEARD, "value": 0, "hidden": None}

    assert read(ENGLISH, **over).subject == "pbx, tenant acme: the source is heard again"
    rests = {**SILENT, "to": State.SUSPENDED, "reason": Why.OFF_SHIFT, "value": None, "hidden": 0}
    assert read(ENGLISH, **rests).subject == "pbx, tenant acme: the silent source rests, the alert is not over"


def test_every_alert_of_a_source_has_words() -> None:
    assert set(SOURCE_HEADLINES) == set(Happened)
    assert set(SOURCE_NEXTS) == set(Next)


def test_kpi_that_this_version_does_not_know_has_words_too() -> None:
    text = read(ENGLISH, kpi="complaints_per_hour", value=1.5, numerator=3, denominator=2, low=1.0)

    assert text.subject == "Anna Berg: complaints per hour misses its target: 1.5 (of 2 cases), target at least 1"


def asked() -> Iterator[str]:
    for path in sorted(NOTIFY.glob("*.py")):
        with path.open("rb") as file:
            for _, text, _, _ in extract("python", file, keywords={"_": None, "tell": None, "N_": None}):
                yield str(text)


@pytest.mark.parametrize("locale", OTHERS)
def test_no_text_is_missing_or_left_over_in_a_catalogue(locale: str) -> None:
    with (NOTIFY / "locales" / f"{locale}.po").open("rb") as file:
        found = {(each.context, each.id): each.string for each in read_po(file, locale=locale) if each.id}

    wanted = {(None, text) for text in asked()} | {(KPI, name) for name in names_of_kpis()}
    assert len(wanted) > 80
    assert {key for key in wanted if not found.get(key)} == set()
    assert set(found) - wanted == set()
    for (_, text), translated in found.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", str(translated))), text


def test_every_reason_state_and_live_window_has_words() -> None:
    assert set(REASONS) == set(Why)
    assert set(STATES) == set(State)
    assert {*LIVE_WINDOWS, *CALENDAR_WINDOWS} == set(WINDOWS)
