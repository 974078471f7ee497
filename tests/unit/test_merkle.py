from __future__ import annotations

import pytest

from sensetrail.core.merkle import MerkleTree, standard_leaf, verify_inclusion
from sensetrail.core.primitives import keccak256
from sensetrail.errors import InputError, VerificationError

A, B, C = (bytes([value]) * 32 for value in (0x0A, 0x0B, 0x0C))


def test_trees_by_hand() -> None:
    assert MerkleTree([A]).root == A
    assert MerkleTree([A]).inclusion_proof(A) == []
    assert MerkleTree([B, A]).root == keccak256(A + B)
    # Three leaves, greatest first in the array: C and B are at its end's pair, as in OpenZeppelin's tree.
    inner = keccak256(A + B)
    root = keccak256(C + inner if inner > C else inner + C)
    tree = MerkleTree([C, A, B])
    assert tree.root == root
    assert tree.inclusion_proof(C) == [inner]
    assert tree.inclusion_proof(A) == [B, C]


def test_a_leaf_is_hashed_twice() -> None:
    assert standard_leaf(b"row") == keccak256(keccak256(b"row"))


def test_an_empty_tree_is_refused() -> None:
    with pytest.raises(InputError):
        MerkleTree([])


def test_a_stranger_has_no_proof() -> None:
    with pytest.raises(InputError, match="not in the dataset"):
        MerkleTree([A, B]).inclusion_proof(C)


def test_a_wrong_proof_names_both_roots() -> None:
    tree = MerkleTree([A, B])
    with pytest.raises(VerificationError) as caught:
        verify_inclusion(C, tree.inclusion_proof(A), tree.root)
    assert caught.value.expected == tree.root
    assert caught.value.actual == keccak256(B + C)


def test_an_inner_node_is_under_the_root_but_is_no_rows_leaf() -> None:
    tree = MerkleTree([A, B, C])
    inner = keccak256(A + B)
    verify_inclusion(inner, [C], tree.root)
    # That is why rows are hashed twice: no row's encoding of 160 bytes hashes to an inner node's 64 bytes.
    assert standard_leaf(A + B) != inner
