"""The container of bundles: the package and the second verifier hold one rule, and what is written follows it."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import ANY

import pytest

import verify_bundle
from bundles.archives import DEFLATED, MADE_UP, NAMES, STORED, Archive, deflated, write_with_holes
from bundles.fuzz import by_package, by_script, fuzz
from bundles.oddities import ODDITIES, ONCE_DISPUTED, SOUND, write_all
from sensetrail.core.archive import MIB, most_packed, new_archive, read_frame
from sensetrail.core.bundle import MEMBERS, TOTAL_LIMIT, new_bundle, read_bundle
from sensetrail.errors import BundleError, InputError

GIB = 1 << 30
UNREADABLE = Path("/proc/sys/vm/compact_memory")
"""A regular file that nobody may read, not even the superuser."""


LARGER = {**MADE_UP, "headers": Random(1).randbytes(3 * MIB), "receipts": b"a receipt " * 10_000, "proofs": b""}  # noqa: S311
DOCUMENT = Path(verify_bundle.__file__).resolve().parents[1] / "docs" / "bundle.md"


def write(path: Path, members: Mapping[str, bytes], piece: int = 1 << 16) -> bytes:
    with new_bundle(path) as archive:
        for name, data in members.items():
            archive.add(name, (data[at : at + piece] for at in range(0, len(data), piece)))
    return path.read_bytes()


def run_script(path: Path, *more: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = verify_bundle.main([str(path), "--block-hash", "0x" + "11" * 32, *more])
    return code, out.getvalue(), err.getvalue()


# --- the rule


@pytest.mark.parametrize("name", ODDITIES)
def test_both_refuse_an_oddity(name: str) -> None:
    odd = ODDITIES[name](MADE_UP)
    assert (by_package(odd), by_script(odd)) == (None, None)


@pytest.mark.parametrize("name", SOUND)
def test_both_read_a_sound_archive(name: str) -> None:
    sound = SOUND[name](MADE_UP)
    assert by_package(sound) == by_script(sound) == MADE_UP


def test_every_oddity_is_another_archive() -> None:
    odd = [make(MADE_UP) for make in ODDITIES.values()]
    assert len(set(odd)) == len(odd)
    assert set(odd).isdisjoint(make(MADE_UP) for make in SOUND.values())
    assert len(set(ONCE_DISPUTED)) == 17
    assert ODDITIES.keys() >= set(ONCE_DISPUTED)


def test_the_fixtures_are_written(tmp_path: Path) -> None:
    written = write_all(tmp_path / "archives", MADE_UP)
    assert len(set(written)) == len(SOUND) + len(ODDITIES)
    assert sum(path.name.startswith("disputed-") for path in written) == 17
    assert written[0].read_bytes() == Archive.of(MADE_UP).build()


def test_both_say_the_same_of_any_damage() -> None:
    tally = fuzz(values=8, several=2000, streams=60, seed=1)
    passed = tally.pop("passed, of deflated data")
    assert tally.total() > 15_000
    # Nearly all damage is refused. What passes is the bits behind a deflated member's end, and streams without damage.
    assert passed < 8 * len(NAMES) + 60


def test_the_names_are_plain() -> None:
    assert tuple(MEMBERS) == tuple(verify_bundle.MEMBERS) == NAMES
    assert MEMBERS == verify_bundle.MEMBERS
    assert all(re.fullmatch("[A-Za-z0-9.]{1,64}", name) for name in MEMBERS)


EDGES = (0, 1, *(base + off for base in (1 << 14, 1 << 16, 1 << 17, MIB) for off in (-1, 0, 1)))


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("kind", ["random", "repeated"])
def test_both_read_members_of_any_size(method: int, size: int, kind: str) -> None:
    # As large as the pieces in which the script reads, or a byte more or less; empty ones, too.
    chance = Random(size)  # noqa: S311
    data = chance.randbytes(size) if kind == "random" else (chance.randbytes(1 + size // 50) * 50)[:size]
    members = {**MADE_UP, "headers": data, "model": data}
    archive = Archive.of(members, method)
    assert by_package(archive.build()) == by_script(archive.build()) == members
    whole = archive["model"].data()
    for wrong in {whole + b"\0", whole + b"\x03\0", whole[:-1]} - {whole}:
        archive["model"].packed = wrong
        assert by_package(archive.build()) is by_script(archive.build()) is None


@pytest.mark.parametrize(("size", "most", "passes"), [(1000, 1065, True), (999, 1063, False)])
def test_the_most_that_a_member_may_take(size: int, most: int, passes: bool) -> None:
    # A block that holds the bytes takes 5 more, and 12 blocks of nothing take 60: the most, or a byte above it.
    members = {**MADE_UP, "model": bytes(size)}
    archive = Archive.of(members)
    archive["model"].packed = b"\0\0\0\xff\xff" * 12 + deflated(members["model"], level=0)
    assert most_packed(size) == most
    assert len(archive["model"].data()) == size + 65
    found = by_package(archive.build()), by_script(archive.build())
    assert found == ((members, members) if passes else (None, None))


@pytest.mark.parametrize(("size", "passes"), [(MIB, True), (MIB + 1, False)])
def test_members_that_swell(size: int, passes: bool) -> None:
    members = {**MADE_UP, "model": bytes(size)}
    archive = Archive.of(members).build()
    assert by_package(archive) == by_script(archive) == (members if passes else None)


def test_a_size_that_stands_for_64_bits() -> None:
    # Of so many packed bytes that it doesn't look swollen.
    archive = Archive.of(MADE_UP)
    archive["headers"].packed = bytes(11 << 20)
    archive["headers"].both = {"size": 0xFFFFFFFF}
    data = archive.build()
    with pytest.raises(BundleError, match="headers would have 4294967295 bytes"):
        read_frame(BytesIO(data), MEMBERS)
    assert by_script(data) is by_document(data) is None


def test_members_beyond_4_gib_together(tmp_path: Path) -> None:
    path = tmp_path / "large"
    write_with_holes(path, {"headers": 3 * GIB, "receipts": 3 * GIB})
    with pytest.raises(BundleError, match="receipts ends beyond 4 GiB"):
        read_bundle(path)
    code, out, _ = run_script(path, "--limit", str(16 * GIB))
    assert code == 1
    assert "beyond 4 GiB is too long for a bundle" in out


# --- the reader in the document: a third one


def by_document(data: bytes) -> dict[str, bytes] | None:
    """Give an archive's members as the reader that docs/bundle.md shows; None if it refuses them."""
    code = re.search("^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert code is not None
    shown: dict[str, Any] = {}
    exec(code[1], shown)  # noqa: S102 - the document's own
    try:
        members = shown["read_container"](data, [name.encode() for name in NAMES])
    except (ValueError, zlib.error):
        return None
    return {name.decode(): member for name, member in members.items()}


def test_the_reader_in_the_document_says_the_same() -> None:
    for name, make in {**ODDITIES, **SOUND}.items():
        # It shows no limits of single members.
        expected = by_package(make(MADE_UP)) if name != "a megabyte too much for bundle.json" else ANY
        assert by_document(make(MADE_UP)) == expected, name


def test_the_reader_in_the_document_holds_the_limits(tmp_path: Path) -> None:
    assert by_document(Archive.of({**MADE_UP, "model": bytes(MIB + 1)}).build()) is None
    assert by_document(write(tmp_path / "it.bundle", LARGER)) == LARGER


# --- writing


def as_zipfile_wrote_it(members: Mapping[str, bytes]) -> bytes:
    """Write a bundle as `sensetrail bundle` 0.1.0 did: by zipfile, in pieces, with a flag, time and owner for none."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            with archive.open(info, "w") as member:
                for at in range(0, len(data), 1000):
                    member.write(data[at : at + 1000])
    return buffer.getvalue()


@pytest.mark.parametrize("members", [MADE_UP, LARGER], ids=["small", "larger"])
def test_what_is_written_is_as_before_and_as_the_format_says(members: dict[str, bytes], tmp_path: Path) -> None:
    written = write(tmp_path / "it.bundle", members)
    assert written == as_zipfile_wrote_it(members) == Archive.of(members).build()
    assert read_bundle(tmp_path / "it.bundle") == members
    assert by_script(written) == members
    assert list(tmp_path.iterdir()) == [tmp_path / "it.bundle"]


def test_pieces_make_no_difference(tmp_path: Path) -> None:
    assert write(tmp_path / "a", LARGER, 999) == write(tmp_path / "b", LARGER, 1 << 20)


def test_a_member_that_deflates_too_well_is_stored(tmp_path: Path) -> None:
    members = {**MADE_UP, "receipts": bytes(5 * MIB), "model": bytes(MIB + 1)}
    written = write(tmp_path / "it.bundle", members)
    archive = Archive.of(members)
    archive["receipts"].method = archive["model"].method = STORED
    assert written == archive.build()
    assert by_package(written) == by_script(written) == members


def test_members_that_no_reader_takes_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "it.bundle"
    with pytest.raises(InputError, match="a has more than 3 bytes"), new_archive(path, {"a": 3, "b": 9}, 10) as archive:
        archive.add("a", [b"12", b"34"])
    with pytest.raises(InputError, match="b has more than 8 bytes"), new_archive(path, {"a": 3, "b": 9}, 10) as archive:
        archive.add("a", [b"12"])
        archive.add("b", [b"123456789"])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_does_not_take_it_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "it.bundle"
    (tmp_path / "it.bundle.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"it\.bundle cannot be written: No space left on device"):
        write(path, MADE_UP)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write(tmp_path / "none" / "it.bundle", MADE_UP)
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        write(tmp_path / ("n" * 253), MADE_UP)


def test_whoever_stops_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_bundle(tmp_path / "it.bundle") as archive:
        archive.add("bundle.json", [b"{}"])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


# --- files that hold no bundle


def make_file(kind: str, folder: Path) -> Path:
    path = folder / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(10 * GIB)
    elif kind == "empty":
        path.touch()
    elif kind == "link to itself":
        path.symlink_to(path)
    return {"device": Path("/dev/zero"), "unreadable": UNREADABLE}.get(kind, path)


NOT_READ = {
    "missing": "No such file or directory",
    "folder": "is a folder",
    "pipe": "is not a regular file",
    "device": "is not a regular file",
    "unreadable": "Permission denied",
    "link to itself": "Too many levels of symbolic links",
}


@pytest.mark.parametrize("kind", NOT_READ)
def test_what_cannot_be_read_is_said_in_a_sentence(kind: str, tmp_path: Path) -> None:
    path = make_file(kind, tmp_path)
    with pytest.raises(InputError, match=NOT_READ[kind]):
        read_bundle(path)
    code, out, err = run_script(path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert NOT_READ[kind] in err


@pytest.mark.parametrize(
    ("kind", "said"), [("empty", "it is empty"), ("sparse", "byte 0, in the header of bundle.json")]
)
def test_what_is_no_bundle_is_refused_soon(kind: str, said: str, tmp_path: Path) -> None:
    path = make_file(kind, tmp_path)
    with pytest.raises(BundleError, match=said):
        read_bundle(path)
    code, out, err = run_script(path)
    assert (code, err, out.count("FAILED")) == (1, "", 1)


def test_what_is_too_large_to_read_is_not_called_false(tmp_path: Path) -> None:
    # Sound as far as its frame goes.
    path = tmp_path / "large"
    write_with_holes(path, {"headers": 3 * GIB // 2, "receipts": 3 * GIB // 2})
    with pytest.raises(InputError, match=f"{3 * GIB} bytes unpacked, at most {TOTAL_LIMIT} are read"):
        read_bundle(path)
    code, out, err = run_script(path, "--limit", str(TOTAL_LIMIT))
    assert (code, out) == (2, "")
    assert f"the members have {3 * GIB} bytes, more than --limit {TOTAL_LIMIT}" in err
