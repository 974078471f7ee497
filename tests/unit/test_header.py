from __future__ import annotations

from typing import Any

import pytest
import rlp

from sensetrail.core.header import bloom_bits, header_from_rpc, header_rlp, may_contain, parse_header
from sensetrail.core.primitives import keccak256
from sensetrail.core.trie import EMPTY_ROOT
from sensetrail.errors import VerificationError

EMPTY_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
GENESIS_HASH = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
GENESIS: dict[str, Any] = {
    "parentHash": "0x" + "00" * 32,
    "sha3Uncles": EMPTY_UNCLES,
    "miner": "0x" + "00" * 20,
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": "0x" + EMPTY_ROOT.hex(),
    "receiptsRoot": "0x" + EMPTY_ROOT.hex(),
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": "0x" + "00" * 32,
    "nonce": "0x0000000000000042",
    # What a block's JSON has besides its header.
    "hash": "0x" + GENESIS_HASH,
    "totalDifficulty": "0x400000000",
    "size": "0x21c",
    "transactions": [],
    "uncles": [],
}
"""Ethereum's block 0."""

LATER: dict[str, str] = {
    "baseFeePerGas": "0x3b9aca00",
    "withdrawalsRoot": "0x" + "11" * 32,
    "blobGasUsed": "0x20000",
    "excessBlobGas": "0x0",
    "parentBeaconBlockRoot": "0x" + "22" * 32,
    "requestsHash": "0x" + "33" * 32,
    "blockAccessListHash": "0x" + "44" * 32,
    "slotNumber": "0x2a",
}
"""What the forks appended, in order."""
FORKS = {15: 0, 16: 1, 17: 2, 20: 5, 21: 6, 23: 8}
"""How many of them a header of so many fields has."""


def block_of(later: int) -> dict[str, Any]:
    return {**GENESIS, **dict(list(LATER.items())[:later])}


def test_the_hash_of_ethereums_first_block() -> None:
    header = parse_header(header_rlp(GENESIS))
    assert header.hash.hex() == GENESIS_HASH
    assert (header.number, header.timestamp, header.parent_hash) == (0, 0, bytes(32))
    assert header.state_root.hex() == GENESIS["stateRoot"][2:]
    assert header.transactions_root == header.receipts_root == EMPTY_ROOT
    assert header.logs_bloom == bytes(256)
    assert header.rlp == header_rlp(GENESIS)


@pytest.mark.parametrize("count", FORKS)
def test_each_forks_fields(count: int) -> None:
    block = block_of(FORKS[count])
    encoded = header_rlp(block)
    assert len(rlp.decode(encoded)) == count
    header = parse_header(encoded)
    assert (header.hash, header.rlp) == (keccak256(encoded), encoded)
    for name in list(LATER)[: FORKS[count]]:
        changed = {**block, name: block[name][:-1] + ("b" if block[name][-1] != "b" else "c")}
        assert header_rlp(changed) != encoded


def plainly(block: dict[str, Any]) -> bytes:
    """Encode a header field by field, by the `rlp` package."""
    fields = [(name, block[name]) for name in [*list(GENESIS)[:15], *LATER] if name in block]
    return bytes(
        rlp.encode([int(value, 16) if name in INTEGERS else bytes.fromhex(value[2:]) for name, value in fields])
    )


EXTRA_DATA_SIZES = (31, 33, 55, 56, 97, 255, 256, 2097, 0x8000)


@pytest.mark.parametrize("count", FORKS)
def test_a_header_is_encoded_as_rlp_encodes_it(count: int) -> None:
    block = block_of(FORKS[count])
    assert header_rlp(block) == plainly(block)
    values = ["0x0", "0x1", "0x7f", "0x80", "0xff", "0x100", "0x00", "0x0000ff", "0xFfFf", "0xffffffffffffffff"]
    for name in INTEGERS & set(block):
        for value in values:
            changed = {**block, name: value}
            assert header_rlp(changed) == plainly(changed)
            assert header_from_rpc(changed) == parse_header(plainly(changed))
    for value in ("0x", "0x00", "0x7f", "0x80", "0xAbCd", *("0x" + "ff" * size for size in EXTRA_DATA_SIZES)):
        changed = {**block, "extraData": value}
        assert header_rlp(changed) == plainly(changed)
        assert header_from_rpc(changed) == parse_header(plainly(changed))


@pytest.mark.parametrize("later", sorted(set(range(9)) - set(FORKS.values())))
def test_no_fork_has_other_counts(later: int) -> None:
    with pytest.raises(VerificationError):
        header_rlp(block_of(later))
    with pytest.raises(VerificationError):
        parse_header(rlp.encode([*rlp.decode(header_rlp(GENESIS)), *[b"\x01"] * later]))


def test_a_field_that_is_null_is_none() -> None:
    assert header_rlp({**GENESIS, **dict.fromkeys(LATER)}) == header_rlp(GENESIS)


@pytest.mark.parametrize("name", [*list(GENESIS)[:15], *list(LATER)[:-1]])
def test_a_block_without_a_field_is_refused(name: str) -> None:
    block = block_of(8)
    del block[name]
    with pytest.raises(VerificationError):
        header_rlp(block)


HOSTILE: list[object] = [
    0,
    1.5,
    True,
    [],
    {},
    b"\x00",
    "",
    "0x",
    "0xg",
    "12",
    "0X12",
    " 0x12",
    "0x1_2",
    "0x12\n",
    "-0x1",
]
HOSTILE += ["0x1 ", "0x 1", "0x1\t", "0x+1", "0x-1", "0x.1", "0x0x1", "0x\u06601", "0xff\0"]
HOSTILE += ["0x" + "1" * 65, "0x" + "1" * 1_000_001, "\u0660x1", "0x\u0661"]


@pytest.mark.parametrize("name", [*list(GENESIS)[:15], *LATER])
def test_a_field_that_is_none_is_refused(name: str) -> None:
    for value in HOSTILE:
        if name == "extraData" and value == "0x":
            continue
        for read in (header_rlp, header_from_rpc):
            with pytest.raises(VerificationError):
                read({**block_of(8), name: value})


@pytest.mark.parametrize("name", [*list(GENESIS)[:15], *LATER])
def test_a_field_with_a_letter_that_is_no_digit_is_refused(name: str) -> None:
    value = block_of(8)[name]
    for place in range(2, min(len(value), 12)):
        for letter in "gG _+x\n\0\u0660":
            with pytest.raises(VerificationError, match=name):
                header_rlp({**block_of(8), name: value[:place] + letter + value[place + 1 :]})


@pytest.mark.parametrize("name", [*list(GENESIS)[:15], *LATER])
def test_a_field_of_another_length_is_refused(name: str) -> None:
    value = block_of(8)[name]
    longest = {"difficulty": 32, "baseFeePerGas": 32}.get(name, 8)
    too_long = "0x1" + "00" * longest if name in INTEGERS else value + "00" * (0x7FE1 if name == "extraData" else 1)
    wrong = [too_long] if name in INTEGERS or name == "extraData" else [too_long, value[:-2], value[:-1]]
    for each in wrong:
        with pytest.raises(VerificationError):
            header_rlp({**block_of(8), name: each})


INTEGERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp"}
INTEGERS |= {"baseFeePerGas", "blobGasUsed", "excessBlobGas", "slotNumber"}


def test_a_short_extra_data_is_a_header_s() -> None:
    assert parse_header(header_rlp({**GENESIS, "extraData": "0x"})).hash.hex() != GENESIS_HASH


@pytest.mark.parametrize("place", range(23))
def test_encoded_fields_are_checked(place: int) -> None:
    items = rlp.decode(header_rlp(block_of(8)))
    too_long = [b"\x01" * 0x8001] if place == 12 else [b"\0", b"\x01" * 33, b"\x01" * 257]
    for wrong in (*too_long, [], [b"\x01"]):
        changed = [*items[:place], wrong, *items[place + 1 :]]
        with pytest.raises(VerificationError):
            parse_header(rlp.encode(changed))


def test_bytes_that_are_no_header() -> None:
    encoded = header_rlp(GENESIS)
    assert encoded[0] == 0xF9
    # A length with a leading zero byte: the same items, another encoding.
    longer = b"\xfa\x00" + encoded[1:]
    for data in (b"", b"\x80", b"\xc0", encoded[:-1], encoded + b"\0", longer, encoded[3:], bytes(600), b"\xff" * 600):
        with pytest.raises(VerificationError):
            parse_header(data)


@pytest.mark.parametrize("block", [None, [], "block", 7, {}])
def test_what_is_no_block(block: Any) -> None:
    with pytest.raises(VerificationError):
        header_rlp(block)


def test_a_bloom_filter_contains_what_was_put_in() -> None:
    values = [bytes([i]) * (20 if i % 2 else 32) for i in range(20)]
    bits = 0
    for value in values[:10]:
        bits |= bloom_bits(value)
    bloom = bits.to_bytes(256, "big")
    assert all(may_contain(bloom, value) for value in values[:10])
    assert not any(may_contain(bloom, value) for value in values[10:])
    assert not may_contain(bytes(256), b"")
    assert may_contain(b"\xff" * 256, b"anything")


@pytest.mark.parametrize("length", [0, 255, 257])
def test_a_bloom_filter_has_256_bytes(length: int) -> None:
    with pytest.raises(VerificationError):
        may_contain(b"\xff" * length, b"value")
