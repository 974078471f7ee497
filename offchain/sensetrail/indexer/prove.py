"""Receipts tries, fast: the root of a block's receipts, which its header names.

All of a block's receipts stand in one trie under their numbers, so the trie's shape depends on how many there are and
on nothing else: it is worked out once for each number. `sensetrail.core.trie.ordered_root` is the plain twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import rlp
import sha3

from sensetrail.core.trie import ordered_root

_SHORTEST = 64
"""Values of so many bytes make leaves that are always hashed, never put into their parents."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    index: int
    path: bytes


@dataclass(frozen=True, slots=True)
class _Extension:
    path: bytes
    child: _Branch


@dataclass(frozen=True, slots=True)
class _Branch:
    children: tuple[_Leaf | _Extension | _Branch | None, ...]


_Node = _Leaf | _Extension | _Branch


def receipts_root(values: Sequence[bytes]) -> bytes:
    """Give the root of the trie whose key `i` is `rlp(i)`, 32 bytes.

    Args:
        values: Encoded receipts.
    """
    if not values or min(map(len, values)) < _SHORTEST:
        return ordered_root(values)
    return _hash(_shape(len(values)), values)


def list_prefix(length: int) -> bytes:
    """Give what stands before a list's items, which take `length` bytes (Yellow Paper, appendix B)."""
    return length_prefix(0xC0, length)


def string_prefix(value: bytes) -> bytes:
    """Give what stands before a string."""
    if len(value) == 1 and value[0] < 0x80:
        return b""
    return length_prefix(0x80, len(value))


@lru_cache(maxsize=1 << 16)
def length_prefix(offset: int, length: int) -> bytes:
    """Give the prefix of a string (offset 0x80) or list (0xc0) of some bytes."""
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(size)]) + size


def _hash(node: _Node, values: Sequence[bytes]) -> bytes:
    if isinstance(node, _Leaf):
        value = values[node.index]
        before = string_prefix(value)
        head = list_prefix(len(node.path) + len(before) + len(value))
        return bytes(sha3.keccak_256(b"".join((head, node.path, before, value))).digest())
    if isinstance(node, _Extension):
        inside = node.path + b"\xa0" + _hash(node.child, values)
    else:
        # The last is the value of a key that ends here: no key is another's beginning.
        inside = b"".join([b"\x80" if c is None else b"\xa0" + _hash(c, values) for c in node.children]) + b"\x80"
    return bytes(sha3.keccak_256(list_prefix(len(inside)) + inside).digest())


@lru_cache(maxsize=4096)
def _shape(count: int) -> _Node:
    keys = [rlp.encode(i).hex() for i in range(count)]
    return _build(dict(zip(keys, range(count), strict=True)))


def _build(keys: dict[str, int]) -> _Node:
    """Build a node over what is left of some keys, as hexadecimal digits."""
    if len(keys) == 1:
        ((left, index),) = keys.items()
        return _Leaf(index, _hex_prefix(left, is_leaf=True))
    first = min(keys)
    shared = 0
    while all(key[shared] == first[shared] for key in keys):
        shared += 1
    branch = _Branch(
        tuple(
            _build(below) if below else None
            for digit in "0123456789abcdef"
            for below in [{key[shared + 1 :]: i for key, i in keys.items() if key[shared] == digit}]
        )
    )
    return _Extension(_hex_prefix(first[:shared], is_leaf=False), branch) if shared else branch


def _hex_prefix(digits: str, *, is_leaf: bool) -> bytes:
    """Give a path as RLP of its hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 * is_leaf + len(digits) % 2
    path = bytes.fromhex(f"{flag:x}{'' if len(digits) % 2 else '0'}{digits}")
    return string_prefix(path) + path
