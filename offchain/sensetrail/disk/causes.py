"""What an error of the operating system means for a file: the true cause, and a cure that loses no data."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sensetrail.errors import DiskError, DiskFullError, ReadOnlyError

PARTIAL = re.compile(r"/?\.[0-9a-f]{16}\.part\b")
"""The hidden name of what is being written: nobody knows it, so no message names it."""
AGAIN = "then run the same command again: nothing was lost"
_GONE = frozenset(
    {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.EREMOTEIO, errno.EHOSTDOWN}
)
_SOME = 1 << 14
"""Bytes: less than this is full."""

Explanation = tuple[type[DiskError], str, str]
"""The error's class, what is wrong, what to do."""


@contextmanager
def explained(path: Path | None) -> Iterator[None]:
    """Turn an OSError into a `DiskError` about a path. A FileExistsError stays: its meaning is the caller's.

    Args:
        path: The file or folder; None for what the error names.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path | None = None) -> DiskError:
    """Say what an OSError means, and what to do that loses no data.

    Args:
        error: The error. Libraries that give no number but write it into their text are understood, too.
        path: The file or folder, for an error that names none.
    """
    named = error.filename2 or error.filename
    if isinstance(named, (str, bytes)) and not (path is not None and PARTIAL.search(os.fsdecode(named))):
        path = Path(os.fsdecode(named))
    number = error.errno
    if number is None:
        found = re.search(r"errno[ =]+(\d+)", str(error), re.IGNORECASE)
        number = int(found[1]) if found else 0
    reason = error.strerror or (os.strerror(number) if number else "") or str(error) or type(error).__name__
    if number in _GONE:
        return DiskError(
            f"the disk of {path or 'a file'} does not answer, or reports an error ({reason})",
            "check that it is connected and mounted; delete nothing, and run the same command again then",
            path=path,
        )
    explain = _EXPLANATIONS.get(number)
    if explain is None or path is None:
        kind, to_do = _KINDS.get(number, (DiskError, "check the path and its disk"))
        return kind(f"{path or 'a file'}: {reason}", to_do, path=path)
    kind, what, to_do = explain(path)
    return kind(what, to_do, path=path)


def _full(path: Path) -> Explanation:
    return DiskFullError, f"the disk of {path} is full{_rest(path)}", f"free space on it, {AGAIN}"


def _rest(path: Path) -> str:
    """Say so where a disk has bytes left, but can take no more files."""
    with suppress(OSError):
        there = next((each for each in (path, *path.parents) if os.path.exists(each)), Path("/"))  # noqa: PTH110
        found = os.statvfs(there)
        if found.f_files and not found.f_favail and found.f_bavail * found.f_frsize > _SOME:
            return ": it has space, but holds as many files as it can"
    return ""


def _quota(path: Path) -> Explanation:
    return DiskFullError, f"this user's quota on the disk of {path} is used up", f"free space or raise it, {AGAIN}"


def _too_large(path: Path) -> Explanation:
    return (
        DiskFullError,
        f"{path} would be larger than a limit or its file system allows",
        f"raise the limit (ulimit -f), or use another disk, {AGAIN}",
    )


def _read_only(path: Path) -> Explanation:
    return ReadOnlyError, f"{path} is on a read-only disk", "make the disk writable, or work on a copy of the files"


def _denied(path: Path) -> Explanation:
    to_do = "give this user the permission (ls -ld shows who has it), or run the command as a user who has it"
    # From the top down: what lies below a folder that may not be entered does not even seem to exist.
    for folder in reversed(path.absolute().parents):
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):  # noqa: PTH112
            return DiskError, f"this user may not enter the folder {folder}", to_do
    if not os.path.lexists(path):
        return ReadOnlyError, f"this user may not write to the folder {path.parent}", to_do
    if not os.access(path, os.R_OK):
        return DiskError, f"this user may not read {path}", to_do
    if not os.access(path, os.W_OK):
        return ReadOnlyError, f"this user may not write to {path}", to_do
    return DiskError, f"the system does not permit this with {path}", to_do


def _missing(path: Path) -> Explanation:
    for each in (*reversed(path.parents), path):
        if os.path.islink(each) and not os.path.exists(each):  # noqa: PTH110, PTH114
            target = os.readlink(each)  # noqa: PTH115
            return (
                DiskError,
                f"{each} is a symbolic link to {target}, which does not exist",
                "restore what it points to, or name another path",
            )
        if not os.path.exists(each):  # noqa: PTH110
            return DiskError, f"there is no {'file' if each == path else 'folder'} {each}", "check the path"
    return DiskError, f"{path} was moved or deleted meanwhile", "check the path, then run the same command again"


def _no_folder(path: Path) -> Explanation:
    found = next((each for each in (*reversed(path.parents), path) if os.path.isfile(each)), None)  # noqa: PTH113
    if found is None:
        return DiskError, f"{path} is not a folder", "name another path"
    return DiskError, f"{found} is a file, not a folder", "name another path, or move the file away"


def _fixed(kind: type[DiskError], what: str, to_do: str) -> Callable[[Path], Explanation]:
    return lambda path: (kind, what.format(path=_short(path)), to_do)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:120]}...{text[-40:]}"


_EXPLANATIONS: dict[int, Callable[[Path], Explanation]] = {
    errno.ENOSPC: _full,
    errno.EDQUOT: _quota,
    errno.EFBIG: _too_large,
    errno.EROFS: _read_only,
    errno.EACCES: _denied,
    errno.EPERM: _denied,
    errno.ENOENT: _missing,
    errno.ENOTDIR: _no_folder,
    errno.EISDIR: _fixed(DiskError, "{path} is a folder, not a file", "name a file"),
    errno.EEXIST: _fixed(DiskError, "there is something at {path} already", "choose another name"),
    errno.ENOTEMPTY: _fixed(DiskError, "{path} holds something already", "choose another name"),
    errno.ELOOP: _fixed(DiskError, "{path} is a symbolic link that leads to itself", "repair the link"),
    errno.EBUSY: _fixed(DiskError, "{path} is in use", "run the same command again later"),
    errno.ETXTBSY: _fixed(DiskError, "{path} is in use", "run the same command again later"),
    errno.ENOLCK: _fixed(DiskError, "the file system of {path} has no locks", "keep the workspace on a local disk"),
    errno.ENOMEM: _fixed(DiskError, "too little memory for {path}", "end other programs, then run it again"),
    errno.ENAMETOOLONG: _fixed(DiskError, "a name in {path} is too long for the file system", "use shorter names"),
    errno.EMFILE: _fixed(
        DiskError,
        "this process has too many files open to open {path}",
        "raise the limit (ulimit -n 4096), then run the same command again",
    ),
    errno.ENFILE: _fixed(
        DiskError,
        "this machine has too many files open to open {path}",
        "end other programs, then run the same command again",
    ),
}
_KINDS: dict[int, tuple[type[DiskError], str]] = {
    errno.ENOSPC: (DiskFullError, f"free space on its disk, {AGAIN}"),
    errno.EDQUOT: (DiskFullError, f"free space, {AGAIN}"),
    errno.EFBIG: (DiskFullError, f"raise the limit (ulimit -f), {AGAIN}"),
    errno.EROFS: (ReadOnlyError, "make the disk writable"),
}
"""For errors that name no file."""
