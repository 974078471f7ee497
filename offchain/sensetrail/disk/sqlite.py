"""What an error of SQLite means for its file: the true cause, and a cure that loses no data."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from pathlib import Path

from sensetrail.disk.causes import disk_error
from sensetrail.disk.files import require_regular, require_room
from sensetrail.errors import DiskError, DiskFullError, ReadOnlyError, SensetrailError, WorkspaceError

_PRIMARY = 0xFF
"""An extended code's lowest byte is its primary code."""
_TRIAL = 1 << 16
"""Bytes: as much as SQLite takes at once for its files."""


def sqlite_error(error: sqlite3.Error | UnicodeDecodeError, path: Path, what: str, restore: str) -> SensetrailError:
    """Say what an error of SQLite means, by its code.

    SQLite keeps the system's error number to itself. Where its code leaves the cause open, the files are tried again
    here, as SQLite opened them, to see what the system says.

    Args:
        error: SQLite's; Python's own where what SQLite says holds damaged text.
        path: The database's file.
        what: What the file is, such as "the index".
        restore: What to do when its content is damaged.
    """
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return WorkspaceError(f"another command uses {what} {path}", "run this one again after it")
        case sqlite3.SQLITE_FULL:
            full = DiskFullError(
                f"the disk of {path} is full",
                "free space on it, then run the same command again: nothing was lost",
                path=path,
            )
            found = _tried(path)
            return found if isinstance(found, DiskFullError) else full
        case sqlite3.SQLITE_NOMEM:
            return DiskError(f"too little memory for {path}", "end other programs, then run it again", path=path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return _tried(path) or _untold(int(code or 0), error, path, what)
        case sqlite3.SQLITE_CORRUPT:
            return WorkspaceError(f"{what} {path} is damaged: {error}", restore)
        case sqlite3.SQLITE_NOTADB:
            return WorkspaceError(f"{path} is not {what}: it is no SQLite database, or is damaged", restore)
        case _:
            return WorkspaceError(f"{what} {path} is damaged, or another program's: {error}", restore)


def _tried(path: Path) -> DiskError | None:
    """Do with the files what SQLite does; give what the system says against it, if anything."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # As SQLite does: the folders above the working directory count for it, too.
        path = path.absolute()
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            require_regular(file)
            if not os.path.lexists(file):
                continue
            os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
            if limit != resource.RLIM_INFINITY and file.stat().st_size + _TRIAL > limit:
                return disk_error(OSError(errno.EFBIG, os.strerror(errno.EFBIG)), file)
        require_room(path.parent, _TRIAL)
    except OSError as error:
        return disk_error(error, path)
    except DiskError as error:
        return disk_error(error.__cause__, path) if isinstance(error.__cause__, OSError) else error
    return None


def _untold(code: int, error: Exception, path: Path, what: str) -> SensetrailError:
    """Say what a code means where the system has nothing against the files now."""
    match code:
        case sqlite3.SQLITE_READONLY_DBMOVED:
            return WorkspaceError(
                f"{path} was moved or deleted while it was in use", "leave it in its place, then run the command again"
            )
        case sqlite3.SQLITE_READONLY_ROLLBACK | sqlite3.SQLITE_READONLY_RECOVERY:
            return ReadOnlyError(
                f"{what} {path} was left in the middle of writing, and cannot be written to now",
                "work on a copy of its folder on a disk that can be written to",
                path=path,
            )
        case sqlite3.SQLITE_IOERR_NOMEM:
            return DiskError(f"too little memory for {path}", "end other programs, then run it again", path=path)
        case (
            sqlite3.SQLITE_IOERR_LOCK
            | sqlite3.SQLITE_IOERR_UNLOCK
            | sqlite3.SQLITE_IOERR_RDLOCK
            | sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK
            | sqlite3.SQLITE_IOERR_SHMLOCK
        ):
            return DiskError(
                f"the file system of {path} cannot lock files", "keep the workspace on a local disk", path=path
            )
        case _ if code & _PRIMARY == sqlite3.SQLITE_IOERR:
            name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
            return DiskError(
                f"the disk of {path} refuses to read or write it, or is larger than a limit allows ({name})",
                "check the disk, its quota and ulimit -f; delete nothing, and run the same command again then",
                path=path,
            )
        case _:
            return DiskError(f"{path} cannot be opened: {error}", "check its permissions and its disk", path=path)
