"""Target settings: the targets of a settings file, each checked against the catalogue and the roster."""

import re
from fractions import Fraction

import msgspec

from kpistream.core.catalogue import SETTLED_CONVERSION, Cases
from kpistream.core.currencies import NUMERIC
from kpistream.core.evidence import Level
from kpistream.core.kpis import Kpi
from kpistream.core.own_kpis import OwnKpis
from kpistream.core.pace import Proration, proration
from kpistream.core.resolution import possible
from kpistream.core.roster import Roster
from kpistream.core.settings_values import bound, duration_ms, identifier, label, level, whole
from kpistream.core.target_marks import read_marks
from kpistream.core.targets import BEST, Direction, Scope, Target, default_direction, may_be_reached
from kpistream.core.term_settings import read_terms, skip_terms
from kpistream.core.weighing import WINDOWS, weighed_range
from kpistream.core.windows import CALENDAR_WINDOWS, LIVE_WINDOWS
from kpistream.core.working_time import by_the_hour
from kpistream.core.yaml_nodes import Section, near

_MOST_CASES = 1_000_000_000
_WINDOWS = tuple(dict.fromkeys((*LIVE_WINDOWS, *CALENDAR_WINDOWS)))


def read_targets(section: Section, roster: Roster, own: OwnKpis, targets: dict[str, Target]) -> None:
    """Add the targets of a file to `targets`; faults go to the section's."""
    for node in section.nodes("targets"):
        inner = Section(node, section.faults)
        target = _target(inner, roster, own)
        inner.finish()
        if target is None:
            continue
        if target.name in targets:
            inner.fault(f'there is a target "{target.name}" already', "name")
        targets[target.name] = target


def _target(section: Section, roster: Roster, own: OwnKpis) -> Target | None:
    for key in ("name", "kpi", "window"):
        if key not in section:
            section.fault("is missing", key)
    name = section.read("name", identifier)
    if name is not None and name.endswith(BEST):
        section.fault(f'"{name}" is what best days of a target "{name.removesuffix(BEST)}" are called', "name")
    window, alerts = _window(section)
    scope = section.choice("scope", list(Scope), Scope.AGENT)
    kpi = section.read("kpi", lambda text: _kpi(text, own))
    direction, low, high = _bounds(section, kpi)
    marks = read_marks(section, kpi, direction, (low, high))
    sample, member = _minimum_sample(section, kpi), _member(section, kpi)
    tenant, team = _whose(section, roster)
    owner = section.read("owner", label)
    hold_ms, recover_hold_ms = section.read("hold", duration_ms), section.read("recover_hold", duration_ms)
    if name is None or kpi is None or not window:
        _level(section, None)
        skip_terms(section)
        section.node("good_news")
        return None
    target = Target(
        name=name,
        kpi=kpi.name,
        window=window,
        direction=direction,
        low=low,
        high=high,
        minimum_sample=sample,
        scope=Scope(scope),
        member=member,
        tenant=tenant,
        team=team,
        owner=owner,
        hold_ms=hold_ms or 0,
        recover_hold_ms=recover_hold_ms or 0,
        alerts=alerts,
        own=kpi if kpi.form else None,
    )
    return _with_terms(section, msgspec.structs.replace(target, **marks._asdict()), kpi, roster)


def _with_terms(section: Section, target: Target, kpi: Kpi, roster: Roster) -> Target:
    """The target with what depends on all of it: its terms, the level of false alarms and good news."""
    target = read_terms(section, target, kpi, roster)
    target = msgspec.structs.replace(target, level=_level(section, target))
    _check_to_date(section, kpi, target)
    _check_settling(section, kpi, target)
    return msgspec.structs.replace(target, good_news=_good_news(section, target))


def _good_news(section: Section, target: Target) -> bool:
    """Whether it is said that the target is reached: of agents unless the target says no, of teams when it says so."""
    said = section.choice("good_news", ("yes", "no"), "")
    if said == "yes" and not (may_be_reached(target) and target.alerts):
        section.fault("only a count of a day or longer, at_least and with alerts, can be reached", "good_news")
    return said != "no" and may_be_reached(target) and (said == "yes" or target.scope is Scope.AGENT)


def _check_to_date(section: Section, kpi: Kpi, target: Target) -> None:
    """A count of a week is below its bound until the week ends: that alone is no reason for an alert."""
    if by_the_hour(kpi) and target.scope is not Scope.AGENT:
        section.fault(f"{kpi.name} is over the time at work, which only agents have", "scope")
    long = target.window not in LIVE_WINDOWS and target.alerts and target.level is None
    if long and proration(kpi) is Proration.BY_TIME:
        section.fault(f"{kpi.name} over a {target.window} needs false_alarms, or alerts: off", "window")


def _check_settling(section: Section, kpi: Kpi, target: Target) -> None:
    """Live, what settles is known of agents; of teams and tenants history knows it."""
    if kpi.settles and target.scope is not Scope.AGENT and target.alerts and target.window in LIVE_WINDOWS:
        section.fault(
            f"{kpi.name} is known live of agents only; of others over a week or more, or alerts: off", "scope"
        )


def _window(section: Section) -> tuple[str, bool]:
    """The window, empty when there is none, and whether anybody is alarmed before it ends."""
    window = section.choice("window", _WINDOWS, "")
    alerts = section.choice("alerts", ("on", "off"), "on") == "on"
    if not alerts and window not in ("", *CALENDAR_WINDOWS):
        section.fault(f"{window} has no end at which a target could close", "alerts")
    return window, alerts


def _kpi(name: str, own: OwnKpis) -> Kpi:
    kpi = own.find(name)
    if kpi is None:
        raise ValueError(f'"{name}" is no KPI{near(name, own.names)}')
    return kpi


def _bounds(section: Section, kpi: Kpi | None) -> tuple[Direction, Fraction | None, Fraction | None]:
    """Direction and bounds; what a section without a KPI says cannot be judged."""
    if kpi is None:
        for key in ("bound", "direction", "low", "high"):
            section.node(key)
        return Direction.AT_LEAST, None, None
    default = default_direction(kpi)
    if default is Direction.BETWEEN or "low" in section or "high" in section:
        return _band(section, kpi)
    direction = Direction(section.choice("direction", (Direction.AT_LEAST, Direction.AT_MOST), default))
    if "bound" not in section:
        section.fault("is missing", "bound")
    value = section.read("bound", lambda text: bound(text, kpi.unit))
    return (direction, value, None) if direction is Direction.AT_LEAST else (direction, None, value)


def _band(section: Section, kpi: Kpi) -> tuple[Direction, Fraction | None, Fraction | None]:
    for key in ("bound", "direction"):
        if section.node(key) is not None:
            section.fault(f"{kpi.name} has a band here: say low and high", key)
    for key in ("low", "high"):
        if key not in section:
            section.fault("is missing", key)
    low = section.read("low", lambda text: bound(text, kpi.unit))
    high = section.read("high", lambda text: bound(text, kpi.unit))
    if low is not None and high is not None and low > high:
        section.fault("must not be below low", "high")
    return Direction.BETWEEN, low, high


def _minimum_sample(section: Section, kpi: Kpi | None) -> int:
    if kpi is not None and by_the_hour(kpi):
        return section.read("minimum_sample", duration_ms) or 1
    sample = section.read("minimum_sample", lambda text: whole(text, 1, _MOST_CASES))
    if sample is not None and kpi is not None and kpi.denominator is None:
        section.fault(f"{kpi.name} only counts, there is no sample", "minimum_sample")
    return sample or 1


def _level(section: Section, target: Target | None) -> Level | None:
    """The level of false alarms of a target, with every reason why evidence cannot be weighed for it."""
    found = section.read("false_alarms", level)
    if found is None or target is None:
        return found
    kpi = target.defined
    for words, each in possible(target):
        if kpi.no_evidence:
            section.fault(f"{kpi.name} {kpi.no_evidence}", "false_alarms")
            break
        fault = _no_pace(kpi, each) if kpi.cases is Cases.NONE else _no_evidence(kpi, each)
        if fault:
            section.fault(f"{words}: {fault}" if words else fault, "false_alarms")
            break
    if target.window not in WINDOWS:
        section.fault(f"evidence is weighed over a day or more, not over {target.window}", "false_alarms")
    return found


def _no_pace(kpi: Kpi, target: Target) -> str:
    """Why a count cannot be held against the time at work; empty when it can."""
    if kpi.denominator is not None or kpi.per or proration(kpi) is not Proration.BY_TIME:
        instead = f"; {SETTLED_CONVERSION} has" if kpi.numerator == "deals_won" and kpi.denominator else ""
        return f"{kpi.name} has no cases that evidence could be weighed by{instead}"
    if target.scope is not Scope.AGENT:
        return f"{kpi.name} is held against the time at work, which only agents have"
    if target.high is None and target.low is None:
        return ""
    if target.high is not None or target.low is None:
        return f"{kpi.name} is held against the time at work from below only, say one bound"
    return "" if target.low > 0 else f"a bound of {float(target.low):g} {kpi.unit} asks for nothing"


def _no_evidence(kpi: Kpi, target: Target) -> str:
    """Why bounds cannot be missed by chance, or not at all; empty when they can."""
    if kpi.per and not (target.member and _scale(target.member)):
        return ""
    lowest, highest = weighed_range(kpi, target.member)
    for bound_ in (target.low, target.high, target.critical_low, target.critical_high):
        if bound_ is None:
            continue
        if bound_ <= lowest or (highest is not None and bound_ >= highest):
            upper = "" if highest is None else f" and below {float(highest):g}"
            return f"evidence needs a bound above {float(lowest):g}{upper}, in {kpi.unit}: {float(bound_):g} is none"
    return ""


def _member(section: Section, kpi: Kpi | None) -> str | None:
    member = section.read("member", label)
    fault = "" if kpi is None else member_fault(kpi, member)
    if fault:
        section.fault(fault, "member")
    return member


def member_fault(kpi: Kpi, member: str | None) -> str:
    """Why a KPI has no value for a member (currency or scale), or needs one; empty when it is right."""
    if kpi.per and member is None:
        return f"is missing: {kpi.name} has one value for each {kpi.per}"
    if member is not None and not kpi.per:
        return f"{kpi.name} has one value only"
    if member is not None and kpi.per == "currency" and member not in NUMERIC:
        return f'"{member}" is no ISO 4217 currency'
    if member is not None and kpi.per == "scale" and not _scale(member):
        return f'"{member}" is no scale, write 1-5'
    return ""


def _scale(member: str) -> bool:
    found = re.fullmatch(r"(0|[1-9]\d?|100)-([1-9]\d?|100)", member)
    return found is not None and int(found[1]) < int(found[2])


def _whose(section: Section, roster: Roster) -> tuple[str | None, str | None]:
    tenant, team = section.read("tenant", identifier), section.read("team", identifier)
    if tenant is not None and tenant not in roster.tenants:
        section.fault(f'tenant "{tenant}" is not in the roster{near(tenant, roster.tenants)}', "tenant")
    elif team is not None:
        among = [tenant] if tenant is not None else list(roster.tenants)
        if not any(team in roster.tenants[name].teams for name in among):
            section.fault(f'team "{team}" is not in the roster', "team")
    return tenant, team
