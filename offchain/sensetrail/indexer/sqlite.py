"""The store's embedded database: SQLite in a file, in WAL mode, so that a reader never waits for the writer."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from sensetrail.core.primitives import Address
from sensetrail.errors import WorkspaceError
from sensetrail.indexer.store import Store, open_store

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another's transaction: a command that derives, or a reader's checkpoint."""
ROWS_AT_ONCE = 64
TRIES, PAUSE = 25, 0.02
"""How often, and how many seconds apart, a holder is asked for its name."""


class SqliteDatabase:
    """A database in a file."""

    types: Mapping[str, str] = {"integer": "INTEGER", "bytes": "BLOB", "text": "TEXT", "strict": " STRICT"}

    def __init__(self, path: Path) -> None:
        """Open it, or make it.

        Raises:
            WorkspaceError: It is no database.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name = str(path)
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock: IO[str] | None = None
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)
            # A block's logs are some ten kilobytes: with larger pages fewer overflow. It counts for a new file only.
            self._connection.execute("PRAGMA page_size = 16384")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 2000")
            # A crash of the machine may cost the newest transactions, never the file: they are read again.
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def has_tables(self) -> bool:
        """Whether the store's tables were made."""
        return bool(list(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'origin'")))

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement."""
        try:
            self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row."""
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[Sequence[object]]:
        """Give a query's rows, a few at a time."""
        try:
            cursor = self._connection.execute(query, values)
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                yield from found
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def begin_reading(self) -> None:
        """Let all rows until `end_reading` be of one moment, whatever others write meanwhile."""
        self.execute("BEGIN DEFERRED")

    def end_reading(self) -> None:
        """End what `begin_reading` began."""
        self.roll_back()

    def begin(self) -> None:
        """Begin a transaction; one at a time has the store."""
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make a transaction's changes all at once."""
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo a transaction."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def hold(self) -> str | None:
        """Take the store for writing, until closed; give who holds it already, if anyone does.

        The lock is the operating system's: it goes with its process, however that ends.
        """
        if self._lock is not None:
            return None
        # Not truncated by opening: another's name stands in it.
        lock = os.fdopen(os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        for _ in range(TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Who has just taken it may not have written his name yet.
                lock.seek(0)
                holder = _who(lock.read(500))
                if holder is not None:
                    lock.close()
                    return holder
                time.sleep(PAUSE)
        else:
            lock.close()
            return "a process that does not say its name"
        lock.seek(0)
        lock.truncate()
        json.dump({"pid": os.getpid(), "since": int(time.time())}, lock)
        lock.flush()
        self._lock = lock
        return None

    def close(self) -> None:
        """Close it, and let go of it."""
        self._connection.close()
        if self._lock is not None:
            # So that the next holder is not taken for this one before it has written its own name.
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def _damaged(self, error: sqlite3.DatabaseError) -> WorkspaceError:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return WorkspaceError(f"another command uses {self.name}", "run this one again after it")
        return WorkspaceError(f"{self.name} is not an index: {error}", "delete it and index again")


def open_sqlite(path: Path, genesis_hash: bytes, contracts: Sequence[Address]) -> Store:
    """Open a store in a file, or make a new one; see `Store`."""
    return open_store(SqliteDatabase(path), genesis_hash, contracts)


def _who(text: str) -> str | None:
    try:
        said = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(said["since"])))
        return f"process {int(said['pid'])}, since {since}"
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None
