"""The index's store: logs and block headers, verbatim, in SQLite (WAL: a reader never waits)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sensetrail.core.events import Block, Log
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.errors import WorkspaceError, WrongChainError

SCHEMA = """
CREATE TABLE IF NOT EXISTS origin (genesis_hash BLOB NOT NULL, contracts TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cursor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parent_hash BLOB NOT NULL,
    timestamp INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS blocks (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    parent_hash BLOB NOT NULL,
    timestamp INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS logs (
    block_number INTEGER NOT NULL REFERENCES blocks (number),
    log_index INTEGER NOT NULL,
    transaction_hash BLOB NOT NULL,
    address TEXT NOT NULL,
    topics BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (block_number, log_index)
) STRICT;
"""


class Store(Protocol):
    """What the indexer and its readers need of a store."""

    def cursor(self) -> Block | None:
        """Give the block through which everything is stored; None at the beginning."""

    def append(self, blocks: Sequence[Block], logs: Sequence[Log], cursor: Block) -> None:
        """Store blocks and their logs and move the cursor, all or nothing."""

    def clear(self) -> None:
        """Forget everything, to begin again."""

    def logs(self, contract: Address, through_block: int) -> Iterator[Log]:
        """Give a contract's logs up to a block, in the order of the chain."""

    def block_times(self) -> dict[int, int]:
        """Give the timestamp of every block that has a log, Unix seconds."""


class SqliteStore:
    """A store in a file."""

    def __init__(self, path: Path, genesis_hash: bytes, contracts: Sequence[Address]) -> None:
        """Open the store, or make a new one.

        Args:
            path: The file.
            genesis_hash: The chain's block 0, 32 bytes.
            contracts: Whose logs it holds.

        Raises:
            WrongChainError: It holds another chain's or other contracts' logs.
            WorkspaceError: It is no store.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        expected = (genesis_hash, " ".join(contracts))
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(SCHEMA)
            self._database.execute("INSERT INTO origin SELECT ?, ? WHERE NOT EXISTS (SELECT * FROM origin)", expected)
            origin = self._database.execute("SELECT genesis_hash, contracts FROM origin").fetchone()
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(f"{path} is not an index: {error}", "delete it and index again") from error
        if origin != expected:
            self._database.close()
            raise WrongChainError(
                f"{path} is the index of another deployment: {origin[1]} on the chain of block {hex_word(origin[0])}",
                "use that deployment's node, or a new --workspace",
                expected=origin,
                actual=expected,
            )

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def cursor(self) -> Block | None:
        """Give the block through which everything is stored; None at the beginning."""
        row = self._database.execute("SELECT number, hash, parent_hash, timestamp FROM cursor").fetchone()
        return Block(*row) if row else None

    def append(self, blocks: Sequence[Block], logs: Sequence[Log], cursor: Block) -> None:
        """Store blocks and their logs and move the cursor, all or nothing.

        Raises:
            WorkspaceError: Another indexer stored some of them meanwhile.
        """
        try:
            self._append(blocks, logs, cursor)
        except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
            raise WorkspaceError("another command uses this index", "run this one again after it") from error

    def _append(self, blocks: Sequence[Block], logs: Sequence[Log], cursor: Block) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            found = self.cursor()
            if found is not None and found.number >= cursor.number:
                raise sqlite3.IntegrityError("the cursor is past these blocks")
            self._database.executemany(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)",
                [(block.number, block.hash, block.parent_hash, block.timestamp) for block in blocks],
            )
            self._database.executemany(
                "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (log.block_number, log.log_index, log.transaction_hash, log.address, b"".join(log.topics), log.data)
                    for log in logs
                ],
            )
            self._database.execute(
                "INSERT OR REPLACE INTO cursor VALUES (1, ?, ?, ?, ?)",
                (cursor.number, cursor.hash, cursor.parent_hash, cursor.timestamp),
            )

    def clear(self) -> None:
        """Forget everything, to begin again."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for statement in ("DELETE FROM logs", "DELETE FROM blocks", "DELETE FROM cursor"):
                self._database.execute(statement)

    def logs(self, contract: Address, through_block: int) -> Iterator[Log]:
        """Give a contract's logs up to a block, in the order of the chain."""
        for number, block_hash, transaction_hash, index, where, topics, data in self._database.execute(
            "SELECT block_number, hash, transaction_hash, log_index, address, topics, data FROM logs "
            "JOIN blocks ON number = block_number WHERE address = ? AND block_number <= ? "
            "ORDER BY block_number, log_index",
            (contract, through_block),
        ):
            split = tuple(topics[i : i + 32] for i in range(0, len(topics), 32))
            yield Log(number, block_hash, transaction_hash, index, address(where), split, data)

    def block_times(self) -> dict[int, int]:
        """Give the timestamp of every block that has a log, Unix seconds."""
        return dict(self._database.execute("SELECT number, timestamp FROM blocks"))
