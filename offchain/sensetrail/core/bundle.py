"""Bundle files: the members of docs/bundle.md in a ZIP archive, and nothing else.

A bundle is hostile. Its members' names are compared, never used as paths; sizes are checked before anything is read;
the archive's directory must say of every byte of the file what it is.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sensetrail.core.canonical import canonical_json, parse_json
from sensetrail.core.dataset import Rows
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.errors import BundleError, InputError, ManifestError

VERSION = "sensetrail-bundle-v1"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MEMBERS = {
    "bundle.json": 64 * KIB,
    "SensorRegistry.abi.json": MIB,
    "ModelRegistry.abi.json": MIB,
    "headers": 4 * GIB,
    "receipts": 4 * GIB,
    "proofs": GIB,
    "transactions": 4 * GIB,
    "dataset.csv": 4 * GIB,
    "manifest.json": MIB,
    "model": 4 * GIB,
}
"""The members in their order, and the most bytes each may have."""
TOTAL_LIMIT = 2 * GIB
"""Of all members together, bytes: they are read into memory."""
MOST_SWOLLEN = 400
"""How many times its deflated size a member of more than a mebibyte may have."""
CSV_HEADING = "device,sequence,measured_at,temperature,humidity\n"

_LOCAL_HEADER = struct.Struct("<4sHHHHHLLLHH")
_END = struct.Struct("<4sHHHHLLH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bundle's evidence is from: its `bundle.json`.

    Attributes:
        chain_id: EIP-155.
        sensor_registry: Its address.
        model_registry: Its address.
        first_block: The first header's number.
        anchor_number: The last header's number.
        anchor_hash: Its hash, 32 bytes.
    """

    chain_id: int
    sensor_registry: Address
    model_registry: Address
    first_block: int
    anchor_number: int
    anchor_hash: bytes

    def encode(self) -> bytes:
        """Give the member's bytes."""
        return canonical_json(
            {
                "bundle": VERSION,
                "chain_id": self.chain_id,
                "sensor_registry": self.sensor_registry,
                "model_registry": self.model_registry,
                "first_block": self.first_block,
                "anchor": {"number": self.anchor_number, "hash": hex_word(self.anchor_hash)},
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Place:
        """Read the member.

        Raises:
            BundleError: It is none.
        """
        try:
            value = parse_json(data, "bundle.json")
            place = cls(
                value["chain_id"],
                address(value["sensor_registry"]),
                address(value["model_registry"]),
                value["first_block"],
                value["anchor"]["number"],
                bytes.fromhex(value["anchor"]["hash"][2:]),
            )
            numbers = (place.chain_id, place.first_block, place.anchor_number)
            whole = all(type(number) is int and 0 <= number < 2**64 for number in numbers)
            if not whole or len(place.anchor_hash) != 32 or place.encode() != data:
                raise _broken("bundle.json is not in its one form")
        except (KeyError, TypeError, ValueError, InputError, ManifestError) as error:
            raise _broken(f"bundle.json lacks or mistypes {error}") from error
        return place


def write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member to a bundle that is being written; all bundles of the same evidence have the same bytes."""
    with archive.open(member_info(name), "w") as member:
        member.write(data)


def member_info(name: str) -> zipfile.ZipInfo:
    """Give what stands in the archive of a member: no time, no owner."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    return info


def read_bundle(path: Path) -> Mapping[str, bytes]:
    """Read a bundle's members into memory.

    Args:
        path: From anywhere.

    Raises:
        BundleError: It is no bundle, or a malicious one.
    """
    if not path.is_file():
        raise InputError(f"there is no bundle at {path}", "give the file that `sensetrail bundle` wrote")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_members(entries)
            _check_layout(file, archive, entries)
            return {entry.filename: _read_member(file, entry) for entry in entries}
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        ValueError,
        RuntimeError,
    ) as error:
        raise _broken(f"it is no sound archive: {error}") from error
    except MemoryError as error:
        raise _broken("it is larger than this machine's memory") from error


def _read_member(file: BinaryIO, entry: zipfile.ZipInfo) -> bytes:
    """Read a member that is where the directory says; not by zipfile, which lets more or fewer bytes pass."""
    file.seek(entry.header_offset + _LOCAL_HEADER.size + len(entry.filename))
    packed = file.read(entry.compress_size)
    data, is_whole = packed, True
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(packed, entry.file_size + 1)
        is_whole = inflater.eof and not inflater.unused_data
    if not is_whole or len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
        raise _broken(f"{entry.filename} does not unpack to what the archive's directory says")
    return data


def _check_members(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if names != list(MEMBERS):
        raise _broken(f"its members are {', '.join(names[:20])!r:.200}, not {', '.join(MEMBERS)}")
    for entry in entries:
        swollen = entry.file_size > MIB and entry.file_size > MOST_SWOLLEN * entry.compress_size
        if entry.file_size > MEMBERS[entry.filename] or swollen:
            raise _broken(f"{entry.filename} would have {entry.file_size} bytes")
        kind = entry.external_attr >> 16
        if entry.compress_type not in _METHODS or entry.flag_bits or entry.comment or entry.extra:
            raise _broken(f"{entry.filename} is encrypted, commented, or packed in a way of its own")
        if entry.volume or not (stat.S_IFMT(kind) == 0 or stat.S_ISREG(kind)):
            raise _broken(f"{entry.filename} is a link, a device, or on another disk")
    if sum(entry.file_size for entry in entries) > TOTAL_LIMIT:
        raise _broken("its members are larger than any bundle's")


def _check_layout(file: BinaryIO, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Make sure that the members, the directory and its end follow on each other, and nothing else is there."""
    position = 0
    for entry in entries:
        file.seek(position)
        fields = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
        name = file.read(name_length)
        if (
            entry.header_offset != position
            or name != entry.filename.encode()
            or (flags, method, crc, packed, size, extra_length)
            != (0, entry.compress_type, entry.CRC, entry.compress_size, entry.file_size, 0)
        ):
            raise _broken(f"{entry.filename} is not where, or what, the archive's directory says")
        position += _LOCAL_HEADER.size + name_length + packed
    file.seek(0, 2)
    end = file.tell() - _END.size
    file.seek(end)
    _, disk, start_disk, here, total, length, offset, comment = _END.unpack(file.read(_END.size))
    if (disk, start_disk, here, total, comment) != (0, 0, len(entries), len(entries), 0):
        raise _broken("the archive's end is not a bundle's")
    if archive.start_dir != position or offset != position or position + length != end:
        raise _broken("there is something between or behind its members")


def dataset_csv(rows: Rows) -> bytes:
    """Write a dataset's rows in their one form."""
    columns = (rows.sequence, rows.measured_at, rows.temperature, rows.humidity)
    lines = zip(rows.device.tolist(), *(column.tolist() for column in columns), strict=True)
    return (CSV_HEADING + "".join(f"{d},{s},{m},{t},{h}\n" for d, s, m, t, h in lines)).encode()


def _broken(what: str) -> BundleError:
    return BundleError(f"not a sound bundle: {what}", "ask for it again, from someone else")
