"""Tries against a second implementation that shares nothing with the first: it inserts one key after the other."""

from __future__ import annotations

import contextlib

import pytest
import rlp
from hypothesis import example, given
from hypothesis import strategies as st

from property import strategies as strategies  # the profile for machines of any speed
from sensetrail.core.primitives import keccak256
from sensetrail.core.strict_rlp import RlpItem, decode_rlp
from sensetrail.core.trie import ordered_root, verify_proof
from sensetrail.errors import VerificationError
from tries import indexed, trie_of

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
    key = rlp.encode(index)
    proof = indexed(values).proof(key)
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
