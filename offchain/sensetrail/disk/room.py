"""How much room a disk has for a folder, and whether this user may write there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sensetrail.disk.causes import explained


@dataclass(frozen=True, slots=True)
class Room:
    """What a disk offers a folder.

    Attributes:
        free: Bytes that this user may still write.
        total: The disk's size, bytes.
        writable: Whether this user may write into the folder, or make it where it is not there yet.
    """

    free: int
    total: int
    writable: bool


def room(folder: Path) -> Room:
    """Tell how much room there is for a folder, which need not exist yet.

    Raises:
        DiskError: The disk does not answer.
    """
    there = next((each for each in (folder, *folder.parents) if os.path.exists(each)), Path("/"))  # noqa: PTH110
    with explained(folder):
        found = os.statvfs(there)
    is_folder = os.path.isdir(there)  # noqa: PTH112 - which raises where it may not be looked at
    return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, is_folder and is_writable(there))


def is_writable(path: Path) -> bool:
    """Whether this user may write to a file or folder: false on a read-only disk, for root too."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
