"""Tries against a second implementation that shares nothing with the first: it inserts one key after the other."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
import rlp
from hypothesis import example, given
from hypothesis import strategies as st

from property import strategies as strategies  # the profile for machines of any speed
from sensetrail.core.primitives import keccak256
from sensetrail.core.strict_rlp import RlpItem, decode_rlp
from sensetrail.core.trie import ordered_proof, ordered_root, verify_proof
from sensetrail.errors import VerificationError


@dataclass
class Node:
    """A node of a plain tree of nibbles; what kind of node Ethereum makes of it is decided when it is encoded."""

    value: bytes = b""
    below: dict[str, Node] = field(default_factory=dict)

    def insert(self, key: bytes, value: bytes) -> None:
        node = self
        for nibble in key.hex():
            node = node.below.setdefault(nibble, Node())
        node.value = value

    def stretch(self) -> tuple[str, Node]:
        """Give the nibbles that all keys below share, and the node behind them."""
        path, node = "", self
        while len(node.below) == 1 and not node.value:
            ((nibble, following),) = node.below.items()
            path, node = path + nibble, following
        return path, node

    def branch(self) -> list[Any]:
        return [*(reference(self.below.get(nibble, Node())) for nibble in "0123456789abcdef"), self.value]

    def structure(self) -> Any:
        """Give the node as RLP takes it."""
        path, node = self.stretch()
        if not node.below:
            return [packed(path, 2), node.value] if node.value else b""
        return [packed(path, 0), reference_of(node.branch())] if path else node.branch()

    def root(self) -> bytes:
        return keccak256(rlp.encode(self.structure()))

    def proof(self, key: bytes) -> list[bytes]:
        """Give the nodes on the way to a key that are referred to by hash, the root first."""
        found = [rlp.encode(self.structure())]
        node, digits = self, key.hex()
        while True:
            path, end = node.stretch()
            if not end.below or not digits.startswith(path):
                return found
            if path:
                found += on_its_own(end.branch())
            digits = digits[len(path) :]
            if not digits or digits[0] not in end.below:
                return found
            node, digits = end.below[digits[0]], digits[1:]
            found += on_its_own(node.structure())


def on_its_own(structure: Any) -> list[bytes]:
    encoded = rlp.encode(structure)
    return [encoded] if len(encoded) >= 32 else []


def reference(node: Node) -> Any:
    return reference_of(node.structure())


def reference_of(structure: Any) -> Any:
    encoded = rlp.encode(structure)
    return structure if len(encoded) < 32 else keccak256(encoded)


def packed(path: str, kind: int) -> bytes:
    return bytes.fromhex(f"{kind + 1:x}{path}" if len(path) % 2 else f"{kind:x}0{path}")


def trie_of(pairs: dict[bytes, bytes]) -> Node:
    trie = Node()
    for key, value in pairs.items():
        trie.insert(key, value)
    return trie


def indexed(values: list[bytes]) -> Node:
    return trie_of({rlp.encode(i): value for i, value in enumerate(values)})


VALUES = st.binary(min_size=1, max_size=40)
# Short keys over few nibbles: branches with values, extensions, and nodes that others hold.
KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xF0]), max_size=5).map(bytes)
PAIRS = st.dictionaries(KEYS, VALUES, max_size=12)
ITEMS: st.SearchStrategy[RlpItem] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=4), max_leaves=12
)


@given(
    st.lists(VALUES, max_size=20)
    | st.integers(0, 300).map(lambda n: [bytes([i % 251 + 1]) * (1 + i % 50) for i in range(n)])
)
@example([b"\x01"] * 128)
@example([b"\x01"] * 129)
@example([bytes([1 + i % 255]) for i in range(257)])
def test_the_ordered_root_is_that_of_insertion(values: list[bytes]) -> None:
    expected = indexed(values).root() if values else keccak256(b"\x80")
    assert ordered_root(values) == expected


@given(st.lists(VALUES, min_size=1, max_size=150), st.data())
def test_every_value_of_an_ordered_trie_is_proven(values: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(values) - 1))
    proof, key = ordered_proof(values, index), rlp.encode(index)
    assert proof == indexed(values).proof(key)
    assert verify_proof(ordered_root(values), key, proof) == values[index]


@given(PAIRS, KEYS)
def test_presence_and_absence_are_proven(pairs: dict[bytes, bytes], key: bytes) -> None:
    trie = trie_of(pairs)
    for each in {*pairs, key}:
        assert verify_proof(trie.root(), each, trie.proof(each)) == pairs.get(each)


@given(PAIRS.filter(bool), KEYS, st.data())
def test_one_changed_byte_fails(pairs: dict[bytes, bytes], key: bytes, data: st.DataObject) -> None:
    trie = trie_of(pairs)
    evidence = [trie.root(), *trie.proof(key)]
    place = data.draw(st.integers(0, len(evidence) - 1))
    changed = bytearray(evidence[place])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    evidence[place] = bytes(changed)
    with pytest.raises(VerificationError):
        verify_proof(evidence[0], key, evidence[1:])


@given(PAIRS.filter(bool), KEYS, VALUES)
def test_a_proof_cut_or_grown_fails(pairs: dict[bytes, bytes], key: bytes, node: bytes) -> None:
    trie = trie_of(pairs)
    proof = trie.proof(key)
    for wrong in (proof[:-1], proof[1:], [*proof, node], [node, *proof], [*proof, proof[-1]], [*proof, b"\x80"]):
        with pytest.raises(VerificationError):
            verify_proof(trie.root(), key, wrong)


@given(PAIRS, KEYS, KEYS)
def test_a_proof_of_another_key_never_lies(pairs: dict[bytes, bytes], key: bytes, other: bytes) -> None:
    trie = trie_of(pairs)
    try:
        assert verify_proof(trie.root(), key, trie.proof(other)) == pairs.get(key)
    except VerificationError:
        assert trie.proof(key) != trie.proof(other)


@given(st.lists(st.binary(max_size=100) | ITEMS.map(rlp.encode), max_size=4), KEYS)
def test_hostile_nodes_under_their_own_root_are_refused_or_read(proof: list[bytes], key: bytes) -> None:
    # Whoever makes up the root too may make up any node: nothing but VerificationError may come of it.
    with contextlib.suppress(VerificationError):
        verify_proof(keccak256(proof[0] if proof else b"\x80"), key, proof)


@given(ITEMS)
def test_rlp_is_read_as_it_was_written(item: RlpItem) -> None:
    assert decode_rlp(rlp.encode(item), 12) == item


@given(st.binary(max_size=80) | st.tuples(ITEMS.map(rlp.encode), st.binary(max_size=2)).map(b"".join))
@example(b"")
@example(b"\x81\x7f")
@example(b"\xb8\x37" + bytes(0x37))
@example(b"\xb9\x00\x38" + bytes(0x38))
@example(b"\xbf" + b"\xff" * 8)
@example(b"\xf8")
@example(b"\xc1\xb8")
@example(b"\xc2\x82\x01")
def test_rlp_has_one_form(data: bytes) -> None:
    try:
        item = decode_rlp(data, 12)
    except VerificationError:
        with pytest.raises(rlp.DecodingError):
            rlp.decode(data, strict=True)
    else:
        assert rlp.encode(item) == data
