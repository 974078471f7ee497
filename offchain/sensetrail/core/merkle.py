"""OpenZeppelin's standard Merkle tree: double-hashed leaves, sorted leaves, sorted pairs.

The same root as npm's `@openzeppelin/merkle-tree`, and proofs that the `MerkleProof` library verifies on the chain.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensetrail.core.primitives import keccak256
from sensetrail.errors import InputError, VerificationError


def standard_leaf(encoded: bytes) -> bytes:
    """Hash a row's ABI encoding twice, so that a leaf is never mistaken for a pair."""
    return keccak256(keccak256(encoded))


class MerkleTree:
    """A tree over leaves, as one array: the root first, the children of `i` at `2 i + 1` and `2 i + 2`."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Build the tree.

        Args:
            leaves: `n >= 1` leaves of 32 bytes, in any order: the root does not depend on it.

        Raises:
            InputError: There are none.
        """
        if not leaves:
            raise InputError("a Merkle tree needs a leaf", "select at least one row")
        count = len(leaves)
        nodes = [b""] * (count - 1) + sorted(leaves, reverse=True)
        for i in range(count - 2, -1, -1):
            nodes[i] = _hash_pair(nodes[2 * i + 1], nodes[2 * i + 2])
        self._nodes = nodes
        self._index = {leaf: count - 1 + i for i, leaf in enumerate(nodes[count - 1 :])}

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._nodes[0]

    def inclusion_proof(self, leaf: bytes) -> list[bytes]:
        """Give the siblings from a leaf up to the root.

        Raises:
            InputError: The leaf is not in the tree.
        """
        if leaf not in self._index:
            raise InputError("this row is not in the dataset", "check its device and sequence number")
        i, proof = self._index[leaf], []
        while i:
            proof.append(self._nodes[i - 1 if i % 2 == 0 else i + 1])
            i = (i - 1) // 2
        return proof


def verify_inclusion(leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that a leaf is under a root.

    Raises:
        VerificationError: It is not, or a part is not 32 bytes: two halves of other lengths would hash alike.
    """
    node = leaf if all(len(part) == 32 for part in (leaf, *proof)) else b""
    for sibling in proof:
        node = _hash_pair(node, sibling)
    if node != root:
        raise VerificationError(
            "the inclusion proof does not lead to the root", "ask for the proof again", expected=root, actual=node
        )


def _hash_pair(a: bytes, b: bytes) -> bytes:
    return keccak256(a + b if a < b else b + a)
