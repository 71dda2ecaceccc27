"""Wire: the records of the changelog of panes, read by a second hand from their description.

A value is a MessagePack array whose first element names the kind: a pane with the version and sums of the
whole and some of its entries, a mark, or a frontier. Measures have numbers there; `measure_of` knows them
by a table of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from kpistream.judge.compare import Cell
from kpistream.judge.recompute import TALK_SECONDS, WAIT_SECONDS

_SCALARS: Final = {
    1: "calls first_legs outbound_calls inbound_calls connected outbound_connected inbound_connected voicemails "
    "answerer_unknown abandoned talk_ms talk_sq_ms2 hold_ms ring_ms wrap_up_ms wrap_up_known handle_ms queue_wait_ms "
    "answered_wait_known abandoned_wait_known follow_ups_done follow_ups_on_time follow_ups_late follow_ups_promised",
    30: "deals_won deals_lost deals_voided deals_repeat deals_customer_known",
    40: "surveys csat_rated csat_satisfied nps_rated nps_promoters nps_detractors",
    50: "settled_calls settled_calls_won settled_calls_in_doubt",
}
"""Names from a first number on."""
_CURRENCIES: Final = (
    "AED784 AFN971 ALL008 AMD051 AOA973 ARS032 AUD036 AWG533 AZN944 BAM977 BBD052 BDT050 BHD048 BIF108 BMD060 "
    "BND096 BOB068 BOV984 BRL986 BSD044 BTN064 BWP072 BYN933 BZD084 CAD124 CDF976 CHE947 CHF756 CHW948 CLF990 "
    "CLP152 CNY156 COP170 COU970 CRC188 CUP192 CVE132 CZK203 DJF262 DKK208 DOP214 DZD012 EGP818 ERN232 ETB230 "
    "EUR978 FJD242 FKP238 GBP826 GEL981 GHS936 GIP292 GMD270 GNF324 GTQ320 GYD328 HKD344 HNL340 HTG332 HUF348 "
    "IDR360 ILS376 INR356 IQD368 IRR364 ISK352 JMD388 JOD400 JPY392 KES404 KGS417 KHR116 KMF174 KPW408 KRW410 "
    "KWD414 KYD136 KZT398 LAK418 LBP422 LKR144 LRD430 LSL426 LYD434 MAD504 MDL498 MGA969 MKD807 MMK104 MNT496 "
    "MOP446 MRU929 MUR480 MVR462 MWK454 MXN484 MXV979 MYR458 MZN943 NAD516 NGN566 NIO558 NOK578 NPR524 NZD554 "
    "OMR512 PAB590 PEN604 PGK598 PHP608 PKR586 PLN985 PYG600 QAR634 RON946 RSD941 RUB643 RWF646 SAR682 SBD090 "
    "SCR690 SDG938 SEK752 SGD702 SHP654 SLE925 SOS706 SRD968 SSP728 STN930 SVC222 SYP760 SZL748 THB764 TJS972 "
    "TMT934 TND788 TOP776 TRY949 TTD780 TWD901 TZS834 UAH980 UGX800 USD840 USN997 UYI940 UYU858 UYW927 UZS860 "
    "VED926 VES928 VND704 VUV548 WST882 XAD396 XAF950 XAG961 XAU959 XBA955 XBB956 XBC957 XBD958 XCD951 XCG532 "
    "XDR960 XOF952 XPD964 XPF953 XPT962 XSU994 XTS963 XUA965 XXX999 YER886 ZAR710 ZMW967 ZWG924"
)
"""ISO 4217:2015, list one: code and number."""


def _numbers() -> dict[int, str]:
    """Name every measure that has a number, families by `family.member`."""
    out = {first + n: each for first, names in _SCALARS.items() for n, each in enumerate(names.split())}
    bins = {100: ("talk_bin", TALK_SECONDS), 200: ("answered_wait_bin", WAIT_SECONDS)}
    bins[300] = ("abandoned_wait_bin", WAIT_SECONDS)
    for first, (family, edges) in bins.items():
        out |= {first + n: f"{family}.{1000 * edge}" for n, edge in enumerate(edges)}
    for code in _CURRENCIES.split():
        out[1000 + int(code[3:])] = f"won_minor.{code[:3]}"
        out[2000 + int(code[3:])] = f"won_deals.{code[:3]}"
    families = {20_000: "csat_answers", 40_000: "csat_score_milli", 60_000: "csat_score_sq_milli2"}
    for first, family in families.items():
        out |= {first + 101 * low + high: f"{family}.{low}-{high}" for low in range(101) for high in range(101)}
    return out


MEASURES: Final = _numbers()


class Line(NamedTuple):
    """One entry of a pane."""

    identity: str
    rank: int
    tombstone: bool
    adds: Cell


@dataclass(frozen=True, slots=True)
class PaneOnWire:
    """One chunk of a pane."""

    key: str
    start_ms: int
    version: int
    sums: Cell
    lines: tuple[Line, ...]


class Mark(NamedTuple):
    """A closed pane to compute again."""

    key: str
    start_ms: int


class Frontier(NamedTuple):
    """Panes that start before it are closed."""

    start_ms: int


def rank(epoch: int, revision: int, digest: int) -> int:
    """Return the rank as one number: what is compared first stands in the highest bits."""
    return (epoch * 2**48 + revision) * 2**32 + digest


def place_of_key(key: bytes) -> tuple[str, int] | None:
    """Return the place that the key of a pane or mark names, None for a frontier's. Raises ValueError for any other."""
    text = key.decode("utf-8", "surrogatepass")
    kind, _, rest = text.partition("/")
    if kind == "F":
        return None
    if kind == "P":
        rest = rest[: rest.rindex("#")]
    elif kind != "M":
        raise ValueError(f"not a key of the changelog: {key[:80]!r}")
    place, start_ms, _ = rest.rsplit("/", 2)
    return place, int(start_ms)


def read(value: bytes, pane_ms: int) -> PaneOnWire | Mark | Frontier:
    """Read a record's value; raises ValueError when it is none of the three."""
    try:
        kind, *rest = msgspec.msgpack.decode(value)
        if kind == "F":
            return Frontier(*rest)
        if kind == "M":
            return Mark(*rest[:2])
        if kind == "P":
            return _pane(rest, pane_ms)
    except (TypeError, KeyError, msgspec.DecodeError) as error:
        raise ValueError(f"not a record of the changelog: {error}") from error
    raise ValueError(f"not a record of the changelog: kind {kind!r:.20}")


def _pane(rest: list[Any], pane_ms: int) -> PaneOnWire:
    key, start_ms, size_ms, version, sums, entries = rest
    if size_ms != pane_ms:
        raise ValueError(f"a pane of {size_ms} ms among panes of {pane_ms} ms")
    lines = tuple(
        Line(identity, rank(epoch, revision, digest), bool(tombstone), _cell(adds))
        for identity, epoch, revision, digest, tombstone, adds, *_link in entries
    )
    return PaneOnWire(key, start_ms, int.from_bytes(version, "big"), _cell(sums), lines)


def _cell(flat: Sequence[int | str]) -> Cell:
    """Name the sums of a list of number, value, number, value; values beyond 64 bits are decimal text."""
    if len(flat) % 2:
        raise ValueError(f"{len(flat)} values are no pairs")
    return {MEASURES[int(number)]: int(value) for number, value in zip(flat[::2], flat[1::2], strict=True)}
