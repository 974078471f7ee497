"""A block's logs, verbatim, in columns: how they are stored, and read back many at a time.

One log takes 33 bytes of `entries` (all little-endian), 32 bytes of `topics` for each topic, and its data:

    entries   transaction index 4 | log index 4 | data length 4 | number of topics 1 | address 20
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.primitives import Address, address, address_bytes
from sensetrail.errors import VerificationError

ENTRY = np.dtype(
    [
        ("transaction_index", "<u4"),
        ("log_index", "<u4"),
        ("data_length", "<u4"),
        ("topic_count", "u1"),
        ("address", "u1", (20,)),
    ]
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as far as it is used.

    Attributes:
        number: Its height.
        hash: 32 bytes.
        parent_hash: 32 bytes.
        timestamp: Unix seconds.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Log:
    """A log, verbatim.

    Attributes:
        block_number: Its block's height.
        block_hash: Its block's hash, 32 bytes.
        transaction_index: Its transaction's place in the block.
        log_index: Its place in the block.
        address: The contract that emitted it.
        topics: 32 bytes each.
        data: ABI-encoded fields that are not indexed.
    """

    block_number: int
    block_hash: bytes
    transaction_index: int
    log_index: int
    address: Address
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class BlockLogs:
    """What one block holds of some contracts' logs.

    Attributes:
        number: Its height.
        hash: 32 bytes.
        timestamp: Unix seconds.
        header: Its header's RLP, which hashes to `hash`; None where the node's word was taken for everything here.
        entries: `n` times 33 bytes, see above.
        topics: All logs' topics, 32 bytes each.
        data: All logs' data.
    """

    number: int
    hash: bytes
    timestamp: int
    header: bytes | None
    entries: bytes
    topics: bytes
    data: bytes

    @property
    def proven(self) -> bool:
        """Whether it was proven when it was read: header, receipts and logs."""
        return self.header is not None

    def __len__(self) -> int:
        return len(self.entries) // ENTRY.itemsize

    def logs(self) -> Iterator[Log]:
        """Give the logs one by one.

        Raises:
            VerificationError: The columns do not fit each other: the store was damaged.
        """
        entries = np.frombuffer(self.entries, ENTRY) if len(self.entries) % ENTRY.itemsize == 0 else np.zeros(0, ENTRY)
        lengths = int(entries["data_length"].sum()), int(entries["topic_count"].sum()) * 32
        if lengths != (len(self.data), len(self.topics)) or not len(entries) == len(self):
            raise VerificationError(f"the logs stored of block {self.number} are damaged", "index --rebuild")
        topic = datum = 0
        for entry in entries.tolist():
            transaction_index, log_index, length, count, where = entry
            topics = tuple(self.topics[i : i + 32] for i in range(topic, topic + 32 * count, 32))
            data = self.data[datum : datum + length]
            yield Log(self.number, self.hash, transaction_index, log_index, address(bytes(where)), topics, data)
            topic += 32 * count
            datum += length

    @classmethod
    def of(cls, number: int, block_hash: bytes, timestamp: int, header: bytes | None, logs: Sequence[Log]) -> BlockLogs:
        """Put a block's logs into columns; inverse to `logs`."""
        entries = np.zeros(len(logs), ENTRY)
        for entry, log in zip(entries, logs, strict=True):
            entry["transaction_index"], entry["log_index"] = log.transaction_index, log.log_index
            entry["data_length"], entry["topic_count"] = len(log.data), len(log.topics)
            entry["address"] = np.frombuffer(address_bytes(log.address), np.uint8)
        topics = b"".join(topic for log in logs for topic in log.topics)
        data = b"".join(log.data for log in logs)
        return cls(number, block_hash, timestamp, header, entries.tobytes(), topics, data)


def portions(blocks: Iterable[BlockLogs], most_blocks: int, most_bytes: int) -> Iterator[list[BlockLogs]]:
    """Divide blocks into portions that fit memory: of so many blocks, or so many bytes of logs and no block more."""
    portion: list[BlockLogs] = []
    size = 0
    for block in blocks:
        portion.append(block)
        size += len(block.entries) + len(block.data)
        if len(portion) == most_blocks or size > most_bytes:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def gather(logs: Iterable[Log], timestamps: Mapping[int, int]) -> list[BlockLogs]:
    """Put logs, as a node gave them, block by block; nothing is proven by it.

    Args:
        logs: In the order of the chain.
        timestamps: Each block's by its number, Unix seconds.
    """
    grouped = groupby(logs, key=lambda log: (log.block_number, log.block_hash))
    return [
        BlockLogs.of(number, block_hash, timestamps[number], None, list(group))
        for (number, block_hash), group in grouped
    ]


@dataclass(frozen=True, slots=True, eq=False)
class LogTable:
    """Many blocks' logs as columns, `n` logs in the order of the chain.

    Attributes:
        blocks: The blocks.
        block: Each log's block as an index into `blocks`, shape `(n,)`.
        entries: Shape `(n,)`, dtype `ENTRY`.
        topics: All topics, shape `(number of topics, 32)`, uint8.
        topic_start: Each log's first topic, shape `(n,)`.
        data: All logs' data.
        data_start: Where each log's data begins, shape `(n,)`.
    """

    blocks: Sequence[BlockLogs]
    block: NDArray[np.int64]
    entries: NDArray[np.void]
    topics: NDArray[np.uint8]
    topic_start: NDArray[np.int64]
    data: bytes
    data_start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def of(cls, blocks: Iterable[BlockLogs]) -> LogTable:
        """Join blocks' columns.

        Raises:
            VerificationError: The columns do not fit each other: the store was damaged.
        """
        listed = list(blocks)
        joined = b"".join(block.entries for block in listed)
        topics = b"".join(block.topics for block in listed)
        data = b"".join(block.data for block in listed)
        if len(joined) % ENTRY.itemsize or len(topics) % 32:
            raise VerificationError("the stored logs are damaged", "index --rebuild")
        entries = np.frombuffer(joined, ENTRY)
        topic_end = np.cumsum(entries["topic_count"], dtype=np.int64)
        data_end = np.cumsum(entries["data_length"], dtype=np.int64)
        if len(entries) and (topic_end[-1] * 32, data_end[-1]) != (len(topics), len(data)):
            raise VerificationError("the stored logs are damaged", "index --rebuild")
        return cls(
            listed,
            np.repeat(np.arange(len(listed)), [len(block) for block in listed]),
            entries,
            np.frombuffer(topics, np.uint8).reshape(-1, 32),
            topic_end - entries["topic_count"],
            data,
            data_end - entries["data_length"],
        )

    def log(self, i: int) -> Log:
        """Give one log."""
        entry, block = self.entries[i], self.blocks[int(self.block[i])]
        start, datum = int(self.topic_start[i]), int(self.data_start[i])
        return Log(
            block.number,
            block.hash,
            int(entry["transaction_index"]),
            int(entry["log_index"]),
            address(entry["address"].tobytes()),
            tuple(self.topics[k].tobytes() for k in range(start, start + int(entry["topic_count"]))),
            self.data[datum : datum + int(entry["data_length"])],
        )
