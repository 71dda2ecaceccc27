"""What telling people costs: 10,000 alerts that fire at once, for two receivers, without Kafka.

`python -m bench.dispatch` prints the time to take one transition, to make each message, and to look once at all that
fires when nothing is left to tell.
"""

import time

from tests.unit.desk import CHAT, Desk, settings
from tests.unit.telling import transition

_AGENTS = 10_000
_TEAMS = 500
_ROUTES = "{to: [a, b], severity: critical}, {to: [a, b], group_wait: 0 s, group_interval: 0 s, repeat: never}"


def main() -> None:
    """Measure once and print."""
    desk = Desk(settings(f"a: {{{CHAT}}}, b: {{{CHAT}}}", _ROUTES))
    transitions = [transition(scope=f"agent:{n}", team=f"team{n % _TEAMS}") for n in range(_AGENTS)]

    began_s = time.perf_counter()
    for each in transitions:
        desk.dispatcher.take(each, desk.now_ms)
    print(f"take a transition for 2 receivers   {(time.perf_counter() - began_s) / _AGENTS * 1e6:8.1f} us")

    began_s, messages = time.perf_counter(), 0
    while (message := desk.dispatcher.next("a", desk.now_ms)) is not None:
        desk.dispatcher.sent(message, desk.now_ms)
        messages += 1
    spent_s = time.perf_counter() - began_s
    print(f"all {messages} messages of one receiver     {spent_s:8.1f} s, {spent_s / messages * 1e3:.1f} ms each")

    began_s = time.perf_counter()
    desk.now_ms += 60_000
    assert desk.dispatcher.next("a", desk.now_ms) is None
    print(f"a look with nothing to tell         {(time.perf_counter() - began_s) * 1e3:8.1f} ms")


if __name__ == "__main__":
    main()
