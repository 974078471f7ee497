"""RLP read strictly (Yellow Paper, appendix B): its one canonical form, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from sensetrail.errors import VerificationError

RlpItem: TypeAlias = "bytes | list[RlpItem]"
"""What RLP encodes: a string of bytes, or a list of such items."""


MOST_ITEMS = 1 << 20
"""How many items are taken out of one RLP: empty strings are a byte each, and an object each once they are read."""


def decode_rlp(data: bytes, depth: int, most: int = MOST_ITEMS) -> RlpItem:
    """Decode one RLP item that is written in its one canonical form, with nothing behind it.

    Not by the `rlp` package: that one calls itself at each nesting and copies what is below, so that a megabyte of
    nested lists takes gigabytes.

    Args:
        data: Hostile bytes.
        depth: How deep lists may nest; 0 for a string alone.
        most: How many items there may be, at all depths together.

    Returns:
        The item, whose encoding is `data`.

    Raises:
        VerificationError: It is no such item.
    """
    item, end = _decode_item(data, 0, len(data), depth, [most])
    if end != len(data):
        raise _wrong(f"RLP with {len(data) - end} bytes behind it")
    return item


def decode_strings(data: bytes, most: int = MOST_ITEMS) -> list[bytes]:
    """Decode RLP that is a list of strings, likewise.

    Raises:
        VerificationError: It is none.
    """
    items = decode_rlp(data, 1, most)
    if not isinstance(items, list):
        raise _wrong("an RLP string where a list belongs")
    # Lists deeper down were refused already: this tells the type checker.
    return [item for item in items if isinstance(item, bytes)]


def decode_integer(data: bytes, size: int) -> int:
    """Read a string as an unsigned integer: big-endian, without leading zeros.

    Args:
        data: The string.
        size: How many bytes it may have.

    Raises:
        VerificationError: It is none, or is longer.
    """
    if data[:1] == b"\0" or len(data) > size:
        raise _wrong(f"0x{data[: size + 1].hex()} is no integer of at most {size} bytes")
    return int.from_bytes(data, "big")


def split_rlp(data: bytes) -> Iterator[bytes]:
    """Split RLP items that stand one behind the other; give each as it is encoded, not yet looked into.

    Raises:
        VerificationError: The last one is cut off.
    """
    start = 0
    while start < len(data):
        first = data[start]
        length, body = 1, start
        if first >= 0x80:
            length, body = first - (0xC0 if first >= 0xC0 else 0x80), start + 1
            if length > 55:
                body += length - 55
                length = int.from_bytes(data[start + 1 : body], "big")
        if body + length > len(data):
            raise _wrong("RLP that is cut off")
        yield data[start : body + length]
        start = body + length


def _decode_item(data: bytes, start: int, end: int, depth: int, left: list[int]) -> tuple[RlpItem, int]:
    """Decode the item at `start` that ends at or before `end`; give it and where it ends.

    `left` holds how many more items there may be.
    """
    if start >= end:
        raise _wrong("RLP that is cut off")
    left[0] -= 1
    if left[0] < 0:
        raise _wrong("RLP with more items than anything here has")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    is_list = first >= 0xC0
    length, body = first - (0xC0 if is_list else 0x80), start + 1
    if length > 55:
        body += length - 55
        length = int.from_bytes(data[start + 1 : body], "big")
        if length < 56 or data[start + 1] == 0:
            raise _wrong("RLP whose length is longer than need be")
    stop = body + length
    if stop > end:
        raise _wrong("RLP that is cut off")
    if not is_list:
        if length == 1 and data[body] < 0x80:
            raise _wrong("RLP whose single byte is longer than need be")
        return data[body:stop], stop
    if depth == 0:
        raise _wrong("RLP with a list where a string belongs")
    items: list[RlpItem] = []
    while body < stop:
        item, body = _decode_item(data, body, stop, depth - 1, left)
        items.append(item)
    return items, stop


def _wrong(what: str) -> VerificationError:
    return VerificationError(f"evidence of the chain does not hold: {what}", "use another node")
