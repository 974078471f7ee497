from __future__ import annotations

import pytest
import rlp

from sensetrail.core.primitives import ZERO_WORD, address, address_bytes, keccak256
from sensetrail.core.strict_rlp import MOST_ITEMS, decode_integer, decode_rlp, decode_strings
from sensetrail.core.trie import (
    EMPTY_ROOT,
    Account,
    ordered_root,
    verify_account,
    verify_proof,
    verify_storage,
)
from sensetrail.errors import VerificationError
from tries import indexed, trie_of

DEVICE = address("0x" + "5e" * 20)
SLOT = bytes(31) + b"\x07"
LEAF_PATH = b"\x20" + keccak256(SLOT)
"""A leaf at the root, for the slot's key."""

# From ethereum/tests, TrieTests/trieanyorder.json.
PUBLISHED = {
    "puppy": (
        {"do": "verb", "horse": "stallion", "doge": "coin", "dog": "puppy"},
        "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
    ),
    "foo": (
        {"foo": "bar", "food": "bass"},
        "17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3",
    ),
    "dogs": (
        {"doe": "reindeer", "dog": "puppy", "dogglesworth": "cat"},
        "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
    ),
}

EMPTY_CODE_HASH = keccak256(b"")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tries(name: str) -> None:
    words, root = PUBLISHED[name]
    pairs = {key.encode(): value.encode() for key, value in words.items()}
    trie = trie_of(pairs)
    assert trie.root().hex() == root
    for key in [*pairs, b"", b"d", b"horses", b"doges", b"cat"]:
        assert verify_proof(bytes.fromhex(root), key, trie.proof(key)) == pairs.get(key)


def test_the_empty_trie() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert ordered_root([]) == EMPTY_ROOT
    for proof in ([], [b"\x80"]):
        assert verify_proof(EMPTY_ROOT, b"key", proof) is None
        assert verify_storage(EMPTY_ROOT, SLOT, proof) == ZERO_WORD
        assert verify_account(EMPTY_ROOT, DEVICE, proof) is None
    for wrong in ([b"\x80", b"\x80"], [b""], [b"\xc0"]):
        with pytest.raises(VerificationError):
            verify_proof(EMPTY_ROOT, b"key", wrong)
    with pytest.raises(VerificationError):
        verify_proof(bytes(32), b"key", [])


def test_a_trie_of_one_value_is_one_leaf() -> None:
    assert ordered_root([b"value"]) == keccak256(rlp.encode([b"\x20\x80", b"value"]))


def test_order_counts() -> None:
    assert ordered_root([b"a", b"b"]) != ordered_root([b"b", b"a"])


def test_no_trie_holds_an_empty_value() -> None:
    with pytest.raises(VerificationError):
        ordered_root([b"a", b""])


def test_the_value_after_the_last_is_proven_absent() -> None:
    values = [bytes([1 + i]) * 40 for i in range(100)]
    # 99 and 100 stand under one branch: what leads to the one shows that the other is not there.
    assert verify_proof(ordered_root(values), rlp.encode(100), indexed(values).proof(rlp.encode(99))[:-1]) is None


def storage(value: bytes) -> tuple[bytes, list[bytes]]:
    node = rlp.encode([LEAF_PATH, value])
    return keccak256(node), [node]


def test_a_stored_word() -> None:
    root, proof = storage(rlp.encode(0x1234))
    assert verify_storage(root, SLOT, proof) == bytes(30) + b"\x12\x34"
    assert verify_storage(root, bytes(32), proof) == ZERO_WORD
    # As Anvil leaves it in the trie.
    assert verify_storage(storage(b"\x80")[0], SLOT, storage(b"\x80")[1]) == ZERO_WORD
    root, proof = storage(rlp.encode(b"\xff" * 32))
    assert verify_storage(root, SLOT, proof) == b"\xff" * 32


@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        b"\x81\x05",
        b"\xc0",
        b"\xc1\x05",
        b"\x82\x00\x05",
        b"\xa1" + b"\x01" * 33,
        b"\x05\x05",
        b"\x85",
    ],
)
def test_what_is_no_word_is_refused(value: bytes) -> None:
    root, proof = storage(value)
    with pytest.raises(VerificationError):
        verify_storage(root, SLOT, proof)


def test_a_slot_has_32_bytes() -> None:
    root, proof = storage(b"\x05")
    with pytest.raises(VerificationError):
        verify_storage(root, b"\x07", proof)


def account(value: bytes) -> tuple[bytes, list[bytes]]:
    node = rlp.encode([b"\x20" + keccak256(address_bytes(DEVICE)), value])
    return keccak256(node), [node]


def test_an_account() -> None:
    root, proof = account(rlp.encode([3, 10**20, EMPTY_ROOT, EMPTY_CODE_HASH]))
    assert verify_account(root, DEVICE, proof) == Account(3, 10**20, EMPTY_ROOT, EMPTY_CODE_HASH)
    assert verify_account(root, address("0x" + "12" * 20), proof) is None


@pytest.mark.parametrize(
    "value",
    [
        b"\x05",
        rlp.encode([1, 2, EMPTY_ROOT]),
        rlp.encode([1, 2, EMPTY_ROOT, EMPTY_CODE_HASH, b""]),
        rlp.encode([1, 2, EMPTY_ROOT[:-1], EMPTY_CODE_HASH]),
        rlp.encode([1, 2, EMPTY_ROOT, EMPTY_CODE_HASH + b"\0"]),
        rlp.encode([1, 2, EMPTY_ROOT, []]),
        rlp.encode([b"\0\x01", 2, EMPTY_ROOT, EMPTY_CODE_HASH]),
        rlp.encode([2**64, 2, EMPTY_ROOT, EMPTY_CODE_HASH]),
        rlp.encode([1, 2**256, EMPTY_ROOT, EMPTY_CODE_HASH]),
        rlp.encode([1, 2, EMPTY_ROOT, EMPTY_CODE_HASH]) + b"\0",
    ],
)
def test_what_is_no_account_is_refused(value: bytes) -> None:
    root, proof = account(value)
    with pytest.raises(VerificationError):
        verify_account(root, DEVICE, proof)


HASH = b"\x11" * 32
LEAF_INSIDE = [b"\x20", b"v"]
BRANCH_INSIDE = [LEAF_INSIDE, LEAF_INSIDE, *[b""] * 15]

NO_NODES = {
    "a string": b"value",
    "nothing": b"",
    "an empty list": [],
    "three items": [b"\x20", b"v", b""],
    "sixteen items": [HASH] * 16,
    "eighteen items": [HASH] * 18,
    "a branch of one": [HASH, *[b""] * 16],
    "a branch with a short hash": [HASH[:-1], HASH, *[b""] * 15],
    "a branch with an empty list": [[], HASH, HASH, *[b""] * 14],
    "a branch with a list for a value": [HASH, HASH, *[b""] * 14, [b"v"]],
    "a branch that holds too much": [[b"\x20", b"v" * 40], HASH, *[b""] * 15],
    "a branch that holds no node": [[b"v"], HASH, *[b""] * 15],
    "a leaf without a value": [b"\x20", b""],
    "a leaf with a list for a value": [b"\x20", [b"v"]],
    "a path without flags": [b"", b"v"],
    "a path that is a list": [[b"\x20"], b"v"],
    "a path with unknown flags": [b"\x40", b"v"],
    "a path with a nibble of padding": [b"\x21", b"v"],
    "an extension without a path": [b"\x00", HASH],
    "an extension of nothing": [b"\x10", b""],
    "an extension of a short hash": [b"\x10", HASH[:-1]],
    "an extension of a leaf": [b"\x10", LEAF_INSIDE],
    "an extension of an extension": [b"\x10", [b"\x10", BRANCH_INSIDE]],
    "nested too deeply": [[[[[b"v"]]]], HASH, *[b""] * 15],
}


@pytest.mark.parametrize("name", NO_NODES)
def test_what_is_no_node_is_refused_under_its_own_hash(name: str) -> None:
    node = rlp.encode(NO_NODES[name])
    with pytest.raises(VerificationError):
        verify_proof(keccak256(node), b"\x00", [node] if node != b"\x80" else [node, node])


def test_nodes_that_others_hold() -> None:
    node = rlp.encode([b"\x10", BRANCH_INSIDE])
    assert verify_proof(keccak256(node), b"\x00", [node]) == b"v"
    assert verify_proof(keccak256(node), b"\x02", [node]) is None
    assert verify_proof(keccak256(node), b"\x10", [node]) is None
    assert verify_proof(keccak256(node), b"\x00\x00", [node]) is None
    assert verify_proof(keccak256(node), b"", [node]) is None


def test_a_node_that_should_be_held_is_refused_by_its_hash() -> None:
    leaf = rlp.encode([b"\x30", b"v"])
    node = rlp.encode([keccak256(leaf), HASH, *[b""] * 15])
    with pytest.raises(VerificationError):
        verify_proof(keccak256(node), b"\x00", [node, leaf])


def test_nested_lists_are_refused_at_once() -> None:
    data = b""
    for _ in range(20_000):
        length = len(data)
        size = (length.bit_length() + 7) // 8
        data = (bytes([0xC0 + length]) if length < 56 else bytes([0xF7 + size]) + length.to_bytes(size, "big")) + data
    for depth in (0, 1, 4):
        with pytest.raises(VerificationError):
            decode_rlp(data, depth)


def test_strings_and_integers() -> None:
    assert decode_strings(rlp.encode([b"a", b""])) == [b"a", b""]
    assert decode_integer(b"", 1) == 0
    assert decode_integer(b"\x01\x00", 2) == 256
    for data in (rlp.encode(b"a"), rlp.encode([[b"a"]]), b"", b"\xc1"):
        with pytest.raises(VerificationError):
            decode_strings(data)
    for integer in (b"\0", b"\0\x01", b"\x01" * 3):
        with pytest.raises(VerificationError):
            decode_integer(integer, 2)


def test_rlp_with_more_items_than_may_be_is_refused() -> None:
    encoded = rlp.encode([b"", [b"", b""], b"\x01"])
    assert decode_rlp(encoded, 2, most=6) == [b"", [b"", b""], b"\x01"]
    with pytest.raises(VerificationError, match="more items"):
        decode_rlp(encoded, 2, most=5)
    # A byte an item: read without a limit, four megabytes of it deflated would fill gigabytes.
    with pytest.raises(VerificationError, match="more items"):
        decode_strings(b"\xfa" + MOST_ITEMS.to_bytes(3) + b"\x80" * MOST_ITEMS)
