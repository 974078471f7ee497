"""Tries built by insertion, plainly: what the package's are held against, and where proofs come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import rlp

from sensetrail.core.primitives import keccak256


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
