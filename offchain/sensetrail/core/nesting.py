"""How deep JSON is nested, found out before it is parsed.

Python's parser calls itself for every level. Some libraries raise the interpreter's recursion limit so far that deep
JSON overflows the stack and kills the process, so the depth is bounded before anything is parsed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_DEPTH = 64
"""Levels; no JSON that the package reads has more than ten."""
_CHUNK = 1 << 18
"""Bytes looked at in one go, so that what is computed for them stays in the processor's cache."""
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


def require_shallow(data: bytes | memoryview) -> None:
    """Make sure that JSON is not nested too deep to be parsed.

    Exact for UTF-8: brackets inside strings don't count. Of data that is no JSON, the part that a parser reads
    before it gives up is bounded. Parse the data as UTF-8 only, since `json.loads` takes UTF-16 for JSON, too.

    Args:
        data: JSON text, UTF-8.

    Raises:
        ValueError: It has more than `MAX_DEPTH` levels.
    """
    whole = np.frombuffer(data, np.uint8)
    if np.any(whole == ord("\\")):
        # Without its escaped backslashes and quotes, every quote that is left opens or closes a string.
        whole = np.frombuffer(bytes(data).replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    depth = quotes = 0
    for start in range(0, len(whole), _CHUNK):
        highest, depth, quotes = _follow(whole[start : start + _CHUNK], depth, quotes)
        if highest > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _follow(part: NDArray[np.uint8], depth: int, quotes: int) -> tuple[int, int, int]:
    """Follow the nesting through a part of the data.

    Args:
        part: Bytes, shape `(n,)`.
        depth: Levels before the part.
        quotes: Quotes before the part.

    Returns:
        The highest depth within the part, and `depth` and `quotes` after it.
    """
    # These bits are set in all four brackets, and in four other characters that the steps below leave out.
    brackets = np.flatnonzero(part & 0xD9 == 0x59)
    strings = np.flatnonzero(part == ord('"'))
    is_outside = (np.searchsorted(strings, brackets) + quotes) % 2 == 0
    depths = depth + np.cumsum(_STEP[part[brackets[is_outside]]], dtype=np.int64)
    quotes += len(strings)
    return (int(depths.max()), int(depths[-1]), quotes) if len(depths) else (depth, depth, quotes)
