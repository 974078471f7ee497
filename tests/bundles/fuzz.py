"""Damages a small archive byte by byte and compares what the two verifiers' containers say of it.

    python tests/bundles/fuzz.py [--values 255] [--pairs 200000] [--streams 2000] [--seed 1]

prints how many archives were tried. It exits with 1 at the first on which the package and the script differ, or that
both pass although one of its bytes that are not deflated data is wrong.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2] / "scripts")]

import verify_bundle
from bundles.archives import DEFLATED, MADE_UP, STORED, Archive
from sensetrail.core.archive import read_frame, read_member
from sensetrail.core.bundle import MEMBERS
from sensetrail.errors import BundleError

Found = dict[str, bytes] | None


def by_package(data: bytes) -> Found:
    """Give an archive's members as the package reads them; None if it refuses them."""
    file = BytesIO(data)
    try:
        return {entry.name: read_member(file, entry) for entry in read_frame(file, MEMBERS)}
    except BundleError:
        return None


def by_script(data: bytes) -> Found:
    """Give an archive's members as the script reads them; None if it refuses them."""
    try:
        members = verify_bundle.open_archive(BytesIO(data), 4 << 30)
        for member in members.values():
            member.check()
        return {name: member.read() for name, member in members.items()}
    except verify_bundle.Refused:
        return None


class DifferenceError(Exception):
    """The two differ, or both pass what they must refuse."""


def small_archive() -> tuple[bytes, set[int]]:
    """Give a sound archive of short members, stored and deflated, and where its deflated data are."""
    members = {name: data[: 7 * i] for i, (name, data) in enumerate(MADE_UP.items())}
    archive = Archive.of(members)
    for part in archive.parts[::2]:
        part.method = STORED
    free: set[int] = set()
    at = 0
    for part in archive.parts:
        start, at = at + len(part.header()), at + len(part.header()) + len(part.data())
        if part.method == DEFLATED:
            free |= set(range(start, at))
    return archive.build(), free


def mutants(data: bytes, values: int) -> Iterator[tuple[str, int, bytes]]:
    """Damage an archive at each byte: give how, where, and the result.

    Args:
        data: The archive.
        values: How many other values each byte takes; from 8 on, each of its bits is flipped.
    """
    flips = [1 << bit for bit in range(8)] + [x for x in range(1, 256) if x.bit_count() > 1]
    for at in range(len(data)):
        for flip in flips[:values]:
            yield "changed", at, data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        yield "removed", at, data[:at] + data[at + 1 :]
        yield "doubled", at, data[:at] + data[at : at + 1] + data[at:]
        yield "inserted", at, data[:at] + b"\0" + data[at:]
        yield "cut", at, data[:at]
        yield "begun later", at + 1, data[at + 1 :]


def pairs(data: bytes, count: int, chance: Random) -> Iterator[tuple[str, int, bytes]]:
    """Damage an archive at several bytes at once, often the same way."""
    fields = [at for at in range(len(data)) if not data[at : at + 1].isalpha()]
    for _ in range(count):
        changed = bytearray(data)
        value, at = chance.choice([0, 1, 8, 0x10, 0x7F, 0x80, 0xFF, chance.randrange(256)]), 0
        for _ in range(chance.randrange(2, 5)):
            at = chance.choice(fields)
            changed[at] = value
        yield "several changed", at, bytes(changed)


def deflate_somehow(data: bytes, chance: Random) -> bytes:
    """Deflate in one of the many ways that there are."""
    packer = zlib.compressobj(chance.randrange(10), zlib.DEFLATED, -15, chance.randrange(1, 10), chance.randrange(5))
    flushes = (zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK)
    packed, at = b"", 0
    while at < len(data):
        step = chance.randrange(1, len(data) + 1)
        packed += packer.compress(data[at : at + step]) + packer.flush(chance.choice(flushes))
        at += step
    return packed + packer.flush()


def damaged_streams(count: int, chance: Random) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Give archives of a larger member whose deflated data may be damaged, and what must be in them if they pass.

    The script unpacks in pieces of 64 KiB, the package at once.
    """
    for _ in range(count):
        size = chance.choice([0, 1, 100, 65_535, 65_536, 65_537, 131_072, 200_000])
        repeats = chance.choice([1, 1, 30])
        data = (chance.randbytes(size // repeats + 1) * repeats)[:size]
        packed = bytearray(deflate_somehow(data, chance))
        for _ in range(chance.randrange(3)):
            at = chance.choice([chance.randrange(len(packed)), len(packed) - 1])
            match chance.randrange(4):
                case 0:
                    packed[at] ^= 1 << chance.randrange(8)
                case 1 if len(packed) > 4:
                    del packed[at : at + chance.randrange(1, 4)]
                case 2:
                    packed[at:at] = chance.randbytes(chance.randrange(1, 4))
                case _:
                    packed += chance.choice([b"\0", b"\x03\0", b"\0\0\0\xff\xff"])
        members = {**MADE_UP, "receipts": data}
        archive = Archive.of(members)
        archive["receipts"].packed = bytes(packed)
        yield archive.build(), members


def compare(how: str, at: int, data: bytes, may_pass: bool, members: dict[str, bytes]) -> bool:
    """Hold the two against each other on an archive; tell whether both pass it."""
    package, script = by_package(data), by_script(data)
    passed = package is not None
    if package != script or (passed and not (may_pass and package == members)):
        raise DifferenceError(
            f"{how} at byte {at}: the package {passed}, the script {script is not None}: {data.hex()}"
        )
    return passed


def fuzz(values: int, several: int, streams: int, seed: int) -> Counter[str]:
    """Run; give how many archives were tried, by how they were damaged, and how many were passed.

    Raises:
        DifferenceError: On one of them, the two differ.
    """
    good, free = small_archive()
    members = by_package(good)
    assert members is not None
    assert by_script(good) == members
    tally: Counter[str] = Counter()
    for how, at, data in mutants(good, values):
        if data == good:
            continue
        tally[how] += 1
        tally["passed, of deflated data"] += compare(how, at, data, how == "changed" and at in free, members)
    for how, at, data in pairs(good, several, Random(seed)):  # noqa: S311 - the same each time
        if data != good:
            tally[how] += 1
            is_outside = any(data[i] != good[i] for i in range(len(good)) if i not in free)
            tally["passed, of deflated data"] += compare(how, at, data, not is_outside, members)
    for data, expected in damaged_streams(streams, Random(seed)):  # noqa: S311
        tally["deflated anew"] += 1
        tally["passed, of deflated data"] += compare("deflated anew", 0, data, True, expected)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description="Damage a small archive, and compare the two verifiers on it.")
    parser.add_argument("--values", type=int, default=255)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        tally = fuzz(given.values, given.pairs, given.streams, given.seed)
    except DifferenceError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    passed = tally.pop("passed, of deflated data")
    tried = ", ".join(f"{count} {how}" for how, count in tally.items())
    kept = f"{passed} passed: they unpack to the same bytes"
    sys.stdout.write(f"{tried}\n{tally.total()} archives, no difference; {kept}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
