"""The index's store: what the chain said, verbatim, and what follows from it. SQLite by default, PostgreSQL for teams.

Both have the same tables. Verbatim: `blocks` holds each block that has logs of ours, header and logs (core.logs says
how); `recent` holds the hashes of all blocks from the final one on, to find where a reorganised chain parts; `cursor`
says how far all of it goes, and on whose word. Derived, and made again from these by `derive`: `profiles`, `devices`,
`derived`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.errors import InputError, StoreHeldError, WorkspaceError, WrongChainError

VERSION = 2
INDEX_AGAIN = "move it away, then index again: the chain has everything that was in it"
RECENT_LIMIT = 100_000
"""How many hashes are kept on a chain that does not say what is final."""
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS origin (version {integer} NOT NULL, genesis_hash {bytes} NOT NULL, "
    "contracts {text} NOT NULL){strict}",
    "CREATE TABLE IF NOT EXISTS cursor (id {integer} PRIMARY KEY CHECK (id = 1), number {integer} NOT NULL, "
    "hash {bytes} NOT NULL, final_number {integer}, final_hash {bytes}, anchor_number {integer}, anchor_hash {bytes}, "
    "anchor_source {text} NOT NULL, unproven_through {integer}){strict}",
    "CREATE TABLE IF NOT EXISTS recent (number {integer} PRIMARY KEY, hash {bytes} NOT NULL){strict}",
    "CREATE TABLE IF NOT EXISTS blocks (number {integer} PRIMARY KEY, hash {bytes} NOT NULL, "
    "timestamp {integer} NOT NULL, header {bytes}, entries {bytes} NOT NULL, topics {bytes} NOT NULL, "
    "data {bytes} NOT NULL){strict}",
    "CREATE TABLE IF NOT EXISTS profiles (number {integer} PRIMARY KEY, rules {text} NOT NULL){strict}",
    "CREATE TABLE IF NOT EXISTS devices (address {text} PRIMARY KEY, profile {integer} NOT NULL, "
    "identity_digest {bytes} NOT NULL, state {bytes} NOT NULL, untrusted_since {integer}, "
    "readings {integer} NOT NULL, legal {integer} NOT NULL){strict}",
    "CREATE TABLE IF NOT EXISTS derived (id {integer} PRIMARY KEY CHECK (id = 1), through {integer} NOT NULL, "
    "rejections {integer} NOT NULL){strict}",
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the index goes, and on whose word.

    Attributes:
        number: Everything through this block is stored.
        hash: That block's, 32 bytes.
        final_number: No reorganisation reaches this block or any before; None where the chain does not say.
        final_hash: That block's, 32 bytes.
        anchor_number: The chain of hashes was followed to this block, whose hash is not the indexed node's word alone.
        anchor_hash: That block's, 32 bytes.
        anchor_source: Whose word it is.
        unproven_through: Blocks through this one were taken on the node's word; None for none.
    """

    number: int
    hash: bytes
    final_number: int | None = None
    final_hash: bytes | None = None
    anchor_number: int | None = None
    anchor_hash: bytes | None = None
    anchor_source: str = ""
    unproven_through: int | None = None


CURSOR_COLUMNS = "number, hash, final_number, final_hash, anchor_number, anchor_hash, anchor_source, unproven_through"


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device, as derived.

    Attributes:
        address: Its id.
        profile: The profile it was registered with.
        identity_digest: 32 bytes.
        state: Its storage slot as recomputed, 32 bytes.
        untrusted_since: Unix seconds; None while not revoked.
        readings: How many were accepted.
        legal: How many of them are legal.
    """

    address: Address
    profile: int
    identity_digest: bytes
    state: bytes
    untrusted_since: int | None
    readings: int
    legal: int


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from the stored logs through a block.

    Attributes:
        through: That block.
        profiles: Each profile's rules by its number, as JSON.
        devices: The devices.
        rejections: How many attempts were rejected.
    """

    through: int
    profiles: Mapping[int, str]
    devices: Sequence[DeviceRow]
    rejections: int


class Database(Protocol):
    """What the store needs of a database; parameters are written `?`."""

    name: str
    types: Mapping[str, str]

    def has_tables(self) -> bool:
        """Whether the store's tables were made."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement."""

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row."""

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[Sequence[object]]:
        """Give a query's rows, a few at a time."""

    def begin_reading(self) -> None:
        """Let all rows until `end_reading` be of one moment, whatever others write meanwhile."""

    def end_reading(self) -> None:
        """End what `begin_reading` began."""

    def begin(self) -> None:
        """Begin a transaction; one at a time has the store."""

    def commit(self) -> None:
        """Make a transaction's changes all at once."""

    def roll_back(self) -> None:
        """Undo a transaction."""

    def hold(self) -> str | None:
        """Take the store for writing, until closed; give who holds it already, if anyone does."""

    def close(self) -> None:
        """Close it."""


class Store:
    """A store in a database."""

    def __init__(
        self, database: Database, genesis_hash: bytes, contracts: Sequence[Address], *, reading: bool = False
    ) -> None:
        """Open the store, or make a new one.

        Args:
            database: Where it is.
            genesis_hash: The chain's block 0, 32 bytes.
            contracts: Whose logs it holds.
            reading: Only to read: then it must be there.

        Raises:
            WrongChainError: It holds another chain's or other contracts' logs.
            WorkspaceError: It is of another version, damaged, or, to read only, not there.
        """
        self._database = database
        expected = (VERSION, genesis_hash, " ".join(contracts))
        # A store that is there is not written to by opening it: so a reader needs no writer's turn, and no right.
        if not database.has_tables():
            if reading:
                raise WorkspaceError(f"nothing is indexed yet in {database.name}", "index first: sensetrail index")
            with self._transaction():
                for statement in SCHEMA:
                    database.execute(statement.format(**database.types))
                database.execute("INSERT INTO origin SELECT ?, ?, ? WHERE NOT EXISTS (SELECT * FROM origin)", expected)
        origins = list(database.rows("SELECT version, genesis_hash, contracts FROM origin"))
        if len(origins) != 1:
            raise WorkspaceError(f"the index {database.name} is damaged: it has {len(origins)} origins", INDEX_AGAIN)
        ((version, genesis, whose),) = origins
        if version != VERSION:
            raise WorkspaceError(f"{database.name} is an index of another version", INDEX_AGAIN)
        if (genesis, whose) != expected[1:]:
            raise WrongChainError(
                f"{database.name} is the index of another deployment: {whose} on the chain of block "
                f"{hex_word(_bytes(genesis))}",
                "use that deployment's node, or a new --workspace",
                expected=(genesis, whose),
                actual=expected[1:],
            )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, and let go of it."""
        self._database.close()

    def hold(self) -> None:
        """Take the store for writing, until it is closed.

        Raises:
            StoreHeldError: Another indexer has it.
        """
        holder = self._database.hold()
        if holder is not None:
            raise StoreHeldError(
                f"another indexer writes to {self._database.name}: {holder}",
                "wait until it is done, or end it; reading needs no waiting",
            )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside be of one moment, whatever an indexer writes meanwhile."""
        self._database.begin_reading()
        try:
            yield
        finally:
            self._database.end_reading()

    def cursor(self) -> Cursor | None:
        """Give how far it goes; None at the beginning."""
        found = list(self._database.rows(f"SELECT {CURSOR_COLUMNS} FROM cursor"))  # noqa: S608 - a constant
        return Cursor(*found[0]) if found else None  # type: ignore[arg-type]

    def append(self, blocks: Sequence[BlockLogs], recent: Sequence[tuple[int, bytes]], cursor: Cursor) -> None:
        """Store blocks and move the cursor, all or nothing.

        Args:
            blocks: Those that have logs, after the cursor.
            recent: Number and hash of blocks that a reorganisation may reach.
            cursor: Where the store stands afterwards.
        """
        with self._transaction():
            self._database.execute_many(
                "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(b.number, b.hash, b.timestamp, b.header, b.entries, b.topics, b.data) for b in blocks],
            )
            self._database.execute_many("INSERT INTO recent VALUES (?, ?)", recent)
            self._move(cursor)

    def move(self, cursor: Cursor) -> None:
        """Move the cursor without storing blocks."""
        with self._transaction():
            self._move(cursor)

    def roll_back(self, cursor: Cursor) -> None:
        """Forget all blocks after a cursor, and what was derived of them."""
        with self._transaction():
            self._database.execute("DELETE FROM blocks WHERE number > ?", (cursor.number,))
            self._database.execute("DELETE FROM recent WHERE number > ?", (cursor.number,))
            self._forget_derived()
            self._move(cursor)

    def clear(self) -> None:
        """Forget everything, to begin again."""
        with self._transaction():
            for table in ("blocks", "recent", "cursor"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
            self._forget_derived()

    def recent(self) -> list[tuple[int, bytes]]:
        """Give number and hash of the blocks that a reorganisation may reach, the newest first."""
        found = self._database.rows("SELECT number, hash FROM recent ORDER BY number DESC")
        return [(_int(number), _bytes(value)) for number, value in found]

    def hash_at(self, number: int) -> bytes | None:
        """Give a block's hash, where the store has it."""
        query = "SELECT hash FROM recent WHERE number = ? UNION SELECT hash FROM blocks WHERE number = ?"
        found = [_bytes(row[0]) for row in self._database.rows(query, (number, number))]
        return found[0] if found else None

    def blocks(self, through_block: int, after_block: int = -1) -> Iterator[BlockLogs]:
        """Give the blocks that have logs, in the order of the chain."""
        for number, block_hash, timestamp, header, entries, topics, data in self._database.rows(
            "SELECT number, hash, timestamp, header, entries, topics, data FROM blocks "
            "WHERE number > ? AND number <= ? ORDER BY number",
            (after_block, through_block),
        ):
            yield BlockLogs(
                _int(number),
                _bytes(block_hash),
                _int(timestamp),
                None if header is None else _bytes(header),
                _bytes(entries),
                _bytes(topics),
                _bytes(data),
            )

    def derived(self) -> Derived | None:
        """Give what was derived; None for nothing."""
        found = list(self._database.rows("SELECT through, rejections FROM derived"))
        if not found:
            return None
        profiles = {_int(n): _rules(rules) for n, rules in self._database.rows("SELECT number, rules FROM profiles")}
        devices = [
            _device_row(row)
            for row in self._database.rows(
                "SELECT address, profile, identity_digest, state, untrusted_since, readings, legal FROM devices "
                "ORDER BY address"
            )
        ]
        return Derived(_int(found[0][0]), profiles, devices, _int(found[0][1]))

    def write_derived(self, derived: Derived) -> None:
        """Put what was derived in place of what was before."""
        with self._transaction():
            self._forget_derived()
            self._database.execute_many("INSERT INTO profiles VALUES (?, ?)", list(derived.profiles.items()))
            self._database.execute_many(
                "INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (d.address, d.profile, d.identity_digest, d.state, d.untrusted_since, d.readings, d.legal)
                    for d in derived.devices
                ],
            )
            self._database.execute("INSERT INTO derived VALUES (1, ?, ?)", (derived.through, derived.rejections))

    def forget_derived(self) -> None:
        """Forget what was derived: it is made again from what is verbatim."""
        with self._transaction():
            self._forget_derived()

    def _forget_derived(self) -> None:
        for table in ("profiles", "devices", "derived"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant

    def _move(self, cursor: Cursor) -> None:
        self._database.execute("DELETE FROM cursor")
        self._database.execute(
            "INSERT INTO cursor VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                cursor.number,
                cursor.hash,
                cursor.final_number,
                cursor.final_hash,
                cursor.anchor_number,
                cursor.anchor_hash,
                cursor.anchor_source,
                cursor.unproven_through,
            ),
        )
        kept_from = cursor.number - RECENT_LIMIT if cursor.final_number is None else cursor.final_number
        self._database.execute("DELETE FROM recent WHERE number < ?", (kept_from,))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


def open_store(
    database: Database, genesis_hash: bytes, contracts: Sequence[Address], *, reading: bool = False
) -> Store:
    """Open a store in a database; see `Store`. One that is refused is closed."""
    with ExitStack() as stack:
        stack.callback(database.close)
        store = Store(database, genesis_hash, contracts, reading=reading)
        stack.pop_all()
    return store


class _Transaction:
    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.begin()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._database.commit()
        else:
            self._database.roll_back()


def _device_row(row: Sequence[object]) -> DeviceRow:
    """Take a device's row out of a file that may be damaged."""
    name, profile, identity, state, since, readings, legal = row
    try:
        return DeviceRow(
            address(str(name)),
            _int(profile),
            _bytes(identity, 32),
            _bytes(state, 32),
            None if since is None else _int(since),
            _int(readings),
            _int(legal),
        )
    except InputError as error:
        raise _damaged() from error


def _rules(value: object) -> str:
    """Take a profile's rules out of a file that may be damaged: a JSON list of whole numbers."""
    if not isinstance(value, str) or not re.fullmatch(r"\[-?\d{1,12}(, -?\d{1,12}){6}\]", value):
        raise _damaged()
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise _damaged()
    return value


def _bytes(value: object, size: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise _damaged()
    return value


def _damaged() -> WorkspaceError:
    return WorkspaceError("the index is damaged", INDEX_AGAIN)
