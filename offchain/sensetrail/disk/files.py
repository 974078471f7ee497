"""Reading and writing files: whole or not at all.

A file appears under its name only when all of it is on the disk: it is written beside its place under a hidden name,
synced, and renamed. A full disk, Ctrl-C or a crash leaves the old file, or none. What fails raises `DiskError`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sensetrail.disk.causes import PARTIAL, disk_error, explained
from sensetrail.errors import DiskError

ROOM = 1 << 20
"""Bytes that must be free before long work begins whose result is small."""
LONGEST_SUFFIX = 16
STALE = 60
"""Seconds after which something half-written that no process has locked is taken for a killed one's."""
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})
"""What file systems say that cannot sync a folder."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems say that have no hard links."""


def read_whole(path: Path, limit: int) -> bytes:
    """Read a regular file. A pipe or a device is refused, since reading it could wait for ever.

    Args:
        path: The file.
        limit: The most bytes that it may have.

    Raises:
        DiskError: It cannot be read, is no regular file, or is longer.
    """
    with explained(path):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise _not_regular(path, mode)
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(handle)
    if len(data) > limit:
        raise DiskError(f"{path} is longer than {limit} bytes", "check that it is the right file", path=path)
    return data


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file, or replace it: all of it or nothing.

    Args:
        path: The file. Where it is a symbolic link, what it points to is replaced.
        data: Its content.
        mode: Its permissions, less what the process's umask takes away.

    Raises:
        DiskError: It cannot be written; what was there before is still there.
    """
    with replacing(path, mode) as partial:
        _write(partial, data)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that does not exist yet: all of it or nothing. Of two writers at once, one fails.

    Args:
        path: The file. Its folder is made if it is not there.
        data: Its content.
        mode: Its permissions, less what the process's umask takes away.

    Raises:
        FileExistsError: There is something of that name.
        DiskError: It cannot be written; nothing is left of it.
    """
    make_folder(path.parent)
    with explained(path):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        with _partial(path, mode) as partial:
            _write(partial, data)
            _sync(partial)
            _name_new(path, partial)
            sync_folder(path.parent)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a file to write to, which takes the place of `path` once all is written and synced.

    Args:
        path: The file. Where it is a symbolic link, what it points to is replaced.
        mode: Its permissions, less what the process's umask takes away.

    Yields:
        An empty file in the same folder, with the same suffix.

    Raises:
        DiskError: It cannot be written; what was there before is still there.
    """
    with explained(path):
        target = Path(os.path.realpath(path))
        require_regular(target)
        with _partial(target, mode) as partial:
            yield partial
            _sync(partial)
            partial.replace(target)
            sync_folder(target.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which gets its name once all of it is written.

    Args:
        folder: Its name; nothing may be there but an empty folder.

    Yields:
        An empty folder beside it.

    Raises:
        DiskError: It cannot be written; nothing is left of it.
    """
    make_folder(folder.parent)
    partial = folder.with_name(_hidden_name())
    try:
        with explained(folder):
            partial.mkdir()
            with _held(partial):
                yield partial
            partial.rename(folder)
            sync_folder(folder.parent)
    except DiskError as error:
        raise type(error)(error.what.replace(str(partial), str(folder)), error.to_do, path=folder) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for temporary files, which is removed afterwards.

    Raises:
        DiskError: There is none, or no room in it.
    """
    try:
        made = TemporaryDirectory(prefix="sensetrail-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _temporary(disk_error(error)) from error
    with made as name:
        try:
            with explained(Path(name)):
                yield Path(name)
        except DiskError as error:
            if Path(str(error.path)).is_relative_to(name):
                raise _temporary(error) from error
            raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if they are not there.

    Raises:
        DiskError: It cannot be made.
    """
    with explained(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            is_broken = any(each.is_symlink() and not each.exists() for each in (folder, *folder.parents))
            number = errno.ENOENT if is_broken else errno.ENOTDIR
            raise disk_error(OSError(number, os.strerror(number)), folder) from error


def require_room(folder: Path, size: int = ROOM) -> None:
    """Make sure that a file can be written into a folder, by writing one and removing it.

    Args:
        folder: Made if it is not there.
        size: The file's size, bytes.

    Raises:
        DiskError: There is no room, or no permission.
    """
    make_folder(folder)
    with explained(folder), _partial(folder / "room", 0o600) as partial:
        _write(partial, bytes(size))
        _sync(partial)


def require_regular(path: Path) -> None:
    """Make sure that what is at a path, if anything, is a regular file.

    Raises:
        DiskError: It is a folder, a pipe or a device, or cannot be looked at.
    """
    with explained(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return
    if not stat.S_ISREG(mode):
        raise _not_regular(path, mode)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where its file system can do that."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _not_regular(path: Path, mode: int) -> DiskError:
    if stat.S_ISDIR(mode):
        return DiskError(f"{path} is a folder, not a file", "name a file", path=path)
    return DiskError(f"{path} is a pipe or a device, not a file", "name a regular file", path=path)


def _temporary(error: DiskError) -> DiskError:
    to_do = "free space there, or name a folder on another disk with TMPDIR"
    return type(error)(f"temporary files: {error.what}", to_do, path=error.path)


def _hidden_name() -> str:
    return f".{secrets.token_hex(8)}.part"


@contextmanager
def _partial(target: Path, mode: int) -> Iterator[Path]:
    """Make a file with a hidden name beside another, and remove it afterwards, if it is still there."""
    suffix = target.suffix if len(target.suffix) <= LONGEST_SUFFIX else ""
    partial = target.with_name(_hidden_name() + suffix)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        with _held(partial):
            yield partial
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _held(partial: Path) -> Iterator[None]:
    """Lock what is being written, and remove from its folder what killed processes left: that is locked no more."""
    handle = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in partial.parent.iterdir():
                if PARTIAL.match(left.name) and left != partial and time.time() - left.lstat().st_mtime > STALE:
                    _remove_unlocked(left)
        yield
    finally:
        os.close(handle)


def _remove_unlocked(left: Path) -> None:
    """Remove what is half-written, unless a living process is at it."""
    handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()
    except OSError:
        pass
    finally:
        os.close(handle)


def _name_new(path: Path, partial: Path) -> None:
    """Give a file its name, unless something has it.

    Raises:
        FileExistsError: Something has it.
    """
    try:
        path.hardlink_to(partial)
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    # No hard links here: an empty file takes the name, and is replaced at once.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        partial.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
