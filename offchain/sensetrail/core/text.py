"""Foreign text: what a node, a file or a chain says, made safe to show."""

from __future__ import annotations

import re
import unicodedata

_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that a terminal obeys, hides or breaks lines at."""
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


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _NOT_SHOWN and character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
