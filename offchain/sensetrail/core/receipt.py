"""Transactions' receipts: what stands in a block's receipts trie (Yellow Paper, section 4.3.1; EIP-658, EIP-2718).

A receipt is hostile, whether it comes as bytes or as a node's JSON: its bloom filter is computed from its logs, and
whatever is not in its one encoding is refused. That it is a block's own, the block's `receipts_root` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp

from sensetrail.core.header import BLOOM_LENGTH, BlockHeader, bloom_bits, json_bytes, json_integer
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.primitives import address
from sensetrail.core.strict_rlp import RlpItem, decode_integer, decode_rlp
from sensetrail.errors import VerificationError

LAST_TYPE = 4
"""Transactions' types are 0 to 4, as in `sensetrail.core.transaction`; other types' receipts may have other fields."""

_DEPTH = 4
"""How deep a receipt's lists nest: receipt, logs, log, topics."""
MOST_TOPICS = 4


class ContradictionError(VerificationError):
    """A receipt's bloom filter is not that of its own logs."""


class UnknownTypeError(VerificationError):
    """A receipt of a type that Ethereum does not have; `actual` is the type."""


@dataclass(frozen=True, slots=True)
class ReceiptLog:
    """A log as its receipt holds it; where it stands, the receipt's place tells.

    Attributes:
        address: The contract that emitted it, 20 bytes.
        topics: At most 4, of 32 bytes each.
        data: Any bytes.
    """

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """What a transaction did.

    Attributes:
        type: The transaction's, 0 to 4.
        succeeded: Whether it did not revert.
        cumulative_gas_used: By it and those before it in its block, gas.
        logs: What it emitted, in order.
    """

    type: int
    succeeded: bool
    cumulative_gas_used: int
    logs: tuple[ReceiptLog, ...]

    def encode(self) -> bytes:
        """Give what stands in the receipts trie: RLP, behind its type's byte unless that is 0 (EIP-2718)."""
        logs = [(log.address, log.topics, log.data) for log in self.logs]
        payload: bytes = rlp.encode([int(self.succeeded), self.cumulative_gas_used, bloom(self.logs), logs])
        return payload if self.type == 0 else bytes([self.type]) + payload


def bloom(logs: Sequence[ReceiptLog]) -> bytes:
    """Give the bloom filter of some logs' addresses and topics, 256 bytes."""
    bits = 0
    for log in logs:
        for value in (log.address, *log.topics):
            bits |= bloom_bits(value)
    return bits.to_bytes(BLOOM_LENGTH, "big")


def decode_receipt(data: bytes) -> TransactionReceipt:
    """Decode a receipt.

    Args:
        data: As `TransactionReceipt.encode` gives it.

    Returns:
        The receipt, whose encoding is `data`.

    Raises:
        VerificationError: It is none, it is of before EIP-658, or its bloom filter is not its logs'.
    """
    kind = data[0] if data[:1] and data[0] <= LAST_TYPE else 0
    fields = _items(decode_rlp(data[1:] if kind else data, _DEPTH), 4)
    status, gas = _string(fields[0]), _string(fields[1])
    if status not in (b"", b"\x01"):
        raise _wrong("a status that is neither 0 nor 1")
    logs = tuple(_log(item) for item in _items(fields[3]))
    receipt = TransactionReceipt(kind, bool(status), decode_integer(gas, 8), logs)
    if bloom(logs) != fields[2]:
        raise _contradiction(bloom(logs), fields[2])
    if receipt.encode() != data:
        raise _wrong("it is not in its one encoding")
    return receipt


def receipt_from_rpc(receipt: Mapping[str, Any]) -> TransactionReceipt:
    """Read a receipt from a node's JSON.

    Args:
        receipt: What `eth_getTransactionReceipt` answers, or one of `eth_getBlockReceipts`'s.

    Raises:
        VerificationError: It is malformed.
        UnknownTypeError: Ethereum does not have its type.
        ContradictionError: Its bloom filter is not its logs'.
    """
    fields = _mapping(receipt, "receipt")
    # Nodes of before EIP-2718 say no type: theirs are all of type 0.
    kind = json_integer(fields.get("type", "0x0"), "type", 1)
    status = json_integer(fields.get("status"), "status", 1)
    if kind > LAST_TYPE:
        raise UnknownTypeError(f"a receipt of type {kind}", "use another node", actual=kind)
    if status > 1:
        raise _wrong(f"its status is {status}")
    entries = fields.get("logs")
    if not isinstance(entries, list):
        raise _wrong("no list of logs")
    logs = tuple(_log_from_rpc(_mapping(entry, "log")) for entry in entries)
    stated = json_bytes(fields.get("logsBloom"), "logsBloom")
    if bloom(logs) != stated:
        raise _contradiction(bloom(logs), stated)
    gas = json_integer(fields.get("cumulativeGasUsed"), "cumulativeGasUsed")
    return TransactionReceipt(kind, status == 1, gas, logs)


def logs_of(header: BlockHeader, receipts: Sequence[TransactionReceipt], contracts: Sequence[bytes]) -> BlockLogs:
    """Take some contracts' logs out of a block's receipts.

    Args:
        header: The block's.
        receipts: All of the block's, proven to be its own.
        contracts: Addresses, 20 bytes each.
    """
    logs = []
    log_index = 0
    for index, receipt in enumerate(receipts):
        for log in receipt.logs:
            if log.address in contracts:
                where = address(log.address)
                logs.append(Log(header.number, header.hash, index, log_index, where, log.topics, log.data))
            log_index += 1
    return BlockLogs.of(header.number, header.hash, header.timestamp, header.rlp, logs)


def _log(item: RlpItem) -> ReceiptLog:
    where, topics, data = _items(item, 3)
    return _checked(ReceiptLog(_string(where), tuple(_string(topic) for topic in _items(topics)), _string(data)))


def _log_from_rpc(entry: Mapping[str, Any]) -> ReceiptLog:
    topics = entry.get("topics")
    if not isinstance(topics, list):
        raise _wrong("a log without a list of topics")
    return _checked(
        ReceiptLog(
            json_bytes(entry.get("address"), "address"),
            tuple(json_bytes(topic, "topic") for topic in topics),
            json_bytes(entry.get("data"), "data"),
        )
    )


def _checked(log: ReceiptLog) -> ReceiptLog:
    if len(log.address) != 20 or len(log.topics) > MOST_TOPICS or any(len(topic) != 32 for topic in log.topics):
        raise _wrong("a log whose address or topics are not an address and topics")
    return log


def _items(item: RlpItem, count: int | None = None) -> list[RlpItem]:
    if not isinstance(item, list) or count not in (None, len(item)):
        raise _wrong("its fields are not a receipt's")
    return item


def _string(item: RlpItem) -> bytes:
    if isinstance(item, list):
        raise _wrong("its fields are not a receipt's")
    return item


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(f"no object where a {name} belongs")
    return value


def _contradiction(expected: bytes, actual: object) -> ContradictionError:
    return ContradictionError(
        "a receipt does not hold: its bloom filter is not its logs'",
        "use another node",
        expected=expected,
        actual=actual,
    )


def _wrong(what: str) -> VerificationError:
    return VerificationError(f"a receipt does not hold: {what}", "use another node")
