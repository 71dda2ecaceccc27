"""Quoting: values from outside, as they may stand in a message of ours.

Text is in double quotes, cut to 64 characters, with everything unprintable escaped; objects and arrays
are named, not shown.
"""

from typing import Final

JSON_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}
_LENGTH: Final = 64


def quoted(value: object) -> str:
    """A JSON value as a message shows it."""
    if isinstance(value, str):
        return f'"{cut(value)}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    return JSON_NAMES.get(type(value), f"a {type(value).__name__}")


def cut(text: str) -> str:
    """The text, printable and at most 64 characters long (an escape counts as one)."""
    if len(text) > _LENGTH:
        text = text[: _LENGTH - 3] + "..."
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
