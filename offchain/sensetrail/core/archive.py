"""The container of bundles: a ZIP archive in its one form (docs/bundle.md, "The container").

The members' names, methods, checksums and sizes determine every header, the directory and the end record. The reader
computes these bytes and compares them with the file's. It interprets nothing, so no two readers can differ on it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sensetrail.errors import BundleError, InputError

STORED, DEFLATED = 0, 8
MIB = 1 << 20
MOST_SWOLLEN = 400
"""How many times its packed size a member of more than a mebibyte may have."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
_END_RECORD = struct.Struct("<4s4H2LH")
_MADE_BY = 3 << 8 | 20
"""Unix, version 2.0: what external attributes mean depends on it."""
_NEEDED = 20
_DATE = 1 << 5 | 1
"""1 January 1980, the earliest date that ZIP can write: an archive doesn't tell when it was made."""
_ATTRIBUTES = 0o100644 << 16
_NO_NUMBER = 0xFFFFFFFF
"""Not a size or an offset: elsewhere it announces ZIP64."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What determines a member's bytes in the archive, apart from its data.

    Attributes:
        name: ASCII.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 of the member.
        packed: How many bytes it takes in the archive.
        size: How many bytes it has.
        offset: Where its local header begins.
    """

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def start(self) -> int:
        """Where its data begins."""
        return self.offset + _LOCAL_HEADER.size + len(self.name)

    @property
    def end(self) -> int:
        """Where its data ends."""
        return self.start + self.packed

    @property
    def is_swollen(self) -> bool:
        """Whether it unpacks to more than evidence does."""
        return self.size > MIB and self.size > MOST_SWOLLEN * self.packed

    def local_header(self) -> bytes:
        """Give the bytes before its data."""
        return _LOCAL_HEADER.pack(b"PK\x03\x04", *self._shared()) + self.name.encode("ascii")

    def directory_entry(self) -> bytes:
        """Give its bytes in the directory."""
        # Behind what both headers share: no comment, disk 0, no internal attributes.
        fields = (_MADE_BY, *self._shared(), 0, 0, 0, _ATTRIBUTES, self.offset)
        return _DIRECTORY_ENTRY.pack(b"PK\x01\x02", *fields) + self.name.encode("ascii")

    def _shared(self) -> tuple[int, ...]:
        """Give the fields from "version needed" to the extra field's length."""
        return (_NEEDED, 0, self.method, 0, _DATE, self.crc, self.packed, self.size, len(self.name), 0)


def closing_bytes(entries: Sequence[Entry]) -> bytes:
    """Give what follows the last member: the directory and the end record."""
    directory = b"".join(entry.directory_entry() for entry in entries)
    start = entries[-1].end
    return directory + _END_RECORD.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), start, 0)


# --- reading


def read_frame(file: BinaryIO, limits: Mapping[str, int]) -> list[Entry]:
    """Read an archive up to its members' data: every other byte is verified, and all sizes are within their limits.

    Args:
        file: From anywhere; seekable.
        limits: The members' names in their order, and the most bytes of each.

    Raises:
        BundleError: A byte is not what it must be, or a size is too large.
    """
    entries: list[Entry] = []
    position = 0
    for name, limit in limits.items():
        entries.append(_read_header(file, name, position, limit))
        position = entries[-1].end
    expected = closing_bytes(entries)
    file.seek(position)
    _require_equal(file.read(len(expected) + 1), expected, position, "the directory")
    return entries


def read_member(file: BinaryIO, entry: Entry) -> bytes:
    """Read a member of an archive whose frame was read.

    Raises:
        BundleError: Its data does not unpack to what its header says.
    """
    file.seek(entry.start)
    packed = file.read(entry.packed)
    data, is_whole = packed, True
    if entry.method == DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise unsound(f"{entry.name} is damaged: {error}") from error
        is_whole = inflater.eof and not inflater.unused_data
    if not is_whole or len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise unsound(f"{entry.name} does not unpack to what its header says")
    return data


def unsound(what: str) -> BundleError:
    """Give the error for a file that is not a bundle in its one form."""
    return BundleError(f"not a sound bundle: {what}", "ask for it again, from someone else")


def _read_header(file: BinaryIO, name: str, position: int, limit: int) -> Entry:
    file.seek(position)
    found = file.read(_LOCAL_HEADER.size + len(name))
    where = f"the header of {name}"
    # Of a header that is cut off, the missing fields read as zeros; the comparison then finds the file's end.
    fields = _LOCAL_HEADER.unpack(found[: _LOCAL_HEADER.size].ljust(_LOCAL_HEADER.size, b"\0"))
    method, crc, packed, size = fields[3], *fields[6:9]
    entry = Entry(name, method, crc, packed, size, position)
    _require_equal(found, entry.local_header(), position, where)
    _check_sizes(entry, limit)
    return entry


def _check_sizes(entry: Entry, limit: int) -> None:
    name = entry.name
    if entry.method not in (STORED, DEFLATED):
        raise unsound(f"{name} is packed by method {entry.method}, not by 0 or 8")
    if entry.size > limit or entry.size >= _NO_NUMBER:
        raise unsound(f"{name} would have {entry.size} bytes, at most {limit} are allowed")
    if entry.is_swollen:
        raise unsound(f"{name} would unpack to more than {MOST_SWOLLEN} times its packed size")
    if entry.method == STORED and entry.packed != entry.size:
        raise unsound(f"{name} is stored, and yet has two sizes: {entry.packed} and {entry.size}")
    if entry.packed > most_packed(entry.size):
        raise unsound(f"{name} takes {entry.packed} bytes for {entry.size}: more than deflating needs")
    if entry.end >= _NO_NUMBER:
        raise unsound(f"{name} ends beyond 4 GiB")


def most_packed(size: int) -> int:
    """Give the most bytes that a member of a size may take: deflating adds a few to what it cannot shorten."""
    return size + size // 1000 + 64


def _require_equal(found: bytes, expected: bytes, position: int, where: str) -> None:
    """Hold bytes of the file against what they must be, and name the first that differs."""
    if found == expected:
        return
    for at, (actual, wanted) in enumerate(zip(found, expected, strict=False), start=position):
        if actual != wanted:
            raise unsound(f"byte {at}, in {where}, is 0x{actual:02x}, not 0x{wanted:02x}")
    if len(found) < len(expected):
        raise unsound(f"it ends before the end of {where}" if position or found else "it is empty")
    raise unsound(f"something follows its end at byte {position + len(expected)}")


# --- writing


class Archive:
    """An archive that is being written; the same members give the same bytes."""

    def __init__(self, file: BinaryIO, limits: Mapping[str, int], total: int) -> None:
        """Begin.

        Args:
            file: Empty; open for writing and reading.
            limits: The members' names in their order, and the most bytes of each.
            total: The most bytes of all members together.
        """
        self._file, self._limits, self._total = file, limits, total
        self._entries: list[Entry] = []

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add the next member.

        Args:
            name: Its name.
            pieces: Its bytes; taken one after the other, so a member need not fit into memory.

        Raises:
            InputError: It has more bytes than a reader takes.
        """
        offset = self._entries[-1].end if self._entries else 0
        before = sum(entry.size for entry in self._entries)
        most = min(self._limits[name], self._total - before)
        # The header follows when the sizes are known.
        entry = Entry(name, DEFLATED, 0, 0, 0, offset)
        self._file.seek(entry.start)
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        crc = size = 0
        for piece in pieces:
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            if size > most:
                raise _too_large(f"{name} has more than {most} bytes")
            self._file.write(deflater.compress(piece))
        self._file.write(deflater.flush())
        entry = Entry(name, DEFLATED, crc, self._file.tell() - entry.start, size, offset)
        if entry.is_swollen:
            entry = self._store(entry)
        if entry.end >= _NO_NUMBER:
            raise _too_large(f"{name} ends beyond 4 GiB")
        self._file.seek(offset)
        self._file.write(entry.local_header())
        self._entries.append(entry)

    def close(self) -> None:
        """Write the directory."""
        names = [entry.name for entry in self._entries]
        if names != list(self._limits):
            raise ValueError(f"an archive of {names}")
        self._file.seek(self._entries[-1].end)
        self._file.write(closing_bytes(self._entries))

    def _store(self, entry: Entry) -> Entry:
        """Store a member that deflates so well that readers take it for a bomb."""
        self._file.seek(entry.start)
        packed = self._file.read(entry.packed)
        self._file.seek(entry.start)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflater.eof:
            self._file.write(inflater.decompress(packed, _CHUNK))
            packed = inflater.unconsumed_tail
        return Entry(entry.name, STORED, entry.crc, entry.size, entry.size, entry.offset)


@contextmanager
def new_archive(path: Path, limits: Mapping[str, int], total: int) -> Iterator[Archive]:
    """Write an archive under another name, and give it its name when it is whole and on the disk.

    Args:
        path: The file.
        limits: As of `Archive`.
        total: As of `Archive`.

    Raises:
        InputError: The disk does not take it.
    """
    half = path.with_name(path.name + ".part")
    try:
        with half.open("w+b") as file:
            archive = Archive(file, limits, total)
            yield archive
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}", "free space there, or choose another --out") from error
    finally:
        # Once it has its name, it is there no more; a disk that takes nothing doesn't let go of it either.
        with suppress(OSError):
            half.unlink()


def _too_large(what: str) -> InputError:
    return InputError(f"the bundle would be too large: {what}", "audit the model from a node instead")
