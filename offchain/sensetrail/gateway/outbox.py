"""The outbox: every reading that is to be sent, with the sequence number it will have, in SQLite.

A reading gets its sequence number once, when it is queued. What the chain has accepted is told by the chain's own
sequence number, so an interruption at any point loses nothing and sends nothing twice.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState
from sensetrail.errors import InputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (
    device TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    measured_at INTEGER NOT NULL,
    temperature INTEGER NOT NULL,
    humidity INTEGER NOT NULL,
    transaction_hash BLOB,
    PRIMARY KEY (device, sequence),
    UNIQUE (device, measured_at, temperature, humidity)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A device's readings that the chain does not have yet.

    Attributes:
        first_sequence: The first one's sequence number; the others follow without a gap.
        measurements: The readings.
        transaction_hashes: Each reading's last transaction, None where none was sent.
    """

    first_sequence: int
    measurements: Measurements
    transaction_hashes: tuple[bytes | None, ...]


class Outbox:
    """An outbox in a file."""

    def __init__(self, path: Path) -> None:
        """Open the outbox, or make a new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InputError(f"{path} is not an outbox: {error}", "restore it from a backup") from error

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
        rows = list(
            zip(
                measurements.measured_at.tolist(),
                measurements.temperature.tolist(),
                measurements.humidity.tolist(),
                strict=True,
            )
        )
        known = {
            (row[0], row[1], row[2])
            for row in self._database.execute(
                "SELECT measured_at, temperature, humidity FROM readings WHERE device = ?", (device,)
            )
        }
        fresh = [row for row in dict.fromkeys(rows) if row not in known]
        last_sequence, last_time = self._database.execute(
            "SELECT max(sequence), max(measured_at) FROM readings WHERE device = ?", (device,)
        ).fetchone()
        latest = max(state.last_time, last_time or 0)
        if fresh and fresh[0][0] <= latest:
            raise InputError(
                f"device {device} has readings up to Unix second {latest}; the new ones begin at {fresh[0][0]}",
                "send only newer readings; if they were sent from elsewhere, use that workspace's outbox",
            )
        first = max(state.sequence, 0 if last_sequence is None else last_sequence + 1)
        with self._transaction():
            self._database.executemany(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?, NULL)",
                [(device, first + i, *row) for i, row in enumerate(fresh)],
            )
        return len(fresh)

    def pending(self, device: Address, chain_sequence: int) -> Pending | None:
        """Give the readings that the chain does not have; None where there are none.

        Args:
            device: Whose.
            chain_sequence: The device's next sequence number on the chain.
        """
        rows = self._database.execute(
            "SELECT sequence, measured_at, temperature, humidity, transaction_hash FROM readings "
            "WHERE device = ? AND sequence >= ? ORDER BY sequence",
            (device, chain_sequence),
        ).fetchall()
        if not rows:
            return None
        sequence, measured_at, temperature, humidity, hashes = zip(*rows, strict=True)
        if sequence[0] != chain_sequence:
            raise InputError(
                f"the chain expects device {device}'s reading {chain_sequence}, the outbox begins at {sequence[0]}",
                "use the workspace that sent the earlier readings, or a new one for a new chain",
            )
        return Pending(sequence[0], Measurements.of(measured_at, temperature, humidity), tuple(hashes))

    def mark_sent(self, device: Address, first_sequence: int, count: int, transaction_hash: bytes) -> None:
        """Note the transaction that carries some readings; called before it leaves."""
        self._database.execute(
            "UPDATE readings SET transaction_hash = ? WHERE device = ? AND sequence >= ? AND sequence < ?",
            (transaction_hash, device, first_sequence, first_sequence + count),
        )

    def _transaction(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database
