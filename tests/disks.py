"""Real small and read-only disks, for tests that may mount them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: int, files: int = 0) -> Iterator[Path]:
    """Mount a disk of some bytes at a folder.

    Args:
        folder: Made if it is not there.
        size: Bytes; counted in pages of 4 KiB.
        files: How many files and folders it can hold; 0 for any number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size}" + (f",nr_inodes={files}" if files else "")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "sensetrail-test", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mounting is not permitted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


def make_read_only(folder: Path, *, read_only: bool = True) -> None:
    """Make a mounted disk read-only, or writable again."""
    how = f"remount,{'ro' if read_only else 'rw'}"
    subprocess.run(["mount", "-o", how, folder], check=True, capture_output=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a disk but for some bytes; give the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return ballast
