"""Index and outbox on disks that are full, read-only or strange: the true cause is named, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from disks import fill, make_read_only, small_disk
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState
from sensetrail.disk import sqlite_error
from sensetrail.errors import DiskFullError, InputError, ReadOnlyError, SensetrailError, WorkspaceError
from sensetrail.gateway.outbox import Outbox
from sensetrail.indexer.sqlite import copy_sqlite, open_sqlite
from sensetrail.indexer.store import Cursor, Derived, DeviceRow, Store

CONTRACTS = (Address("0x" + "11" * 20), Address("0x" + "22" * 20))
DEVICE = Address("0x" + "33" * 20)
NEW = DeviceState(1, 0, 0, 0, 0, bytes(20))
COUNT = 2000


def open_index(path: Path, *, reading: bool = False) -> Store:
    return open_sqlite(path, bytes(32), CONTRACTS, reading=reading)


def extend(store: Store, number: int, size: int = 100) -> None:
    block = BlockLogs(number, number.to_bytes(32), number, None, bytes(size), b"", b"")
    store.append([block], [(number, number.to_bytes(32))], Cursor(number, number.to_bytes(32)))


def write_index(path: Path, *, killed: bool) -> None:
    """Write an index through block 2 in a process of its own, whose block 2 is in the log alone if it is killed."""
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from unit.test_databases_on_disks import extend, open_index\n"
        "store = open_index(Path(sys.argv[1]))\nextend(store, 1)\n"
        "store._database._connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')\nextend(store, 2)\n"
        f"{f'os.kill(os.getpid(), {int(signal.SIGKILL)})' if killed else 'store.close()'}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, capture_output=True, check=False)
    assert done.returncode == (-signal.SIGKILL if killed else 0), done.stderr


@pytest.mark.parametrize("left", ["closed", "killed", "killed, and its shm file lost", "closed, with an empty log"])
def test_a_read_only_index_is_read_to_its_last_block(tmp_path: Path, left: str) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "in?dex #%41.sqlite"
        write_index(path, killed="killed" in left)
        if "lost" in left:
            path.with_name(path.name + "-shm").unlink()
        if "empty" in left:
            path.with_name(path.name + "-wal").touch()
        make_read_only(disk)
        with open_index(path, reading=True) as store, store.snapshot():
            cursor = store.cursor()
            assert cursor is not None
            assert cursor.number == 2
            assert [block.number for block in store.blocks(9)] == [1, 2]
        copy_sqlite(path, tmp_path / "copy.sqlite")
        with open_index(tmp_path / "copy.sqlite") as copy:
            extend(copy, 3)
            assert [block.number for block in copy.blocks(9)] == [1, 2, 3]
        with pytest.raises(ReadOnlyError, match="on a read-only disk"), open_index(path) as store:
            store.hold()


def test_an_index_that_changes_while_it_is_read_without_locks_is_not_believed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "index.sqlite"
        write_index(path, killed=False)
        make_read_only(disk)
        store = open_index(path, reading=True)
        make_read_only(disk, read_only=False)
        with open_index(path) as writer:
            extend(writer, 3)
        with pytest.raises(WorkspaceError, match="changed while it was read"), store.snapshot():
            store.cursor()
        store.close()


def test_an_index_on_a_full_disk_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        write_index(disk / "index.sqlite", killed=False)
        fill(disk)
        with open_index(disk / "index.sqlite", reading=True) as store, store.snapshot():
            assert [block.number for block in store.blocks(9)] == [1, 2]


def test_a_disk_that_fills_up_stops_the_index_where_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "index.sqlite"
        number = 0
        with pytest.raises(DiskFullError, match="is full") as caught, open_index(path) as store:
            store.hold()
            while True:
                extend(store, number + 1, 20_000)
                number += 1
        assert "delete" not in caught.value.to_do
        assert number > 5
        with open_index(path, reading=True) as store, store.snapshot():
            cursor = store.cursor()
            assert cursor is not None
            assert cursor.number == number == len(list(store.blocks(10**9)))


def everything(path: Path, done: list[str]) -> None:
    """Do with an outbox all that is done with one, noting what is done."""
    readings = Measurements.of(1000 + np.arange(COUNT), np.full(COUNT, 2000), np.full(COUNT, 5000))
    with Outbox(path) as outbox:
        done.append("opened")
        outbox.queue(DEVICE, readings, NEW)
        done.append("queued")
        outbox.renumber(DEVICE, NEW)
        outbox.mark_sent([(DEVICE, 0, COUNT)], bytes(32))
        done.append("sent")
        outbox.mark_accepted(DEVICE, range(COUNT))
        done.append("accepted")


def test_an_outbox_with_too_little_room_says_so_at_every_step_and_goes_on_later(tmp_path: Path) -> None:
    stages = set()
    for kilobytes in (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 2048):
        done: list[str] = []
        with small_disk(tmp_path / "disk", 4 << 20) as disk:
            ballast = fill(disk, leave=kilobytes << 10)
            try:
                everything(disk / "outbox.sqlite", done)
            except DiskFullError as error:
                assert "is full" in error.what
                assert "backup" not in error.to_do
            stages.add(len(done))
            ballast.unlink()
            with Outbox(disk / "outbox.sqlite") as outbox:
                assert (outbox.pending(DEVICE) is not None) == ("queued" in done and "accepted" not in done)
                assert bool(outbox.hashes_on_their_way(DEVICE)) == ("sent" in done and "accepted" not in done)
            again: list[str] = []
            everything(disk / "outbox.sqlite", again)
            assert again == ["opened", "queued", "sent", "accepted"]
    assert stages >= {0, 1, 4}


def test_a_read_only_outbox_is_called_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        Outbox(disk / "outbox.sqlite").__exit__(None, None, None)
        make_read_only(disk)
        with pytest.raises(ReadOnlyError, match="on a read-only disk"):
            everything(disk / "outbox.sqlite", [])
        with pytest.raises(ReadOnlyError, match="on a read-only disk"):
            everything(disk / "new.sqlite", [])


OPENERS: dict[str, Callable[[Path], object]] = {
    "index": open_index,
    "index to read": lambda path: open_index(path, reading=True),
    "outbox": Outbox,
}


@pytest.mark.parametrize("kind", OPENERS)
def test_what_is_no_database_is_named_and_left_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "text.sqlite").write_bytes(b"not a database at all, but long enough to look like one" * 40)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE readings (something)")
        other.execute("CREATE TABLE customers (name)")
    other.close()
    os.mkfifo(tmp_path / "pipe.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "broken.sqlite").symlink_to("no/where")
    (tmp_path / "file").touch()
    for name, said in {
        "text.sqlite": "is no SQLite database",
        "other.sqlite": "another program's database",
        "pipe.sqlite": "is a pipe or a device",
        "folder.sqlite": "is a folder",
        "broken.sqlite": "is a symbolic link to no/where",
        "file/below.sqlite": "is a file, not a folder",
    }.items():
        before = (tmp_path / name).read_bytes() if name in ("text.sqlite", "other.sqlite") else b""
        with pytest.raises(InputError) as caught:
            OPENERS[kind](tmp_path / name)
        assert said in caught.value.what, name
        assert "delete" not in caught.value.to_do
        assert not before or (tmp_path / name).read_bytes() == before


def test_damaged_text_in_an_index_is_damage(tmp_path: Path) -> None:
    write_index(tmp_path / "index.sqlite", killed=False)
    data = (tmp_path / "index.sqlite").read_bytes()
    damaged = tmp_path / "damaged.sqlite"
    for change in (
        (b"genesis_hash BLOB", b"genesis\xffhash BLOB"),
        (b"CREATE TABLE cursor", b"CREATE TABLE c\xff\xfeso"),
    ):
        assert change[0] in data
        damaged.write_bytes(data.replace(*change))
        for reading in (False, True):
            with pytest.raises(WorkspaceError, match="is damaged") as caught:
                open_index(damaged, reading=reading)
            assert "index again" in caught.value.to_do
    with open_index(tmp_path / "index.sqlite") as store:
        for rules in ("[1, 2", "{}", "\x00", "[1, 2, 3, 4, 5, 6, NaN]"):
            store.write_derived(Derived(1, {1: rules}, (), 0))
            with pytest.raises(WorkspaceError, match="is damaged"):
                store.derived()
        for row in (
            DeviceRow(DEVICE, 1, b"x", bytes(32), None, 1, 1),
            DeviceRow(Address("?"), 1, b"", b"", None, 1, 1),
        ):
            store.write_derived(Derived(1, {}, [row], 0))
            with pytest.raises(WorkspaceError, match="is damaged"):
                store.derived()


@pytest.mark.parametrize("code", ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"])
def test_a_database_in_use_is_called_so(tmp_path: Path, code: str) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = getattr(sqlite3, code)
    found = sqlite_error(error, tmp_path / "a.sqlite", "the outbox", "restore it")
    assert "another command uses the outbox" in found.what


def test_every_code_of_sqlite_has_its_sentence(tmp_path: Path) -> None:
    codes = {name: value for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and type(value) is int}
    (tmp_path / "a.sqlite").touch()
    for name, value in codes.items():
        error = sqlite3.OperationalError("said by SQLite")
        error.sqlite_errorcode, error.sqlite_errorname = value, name
        found = sqlite_error(error, tmp_path / "a.sqlite", "the index", "RESTORE")
        assert isinstance(found, SensetrailError)
        assert str(tmp_path) in found.what
        is_damage = value & 0xFF not in (
            *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR),
            *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM),
            sqlite3.SQLITE_PERM,
        )
        assert (found.to_do == "RESTORE") == is_damage, name
    moved = sqlite3.OperationalError("attempt to write a readonly database")
    moved.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
    assert "was moved or deleted" in sqlite_error(moved, tmp_path / "a.sqlite", "the index", "").what


def test_an_outbox_that_is_deleted_while_it_is_used_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path) as outbox:
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(WorkspaceError, match="was moved or deleted while it was in use"):
            outbox.mark_sent([(DEVICE, 0, 1)], bytes(32))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_outbox_is_one_sentence_and_never_a_traceback(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "outbox.sqlite"
    everything(path, [])
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)  # noqa: S311 - damage
    match seed % 4:
        case 0:
            del data[chance.randrange(len(data)) :]
        case 1:
            start = chance.randrange(len(data))
            data[start : start + 4096] = bytes(len(data[start : start + 4096]))
        case 2:
            for _ in range(20):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case _:
            data[:] = chance.randbytes(len(data))
    path.write_bytes(data)
    try:
        with Outbox(path) as outbox:
            outbox.pending(DEVICE)
            outbox.hashes_on_their_way(DEVICE)
            outbox.unsettled(DEVICE, 10**6)
            outbox.renumber(DEVICE, NEW)
            outbox.mark_sent([(DEVICE, 0, 1)], bytes(32))
            outbox.mark_accepted(DEVICE, [0])
    except WorkspaceError as error:
        assert "outbox" in error.what
        assert error.to_do
