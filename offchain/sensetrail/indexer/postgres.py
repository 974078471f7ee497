"""The store's database for teams: PostgreSQL, by its URL.

A store is a schema: the first of the connection's search path, which is `public` unless the URL says otherwise. So one
database serves several deployments: `postgresql://host/database?options=-csearch_path%3Dplant`, after `CREATE SCHEMA
plant`.

Passwords are libpq's business (PGPASSWORD, ~/.pgpass, certificates), never the URL's: a URL is seen by everyone who can
list processes, and stands in shell histories. Whoever may only read (SELECT on the tables) can query.

Reading and writing have a connection each: what is read streams by a server-side cursor in a transaction of its own.
Holding is an advisory lock of the writing connection and goes with it, however that ends; a pooler between that lends
one connection to many (PgBouncer's transaction mode) cannot keep it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sensetrail.core.primitives import Address
from sensetrail.errors import (
    DiskFullError,
    InputError,
    MissingExtraError,
    ReadOnlyError,
    SensetrailError,
    StoreUnreachableError,
    WorkspaceError,
)
from sensetrail.indexer.store import Store, open_store

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql://", "postgres://")
SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""What libpq takes from a URL and nobody else is to see."""
CONNECT_TIMEOUT = 10
"""Seconds, unless the URL or PGCONNECT_TIMEOUT says otherwise."""
ROWS_AT_ONCE = 64
LOCK_NAMESPACE = 0x53454E53
"""Ours among the advisory locks of a database: the lock's upper half; the lower one is the schema's oid."""
WRITER_SETTINGS = (
    # As long as SQLite waits for another's transaction.
    "SET lock_timeout = '30s'",
    # A machine that vanishes lets go of the store in a minute, not after two hours.
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
WHO = """
    SELECT a.application_name, a.usename, host(a.client_addr), a.pid,
           to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = %s AND l.objid = %s
"""


class PostgresDatabase:
    """A schema of a database of a server."""

    types: Mapping[str, str] = {"integer": "BIGINT", "bytes": "BYTEA", "text": "TEXT", "strict": ""}

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            MissingExtraError: psycopg is not installed.
            InputError: The URL is none, or has a password in it.
            StoreUnreachableError: The server does not answer, or does not let us in.
        """
        self._psycopg = _load_psycopg()
        self._parameters = _parameters(self._psycopg, url)
        self.name = "the PostgreSQL store"
        self._writer: psycopg.Connection[Any] | None = None
        self._held = False
        self._schema_oid: int | None = None
        self._streams = 0
        self._stream_names = count()
        with self._explained():
            self._reader = self._connect()
            self._reader.read_only = True
            self._reader.isolation_level = self._psycopg.IsolationLevel.REPEATABLE_READ
        with self._explained(), self._reading():
            found = self._reader.execute("SELECT current_schema(), current_schema()::regnamespace::oid").fetchone()
        schema, self._schema_oid = found or (None, None)
        info = self._reader.info
        where = f"{info.host}:{info.port}" if info.host and not info.host.startswith("/") else info.host
        self.name = f"postgresql://{where}/{info.dbname}" + ("" if schema == "public" else f" (schema {schema})")
        if schema is None:
            self.close()
            raise InputError(f"{self.name} has no schema of its search path", "make it: CREATE SCHEMA name")

    def has_tables(self) -> bool:
        """Whether the store's tables were made."""
        ((found,),) = self.rows("SELECT to_regclass(format('%I.origin', current_schema())) IS NOT NULL")
        return bool(found)

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement."""
        with self._explained():
            self._writing().execute(_psycopg_style(statement), values or None)

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row, without waiting for the answer to one before the next is sent."""
        with self._explained(), self._writing().cursor() as cursor:
            cursor.executemany(_psycopg_style(statement), rows)

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[Sequence[object]]:
        """Give a query's rows, a few at a time; what this process has not committed yet is not among them."""
        with self._explained(), self._reading():
            name = f"rows_{next(self._stream_names)}"
            with self._reader.cursor(name, binary=True) as cursor:
                cursor.itersize = ROWS_AT_ONCE
                cursor.execute(_psycopg_style(query), values or None)
                yield from cursor

    def begin_reading(self) -> None:
        """Let all rows until `end_reading` be of one moment, whatever others write meanwhile."""
        self._streams += 1

    def end_reading(self) -> None:
        """End what `begin_reading` began; the last one ends the transaction."""
        self._streams -= 1
        if not self._streams and not self._reader.closed:
            with self._explained():
                self._reader.rollback()

    def begin(self) -> None:
        """Begin a transaction; one at a time has the store, as in SQLite."""
        self.execute("BEGIN")
        self.execute("SELECT pg_advisory_xact_lock(?)", (self._lock(LOCK_NAMESPACE + 1),))

    def commit(self) -> None:
        """Make a transaction's changes all at once."""
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo a transaction; a connection that is lost has undone it."""
        if self._writer is not None and not self._writer.closed:
            self.execute("ROLLBACK")

    def hold(self) -> str | None:
        """Take the store for writing, until closed; give who holds it already, if anyone does."""
        if self._held:
            return None
        with self._explained():
            writer = self._writing()
            (self._held,) = writer.execute(
                "SELECT pg_try_advisory_lock(%s)", (self._lock(LOCK_NAMESPACE),)
            ).fetchone() or (False,)
            if self._held:
                return None
            return _who(writer.execute(WHO, (LOCK_NAMESPACE, self._schema_oid)).fetchone())

    def close(self) -> None:
        """Close it, and let go of it."""
        self._reader.close()
        if self._writer is not None:
            if self._held and not self._writer.closed:
                # The server takes a moment to notice that a connection is gone, and the next one may not want to wait.
                with suppress(self._psycopg.Error):
                    self._writer.execute("SELECT pg_advisory_unlock(%s)", (self._lock(LOCK_NAMESPACE),))
            self._writer.close()
        self._writer, self._held = None, False

    def _lock(self, namespace: int) -> int:
        return namespace << 32 | int(self._schema_oid or 0)

    def _writing(self) -> psycopg.Connection[Any]:
        """Give the writing connection; who only reads never makes one."""
        if self._writer is None:
            self._writer = self._connect()
            self._writer.autocommit = True
            for setting in WRITER_SETTINGS:
                self._writer.execute(setting)
        return self._writer

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self.begin_reading()
        try:
            yield
        finally:
            self.end_reading()

    def _connect(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = self._psycopg.connect(**self._parameters)
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            raise self._explanation(error) from error

    def _explanation(self, error: psycopg.Error) -> SensetrailError:
        errors = self._psycopg.errors
        what = f"{self.name}: {error.diag.message_primary or error}"
        match error:
            case errors.InsufficientPrivilege():
                return InputError(what, "have the database's owner grant it, or name another --store")
            case errors.DiskFull():
                return DiskFullError(
                    what, "free space on the server, then run the same command again: nothing was lost"
                )
            case errors.ReadOnlySqlTransaction():
                return ReadOnlyError(what, "name a server that can be written to: this one is a copy, or read-only")
            case errors.TooManyConnections():
                return StoreUnreachableError(what, "end other commands, or raise the server's max_connections")
            case errors.IoError() | errors.DataCorrupted() | errors.IndexCorrupted():
                return StoreUnreachableError(what, "have the server's disk checked; delete nothing until then")
            case errors.LockNotAvailable():
                return WorkspaceError(f"another command uses {self.name}", "run this one again after it")
            case errors.OperationalError() | errors.InterfaceError():
                return StoreUnreachableError(
                    what, "check --store, and that the server runs; a password is taken from PGPASSWORD or ~/.pgpass"
                )
            case _:
                return WorkspaceError(f"{self.name} is not an index: {error}", "use an empty schema, or index again")


def open_postgres(url: str, genesis_hash: bytes, contracts: Sequence[Address], *, reading: bool = False) -> Store:
    """Open a store in a PostgreSQL database, or make a new one; see `Store`.

    Args:
        url: As libpq takes it, without a password.
        genesis_hash: The chain's block 0, 32 bytes.
        contracts: Whose logs it holds.
        reading: Only to read: then it must be there.
    """
    return open_store(PostgresDatabase(url), genesis_hash, contracts, reading=reading)


def _load_psycopg() -> ModuleType:
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError(
            "psycopg is not installed, and a store in PostgreSQL needs it", "pip install 'sensetrail[postgres]'"
        ) from error
    return psycopg


def _parameters(psycopg: ModuleType, url: str) -> dict[str, Any]:
    """Take a URL apart; messages never repeat it, because what is wrong with it may be a password."""
    if not url.startswith(SCHEMES):
        raise InputError("--store is no URL of a PostgreSQL database", "give postgresql://host/database")
    try:
        given: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise InputError(
            "--store is no URL that PostgreSQL takes",
            "give postgresql://user@host:port/database; other signs in it as %XX, such as "
            "?options=-csearch_path%3Dschema",
        ) from error
    if SECRETS & given.keys():
        raise InputError(
            "--store has a password in it, which others can see there",
            "take it out; give it by PGPASSWORD or in ~/.pgpass",
        )
    defaults: dict[str, Any] = {
        "fallback_application_name": f"sensetrail, process {os.getpid()} on {socket.gethostname()}",
    }
    if "PGCONNECT_TIMEOUT" not in os.environ:
        defaults["connect_timeout"] = CONNECT_TIMEOUT
    return {**defaults, **given, "client_encoding": "utf8"}


def _psycopg_style(statement: str) -> str:
    return statement.replace("?", "%s")


def _who(found: Sequence[object] | None) -> str:
    """Say who holds the store; what the server does not tell this user is left out."""
    if found is None:
        return "a process that has just ended"
    application, user, client, pid, since = found
    who = f"{application or 'a process that does not say its name'}, user {user}" if user else str(application)
    where = f", from {client}" if client else ""
    return f"{who}{where}, server process {pid}" + (f", since {since} UTC" if since else "")
