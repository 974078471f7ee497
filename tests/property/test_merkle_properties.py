from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from property.strategies import WORDS
from sensetrail.core.merkle import MerkleTree, verify_inclusion
from sensetrail.errors import VerificationError

LEAVES = st.lists(WORDS, min_size=1, max_size=40, unique=True)


@given(LEAVES, st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order(leaves: list[bytes], source: Random) -> None:
    shuffled = list(leaves)
    source.shuffle(shuffled)
    assert MerkleTree(shuffled).root == MerkleTree(leaves).root


@given(LEAVES)
def test_every_leafs_proof_verifies(leaves: list[bytes]) -> None:
    tree = MerkleTree(leaves)
    for leaf in leaves:
        verify_inclusion(leaf, tree.inclusion_proof(leaf), tree.root)


@given(LEAVES, st.data())
def test_one_changed_byte_fails(leaves: list[bytes], data: st.DataObject) -> None:
    tree = MerkleTree(leaves)
    leaf = data.draw(st.sampled_from(leaves))
    evidence = [leaf, tree.root, *tree.inclusion_proof(leaf)]
    place = data.draw(st.integers(0, len(evidence) - 1))
    changed = bytearray(evidence[place])
    changed[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
    evidence[place] = bytes(changed)
    with pytest.raises(VerificationError):
        verify_inclusion(evidence[0], evidence[2:], evidence[1])


@given(LEAVES, st.data())
def test_a_changed_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:place], data.draw(WORDS.filter(lambda word: word not in leaves)), *leaves[place + 1 :]]
    assert MerkleTree(changed).root != MerkleTree(leaves).root


@given(LEAVES.filter(lambda leaves: len(leaves) > 1), st.data())
def test_a_proof_cut_or_grown_fails(leaves: list[bytes], data: st.DataObject) -> None:
    tree = MerkleTree(leaves)
    leaf = data.draw(st.sampled_from(leaves))
    proof = tree.inclusion_proof(leaf)
    for wrong in (proof[:-1], proof[1:], [*proof, data.draw(WORDS)]):
        with pytest.raises(VerificationError):
            verify_inclusion(leaf, wrong, tree.root)
