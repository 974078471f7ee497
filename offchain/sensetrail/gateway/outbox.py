"""The outbox: every reading that is to be sent, with the sequence number it will have, in SQLite.

A reading leaves the outbox's care only when an event of the chain shows it accepted; a transaction that was sent proves
nothing. So an interruption, a failed transaction or another gateway loses nothing and sends nothing twice.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState
from sensetrail.disk import make_folder, require_regular, sqlite_error, temporary_folder
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
) STRICT
"""
COLUMNS = ["device", "sequence", "measured_at", "temperature", "humidity", "transaction_hash", "accepted"]
RESTORE = (
    "restore it from a backup; without one, move it away, and post only the readings that the chain does not have yet "
    "(sensetrail query readings shows those that it has)"
)
Reading = tuple[int, int, int]
"""measured_at (Unix s), temperature (0.01 degC), humidity (0.01 %RH)."""
Part = tuple[Address, int, int]
"""Device, first sequence number and count of consecutive readings."""


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

    def __init__(self, path: Path, original: Path | None = None) -> None:
        """Open the outbox, or make a new one.

        Args:
            path: The file.
            original: The file that messages name, where this one is a copy of it.

        Raises:
            WorkspaceError: The file is no outbox, is damaged, or another command uses it.
            DiskError: The disk does not let us.
        """
        make_folder(path.parent)
        require_regular(path)
        self._path = path
        self._shown = original or path
        with self._explained():
            self._database = sqlite3.connect(path, isolation_level=None)
        try:
            with self._explained():
                self._require_ours()
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute(SCHEMA)
                self._inode = path.stat().st_ino
        except BaseException:
            self._database.close()
            raise

    @classmethod
    @contextmanager
    def rehearsal(cls, path: Path) -> Iterator[Outbox]:
        """Give a copy of an outbox to try things out on: it is forgotten, and the file stays as it is.

        Args:
            path: The outbox's file; where there is none, the copy is empty.

        Raises:
            WorkspaceError: The file is no outbox, or is damaged.
        """
        with temporary_folder() as folder:
            copy = folder / path.name
            if os.path.lexists(path):
                require_regular(path)
                _copy(path, copy)
            with cls(copy, path) as outbox:
                yield outbox

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

    def counts(self) -> tuple[int, int]:
        """Give how many readings are not known to be on the chain, and how many are."""
        ((waiting, known),) = self._rows("SELECT count(*) - total(accepted), total(accepted) FROM readings", ())
        return int(waiting), int(known)

    def unsettled(self, device: Address, chain_sequence: int) -> list[Unsettled]:
        """Give the readings whose numbers the chain has used, by us or by another, we do not know yet."""
        rows = self._rows(
            "SELECT sequence, measured_at, temperature, humidity, transaction_hash FROM readings "
            "WHERE device = ? AND sequence < ? AND NOT accepted ORDER BY sequence",
            (device, chain_sequence),
        )
        return [Unsettled(row[0], (row[1], row[2], row[3]), row[4]) for row in rows]

    def hashes_on_their_way(self, device: Address) -> list[bytes]:
        """Give the transactions that carry readings not known to be accepted, each once."""
        rows = self._rows(
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

    def mark_sent(self, parts: Iterable[Part], transaction_hash: bytes) -> None:
        """Note the transaction that carries some readings, all of them or none.

        Called before the transaction leaves: if this fails, nothing was sent.

        Args:
            parts: What it carries.
            transaction_hash: 32 bytes.

        Raises:
            WorkspaceError: The outbox is in use, or was moved or deleted.
            DiskError: The disk is full, or does not let us.
        """
        if not self._path.exists() or self._path.stat().st_ino != self._inode:
            raise WorkspaceError(
                f"{self._path} was moved or deleted while it was in use; nothing more was sent",
                "put it back: it knows what was sent; then run the same command again",
            )
        with self._transaction() as database:
            database.executemany(
                "UPDATE readings SET transaction_hash = ? WHERE device = ? AND sequence >= ? AND sequence < ?",
                [(transaction_hash, device, first, first + count) for device, first, count in parts],
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
        rows = self._rows(
            "SELECT sequence, measured_at, temperature, humidity FROM readings "
            "WHERE device = ? AND NOT accepted ORDER BY sequence",
            (device,),
        )
        if not rows:
            return None
        sequence, *columns = zip(*rows, strict=True)
        return Pending(sequence[0], Measurements.of(*columns))

    def _require_ours(self) -> None:
        """Refuse another program's database before anything is written into it."""
        tables = [row[0] for row in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [row[1] for row in self._database.execute("PRAGMA table_info(readings)")]
        if tables and columns != COLUMNS:
            raise WorkspaceError(f"{self._shown} is not an outbox: it is another program's database", RESTORE)
        # Damage is better found now than in the middle of sending.
        for (found,) in self._database.execute("PRAGMA quick_check(1)"):
            if found != "ok":
                raise WorkspaceError(f"the outbox {self._shown} is damaged: {found}", RESTORE)

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Give a query's rows."""
        with self._explained():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else in between."""
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                yield self._database

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # Python decodes what SQLite says of damaged text. What a disk refuses is the copy's, if this is one.
            path = self._path if isinstance(error, sqlite3.OperationalError) else self._shown
            raise sqlite_error(error, path, "the outbox", RESTORE) from error


def _copy(path: Path, copy: Path) -> None:
    """Copy a database, while others may write to it."""
    try:
        with (
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(copy)) as target,
        ):
            original.backup(target)
    except sqlite3.OperationalError:
        # Where nothing can be written, SQLite does not open a database in WAL mode; but then nobody else writes either.
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.is_file():
                copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    except sqlite3.DatabaseError as error:
        raise sqlite_error(error, path, "the outbox", RESTORE) from error
