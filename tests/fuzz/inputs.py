"""Inputs: records that an event can turn into between a careless producer and the log.

A seed and a number give one record, the same on every machine: `record(7, 41)` is input 41 of seed 7. Most
start from a sound event, spelled as JSON by hand so that names may come twice and numbers may be anything;
some are changed again as bytes, wrapped as a CloudEvent, or given headers that nobody should send.
"""

import json
import os
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from kpistream.core.events import MODELS
from tests.contract.strategies import TIMESTAMP_MS, sound_objects

_ROOT: Final = Path(__file__).resolve().parents[2]
_NAMES: Final = sorted({name for model in MODELS.values() for name in model.model_fields})
_KINDS: Final = sorted(MODELS)
_DIGITS: Final = "9" * 10_000

TOKENS: Final = (
    *("null", "true", "false", '""', "[]", "{}", "0", "-0", "-1"),
    *("1", "2", "1.0", "0.5", "-0.0", "4.5555", "1e3", "1E+2"),
    *("1e-5", "1e22", "1e308", "1e309", "-1e999", "1e-400", "NaN"),
    *("Infinity", "-Infinity", "nan", "+1", "01", ".5", "5."),
    *("0x10", "1_000", "1e", "--1", "86400000", "86400001", "281474976710655", "281474976710656", "4294967295"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "10000000000001"),
    *("-9223372036854775809", "1" + "0" * 39, "-1" + "0" * 39, _DIGITS),
    *("-" + _DIGITS, "9" * 4300, "9" * 4301, "-" + "9" * 4300),
    *("9" * 4299 + ".5", _DIGITS + ".0", "0." + _DIGITS, "1e" + "9" * 30),
    *("1" * 400 + "e-398", "1772612222118.0", "17726122221e2"),
    *("1772612222", "1772612222118", "1772612222118000", "1772612222118000000", "0.1772612222118e13", "100000000000"),
    *("99999999999", "631151999999", "631152000000", "4102444799999"),
    *("4102444800000", "253402300799000", "-62135596800000"),
    *('"1970-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"0000-01-01T00:00:00Z"', '"2026-03-04T08:17:02.118Z"'),
    *('"2026-03-04T08:12:05"', '"2026-03-04T08:12:05+24:00"'),
    *('"2026-03-04 08:12:19.9999999z"', '"2026-02-30T00:00:00Z"'),
    *('"2026-03-04T08:12:05.1234567890Z"', '"2026-03-04T08:12:05-23:59"', '"2026-03-04T08:12:60Z"', '"1772612222118"'),
    *(r'"\ud800"', r'"\udfff\ud800"', r'"\ud83d\ude00"', r'"\u0000"', r'"a\u0000b"'),
    *(r'"\u0085"', '"\x7f"', '"\x00"', r'"\x41"'),
    *(r'"\u00"', r'"\/"', '"\\"', '"\u2028"', '"\ufeffa"'),
    *('"\u202eevil"', '"\U0001f600"', '"\u0130"', '"e\u0301"', '"\x85"'),
    *('"' + "x" * 128 + '"', '"' + "x" * 129 + '"', '"' + "x" * 256 + '"'),
    *('"' + "x" * 257 + '"', '"' + "i" * 10_240 + '"'),
    *('"' + "\U0001f600" * 128 + '"', '"' + "\\ud83d\\ude00" * 129 + '"', "[" * 199 + "]" * 199, "[" * 200 + "]" * 200),
    *("[" * 198 + "1" + "]" * 198, "[" * 199 + "1" + "]" * 199, "[" * 200 + "1" + "]" * 200),
    *("[" * 5_000, '{"a":' * 300 + "1" + "}" * 300),
    *('{"a":' * 199 + "1" + "}" * 199, '{"a":' * 198 + "{}" + "}" * 198, "[[],[[]]]", '{"a":1,"a":2}', '{"":""}'),
    *('"call.ended"', '"deal.closed"', '"survey.completed"', '"retracted"', '"kpistream.call.ended"', '"CALL.ENDED"'),
    *('"connected"', '"abandoned"', '"won"', '"voided"', '"nps"', '"csat"'),
    *('"machine"', '"EUR"', '"eur"', '"XXX"', '"inbound"'),
    *('"agent:a"', '"queue:q"', '"team:t"', '"agent:"', '"a/b"', '"a b"'),
    *('"acme\\n"', '"."', '"-"', '"\u00e9"', '"1.0"', '"0.3"'),
    *('{"agent_id":"b","occurred_at":1772612000000}', '{"occurred_at":1772612000000}', '{"agent_id":null,"queue":"q"}'),
    *('{"queue":"q","occurred_at":"2026-03-04T08:00:00Z","x":1}',),
    *('{"agent_id":"b","agent_id":7,"occurred_at":1772612000000}',),
    *('{"k":"v"}', '{"k":1}', '{"k":null}', '{"k\\u0001":"v"}'),
    *('{"k":"\\u0001"}', '{"":"v"}', '{"k":"' + "v" * 1025 + '"}'),
)  # fmt: skip
"""JSON, or nearly, to stand where a value stood."""
_PIECES: Final = (
    *(b"\x00", b"\xff", b"\xc0\x80", b"\xc2\x85", b"\xed\xa0\x80"),
    *(b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80", b"\x7f", b"\x1b["),
    *(b'"', b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b","),
    *(b":", b" ", b"\t", b"\r\n", b"\x0b", b"\xc2\xa0", b"//x\n", b"/*x*/"),
    *(b"e", b"E9", b".", b"-", b"0", b"NaN", b"null", b'"a":1,', b",}", b"{}", b"\x1e", b"[" * 300),
)  # fmt: skip
_HEADERS: Final = (
    *(("ce_specversion", held) for held in (b"1.0", b"1.0", b"0.3", b"", b"\xff", None)),
    *(("ce_type", held) for held in (b"kpistream.call.ended", b"deal.closed", b"com.other", b"", b"\xfe", None)),
    *(("ce_id", b"e-2"), ("ce_source", b"pbx"), ("ce_tenant", b"acme")),
    *(("ce_", b""), ("ce_id", None), ("ce_source", b"\xc3(")),
    *(("kpi-first-timestamp", held) for held in (b"1772612222000", b"0", b"-5", b"9" * 40)),
    *(("kpi-first-timestamp", held) for held in (b"", b"1e3", b"\xd9\xa1", b" 7", None)),
    *(("kpi-hop", b"1"), ("kpi-reason", b"not-json"), ("kpi-original-trace", b"x")),
    *(("kpi-null-value", b"1"), ("", b"")),
    *(("trace", b"\x00\xff"), ("trace", None), ("tr\u00e4ce", "\u00e9".encode("latin-1")), ("x" * 300, b"y" * 3_000)),
)  # fmt: skip


@dataclass(slots=True)
class Record:
    """A consumed record, as far as anything looks at one."""

    value: bytes | None
    timestamp: int = TIMESTAMP_MS
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = b"acme/agent:agent-7"
    topic: str = "kpi.events"
    partition: int = 0
    offset: int = 0


@cache
def seeds() -> tuple[bytes, ...]:
    """Sound events and real payloads to start from; those of `KPISTREAM_SHARED_DATA` as well, where it is set."""
    found = [json.dumps(each).encode() for each in sound_objects()]
    found += [path.read_bytes() for path in sorted(_ROOT.glob("schemas/*/1.example.json"))]
    shared = os.environ.get("KPISTREAM_SHARED_DATA")
    if shared:
        files = sorted(Path(shared).glob("vendor-samples/**/*.json"))
        found += [path.read_bytes() for path in files if path.stat().st_size < 20_000]
    return tuple(found)


@cache
def _objects() -> tuple[dict[str, Any], ...]:
    parsed = (json.loads(value) for value in seeds())
    return tuple(each for each in parsed if isinstance(each, dict))


def record(seed: int, number: int) -> Record:
    """Input `number` of a seed."""
    draw = Random(f"{seed}/{number}")
    value = _value(draw)
    headers = tuple(draw.choices(_HEADERS, k=draw.randint(1, 6))) if draw.random() < 0.2 else ()
    if draw.random() < 0.05:
        timestamp_ms = draw.choice((0, -1, 1, TIMESTAMP_MS - 300_000, TIMESTAMP_MS - 300_001, 2**63 - 1))
        return Record(value, timestamp_ms, headers, offset=number)
    return Record(value, headers=headers, offset=number)


def _value(draw: Random) -> bytes | None:
    way = draw.random()
    if way < 0.005:
        return draw.choice((None, b"", b"{}", b"null", b"[]", b'""', b"\x00", b"\x00\x00\x00\x00\x01{}", b" ", b"0"))
    if way < 0.01:
        return draw.randbytes(draw.randint(1, 64))
    value = draw.choice(seeds()) if way < 0.03 else _spelled(draw, _changed(draw))
    if way > 0.9:
        value = _wrapped(draw, value)
    if draw.random() < 0.25:
        value = _torn(draw, value)
    return value


def _changed(draw: Random) -> list[list[str]]:
    """Names and values of an event as JSON texts, some of them changed."""
    content = draw.choice(_objects()[:8]) if draw.random() < 0.95 else draw.choice(_objects())
    pairs = [[json.dumps(name), json.dumps(held)] for name, held in content.items()]
    for _ in range(draw.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        _change(draw, pairs)
    if draw.random() < 0.2:
        draw.shuffle(pairs)
    return pairs


def _change(draw: Random, pairs: list[list[str]]) -> None:
    way, at = draw.randrange(8), draw.randrange(len(pairs) + 1)
    pair = pairs[min(at, len(pairs) - 1)] if pairs else ['"type"', '"call.ended"']
    if way <= 1:
        pair[1] = draw.choice(TOKENS)
    elif way == 2:
        pairs.insert(at, [json.dumps(draw.choice(_NAMES)), draw.choice(TOKENS)])
    elif way == 3:
        pairs.insert(at, [pair[0], draw.choice((pair[1], draw.choice(TOKENS)))])  # the same name twice
    elif way == 4 and pairs:
        pairs.pop(min(at, len(pairs) - 1))
    elif way == 5 and pairs:
        pair[1] = draw.choice(pairs)[1]
    elif way == 6:
        pair[0] = draw.choice(
            (pair[0].upper(), '"' + "".join(f"\\u{ord(char):04x}" for char in pair[0][1:-1]) + '"', draw.choice(TOKENS))
        )
    else:
        pair[1] = _nudged(draw, pair[1])


def _nudged(draw: Random, text: str) -> str:
    """A number a little beside, a text a little longer."""
    try:
        return str(int(text) + draw.choice((-300_001, -1000, -1, 1, 1000, 300_000, 300_001)))
    except ValueError:
        return text[:-1] + draw.choice(("a", " ", "\\n", "\\u0001", "\u00e9", "Z")) + text[-1:]


def _spelled(draw: Random, pairs: list[list[str]]) -> bytes:
    gap = draw.choice(("", "", " ", "\n\t "))
    text = "{" + ",".join(f"{gap}{name}{gap}:{gap}{held}" for name, held in pairs) + gap + "}"
    way = draw.random()
    if way < 0.01:
        return text.encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")), "replace")
    return text.encode("latin-1" if way < 0.02 and text.isascii() is False else "utf-8", "replace")


def _wrapped(draw: Random, value: bytes) -> bytes:
    """The value in a structured CloudEvent, or in two."""
    attributes = [
        ['"specversion"', draw.choice(('"1.0"', '"1.0"', '"1.0"', '"0.3"', "1.0", "null"))],
        ['"type"', draw.choice(('"kpistream.call.ended"', '"deal.closed"', '"com.other"', "null"))],
        ['"id"', draw.choice(('"e-2"', "3", '""', "null"))],
        ['"source"', draw.choice(('"pbx"', '"urn:x"', "null"))],
        ['"tenant"', draw.choice(('"acme"', '"a b"', "7"))],
    ]
    kept = [pair for pair in attributes if draw.random() < 0.8]
    if draw.random() < 0.5:
        kept.append(['"data"', value.decode("utf-8", "replace")])
    else:
        held = b64encode(value).decode()
        kept.append(['"data_base64"', json.dumps(draw.choice((held, held, held[:-1], held + "\n", "\u00e9" + held)))])
    return _spelled(draw, kept)


def _torn(draw: Random, value: bytes) -> bytes:
    for _ in range(draw.choice((1, 1, 2, 4))):
        at, way = draw.randrange(len(value) + 1), draw.randrange(5)
        if way == 0:
            value = value[:at] + draw.choice(_PIECES) + value[at:]
        elif way == 1:
            value = value[:at] + draw.choice(_PIECES) + value[at + draw.randint(1, 4) :]
        elif way == 2:
            value = value[:at] + value[at + draw.randint(1, 8) :]
        elif way == 3 and at < len(value):
            value = value[:at] + bytes((value[at] ^ 1 << draw.randrange(8),)) + value[at + 1 :]
        else:
            value = value[:at] if draw.random() < 0.5 else value + value[at:]
    return value
