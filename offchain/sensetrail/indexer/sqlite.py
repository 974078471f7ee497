"""The store's embedded database: SQLite in a file, in WAL mode, so that a reader never waits for the writer."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sensetrail.core.primitives import Address
from sensetrail.disk import explained, make_folder, require_regular, sqlite_error
from sensetrail.errors import WorkspaceError
from sensetrail.indexer.store import INDEX_AGAIN, Store, open_store

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another's transaction: a command that derives, or a reader's checkpoint."""
ROWS_AT_ONCE = 64
UNWRITABLE = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM}
)
"""What SQLite says when it cannot write the files that it keeps beside a database."""
TRIES, PAUSE = 25, 0.02
"""How often, and how many seconds apart, a holder is asked for its name."""


FileStamp = tuple[int, int, int] | None
"""A file's number, size and time of change (ns); None where there is none."""
Stamp = tuple[FileStamp, FileStamp]
"""The database's and its log's."""


class SqliteDatabase:
    """A database in a file."""

    types: Mapping[str, str] = {"integer": "INTEGER", "bytes": "BLOB", "text": "TEXT", "strict": " STRICT"}

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        """Open it, or make it.

        Args:
            path: The file.
            reading: Only to read. Then the file must be there, and may lie on a disk that cannot be written to.

        Raises:
            WorkspaceError: It is no database, or another program's.
            DiskError: The disk does not let us.
        """
        self.name = str(path)
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock: IO[str] | None = None
        self._stamp: Stamp | None = None
        require_regular(path)
        if not reading:
            make_folder(path.parent)
        with self._explained():
            self._connection = (
                self._open_to_read() if reading else sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)
            )
        try:
            with self._explained():
                self._require_ours()
                if reading:
                    return
                # A block's logs are some ten kilobytes: with larger pages fewer overflow. Counts for a new file only.
                self._connection.execute("PRAGMA page_size = 16384")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA wal_autocheckpoint = 2000")
                # A crash of the machine may cost the newest transactions, never the file: they are read again.
                self._connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            self._connection.close()
            raise

    def has_tables(self) -> bool:
        """Whether the store's tables were made."""
        return bool(list(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'origin'")))

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement."""
        with self._explained():
            self._connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row."""
        with self._explained():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[Sequence[object]]:
        """Give a query's rows, a few at a time."""
        with self._explained():
            cursor = self._connection.execute(query, values)
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                yield from found

    def begin_reading(self) -> None:
        """Let all rows until `end_reading` be of one moment, whatever others write meanwhile."""
        self.execute("BEGIN DEFERRED")

    def end_reading(self) -> None:
        """End what `begin_reading` began.

        Raises:
            WorkspaceError: It was read without locks, and has changed meanwhile.
        """
        self.roll_back()
        self._require_unchanged()

    def begin(self) -> None:
        """Begin a transaction; one at a time has the store."""
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make a transaction's changes all at once."""
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo a transaction."""
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def hold(self) -> str | None:
        """Take the store for writing, until closed; give who holds it already, if anyone does.

        The lock is the operating system's: it goes with its process, however that ends.
        """
        if self._lock is not None:
            return None
        with explained(self._lock_path):
            require_regular(self._lock_path)
            # Not truncated by opening: another's name stands in it.
            lock = os.fdopen(os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644), "r+", errors="replace")
            try:
                return self._take(lock)
            finally:
                if self._lock is None:
                    with suppress(OSError):
                        lock.close()

    def _take(self, lock: IO[str]) -> str | None:
        for _ in range(TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Who has just taken it may not have written his name yet.
                lock.seek(0)
                holder = _who(lock.read(500))
                if holder is not None:
                    return holder
                time.sleep(PAUSE)
        else:
            return "a process that does not say its name"
        lock.seek(0)
        lock.truncate()
        json.dump({"pid": os.getpid(), "since": int(time.time())}, lock)
        lock.flush()
        self._lock = lock
        return None

    def copy(self, path: Path) -> None:
        """Copy it into a new file, as it is at one moment.

        Raises:
            WorkspaceError: It has changed meanwhile.
            DiskError: There is no room for the copy.
        """
        with closing(SqliteDatabase(path)) as target, target._explained():
            self._connection.backup(target._connection)
        self._require_unchanged()

    def close(self) -> None:
        """Close it, and let go of it."""
        self._connection.close()
        if self._lock is not None:
            # So that the next holder is not taken for this one before it has written its own name.
            with suppress(OSError):
                self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def _require_ours(self) -> None:
        """Refuse another program's database before anything is written into it."""
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "origin" not in tables:
            raise WorkspaceError(f"{self.name} is not an index: it is another program's database", INDEX_AGAIN)

    def _open_to_read(self) -> sqlite3.Connection:
        """Open the file to read it, wherever it lies.

        In WAL mode even a reader writes, into the index of the log beside the file. Where the disk does not let it, the
        file is read without locks: together with its log, if a writer that was killed left one, so that nothing that it
        wrote is missing. Should the file change meanwhile, `end_reading` says so.
        """
        uri = f"file:{quote(os.fsencode(self._path.absolute()))}"
        log = self._path.with_name(self._path.name + "-wal")
        try:
            return _checked(sqlite3.connect(f"{uri}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT))
        except sqlite3.OperationalError as error:
            # With a journal of changes that must be undone first, the file alone would tell something else.
            is_half_written = self._path.with_name(self._path.name + "-journal").exists()
            if error.sqlite_errorcode & 0xFF not in UNWRITABLE or is_half_written or not self._path.is_file():
                raise
        self._stamp = self._look()
        if self._stamp[1] is None or not log.stat().st_size:
            return _checked(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None))
        # Without locks, and alone: then SQLite keeps the log's index in memory.
        connection = sqlite3.connect(f"{uri}?mode=ro&vfs=unix-none", uri=True, isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return _checked(connection)

    def _look(self) -> Stamp:
        """Give what changes with every change of the file or its log."""
        return _stamp(self._path), _stamp(self._path.with_name(self._path.name + "-wal"))

    def _require_unchanged(self) -> None:
        if self._stamp is not None and self._look() != self._stamp:
            raise WorkspaceError(f"{self.name} changed while it was read", "run the same command again")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # Python decodes what SQLite says of damaged text.
            raise sqlite_error(error, self._path, "the index", INDEX_AGAIN) from error


def open_sqlite(path: Path, genesis_hash: bytes, contracts: Sequence[Address], *, reading: bool = False) -> Store:
    """Open a store in a file, or make a new one; see `Store`."""
    return open_store(SqliteDatabase(path, reading=reading), genesis_hash, contracts, reading=reading)


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a store's file, which may lie on a disk that cannot be written to.

    Raises:
        WorkspaceError: It changed meanwhile, or is damaged.
        DiskError: It cannot be read, or there is no room for the copy.
    """
    with closing(SqliteDatabase(source, reading=True)) as database:
        database.copy(target)


def _checked(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Read from a connection once, because opening alone tells nothing; close it if that fails."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _stamp(path: Path) -> FileStamp:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _who(text: str) -> str | None:
    try:
        said = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(said["since"])))
        return f"process {int(said['pid'])}, since {since}"
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None
