"""Archives put together field by field from docs/bundle.md ("The container"), whether sound or not.

Neither the package, nor the second verifier, nor Python's zipfile has a part in it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STORED, DEFLATED = 0, 8
NAMES = (
    *("bundle.json", "SensorRegistry.abi.json", "ModelRegistry.abi.json", "headers", "receipts", "proofs"),
    *("transactions", "dataset.csv", "manifest.json", "model"),
)
MADE_UP = {name: f"the member {name}, and what it holds; ".encode() * 9 for name in NAMES}
"""Members of a small archive: as a bundle's by their names only."""
# Every field by its name and its bytes, as docs/bundle.md lists them.
SHARED = {"version needed": 2, "flags": 2, "method": 2, "time": 2, "date": 2, "checksum": 4, "packed size": 4}
SHARED |= {"size": 4, "name length": 2, "extra length": 2}
LOCAL = {"signature": 4} | SHARED
ENTRY = {"signature": 4, "version made by": 2} | SHARED
ENTRY |= {"comment length": 2, "disk": 2, "internal attributes": 2, "external attributes": 4, "offset": 4}
END = {"signature": 4, "disk": 2, "directory's disk": 2, "entries here": 2, "entries": 2, "directory's size": 4}
END |= {"directory's offset": 4, "comment length": 2}


def packed_fields(layout: dict[str, int], values: Mapping[str, int]) -> bytes:
    """Write fields, little-endian."""
    assert values.keys() <= layout.keys(), values
    return b"".join((values.get(name, 0) % 256**size).to_bytes(size, "little") for name, size in layout.items())


def deflated(data: bytes, level: int = -1) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(data) + packer.flush()


@dataclass
class Part:
    """A member as its archive holds it; `local`, `entry` and `both` override fields of its two headers."""

    name: bytes
    plain: bytes
    method: int = DEFLATED
    packed: bytes | None = None
    local: dict[str, int] = field(default_factory=dict)
    entry: dict[str, int] = field(default_factory=dict)
    both: dict[str, int] = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    behind: bytes = b""

    def data(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.plain) if self.method == DEFLATED else self.plain

    def _shared(self, name: bytes, extra: bytes) -> dict[str, int]:
        return {
            "version needed": 20,
            "method": self.method,
            "date": 0x21,
            "checksum": zlib.crc32(self.plain),
            "packed size": len(self.data()),
            "size": len(self.plain),
            "name length": len(name),
            "extra length": len(extra),
        }

    def header(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        values = {"signature": 0x04034B50, **self._shared(name, self.local_extra), **self.both, **self.local}
        return packed_fields(LOCAL, values) + name + self.local_extra

    def directory_entry(self, offset: int) -> bytes:
        values = {
            "signature": 0x02014B50,
            "version made by": 0x0314,
            **self._shared(self.name, self.extra),
            "comment length": len(self.comment),
            "external attributes": 0o100644 << 16,
            "offset": offset,
            **self.both,
            **self.entry,
        }
        return packed_fields(ENTRY, values) + self.name + self.extra + self.comment


@dataclass
class Archive:
    """An archive to be built; without changes, a sound one."""

    parts: list[Part]
    end: dict[str, int] = field(default_factory=dict)
    before: bytes = b""
    before_directory: bytes = b""
    in_directory: bytes = b""
    before_end: bytes = b""
    comment: bytes = b""
    behind: bytes = b""
    directory_order: list[int] | None = None

    @classmethod
    def of(cls, members: Mapping[str, bytes], method: int = DEFLATED) -> Archive:
        return cls([Part(name.encode(), data, method) for name, data in members.items()])

    def __getitem__(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name.encode())

    def build(self) -> bytes:
        archive, offsets = self.before, []
        for part in self.parts:
            archive += part.before
            offsets.append(len(archive))
            archive += part.header() + part.data() + part.behind
        archive += self.before_directory
        entries = [part.directory_entry(offset) for part, offset in zip(self.parts, offsets, strict=True)]
        order = range(len(entries)) if self.directory_order is None else self.directory_order
        directory = b"".join(entries[i] for i in order) + self.in_directory
        values = {
            "signature": 0x06054B50,
            "entries here": len(entries),
            "entries": len(entries),
            "directory's size": len(directory),
            "directory's offset": len(archive),
            "comment length": len(self.comment),
            **self.end,
        }
        return archive + directory + self.before_end + packed_fields(END, values) + self.comment + self.behind


def write_with_holes(path: Path, sizes: Mapping[str, int]) -> None:
    """Write a file whose members are empty, but for stored holes of some sizes; offsets are cut to 32 bits."""
    parts = [Part(name.encode(), b"", STORED) for name in NAMES]
    at, directory = 0, b""
    with path.open("wb") as file:
        for name, part in zip(NAMES, parts, strict=True):
            hole = sizes.get(name, 0)
            part.both = {"size": hole, "packed size": hole}
            directory += part.directory_entry(at)
            file.seek(at)
            at += file.write(part.header()) + hole
        file.seek(at)
        count = len(parts)
        end = {"entries": count, "entries here": count, "directory's size": len(directory), "directory's offset": at}
        file.write(directory + Archive([], end=end).build())
