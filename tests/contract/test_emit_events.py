"""What the how-to tells producers to send is what the contract accepts, under the right key."""

import json
import re

from kpistream.core.decoding import decode
from kpistream.core.events import CallEnded, MovedFrom
from kpistream.core.explaining import check
from tests.contract.emit_snippets import snippets

LATE_MS = 1_800_000_000_000


def test_python_snippets_make_the_call_and_its_correction():
    scope = {"__name__": "snippet"}

    for code in snippets("python"):
        exec(compile(code, "emit-events.md", "exec"), scope)

    call, corrected = scope["call"], scope["corrected"]
    assert isinstance(call, CallEnded)
    assert call.key() == b"acme/agent:maria"
    assert decode(call.to_json(), LATE_MS).started_at == 1_772_611_925_000
    again = decode(corrected.to_json(), LATE_MS)
    assert (again.revision, again.wrap_up_ms, again.ended_at) == (1, 41_000, 1_772_612_222_118)


def test_json_in_the_java_snippet_is_accepted_under_its_key():
    (code,) = snippets("java")
    value = re.search(r'"""(.*?)"""', code, re.DOTALL)[1]

    assert decode(value.encode(), LATE_MS).amount_minor == 125_000
    assert f'"{check(json.loads(value)).key().decode()}"' in code


def test_line_in_the_kcat_snippet_is_accepted_under_its_key():
    (code,) = snippets("sh")
    key, value = re.search(r"^(acme.*?)\|(.*)$", code, re.MULTILINE).groups()

    assert decode(value.encode(), LATE_MS).score_milli == 4500
    assert check(json.loads(value)).key() == key.encode()


def test_move_in_the_page_is_one():
    (code,) = snippets("json")

    assert MovedFrom(**json.loads(code)["moved_from"]).agent_id == "jan"
