"""Merkle Patricia tries (Yellow Paper, appendix D).

A trie maps keys to values. Along a key's nibbles, high one first, stand its nodes:

    branch      17 items: for each nibble what follows it, and the value of the key that ends here
    extension    2 items: nibbles that all keys below share, and the branch that follows
    leaf         2 items: the rest of one key's nibbles, and its value

A node refers to another by its RLP's keccak256, or holds it where its RLP has less than 32 bytes. A proof is the nodes
from the root to a key's end, without those that others hold (EIP-1186). What is verified:

    T1  each node is the one that the node before, or the root, refers to
    T2  each node is RLP in its one canonical form, and a node that a trie can have
    T3  no node is missing, and none is left over
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import rlp

from sensetrail.core.primitives import ZERO_WORD, Address, address_bytes, keccak256
from sensetrail.core.strict_rlp import RlpItem, decode_integer, decode_rlp, decode_strings
from sensetrail.errors import VerificationError

EMPTY_NODE = b"\x80"
"""The RLP of a trie without keys."""
EMPTY_ROOT = keccak256(EMPTY_NODE)
"""The root of a trie without keys, 32 bytes."""

_WORD = 32
_BRANCH_LENGTH = 17
_NODE_DEPTH = 4
"""How deep a node's lists can nest: a branch that holds an extension that holds a branch that holds leaves."""

_Pair: TypeAlias = tuple[bytes, bytes]
"""A key's nibbles, and its value."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the state trie holds it (Yellow Paper, section 4.1).

    Attributes:
        nonce: How many transactions it sent, or contracts it created.
        balance: Wei.
        storage_root: Root of its storage trie, 32 bytes.
        code_hash: keccak256 of its code, 32 bytes.
    """

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Give the root of the trie in which value `i` stands under RLP(`i`): a block's transactions, or its receipts.

    Args:
        values: `n >= 0` values, none empty.

    Returns:
        32 bytes; `EMPTY_ROOT` for none.

    Raises:
        VerificationError: A value is empty, which no trie holds.
    """
    if not all(values):
        raise _wrong("an empty value, which no trie holds")
    return keccak256(rlp.encode(_node([(_nibbles(rlp.encode(i)), value) for i, value in enumerate(values)])))


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Verify what stands under a key: rules T1 to T3 of this module's docstring.

    Args:
        root: The trie's root, 32 bytes.
        key: The key as the trie has it: hashed already where its keys are hashes.
        proof: The nodes' RLP, the root's first; none, or `EMPTY_NODE`, where the trie is empty.

    Returns:
        The value; None where the proof shows that there is none.

    Raises:
        VerificationError: The proof does not show either.
    """
    if root == EMPTY_ROOT and not proof:
        return None
    nodes = iter(proof)

    def resolve(node_hash: bytes) -> bytes:
        node = next(nodes, None)
        if node is None:
            raise _wrong("a node is missing", expected=node_hash)
        if keccak256(node) != node_hash:
            raise _wrong("a node is not the one referred to", expected=node_hash, actual=keccak256(node))
        return node

    value = _walk(root, key, resolve)
    if next(nodes, None) is not None:
        raise _wrong("nodes are left over")
    return value


def verify_account(state_root: bytes, account: Address, proof: Sequence[bytes]) -> Account | None:
    """Verify an account: `accountProof` of `eth_getProof` (EIP-1186).

    Args:
        state_root: From a block's header, 32 bytes.
        account: Its address, whose keccak256 is its key.
        proof: The nodes' RLP, the root's first.

    Returns:
        The account; None where the proof shows that there is none.

    Raises:
        VerificationError: The proof does not show either.
    """
    value = verify_proof(state_root, keccak256(address_bytes(account)), proof)
    if value is None:
        return None
    fields = decode_strings(value)
    if len(fields) != 4 or len(fields[2]) != _WORD or len(fields[3]) != _WORD:
        raise _wrong("what stands under the address is no account")
    return Account(decode_integer(fields[0], 8), decode_integer(fields[1], _WORD), fields[2], fields[3])


def verify_storage(storage_root: bytes, slot: bytes, proof: Sequence[bytes]) -> bytes:
    """Verify a storage slot's word: `proof` in `storageProof` of `eth_getProof` (EIP-1186).

    Args:
        storage_root: The account's, 32 bytes.
        slot: The slot's number, 32 bytes, whose keccak256 is its key.
        proof: The nodes' RLP, the root's first.

    Returns:
        32 bytes; zeros where the proof shows that nothing is stored, or a zero.

    Raises:
        VerificationError: The proof does not show either.
    """
    if len(slot) != _WORD:
        raise _wrong(f"a slot's number of {len(slot)} bytes")
    value = verify_proof(storage_root, keccak256(slot), proof)
    if value is None:
        return ZERO_WORD
    word = decode_rlp(value, 0)
    # Ethereum takes a slot that becomes zero out of the trie; Anvil leaves it there as an empty string. Both say zero.
    if isinstance(word, list) or word[:1] == b"\0" or len(word) > _WORD:
        raise _wrong("what stands under the slot is no word")
    return word.rjust(_WORD, b"\0")


def _node(pairs: list[_Pair]) -> RlpItem:
    """Give the node above some pairs, none of whose keys begins another (function c of appendix D)."""
    if not pairs:
        return b""
    path, value = pairs[0]
    if len(pairs) == 1:
        return [_hex_prefix(path, is_leaf=True), value]
    # What the first and the last in order share, all share.
    shared = _shared(min(key for key, _ in pairs), max(key for key, _ in pairs))
    if shared:
        below = _refer(_node([(key[shared:], value) for key, value in pairs]))
        return [_hex_prefix(path[:shared], is_leaf=False), below]
    parts: list[list[_Pair]] = [[] for _ in range(16)]
    for key, value in pairs:
        parts[key[0]].append((key[1:], value))
    return [*(_refer(_node(part)) for part in parts), b""]


def _refer(node: RlpItem) -> RlpItem:
    """Give how another node refers to this one (function n of appendix D)."""
    encoded: bytes = rlp.encode(node)
    return node if not node or len(encoded) < _WORD else keccak256(encoded)


def _walk(root: bytes, key: bytes, resolve: Callable[[bytes], bytes]) -> bytes | None:
    """Follow a key from the root; each turn but the last takes at least one of its nibbles.

    Args:
        root: 32 bytes.
        key: Any bytes.
        resolve: Gives the RLP of the node with a hash.

    Returns:
        The key's value; None where there is none.
    """
    path = _nibbles(key)
    encoded = resolve(root)
    if encoded == EMPTY_NODE:
        return None
    node = _read_node(encoded)
    while True:
        if len(node) == _BRANCH_LENGTH:
            if not path:
                return _as_string(node[-1]) or None
            below, path = node[path[0]], path[1:]
            if not below:
                return None
        else:
            part, is_leaf = _read_hex_prefix(node[0])
            if is_leaf:
                return _as_string(node[1]) if part == path else None
            if path[: len(part)] != part:
                return None
            below, path = node[1], path[len(part) :]
        before, node = node, _follow(below, resolve)
        if len(before) != _BRANCH_LENGTH and len(node) != _BRANCH_LENGTH:
            raise _wrong("an extension of what is no branch")


def _follow(reference: RlpItem, resolve: Callable[[bytes], bytes]) -> list[RlpItem]:
    """Give the node that another refers to or holds."""
    if isinstance(reference, list):
        # Checked as a node of its own: what its holder's decoding let pass may still be none.
        return _read_node(rlp.encode(reference))
    encoded = resolve(reference)
    if len(encoded) < _WORD:
        raise _wrong("a node by its hash that the node before has room for")
    return _read_node(encoded)


def _read_node(encoded: bytes) -> list[RlpItem]:
    """Decode a node, and check that it is one that a trie can have (rule T2)."""
    node = decode_rlp(encoded, _NODE_DEPTH)
    if isinstance(node, list) and len(node) == _BRANCH_LENGTH:
        _as_string(node[-1])
        if all(item == b"" or _is_reference(item) for item in node[:-1]) and sum(map(bool, node)) >= 2:
            return node
    elif isinstance(node, list) and len(node) == 2:
        part, is_leaf = _read_hex_prefix(node[0])
        if is_leaf and _as_string(node[1]):
            return node
        if not is_leaf and part and _is_reference(node[1]):
            return node
    raise _wrong("an item that is no node")


def _is_reference(item: RlpItem) -> bool:
    if isinstance(item, list):
        return bool(item) and len(rlp.encode(item)) < _WORD
    return len(item) == _WORD


def _hex_prefix(path: bytes, *, is_leaf: bool) -> bytes:
    """Pack nibbles and the kind of their node into bytes (appendix C)."""
    flags = 2 * is_leaf + len(path) % 2
    padded = bytes([flags]) + (b"" if len(path) % 2 else b"\0") + path
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _read_hex_prefix(item: RlpItem) -> tuple[bytes, bool]:
    """Give the nibbles that were packed, and whether their node is a leaf."""
    nibbles = _nibbles(_as_string(item))
    if not nibbles or nibbles[0] > 3 or (nibbles[0] % 2 == 0 and nibbles[1]):
        raise _wrong("a node's path that is none")
    return nibbles[1 if nibbles[0] % 2 else 2 :], nibbles[0] >= 2


def _nibbles(key: bytes) -> bytes:
    """Give a key's nibbles, one a byte, the high one of each byte first."""
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 0xF))


def _shared(a: bytes, b: bytes) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _as_string(item: RlpItem) -> bytes:
    if isinstance(item, list):
        raise _wrong("a node with a list where a string belongs")
    return item


def _wrong(what: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(
        f"evidence of the chain does not hold: {what}", "use another node", expected=expected, actual=actual
    )
