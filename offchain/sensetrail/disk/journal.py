"""A journal: what must be known after a crash, on the disk before the next step is taken."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sensetrail.disk.causes import explained
from sensetrail.disk.files import require_regular, sync_folder
from sensetrail.errors import WorkspaceError

SIZE = 1 << 13
"""Bytes of a journal's room."""
LIMIT = 1 << 20
"""The most bytes that are read of one."""


class Journal:
    """A file to which lines are added, each on the disk before `append` returns.

    The file has its room from the beginning, so a disk that fills up later does not stop it. It is one process's alone
    until it is closed: another one that opens it is refused. That lock goes with its process, however it ends.

    Attributes:
        lines: What it holds. A line that a crash cut off is left out.
    """

    def __init__(self, path: Path, busy: str) -> None:
        """Open the journal, or make it.

        Args:
            path: The file.
            busy: What to say when another process has it.

        Raises:
            WorkspaceError: Another process has it.
            DiskError: It cannot be written.
        """
        self._path = path
        require_regular(path)
        with explained(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._file = os.fdopen(handle, "r+b", buffering=0)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._read()
                self._reserve()
            except BlockingIOError as error:
                self._file.close()
                raise WorkspaceError(busy, "wait until it is done, then look what it did") from error
            except BaseException:
                self._file.close()
                raise

    def append(self, line: str) -> None:
        """Add a line.

        Raises:
            DiskError: It cannot be written.
        """
        data = line.encode() + b"\n"
        with explained(self._path):
            self._write(data)
        self._end += len(data)
        self.lines.append(line)

    def release(self) -> None:
        """Give back the room that is not used."""
        with suppress(OSError):
            self._file.truncate(self._end)
            os.fsync(self._file.fileno())

    def remove(self) -> None:
        """Delete it: it has served."""
        with explained(self._path):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, for another process to open."""
        self._file.close()

    def _read(self) -> None:
        data = self._file.read(LIMIT) or b""
        whole = data[: data.rfind(b"\n") + 1]
        self.lines = whole.decode(errors="replace").splitlines()
        self._end = len(whole)

    def _reserve(self) -> None:
        """Take real bytes, not a hole: what is added later overwrites them, and needs no new room."""
        try:
            self._write(b" " * max(1, SIZE - self._end))
            sync_folder(self._path.parent)
        except OSError:
            if not self.lines:
                self.remove()
            raise

    def _write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._file.fileno(), data[done:], self._end + done)
        os.fsync(self._file.fileno())
