"""A first mapping for a file, from its header and its first rows: `kpistream map FILE`.

The text is a mapping that can be read and tried at once; every line that rests on a guess is marked CHECK.
Names decide what a column could be, values decide how it is read.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kpistream.sources.rows import Format
from kpistream.sources.sniff import Column, Sample, sniff, unique_columns

_CHECK: Final = "  # CHECK"
_NAMES: Final = {
    "event_id": "uniqueid uuid contact_id call_id opportunity_id deal_id survey_id response_id event_id id acct_id",
    "call_id": "linkedid call_id contact_id conversation_id uuid uniqueid",
    "agent_id": "agent_id sales_agent agent server operator advisor rep employee owner_id owner user_id accountcode",
    "queue": "queue queue_name skill group department type",
    "campaign": "campaign campaign_name list",
    "customer_id": "customer_id customer account contact client caller phone dst to_number",
    "outcome": "disposition outcome status result deal_stage stage hangup_cause completion_status y",
    "direction": "direction call_type",
    "started_at": "start start_time started_at start_stamp started calldate call_date created_at begin vru_entry entry",
    "answered_at": "answer answer_time answered_at answer_stamp ser_start connected_at",
    "ended_at": "end end_time ended_at end_stamp ser_exit hangup_time disconnect_timestamp finished_at",
    "closed_at": "close_date closed_at closed closedate won_date deal_date date",
    "completed_at": "completed_at answered_at submitted_at response_date created_at date",
    "talk_ms": "talk_time talk billsec ser_time conversation_time talk_seconds",
    "duration": "duration call_duration length total_time",
    "queue_wait_ms": "wait_time queue_time q_time wait holdtime",
    "hold_ms": "hold_time hold",
    "wrap_up_ms": "wrap_up_time wrapup acw after_call",
    "amount_minor": "amount close_value deal_value value price revenue total",
    "currency": "currency currency_code",
    "product": "product product_name item",
    "score": "score rating csat nps ces answer_value",
}
_OUTCOMES: Final = (
    ("connected", "answered agent success completed connected normal_clearing human yes ok handled"),
    ("no-answer", "no_answer noanswer no_user_response not_answered missed unanswered"),
    ("busy", "busy user_busy"),
    ("abandoned", "hang hangup abandoned abandon"),
    ("voicemail", "voicemail machine answering_machine amd"),
    ("cancelled", "cancelled canceled cancel originator_cancel"),
    ("rejected", "rejected call_rejected declined"),
    ("failed", "failed failure error congestion"),
    ("won", "won closed_won sold yes success"),
    ("lost", "lost closed_lost no failed"),
    ("voided", "voided void cancelled refunded"),
)
_DEAL_OUTCOMES: Final = ("won", "lost", "voided")
_MAX_OUTCOMES: Final = 20


def infer(path: Path) -> str:
    """The YAML text of a first mapping. Raises: ConfigError when the file is empty or cannot be read."""
    sample = sniff(path)
    names = {column.name for column in sample.columns}
    if sample.form.kind == "jsonl" and ({"type", "source", "event_id"} <= names or "specversion" in names):
        return "# The lines look like events of kpistream: --as canonical does the same.\nformat: jsonl\nevents: rows\n"
    guess = _Guess(path, sample.form, {column.name: column for column in sample.columns}, sample.rows)
    event = _event(guess)
    return "\n".join((*_head(path, sample), *_skips(guess), *event, "")) + _leftover(guess)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _escaped(text: str) -> str:
    """The text with what YAML does not take as it is written as escapes; no line break is left."""
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def _quoted(text: str) -> str:
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _q(text: str) -> str:
    """A YAML text, in quotes when it needs them."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text) else _quoted(text)


@dataclass(slots=True)
class _Guess:
    """The columns that are still free, and those that a field took."""

    path: Path
    form: Format
    columns: dict[str, Column]
    rows: int
    taken: set[str] = field(default_factory=set)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Column of the outcome and its values whose meaning is not known."""

    def find(self, name: str, kinds: tuple[str, ...]) -> Column | None:
        """The column for a field by name and kind; the first of the known names wins."""
        for wanted in _NAMES[name].split():
            for column in self.columns.values():
                last = _plain(column.name.rsplit(".", 1)[-1])
                if last == wanted and column.kind in kinds and column.values and column.name not in self.taken:
                    return column
        return None

    def take(self, name: str, kinds: tuple[str, ...]) -> Column | None:
        """Like `find`; no other field gets the column then."""
        column = self.find(name, kinds)
        if column is not None:
            self.taken.add(column.name)
        return column


def _head(path: Path, sample: Sample) -> list[str]:
    form = sample.form
    tabs = form.delimiter == "\t"
    name = _escaped(path.name)
    source = _q(_plain(path.name.split(".")[0])[:64] or "file")
    lines = [
        f"# A first mapping for {name}, guessed from {sample.rows} rows. Decide every line marked CHECK, then:",
        f"#   kpistream try {name} --map THIS.yaml --store DIR",
        f"about: {_q('rows of ' + path.name)}",
        f"source: {source}{_CHECK}: a short name of the system, part of every event's identity",
        f"format: {form.kind if form.kind == 'jsonl' else 'tsv' if tabs else 'csv'}",
    ]
    if form.kind == "csv" and not tabs and form.delimiter != ",":
        lines.append(f"delimiter: {_quoted(form.delimiter)}")
    if form.encoding != "utf-8":
        lines.append(f"encoding: {form.encoding}{_CHECK}: not utf-8, this is the usual other one")
    if not form.header:
        lines += ["header: no", f"columns: [{', '.join(form.columns)}]{_CHECK}: give them their names"]
    if any(_is_local(column) for column in sample.columns):
        lines.append(f"zone: UTC{_CHECK}: the zone of the file's local times, such as Europe/Berlin")
    nulls = sorted({text for column in sample.columns for text in column.nulls if text[:1] != "0"})
    if nulls:
        lines.append(f"nulls: [{', '.join(_quoted(text) for text in nulls)}]{_CHECK}: texts that mean no value")
    return lines


def _is_local(column: Column) -> bool:
    if column.kind not in ("time", "date", "clock") or column.forms[0].startswith("epoch"):
        return False
    return column.forms[0] != "iso" or not re.search(r"(Z|[+-]\d\d:?\d\d)$", column.values[0])


def _event(guess: _Guess) -> list[str]:
    if guess.find("score", ("integer", "number")) is not None:
        return _survey(guess)
    if guess.find("amount_minor", ("integer", "number")) is not None and guess.find("talk_ms", _NUMERIC) is None:
        return _deal(guess)
    return _call(guess)


_NUMERIC: Final = ("integer", "number")
_ANY: Final = ("text", "integer", "number")


def _identity(guess: _Guess) -> list[str]:
    """The event id: a column, or two, whose values never repeat in the file."""
    named = [
        column.name
        for name in _NAMES["event_id"].split()
        for column in guess.columns.values()
        if _plain(column.name.rsplit(".", 1)[-1]) == name and len(column.values) == guess.rows
    ]
    others = [column.name for column in guess.columns.values() if len(column.values) == guess.rows]
    named, others = ([name for name in names if not set(name) & set("{}")] for names in (named, others))
    alone: list[tuple[str, ...]] = [(name,) for name in named]
    pairs: list[tuple[str, ...]] = [(other, name) for name in named[:1] for other in others]
    for candidates in (alone, pairs):
        unique = unique_columns(guess.path, guess.form, candidates)
        if unique is not None:
            template, why = (
                "-".join(f"{{{name}}}" for name in unique),
                "never repeats here; must not in the next file",
            )
            break
    else:
        template, why = "{file}-{row}", "no column is unique; a row number is stable only while the file is"
    return [f"    event_id: {_quoted(template)}{_CHECK}: {why}"]


def _place(guess: _Guess) -> list[str]:
    lines = []
    agent = guess.take("agent_id", _ANY)
    if agent is not None:
        nobody = [value for value in agent.distinct if _plain(value) in ("no_server", "nobody", "unassigned", "0")]
        nulls = f", nulls: [{', '.join(_quoted(value) for value in nobody)}]" if nobody else ""
        lines.append(f"    agent_id: {{column: {_q(agent.name)}{nulls}}}{_CHECK}: who handled it")
    for name in ("queue", "campaign", "customer_id"):
        column = guess.take(name, _ANY)
        if column is not None:
            nulls = ', nulls: ["0"]' if name == "customer_id" and "0" in column.values else ""
            lines.append(f"    {name}: {{column: {_q(column.name)}{nulls}}}{_CHECK}")
    if not any("agent_id:" in line or "queue:" in line or "campaign:" in line for line in lines):
        lines.append(f"    campaign: unknown{_CHECK}: an event needs an agent, a queue or a campaign")
    return lines


def _time_text(guess: _Guess, column: Column, after: str = "") -> str:
    """How a time comes from a column, alone or with the column of the date."""
    form = column.forms[0]
    nulls = [text for text in column.nulls if text[:1] == "0"]
    more = f", nulls: [{', '.join(_quoted(text) for text in nulls)}]" if nulls else ""
    more += f", not_before: {after}" if after else ""
    doubt = f"{_CHECK}: {' or '.join(column.forms)} fit the sample" if len(column.forms) > 1 else ""
    if column.kind != "clock":
        shown = "" if form == "iso" else f", format: {_quoted(form)}"
        return f"{{column: {_q(column.name)}{shown}{more}}}{doubt}"
    date = next((other for other in guess.columns.values() if other.kind == "date"), None)
    if date is None:
        return f'"2000-01-01T00:00:00Z"{_CHECK}: {_escaped(column.name)} has no date, and no column has one'
    guess.taken.add(date.name)
    doubt = f"{_CHECK}: {' or '.join(date.forms)} fit the sample" if len(date.forms) > 1 else ""
    day = f"date: {_q(date.name)}, date_format: {_quoted(date.forms[0])}"
    return f"{{{day}, time: {_q(column.name)}, time_format: {_quoted(form)}{more}}}{doubt}"


_TIMES: Final = ("time", "date", "clock")


def _duration_text(guess: _Guess, name: str) -> str | None:
    column = guess.take(name, (*_NUMERIC, "clock"))
    if column is None:
        return None
    unit = "hh:mm:ss" if column.kind == "clock" else "s"
    return f"{{column: {_q(column.name)}, unit: {_quoted(unit) if ':' in unit else unit}}}"


def _outcome(guess: _Guess, allowed: tuple[str, ...], default: str) -> tuple[list[str], str]:
    """Lines of the outcome, and the predicate for rows with the default one."""
    column = guess.take("outcome", ("text",))
    if column is None or len(column.distinct) > _MAX_OUTCOMES:
        return [f"    outcome: {default}{_CHECK}: no column says how it ended"], ""
    meant = {value: _meaning(value, allowed) for value in column.distinct}
    if default not in meant.values():
        return [f"    outcome: {default}{_CHECK}: no value of {_escaped(column.name)} says how it ended"], ""
    lines = ["    outcome:", f"      column: {_q(column.name)}", f"      table:{_CHECK}: every value of the file"]
    lines += [f"        {_quoted(value)}: {found}" for value, found in meant.items() if found]
    guess.skipped = {column.name: [value for value, found in meant.items() if found is None]}
    good = [_quoted(value) for value, found in meant.items() if found == default]
    return lines, f", when: {{{_q(column.name)}: [{', '.join(good)}]}}"


def _meaning(value: str, allowed: tuple[str, ...]) -> str | None:
    name = _plain(value)
    return next((outcome for outcome, words in _OUTCOMES if outcome in allowed and name in words.split()), None)


def _skips(guess: _Guess) -> list[str]:
    """A skip rule for the rows whose outcome nobody knows."""
    return [
        line
        for column, values in guess.skipped.items()
        if values
        for line in (
            "",
            "skip:",
            f"  - as: outcome not known{_CHECK}: what these mean; they make no event until they are in the table below",
            f"    when: {{{_q(column)}: [{', '.join(_quoted(value) for value in values)}]}}",
        )
    ]


def _call(guess: _Guess) -> list[str]:
    lines = ["", "events:", "  - type: call.ended", *_identity(guess), *_place(guess)]
    direction = guess.take("direction", ("text",))
    values = {_plain(value) for value in direction.distinct} if direction is not None else set()
    if direction is not None and values <= {"inbound", "outbound"}:
        lines.append(f"    direction: {{column: {_q(direction.name)}}}")
    else:
        lines.append(f"    direction: outbound{_CHECK}: inbound or outbound")
    started = guess.take("started_at", _TIMES) or next(
        (column for column in guess.columns.values() if column.kind == "time"), None
    )
    made_up = f'"2000-01-01T00:00:00Z"{_CHECK}: no column has a time'
    lines.append(f"    started_at: {_time_text(guess, started) if started else made_up}")
    return [*lines, *_call_course(guess)]


def _call_course(guess: _Guess) -> list[str]:
    """Lines for when a call was answered and ended, how long it took and how it ended."""
    answered, ended = guess.take("answered_at", _TIMES), guess.take("ended_at", _TIMES)
    talk, total = _duration_text(guess, "talk_ms"), _duration_text(guess, "duration")
    outcomes, when = _outcome(guess, tuple(name for name, _ in _OUTCOMES if name not in _DEAL_OUTCOMES), "connected")
    lines = []
    if ended is not None:
        lines.append(f"    ended_at: {_time_text(guess, ended, 'started_at')}")
        if len(ended.values) < guess.rows or ended.nulls:
            written = lines.pop().removeprefix("    ended_at: ")
            lines += ["    ended_at:", f"      - {written}"]
            lines.append(
                f"      - {{field: started_at}}{_CHECK}: the end of a call that has no time in {_escaped(ended.name)}"
            )
    elif total or talk:
        lines.append(f"    ended_at: {{field: started_at, plus: {total or talk}}}")
    else:
        lines.append(f"    ended_at: {{field: started_at}}{_CHECK}: no column has the end")
    if answered is not None:
        taken = _time_text(guess, answered, "started_at")
        written, mark, doubt = taken.partition("}")
        lines.append(f"    answered_at: {written}{when}{mark}{doubt}")
    elif talk or total:
        lines.append(f"    answered_at: {{field: ended_at, minus: {talk or total}{when}}}{_CHECK}: no column has it")
    else:
        lines.append(f"    answered_at: {{field: started_at{when}}}{_CHECK}: no column has it")
    if talk:
        lines.append(f"    talk_ms: {talk[:-1]}{when}}}{_CHECK}: the unit")
    for name in ("queue_wait_ms", "hold_ms", "wrap_up_ms"):
        duration = _duration_text(guess, name)
        if duration:
            lines.append(f"    {name}: {duration}{_CHECK}: the unit")
    return lines + outcomes


def _deal(guess: _Guess) -> list[str]:
    lines = ["", "events:", "  - type: deal.closed", *_identity(guess), *_place(guess)]
    outcomes, when = _outcome(guess, _DEAL_OUTCOMES, "won")
    closed = guess.take("closed_at", _TIMES)
    lines += outcomes
    amount, currency = guess.take("amount_minor", _NUMERIC), guess.take("currency", ("text",))
    assert amount is not None
    lines.append(f"    amount_minor: {{column: {_q(amount.name)}, unit: major{when}}}")
    if currency is not None:
        lines.append(f"    currency: {{column: {_q(currency.name)}{when}}}")
    else:
        lines.append(f"    currency: {{constant: EUR{when}}}{_CHECK}: no column has it")
    product = guess.take("product", ("text",))
    if product is not None:
        lines.append(f"    product: {{column: {_q(product.name)}}}")
    return [*lines, _when(guess, "closed_at", closed)]


def _survey(guess: _Guess) -> list[str]:
    lines = ["", "events:", "  - type: survey.completed", *_identity(guess), *_place(guess)]
    score = guess.take("score", _NUMERIC)
    assert score is not None
    top = max(float(value) for value in score.values)
    low, high = next((pair for pair in ((1, 5), (0, 10), (0, 100)) if top <= pair[1]), (0, 100))
    lines += [
        f"    kind: {'nps' if _plain(score.name) == 'nps' else 'csat'}{_CHECK}: csat, nps, ces or other",
        f"    score: {{column: {_q(score.name)}}}",
        f"    scale_min: {low}{_CHECK}: the lowest answer that can be given",
        f"    scale_max: {high}{_CHECK}: the highest",
    ]
    return [*lines, _when(guess, "completed_at", guess.take("completed_at", _TIMES))]


def _when(guess: _Guess, name: str, column: Column | None) -> str:
    column = column or next((other for other in guess.columns.values() if other.kind in ("time", "date")), None)
    if column is None:
        return f'    {name}: "2000-01-01T00:00:00Z"{_CHECK}: no column has a time'
    return f"    {name}: {_time_text(guess, column)}"


def _leftover(guess: _Guess) -> str:
    """The columns that are left, without their values: those may be people's names and numbers."""
    free = [column for column in guess.columns.values() if column.name not in guess.taken]
    lines = ["", "# Columns that no field uses, as the sample shows them:"] if free else []
    for column in free:
        seen = f"{column.kind}, {len(column.distinct)} different" if column.values else "empty"
        lines.append(f"#   {_escaped(column.name)}: {seen}")
    return "".join(line + "\n" for line in lines)
