"""Archives with one oddity each, which both verifiers must refuse, and sound ones, which both must read.

    python tests/bundles/oddities.py FOLDER [--of BUNDLE]

writes them all to a folder, made of a bundle's members or of made-up ones.
"""

from __future__ import annotations

import argparse
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from bundles.archives import DEFLATED, END, MADE_UP, NAMES, STORED, Archive, Part, deflated

MIDDLE, LAST = NAMES.index("headers"), NAMES.index("model")
Members = Mapping[str, bytes]
Make = Callable[[Members], bytes]
ODDITIES: dict[str, Make] = {}
"""Name to what makes the archive of some members; every one is refused."""
SOUND: dict[str, Make] = {}
"""As `ODDITIES`, but sound."""


def oddity(name: str) -> Callable[[Callable[[Archive], bytes | None]], None]:
    """Add an oddity: a function that changes a sound archive, or gives other bytes."""

    def add(change: Callable[[Archive], bytes | None]) -> None:
        def make(members: Members) -> bytes:
            archive = Archive.of(members)
            found = change(archive)
            return archive.build() if found is None else found

        assert name not in ODDITIES, name
        ODDITIES[name] = make

    return add


def field_oddity(name: str, where: str, value: int, *fields: str, which: int = MIDDLE) -> None:
    """Add an oddity in a field of a member's local header ("local"), directory entry ("entry") or "both"."""

    def change(archive: Archive) -> None:
        getattr(archive.parts[which], where).update(dict.fromkeys(fields, value))

    oddity(name)(change)


def part_oddity(title: str, which: int = MIDDLE, /, **changes: object) -> None:
    def change(archive: Archive) -> None:
        for attribute, value in changes.items():
            setattr(archive.parts[which], attribute, value)

    oddity(title)(change)


def archive_oddity(name: str, **changes: object) -> None:
    def change(archive: Archive) -> None:
        for attribute, value in changes.items():
            setattr(archive, attribute, value)

    oddity(name)(change)


# --- signatures, versions, flags, times: in one of the headers, or in both alike

PLACES = {"local": "its header", "entry": "the directory", "both": "both headers"}
for place, said in PLACES.items():
    for version in (10, 19, 21, 45, 63, 99, 0x314):
        field_oddity(f"version needed {version} in {said}", place, version, "version needed")
    for bit, meaning in {
        0: "encrypted",
        1: "deflated with option 1",
        2: "deflated with option 2",
        3: "sizes behind the data",
        5: "patch data",
        6: "strong encryption",
        11: "a name in UTF-8",
        13: "masked headers",
        15: "a reserved bit",
    }.items():
        field_oddity(f"flag {bit} ({meaning}) in {said}", place, 1 << bit, "flags")
    field_oddity(f"a time in {said}", place, 0x7000, "time")
    field_oddity(f"another date in {said}", place, 0x5B7C, "date")
    field_oddity(f"no date in {said}", place, 0, "date")
for place in ("local", "entry"):
    field_oddity(f"another signature in {PLACES[place]}", place, 0x08074B50, "signature")
    field_oddity(f"no signature in {PLACES[place]}", place, 0, "signature")
    field_oddity(f"another checksum in {PLACES[place]} alone", place, 0x04030201, "checksum")
    field_oddity(f"no checksum in {PLACES[place]} alone", place, 0, "checksum")
    field_oddity(f"another size in {PLACES[place]} alone", place, 1, "size")
    field_oddity(f"no sizes in {PLACES[place]} alone", place, 0, "size", "packed size")
    field_oddity(f"another packed size in {PLACES[place]} alone", place, 1, "packed size")
    field_oddity(f"method 0 in {PLACES[place]} alone", place, STORED, "method")
field_oddity("another checksum in both headers", "both", 0x04030201, "checksum")
for method in (1, 6, 9, 12, 14, 93, 95, 99, 0xFFFF):
    field_oddity(f"method {method} in both headers", "both", method, "method")
field_oddity("deflated, but stored by both headers", "both", STORED, "method")
part_oddity("stored, but deflated by both headers", packed=b"plain bytes", both={"method": DEFLATED})

# --- the directory's own fields

for made_by, said in {
    0x0014: "MS-DOS",
    0x0A14: "Windows",
    0x1314: "macOS",
    0xFF14: "an unknown system",
    0x0300: "version 0",
    0x031E: "version 3.0",
    0x033F: "version 6.3",
}.items():
    field_oddity(f"made by {said}", "entry", made_by, "version made by")
for disk in (1, 0xFFFF):
    field_oddity(f"on disk {disk}", "entry", disk, "disk")
for bit in (0, 1, 15):
    field_oddity(f"internal attributes with bit {bit}", "entry", 1 << bit, "internal attributes")
for attributes, said in {
    0: "no attributes",
    0o100600 << 16: "mode 0600",
    0o100755 << 16: "mode 0755",
    0o104644 << 16: "a set-user-id bit",
    0o000644 << 16: "a mode without a type",
    0o120777 << 16: "a symbolic link",
    0o040755 << 16: "a directory's mode",
    0o010644 << 16: "a pipe",
    0o020644 << 16: "a character device",
    0o060644 << 16: "a block device",
    0o140644 << 16: "a socket",
    0o100644 << 16 | 0x01: "the DOS read-only bit",
    0o100644 << 16 | 0x02: "the DOS hidden bit",
    0o100644 << 16 | 0x10: "the DOS directory bit",
    0o100644 << 16 | 0x20: "the DOS archive bit",
    0o100644 << 16 | 0x8000: "a bit between DOS and Unix",
}.items():
    field_oddity(f"external attributes: {said}", "entry", attributes, "external attributes")
for offset, said in {7: "into another member", 0: "of the first member", 0xFFFFFFFF: "that stands for 64 bits"}.items():
    field_oddity(f"an offset {said}", "entry", offset, "offset")
for which, said in {0: "first", LAST: "last"}.items():
    for name in ("comment length", "extra length"):
        for length in (1, 22, 0xFFFF):
            field_oddity(f"{name} {length} in the {said} entry, with none there", "entry", length, name, which=which)
    field_oddity(f"extra length 1 in the {said} header, with none there", "local", 1, "extra length", which=which)
    for place in ("local", "entry"):
        for length in (0, 1, 0xFFFF):
            name = f"name length {length} in {PLACES[place]} of the {said} member"
            field_oddity(name, place, length, "name length", which=which)

# --- names

for which, said in {0: "first", MIDDLE: "middle", LAST: "last"}.items():
    plain = NAMES[which].encode()
    part_oddity(f"NUL behind the {said} name in the directory", which, name=plain + b"\0", local_name=plain)
    part_oddity(f"NUL and more behind the {said} name in the directory", which, name=plain + b"\0x", local_name=plain)
    part_oddity(f"NUL behind the {said} name in both headers", which, name=plain + b"\0")
    part_oddity(f"NUL behind the {said} name in its header", which, local_name=plain + b"\0")
    part_oddity(
        f"NUL for the {said} name's last letter in the directory", which, name=plain[:-1] + b"\0", local_name=plain
    )
    part_oddity(f"another {said} name in its header", which, local_name=plain.upper())
    part_oddity(f"another {said} name in the directory", which, name=plain.upper(), local_name=plain)
for text in (
    *("../model", "/model", "model/", "./model", "C:\\model", "Model", "model ", "", "mod\u00e9l", "x" * 5000),
    *("m\x1b[2Jodel", "\u202eledom", "model\n", "mod\x7fl"),
):
    part_oddity(f"a member called {text[:20]!a}", LAST, name=text.encode())
part_oddity("a member called by bytes that are no text", LAST, name=b"m\xff\xfedel")

# --- extra fields and comments

TIMES = struct.pack("<HHBl", 0x5455, 5, 1, 1_700_000_000)
for extra, said in {
    struct.pack("<HH", 0x9999, 0): "unknown",
    TIMES: "times",
    struct.pack("<HHQQ", 1, 16, 99, 99): "ZIP64",
    struct.pack("<HHBL", 0x7075, 9, 1, 0) + b"trap": "Unicode path",
    b"\0": "one byte",
}.items():
    part_oddity(f"extra field in its header: {said}", local_extra=extra)
    part_oddity(f"extra field in the directory: {said}", extra=extra)
    part_oddity(f"extra field in both headers: {said}", local_extra=extra, extra=extra)
part_oddity("a member's comment", comment=b"trust me")
part_oddity("the last member's comment", LAST, comment=b"trust me")


@oddity("sizes of 64 bits in both headers")
def _sizes_of_64_bits(archive: Archive) -> None:
    part = archive.parts[MIDDLE]
    sizes = struct.pack("<HHQQ", 1, 16, len(part.plain), len(part.data()))
    part.local_extra = part.extra = sizes
    part.both = {"size": 0xFFFFFFFF, "packed size": 0xFFFFFFFF, "version needed": 45}


@oddity("sizes behind the data, as zeros in the header")
def _sizes_behind_the_data(archive: Archive) -> None:
    part = archive.parts[MIDDLE]
    part.both = {"flags": 8}
    part.local = {"checksum": 0, "size": 0, "packed size": 0}
    part.behind = struct.pack("<4sLLL", b"PK\7\x08", zlib.crc32(part.plain), len(part.data()), len(part.plain))


# --- the end record

for name, values in {
    "signature": (0, 0x06064B50),
    "disk": (1, 0xFFFF),
    "directory's disk": (1, 0xFFFF),
    "entries here": (0, len(NAMES) - 1, len(NAMES) + 1, 0xFFFF),
    "entries": (0, len(NAMES) - 1, len(NAMES) + 1, 0xFFFF),
    "directory's size": (0, 1, 0xFFFFFFFF),
    "directory's offset": (0, 1, 0xFFFFFFFF),
    "comment length": (1, 0xFFFF),
}.items():
    for value in values:
        archive_oddity(f"{value} for the end record's {name}", end={name: value})
archive_oddity("an end record that leaves all to ZIP64", end=dict.fromkeys(list(END)[1:7], 0xFFFFFFFF))
archive_oddity("a comment", comment=b"trust me")
archive_oddity("a comment that is longer than its length", comment=b"trust me", end={"comment length": 4})
archive_oddity("a comment that is shorter than its length", comment=b"trust me", end={"comment length": 9})
archive_oddity("a comment of length 0", comment=b"trust me", end={"comment length": 0})
archive_oddity("a comment with a NUL", comment=b"\0")


@oddity("an end record in the comment of another")
def _an_end_record_in_a_comment(archive: Archive) -> None:
    archive.comment = archive.build()[-22:]


@oddity("two end records")
def _two_end_records(archive: Archive) -> bytes:
    whole = archive.build()
    return whole + whole[-22:]


@oddity("a ZIP64 end record and its locator")
def _zip64_end(archive: Archive) -> None:
    whole = archive.build()
    size, offset = struct.unpack_from("<LL", whole, len(whole) - 10)
    count = len(archive.parts)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    archive.before_end = record + struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)


# --- something before, between or behind

archive_oddity("a byte before the first member", before=b"\0")
archive_oddity("a script before the first member", before=b"#!/bin/sh\nexit 1\n")
archive_oddity("a byte before the directory", before_directory=b"\0")
archive_oddity("archive extra data before the directory", before_directory=struct.pack("<4sL", b"PK\6\x08", 0))
archive_oddity("a byte behind the directory's entries", in_directory=b"\0")
archive_oddity("a digital signature in the directory", in_directory=struct.pack("<4sH", b"PK\5\5", 0))
archive_oddity("a byte between the directory and its end", before_end=b"\0")
archive_oddity("a byte behind the end", behind=b"\0")
archive_oddity("a line end behind the end", behind=b"\n")
archive_oddity("64 KiB behind the end", behind=bytes(1 << 16))
part_oddity("a byte between members", before=b"\0")
part_oddity("a hidden member between members", before=Part(b"hidden", b"hidden").header() + b"hidden")
part_oddity("a byte behind a member's data", behind=b"\0")
oddity("a byte before, which no offset counts")(lambda archive: b"\0" + archive.build())
oddity("twice the archive")(lambda archive: archive.build() * 2)
oddity("an empty archive before it, which no offset counts")(lambda archive: Archive([]).build() + archive.build())

# --- members


@oddity("an unknown member")
def _an_unknown_member(archive: Archive) -> None:
    archive.parts.append(Part(b"more", b"more"))


@oddity("an empty member for a directory")
def _an_empty_member_for_a_directory(archive: Archive) -> None:
    archive.parts.insert(0, Part(b"folder/", b"", STORED))


@oddity("a missing member")
def _a_missing_member(archive: Archive) -> None:
    archive.parts.pop(NAMES.index("transactions"))


@oddity("no members")
def _no_members(archive: Archive) -> None:
    archive.parts.clear()


@oddity("members in another order")
def _members_in_another_order(archive: Archive) -> None:
    archive.parts.reverse()


@oddity("a member twice")
def _a_member_twice(archive: Archive) -> None:
    archive.parts.append(Part(b"model", archive["model"].plain))


@oddity("a member twice, the second one other")
def _a_member_twice_and_other(archive: Archive) -> None:
    archive.parts.append(Part(b"model", b"another"))


archive_oddity("a directory in another order", directory_order=[1, 0, *range(2, len(NAMES))])
archive_oddity("a directory that lacks a member", directory_order=list(range(LAST)))
archive_oddity("a directory that has a member twice", directory_order=[*range(len(NAMES)), LAST])


@oddity("a member that the directory does not know")
def _a_member_unknown_to_the_directory(archive: Archive) -> None:
    archive.parts.insert(MIDDLE, Part(b"hidden", b"hidden"))
    archive.directory_order = [i for i in range(len(NAMES) + 1) if i != MIDDLE]
    archive.end = {"entries": len(NAMES), "entries here": len(NAMES)}


# --- sizes

for size in (0, 1, 1 << 20, (4 << 30) - 2, 0xFFFFFFFF):
    field_oddity(f"size {size} in both headers", "both", size, "size")
for size in (0, 1, 1 << 24, 0xFFFFFFFF):
    field_oddity(f"packed size {size} in both headers", "both", size, "packed size")
field_oddity("sizes of 4 GiB in both headers", "both", 0xFFFFFFFF, "size", "packed size")


@oddity("a megabyte too much for bundle.json")
def _a_megabyte_too_much(archive: Archive) -> None:
    archive["bundle.json"].plain += b" " * (1 << 20)
    archive["bundle.json"].method = STORED


@oddity("zeros that deflate a thousandfold")
def _zeros_that_deflate_a_thousandfold(archive: Archive) -> None:
    archive["headers"].plain = bytes(8 << 20)


def sizes_off(archive: Archive, method: int, size: int, packed: int) -> None:
    part = archive.parts[LAST]
    part.method = method
    part.both = {"size": len(part.plain) + size, "packed size": len(part.data()) + packed}


for method, said in {STORED: "stored", DEFLATED: "deflated"}.items():
    for size, packed in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)):
        oddity(f"{said}, with size {size:+} and packed size {packed:+} in both headers")(
            partial(sizes_off, method=method, size=size, packed=packed)
        )

# --- deflated data


def data_oddity(name: str, pack: Callable[[bytes], bytes]) -> None:
    """Add an oddity in how the last member is packed."""

    def change(archive: Archive) -> None:
        part = archive.parts[LAST]
        part.packed = pack(part.plain)

    oddity(name)(change)


EMPTY_BLOCK = b"\0\0\0\xff\xff"
"""A stored block of nothing, not the last one."""
data_oddity("a byte behind the deflated data", lambda data: deflated(data) + b"\0")
data_oddity("more behind the deflated data", lambda data: deflated(data) + b"hidden")
data_oddity("two deflated streams", lambda data: deflated(data) + deflated(b""))
data_oddity("two deflated streams that make the member", lambda data: deflated(data[:9]) + deflated(data[9:]))
data_oddity("more deflated than its size", lambda data: deflated(data + b"hidden"))
data_oddity("less deflated than its size", lambda data: deflated(data[:-1]))
data_oddity("another member's data", lambda data: deflated(data[::-1]))
data_oddity("deflated without an end", lambda data: deflated(data)[:-4])
data_oddity("deflated without a last block", lambda data: EMPTY_BLOCK)
data_oddity("no deflated data", lambda data: b"")
data_oddity("deflated garbage", lambda data: b"\xff" * len(data))
data_oddity("a deflated block of no type", lambda data: b"\7")
data_oddity("deflated with zlib's header", zlib.compress)
data_oddity("deflated with gzip's header", lambda data: zlib.compress(data, wbits=31))
data_oddity("more empty blocks than deflating needs", lambda data: EMPTY_BLOCK * (len(data) + 99) + deflated(data))
data_oddity("a distance beyond the data's beginning", lambda data: b"\x4b\x04\x12\0")

# --- files

for length in (0, 1, 3, 4, 29, 30, 41):
    oddity(f"the first {length} bytes")(partial(lambda archive, length: archive.build()[:length], length=length))
for cut in (1, 2, 21, 22, 23, 60, 100):
    oddity(f"all but the last {cut} bytes")(partial(lambda archive, cut: archive.build()[:-cut], cut=cut))
oddity("the first half")(lambda archive: archive.build()[: len(archive.build()) // 2])
oddity("the second half")(lambda archive: archive.build()[len(archive.build()) // 2 :])
oddity("all but the first byte")(lambda archive: archive.build()[1:])
oddity("text")(lambda archive: b"not an archive at all, but longer than the end of one would be\n" * 50)
oddity("zeros")(lambda archive: bytes(len(archive.build())))

ONCE_DISPUTED = (
    "another signature in its header",
    "no signature in its header",
    "version needed 45 in its header",
    "version needed 99 in its header",
    "a time in its header",
    "another date in its header",
    "version needed 10 in the directory",
    "version needed 45 in the directory",
    "a time in the directory",
    "another date in the directory",
    "external attributes: the DOS directory bit",
    "comment length 1 in the last entry, with none there",
    "extra length 1 in the last entry, with none there",
    "name length 65535 in the directory of the last member",
    "NUL behind the last name in the directory",
    "NUL and more behind the middle name in the directory",
    "version needed 99 in both headers",
)
"""The kinds that one verifier passed and the other refused before the container had one rule: the last by the script
alone, the others by the package alone."""

# --- sound archives


def sound(name: str) -> Callable[[Callable[[Archive], None]], None]:
    def add(change: Callable[[Archive], None]) -> None:
        def make(members: Members) -> bytes:
            archive = Archive.of(members)
            change(archive)
            return archive.build()

        SOUND[name] = make

    return add


sound("all deflated")(lambda archive: None)


@sound("all stored")
def _all_stored(archive: Archive) -> None:
    for part in archive.parts:
        part.method = STORED


@sound("stored and deflated in turns")
def _in_turns(archive: Archive) -> None:
    for part in archive.parts[::2]:
        part.method = STORED


def repacked(pack: Callable[[bytes], bytes]) -> Callable[[Archive], None]:
    def change(archive: Archive) -> None:
        for part in archive.parts:
            part.packed = pack(part.plain)

    return change


def flushed(data: bytes) -> bytes:
    """Deflate with an empty block in the middle."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data[:9]) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.compress(data[9:]) + packer.flush()


for level in (0, 1, 9):
    sound(f"deflated on level {level}")(repacked(partial(deflated, level=level)))
sound("deflated with an empty block")(repacked(flushed))


def write_all(folder: Path, members: Members) -> list[Path]:
    """Write every archive to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (name, make) in enumerate({**SOUND, **ODDITIES}.items()):
        kind = "sound" if name in SOUND else "disputed" if name in ONCE_DISPUTED else "odd"
        plain = re.sub("[^A-Za-z0-9]+", "-", name).strip("-")
        written.append(folder / f"{kind}-{number:03}-{plain}.bundle")
        written[-1].write_bytes(make(members))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description="Write archives with one oddity each, and sound ones.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of", type=Path, metavar="BUNDLE", help="take a bundle's members (default: made-up ones)")
    given = parser.parse_args()
    members: Members = MADE_UP
    if given.of is not None:
        with zipfile.ZipFile(given.of) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    count = len(write_all(given.folder, members))
    sys.stdout.write(f"{count} archives: {len(SOUND)} sound, the others odd; {len(ONCE_DISPUTED)} were once disputed\n")


if __name__ == "__main__":
    main()
