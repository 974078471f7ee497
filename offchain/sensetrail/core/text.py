"""Foreign text: what a node, a file or a chain says, made safe to show."""

from __future__ import annotations

import json
import re

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What Python calls printable and no one can see: fillers, joiners, variation selectors."""
_ODD = re.compile(r"[^ -~]")


def printable(text: str, limit: int | None = None) -> str:
    r"""Give foreign text as one line that a terminal shows and does not obey.

    Control, format (bidi), line-separator, surrogate, private and unassigned characters become escapes such as `\x1b`
    and `\u202e`; everything else stays.

    Args:
        text: Anyone's.
        limit: The most characters to give; what is longer ends in "...".

    Example:
        >>> printable("red: \x1b[31m")
        'red: \\x1b[31m'
    """
    shown = _ODD.sub(lambda found: _shown(found[0]), text if limit is None else text[: limit + 1])
    return shown if limit is None or len(shown) <= limit else shown[: max(0, limit - 3)] + "..."


def printable_json(text: str) -> str:
    """Escape what is not printable in a line of JSON, the JSON way: inside strings an escape means the same."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def is_visible(character: str) -> bool:
    """Whether a character is neither control, format, bidi, separator, surrogate nor unassigned; a space is visible."""
    return character.isprintable() and not _INVISIBLE.match(character)


def _shown(character: str) -> str:
    if is_visible(character):
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


GUARDED = r"^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""What a spreadsheet would take for a formula, full-width signs among them, or would after `unguarded`."""


def guarded(text: str) -> str:
    """Keep a spreadsheet from taking a CSV file's text cell for a formula: an apostrophe stands before it.

    `unguarded` gives the text back.

    Example:
        >>> guarded("=1+1")
        "'=1+1"
    """
    return f"'{text}" if re.match(GUARDED, text) else text


def unguarded(text: str) -> str:
    """Give a text cell back as it was before `guarded`."""
    return text[1:] if text.startswith("'") and re.match(GUARDED, text) else text
