"""Block headers: their RLP, computed from what a node serves as JSON, and their hash (Yellow Paper, section 4.4).

A node's JSON is hostile: the header is encoded again, so that its hash is computed, not believed. A fork appends fields
and never takes any away; the forks' field sets:

    15  Frontier                17  Shanghai (EIP-4895)                   21  Prague (EIP-7685)
    16  London (EIP-1559)       20  Cancun (EIP-4844, EIP-4788)           23  Amsterdam (EIP-7928, EIP-7843)
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sensetrail.core.primitives import hex_word, keccak256
from sensetrail.core.seals import ISTANBUL, hashed_extra_data
from sensetrail.core.strict_rlp import decode_integer, decode_strings
from sensetrail.errors import VerificationError

BLOOM_LENGTH = 256
"""Bytes of a bloom filter: 2048 bits."""
EXTRA_DATA_LENGTH = 1 << 15
"""The most bytes of extra data. Ethereum has 32; there are more where validators seal blocks there (`core.seals`)."""


class _Field(NamedTuple):
    """A header's field: its name in JSON, whether it is an integer, and how many bytes it has, at most or exactly."""

    name: str
    is_integer: bool
    size: int


def _bytes(name: str, size: int) -> _Field:
    return _Field(name, False, size)


def _integer(name: str, size: int = 8) -> _Field:
    return _Field(name, True, size)


_EXTRA_DATA = "extraData"
_FIELDS = (
    _bytes("parentHash", 32),
    _bytes("sha3Uncles", 32),
    _bytes("miner", 20),
    _bytes("stateRoot", 32),
    _bytes("transactionsRoot", 32),
    _bytes("receiptsRoot", 32),
    _bytes("logsBloom", BLOOM_LENGTH),
    _integer("difficulty", 32),
    _integer("number"),
    _integer("gasLimit"),
    _integer("gasUsed"),
    _integer("timestamp"),
    _bytes(_EXTRA_DATA, EXTRA_DATA_LENGTH),
    _bytes("mixHash", 32),
    _bytes("nonce", 8),
    _integer("baseFeePerGas", 32),
    _bytes("withdrawalsRoot", 32),
    _integer("blobGasUsed"),
    _integer("excessBlobGas"),
    _bytes("parentBeaconBlockRoot", 32),
    _bytes("requestsHash", 32),
    _bytes("blockAccessListHash", 32),
    _integer("slotNumber"),
)
"""All there are, in the header's order."""
_PLACE = {field.name: place for place, field in enumerate(_FIELDS)}
_COUNTS = (15, 16, 17, 20, 21, 23)
"""How many of them each fork's headers have."""

_AT = {"parentHash": 4, "stateRoot": 91, "transactionsRoot": 124, "receiptsRoot": 157, "logsBloom": 192}
"""Where these begin in every header's RLP: what stands before them has one length."""
_PREFIX = {size: f"{0x80 + size:02x}" for size in range(33)} | {BLOOM_LENGTH: "b90100"}
"""What stands before a string of more than one byte in RLP, by its length, in hexadecimal, for common lengths."""
_ISTANBUL = "0x" + ISTANBUL.hex()

_HEXADECIMAL = re.compile("0x([0-9a-fA-F]*)")


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A block's header, as far as it is used.

    Attributes:
        number: The block's height.
        hash: keccak256 of `rlp`, 32 bytes.
        parent_hash: 32 bytes.
        timestamp: Unix seconds.
        state_root: Root of the trie of all accounts after the block, 32 bytes.
        transactions_root: Root of the trie of its transactions, 32 bytes.
        receipts_root: Root of the trie of their receipts, 32 bytes.
        logs_bloom: The bloom filter of all its logs, 256 bytes.
        rlp: The whole header's encoding.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    rlp: bytes


def header_from_rpc(block: Mapping[str, Any]) -> BlockHeader:
    """Read a block's header from the block's JSON, and hash it; what the JSON says of its `hash` is not looked at.

    As `parse_header(header_rlp(block))`, in half its time.

    Args:
        block: What `eth_getBlockByNumber` answers: hexadecimal strings by name.

    Raises:
        VerificationError: It is no block of a known fork.
    """
    data = header_rlp(block)
    return BlockHeader(
        number=int(block["number"], 16),
        hash=keccak256(data),
        parent_hash=data[_AT["parentHash"] : _AT["parentHash"] + 32],
        timestamp=int(block["timestamp"], 16),
        state_root=data[_AT["stateRoot"] : _AT["stateRoot"] + 32],
        transactions_root=data[_AT["transactionsRoot"] : _AT["transactionsRoot"] + 32],
        receipts_root=data[_AT["receiptsRoot"] : _AT["receiptsRoot"] + 32],
        logs_bloom=data[_AT["logsBloom"] : _AT["logsBloom"] + BLOOM_LENGTH],
        rlp=data,
    )


def header_rlp(block: Mapping[str, Any]) -> bytes:
    """Encode a block's header from the block's JSON; its `hash` is not looked at.

    The fields are put together as hexadecimal and read once.

    Args:
        block: What `eth_getBlockByNumber` answers: hexadecimal strings by name.

    Returns:
        The header's RLP, whose keccak256 is the block's hash.

    Raises:
        VerificationError: It is no block of a known fork.
    """
    if not isinstance(block, Mapping):
        raise _wrong("no object where a block belongs")
    values = [block.get(field.name) for field in _FIELDS]
    if values[_PLACE["mixHash"]] == _ISTANBUL:
        values[_PLACE[_EXTRA_DATA]] = hex_word(hashed_extra_data(json_bytes(block.get(_EXTRA_DATA), _EXTRA_DATA)))
    count = len(values) - values.count(None)
    if count not in _COUNTS or None in values[:count]:
        raise _wrong(f"a block with {count} fields of a header, which no fork has")
    inside = "".join([_encode(field, value) for field, value in zip(_FIELDS, values[:count], strict=False)])
    # Of any fork, the bloom filter alone makes it longer than 255 bytes.
    try:
        return unhexlify(f"f9{len(inside) // 2:04x}{inside}")
    except ValueError:
        for field in _FIELDS[:count]:
            _digits(block[field.name], field.name)
        raise AssertionError("one of them is not hexadecimal") from None


def parse_header(data: bytes) -> BlockHeader:
    """Decode a header, and hash it.

    Args:
        data: Its RLP.

    Raises:
        VerificationError: It is no header of a known fork, or not in RLP's one canonical form.
    """
    items = decode_strings(data)
    if len(items) not in _COUNTS:
        raise _wrong(f"a header with {len(items)} fields, which no fork has")
    for field, item in zip(_FIELDS, items, strict=False):
        if field.is_integer:
            decode_integer(item, field.size)
        else:
            _check_length(field, item)

    def taken(name: str) -> bytes:
        return items[_PLACE[name]]

    return BlockHeader(
        number=int.from_bytes(taken("number"), "big"),
        hash=keccak256(data),
        parent_hash=taken("parentHash"),
        timestamp=int.from_bytes(taken("timestamp"), "big"),
        state_root=taken("stateRoot"),
        transactions_root=taken("transactionsRoot"),
        receipts_root=taken("receiptsRoot"),
        logs_bloom=taken("logsBloom"),
        rlp=data,
    )


def may_contain(logs_bloom: bytes, value: bytes) -> bool:
    """Tell whether a log may be among those of a bloom filter; there is none where this is false.

    Args:
        logs_bloom: 256 bytes.
        value: The log's address (20 bytes) or one of its topics (32 bytes).

    Raises:
        VerificationError: The filter is none.
    """
    if len(logs_bloom) != BLOOM_LENGTH:
        raise _wrong(f"a bloom filter of {len(logs_bloom)} bytes")
    bits = bloom_bits(value)
    return int.from_bytes(logs_bloom, "big") & bits == bits


def bloom_bits(value: bytes) -> int:
    """Give a value's bits in a bloom filter read as a big-endian integer (function M of the Yellow Paper, 4.3.1).

    Three bits, or fewer where they fall together: the low 11 bits of each of the first three pairs of bytes of the
    value's keccak256 are a bit's number.
    """
    digest = keccak256(value)
    bits = 0
    for place in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[place : place + 2], "big") % (8 * BLOOM_LENGTH))
    return bits


def json_bytes(value: object, name: str) -> bytes:
    """Read JSON-RPC's DATA: 0x and two hexadecimal digits a byte.

    Raises:
        VerificationError: It is none; `name` says what was to be read.
    """
    digits = _digits(value, name)
    if len(digits) % 2:
        raise _wrong(f"{name} with half a byte")
    return bytes.fromhex(digits)


def json_integer(value: object, name: str, size: int = 8) -> int:
    """Read JSON-RPC's QUANTITY: 0x and at least one hexadecimal digit.

    Leading zeros are let pass, which some nodes write: the integer is the same.

    Args:
        value: From JSON.
        name: What is read, for the error.
        size: How many bytes the integer may have.

    Raises:
        VerificationError: It is none, or is too large.
    """
    digits = _digits(value, name)
    if not 0 < len(digits) <= 2 * size:
        raise _wrong(f"{name} is no integer of at most {size} bytes")
    return int(digits, 16)


def _digits(value: object, name: str) -> str:
    found = _HEXADECIMAL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong(f"{name} is not hexadecimal")
    return found[1]


def _encode(field: _Field, value: object) -> str:
    """Encode a field in hexadecimal; whether its digits are some is looked at afterwards, for all fields at once."""
    if not isinstance(value, str) or value[:2] != "0x":
        raise _wrong(f"{field.name} is not hexadecimal")
    if not field.is_integer:
        size = len(value) // 2 - 1
        if len(value) % 2 or (size != field.size and not (field.name == _EXTRA_DATA and size < field.size)):
            raise _wrong(f"{field.name} of {len(value) - 2} digits", expected=2 * field.size, actual=len(value) - 2)
        digits = value[2:]
    else:
        if not 2 < len(value) <= 2 * field.size + 2:
            raise _wrong(f"{field.name} is no integer of at most {field.size} bytes")
        digits = value[2:].lstrip("0")
        if len(digits) % 2:
            digits = "0" + digits
    is_itself = len(digits) == 2 and digits < "80"
    return digits if is_itself else _prefix(len(digits) // 2) + digits


def _prefix(size: int) -> str:
    """Give what stands before a string of so many bytes in RLP, in hexadecimal."""
    if size in _PREFIX:
        return _PREFIX[size]
    return f"{0x80 + size:02x}" if size < 56 else f"b8{size:02x}" if size < 0x100 else f"b9{size:04x}"


def _check_length(field: _Field, data: bytes) -> None:
    if len(data) == field.size or (field.name == _EXTRA_DATA and len(data) < field.size):
        return
    raise _wrong(f"{field.name} of {len(data)} bytes", expected=field.size, actual=len(data))


def _wrong(what: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(
        f"a block's header does not hold: {what}", "use another node", expected=expected, actual=actual
    )
