"""What a node may answer, by kind: each function reads one, and refuses whatever is not of its shape.

This is where JSON becomes the package's values. Everything that passes has the right type and fits where it is going;
whether it is true is for callers to verify. Every function raises a `ValueError` that says in a few words what is
wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sensetrail.core.logs import Block, Log
from sensetrail.core.primitives import Address, address

_QUANTITY = re.compile(r"0x[0-9a-fA-F]+")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
UINT63 = 2**63 - 1
"""Heights and times: what stores hold. No chain is near it."""
UINT64 = 2**64 - 1
UINT32 = 2**32 - 1
UINT256 = 2**256 - 1
MOST_TOPICS = 4


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did.

    Attributes:
        transaction_hash: 32 bytes.
        block_number: Where it stands.
        succeeded: Whether it did not revert.
        gas_used: Gas.
        contract_address: What it created, if anything.
        logs: What it emitted.
    """

    transaction_hash: bytes
    block_number: int
    succeeded: bool
    gas_used: int
    contract_address: Address | None
    logs: tuple[Log, ...]


def quantity(value: object, name: str = "the number", most: int = UINT64) -> int:
    """Read an integer: 0x and hexadecimal digits. Leading zeros pass, which some nodes write."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"{name} is not a hexadecimal number")
    digits = value[2:].lstrip("0")
    if len(digits) > 64 or int(digits or "0", 16) > most:
        raise ValueError(f"{name} is too large")
    return int(digits or "0", 16)


def data(value: object, name: str = "the data", size: int | None = None) -> bytes:
    """Read bytes: 0x and two hexadecimal digits for each; `size` of them, if it is given."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise ValueError(f"{name} is not hexadecimal")
    if size is not None and len(value) != 2 + 2 * size:
        raise ValueError(f"{name} has not {size} bytes")
    return bytes.fromhex(value[2:])


def word(value: object) -> bytes:
    """Read what a storage slot holds, 32 bytes; some nodes leave out its leading zeros, or all of them."""
    return quantity("0x0" if value == "0x" else value, "the word", UINT256).to_bytes(32, "big")


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """Read an object."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def block(value: object, number: int | None = None) -> Block:
    """Read a block's header; it has to be that of height `number`, if one is given."""
    fields = mapping(value, "the block")
    found = Block(
        quantity(fields.get("number"), "the block's number", UINT63),
        data(fields.get("hash"), "the block's hash", 32),
        data(fields.get("parentHash"), "the block's parentHash", 32),
        timestamp(fields),
    )
    if number is not None and found.number != number:
        raise ValueError(f"it is block {found.number}, not block {number}")
    return found


def timestamp(value: object) -> int:
    """Read a block's time, Unix seconds; the pending block's, too, which may have no number and no hash yet."""
    return quantity(mapping(value, "the block").get("timestamp"), "the block's timestamp", UINT63)


def base_fee(value: object) -> int:
    """Read a block's base fee, wei; 0 before London."""
    fee = mapping(value, "the block").get("baseFeePerGas")
    return 0 if fee is None else quantity(fee, "the block's baseFeePerGas")


def log(value: object) -> Log:
    """Read a log."""
    fields = mapping(value, "the log")
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) > MOST_TOPICS:
        raise ValueError("the log's topics are not a list of at most four")
    return Log(
        quantity(fields.get("blockNumber"), "the log's blockNumber", UINT63),
        data(fields.get("blockHash"), "the log's blockHash", 32),
        quantity(fields.get("transactionIndex"), "the log's transactionIndex", UINT32),
        quantity(fields.get("logIndex"), "the log's logIndex", UINT32),
        address(data(fields.get("address"), "the log's address", 20)),
        tuple(data(topic, "the log's topic", 32) for topic in topics),
        data(fields.get("data"), "the log's data"),
    )


def logs(value: object) -> list[Log]:
    """Read a list of logs."""
    if not isinstance(value, list):
        raise ValueError("the logs are not a list")
    return [log(entry) for entry in value]


def receipt(value: object, transaction_hash: bytes) -> Receipt:
    """Read the receipt of a transaction, whose hash has 32 bytes."""
    fields = mapping(value, "the receipt")
    if data(fields.get("transactionHash"), "the receipt's transactionHash", 32) != transaction_hash:
        raise ValueError("the receipt is another transaction's")
    created = fields.get("contractAddress")
    return Receipt(
        transaction_hash,
        quantity(fields.get("blockNumber"), "the receipt's blockNumber", UINT63),
        quantity(fields.get("status"), "the receipt's status", 1) == 1,
        quantity(fields.get("gasUsed"), "the receipt's gasUsed"),
        None if created is None else address(data(created, "the receipt's contractAddress", 20)),
        tuple(logs(fields.get("logs"))),
    )
