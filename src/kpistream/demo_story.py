"""Demo story: what befell two agents of the demo's floor, and what their supervisor was told, in words."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from kpistream.core.alerts import State, Transition
from kpistream.core.explanation import explained
from kpistream.notify.languages import Language
from kpistream.notify.wording import evidence, headline
from kpistream.simulate.floor import BAD_LUCK, DEMO_FATES, SLIP, Fate

_KPI = "connect_share"
_BEFELL = {
    SLIP: "calls hardly connect any more",
    BAD_LUCK: f"{BAD_LUCK.calls} calls in a row that nobody answered",
}


def story(told: Iterable[Transition], zone: str, names: dict[str, str], now_ms: int) -> Iterator[str]:
    """The lines, once noon is over on the simulated clock; `told` in any order, `names` of all who work there."""
    fired = sorted((each for each in told if each.kpi == _KPI and each.to_state is State.FIRING), key=_at_ms)
    now = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone))
    for agent, fate in DEMO_FATES.items():
        if agent not in names or now.hour * 60 + now.minute < fate.from_min:
            continue
        alert = next((each for each in fired if each.scope == f"agent:{agent}"), None)
        yield f"from noon    {names[agent]}: {_BEFELL[fate]}"
        yield from _said(alert, fate, zone)


def _said(alert: Transition | None, fate: Fate, zone: str) -> Iterator[str]:
    if alert is None:
        yield "             no alert" + (": chance does that to everybody" if fate is BAD_LUCK else " yet")
        return
    language, found = Language(zone=zone), explained(alert)
    yield f"  {language.time(found.at_ms)}  {headline(found, language)}"
    yield f"             since {language.time(found.since_ms, found.at_ms)}"
    yield from (f"             {line}" for line in evidence(found, language))
    if found.ack_command is not None:
        yield f"             {found.ack_command}"


def _at_ms(transition: Transition) -> int:
    return transition.at_ms
