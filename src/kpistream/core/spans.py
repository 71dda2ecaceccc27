"""Spans of time and what sets of them have in common.

A set of spans is a tuple in order of time, each half-open, none empty, none overlapping another: `union` makes one of
anything. All lengths are exact milliseconds.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """`[from_ms, to_ms)`, epoch ms."""

    from_ms: int
    to_ms: int

    def holds(self, at_ms: int) -> bool:
        """True when the instant lies in the span."""
        return self.from_ms <= at_ms < self.to_ms


Spans = tuple[Span, ...]
"""In order, none empty, none overlapping another."""


def union(spans: Iterable[Span]) -> Spans:
    """The instants that lie in any of the spans; spans that touch are one."""
    out: list[Span] = []
    for span in sorted(span for span in spans if span.from_ms < span.to_ms):
        if out and span.from_ms <= out[-1].to_ms:
            out[-1] = Span(out[-1].from_ms, max(out[-1].to_ms, span.to_ms))
        else:
            out.append(span)
    return tuple(out)


def minus(spans: Spans, holes: Spans) -> Spans:
    """The instants that lie in the spans and in none of the holes."""
    return tuple(piece for span in spans for piece in _pieces(span, holes))


def _pieces(span: Span, holes: Spans) -> Iterator[Span]:
    from_ms = span.from_ms
    for hole in holes:
        if from_ms < min(hole.from_ms, span.to_ms):
            yield Span(from_ms, min(hole.from_ms, span.to_ms))
        from_ms = max(from_ms, hole.to_ms)
    if from_ms < span.to_ms:
        yield Span(from_ms, span.to_ms)


def clip(spans: Spans, from_ms: int, to_ms: int) -> Spans:
    """The instants of the spans that lie in `[from_ms, to_ms)`."""
    cut = (Span(max(span.from_ms, from_ms), min(span.to_ms, to_ms)) for span in spans)
    return tuple(span for span in cut if span.from_ms < span.to_ms)


def length_ms(spans: Iterable[Span]) -> int:
    """How long the spans are together."""
    return sum(span.to_ms - span.from_ms for span in spans)
