"""The outbox: every reading that is to be sent, with the sequence number it will have, in SQLite.

A reading leaves the outbox's care only when an event of the chain shows it accepted; a transaction that was sent proves
nothing. So an interruption, a failed transaction or another gateway loses nothing and sends nothing twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState
from sensetrail.errors import InputError, WorkspaceError

SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (
    device TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    measured_at INTEGER NOT NULL,
    temperature INTEGER NOT NULL,
    humidity INTEGER NOT NULL,
    transaction_hash BLOB,
    accepted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, sequence),
    UNIQUE (device, measured_at, temperature, humidity)
) STRICT;
"""
Reading = tuple[int, int, int]
"""measured_at (Unix s), temperature (0.01 degC), humidity (0.01 %RH)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A device's readings that the chain does not have yet.

    Attributes:
        first_sequence: The first one's sequence number; the others follow without a gap.
        measurements: The readings.
    """

    first_sequence: int
    measurements: Measurements


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A reading that was numbered below the chain's next sequence number and is not known to be accepted.

    Attributes:
        sequence: Its number.
        reading: What it says.
        transaction_hash: The transaction that was to carry it, if one was sent.
    """

    sequence: int
    reading: Reading
    transaction_hash: bytes | None


class Outbox:
    """An outbox in a file."""

    def __init__(self, path: Path) -> None:
        """Open the outbox, or make a new one.

        Raises:
            WorkspaceError: The file is no outbox.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(f"{path} is not an outbox: {error}", "restore it from a backup") from error

    @classmethod
    def rehearsal(cls, path: Path) -> Outbox:
        """Open a copy of an outbox in memory: what is done to it is forgotten, and the file stays as it is.

        Args:
            path: The outbox's file; where there is none, the copy is empty.
        """
        copy = cls(Path(":memory:"))
        if path.is_file():
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as original:
                original.backup(copy._database)
        return copy

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def queue(self, device: Address, measurements: Measurements, state: DeviceState) -> int:
        """Queue a device's readings; those queued before are known and left out.

        Args:
            device: Whose.
            measurements: In the order of measuring.
            state: The device's state on the chain.

        Returns:
            How many are new.

        Raises:
            InputError: A new reading is not after the device's latest on the chain or in the queue: it would be
                judged illegal for its time.
        """
        columns = (measurements.measured_at, measurements.temperature, measurements.humidity)
        rows = dict.fromkeys(zip(*(column.tolist() for column in columns), strict=True))
        with self._transaction() as database:
            known = set(
                database.execute("SELECT measured_at, temperature, humidity FROM readings WHERE device = ?", (device,))
            )
            fresh = [row for row in rows if row not in known]
            last_sequence, last_time = database.execute(
                "SELECT max(sequence), max(measured_at) FROM readings WHERE device = ?", (device,)
            ).fetchone()
            latest = max(state.last_time, last_time or 0)
            if fresh and fresh[0][0] <= latest:
                raise InputError(
                    f"device {device} has readings up to Unix second {latest}; the new ones begin at {fresh[0][0]}",
                    "send only newer readings; if they were sent from elsewhere, use that workspace's outbox",
                )
            first = max(state.sequence, 0 if last_sequence is None else last_sequence + 1)
            database.executemany(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?, NULL, 0)",
                [(device, first + i, *row) for i, row in enumerate(fresh)],
            )
        return len(fresh)

    def unsettled(self, device: Address, chain_sequence: int) -> list[Unsettled]:
        """Give the readings whose numbers the chain has used, by us or by another, we do not know yet."""
        rows = self._database.execute(
            "SELECT sequence, measured_at, temperature, humidity, transaction_hash FROM readings "
            "WHERE device = ? AND sequence < ? AND NOT accepted ORDER BY sequence",
            (device, chain_sequence),
        )
        return [Unsettled(row[0], (row[1], row[2], row[3]), row[4]) for row in rows]

    def hashes_on_their_way(self, device: Address) -> list[bytes]:
        """Give the transactions that carry readings not known to be accepted, each once."""
        rows = self._database.execute(
            "SELECT DISTINCT transaction_hash FROM readings "
            "WHERE device = ? AND NOT accepted AND transaction_hash IS NOT NULL",
            (device,),
        )
        return [row[0] for row in rows]

    def mark_accepted(self, device: Address, sequences: Sequence[int]) -> None:
        """Note that the chain has these readings."""
        with self._transaction() as database:
            database.executemany(
                "UPDATE readings SET accepted = 1 WHERE device = ? AND sequence = ?",
                [(device, sequence) for sequence in sequences],
            )

    def mark_sent(self, device: Address, first_sequence: int, count: int, transaction_hash: bytes) -> None:
        """Note the transaction that carries some readings; called before it leaves."""
        self._database.execute(
            "UPDATE readings SET transaction_hash = ? WHERE device = ? AND sequence >= ? AND sequence < ?",
            (transaction_hash, device, first_sequence, first_sequence + count),
        )

    def renumber(self, device: Address, state: DeviceState) -> None:
        """Number a device's pending readings on from the chain's next sequence number.

        Called when every reading below that number is settled: what is left there was never accepted.

        Raises:
            InputError: A pending reading is not after the device's latest on the chain.
        """
        with self._transaction() as database:
            rows = database.execute(
                "SELECT sequence, measured_at FROM readings WHERE device = ? AND NOT accepted ORDER BY sequence",
                (device,),
            ).fetchall()
            if [row[0] for row in rows] == list(range(state.sequence, state.sequence + len(rows))):
                return
            late = sum(measured_at <= state.last_time for _, measured_at in rows)
            if late:
                raise InputError(
                    f"{late} queued readings of device {device} lie behind its latest on the chain, which came from "
                    "elsewhere: sent now, they would be judged illegal",
                    "send for a device from one workspace only; to give these up, delete this one's outbox.sqlite",
                )
            # Out of the way first: the numbers are a key, and old and new ones overlap.
            database.executemany(
                "UPDATE readings SET sequence = ?, transaction_hash = NULL WHERE device = ? AND sequence = ?",
                [(-1 - old, device, old) for old, _ in rows],
            )
            database.executemany(
                "UPDATE readings SET sequence = ? WHERE device = ? AND sequence = ?",
                [(state.sequence + i, device, -1 - old) for i, (old, _) in enumerate(rows)],
            )

    def pending(self, device: Address) -> Pending | None:
        """Give the readings that the chain is not known to have; None where there are none."""
        rows = self._database.execute(
            "SELECT sequence, measured_at, temperature, humidity FROM readings "
            "WHERE device = ? AND NOT accepted ORDER BY sequence",
            (device,),
        ).fetchall()
        if not rows:
            return None
        sequence, *columns = zip(*rows, strict=True)
        return Pending(sequence[0], Measurements.of(*columns))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else in between."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise WorkspaceError("another command uses this outbox", "run this one again after it") from error
        with self._database:
            yield self._database
