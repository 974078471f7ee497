"""Bundle files: the members of docs/bundle.md, in the container of `core.archive`.

A bundle is hostile. Its members' names are compared, never used as paths, and sizes are checked before any member is
read.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sensetrail.core.archive import MIB, Archive, new_archive, read_frame, read_member, unsound
from sensetrail.core.canonical import canonical_json, fault, parse_json
from sensetrail.core.dataset import Rows
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.errors import InputError, ManifestError

VERSION = "sensetrail-bundle-v1"
KIB, GIB = 1 << 10, 1 << 30
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
"""Of all members together, bytes: they are read into memory, and more are not written."""
CSV_HEADING = "device,sequence,measured_at,temperature,humidity\n"

_GIVE_A_FILE = "give the file that `sensetrail bundle` wrote"
_USE_THE_SCRIPT = "verify it with scripts/verify_bundle.py, which reads it in pieces"


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
                raise unsound("bundle.json is not in its one form")
        except (KeyError, TypeError, ValueError, InputError, ManifestError) as error:
            raise unsound(f"bundle.json: {fault(error):.200}") from error
        return place


def read_bundle(path: Path) -> Mapping[str, bytes]:
    """Read a bundle's members into memory.

    Args:
        path: From anywhere.

    Raises:
        BundleError: It is no bundle, or a malicious one.
        InputError: There is no file, or it cannot be read, or it does not fit into memory.
    """
    try:
        # Opening a pipe would wait for its writer.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}", _GIVE_A_FILE)
        with path.open("rb") as file:
            entries = read_frame(file, MEMBERS)
            total = sum(entry.size for entry in entries)
            if total > TOTAL_LIMIT:
                raise InputError(f"{path} has {total} bytes unpacked, at most {TOTAL_LIMIT} are read", _USE_THE_SCRIPT)
            return {entry.name: read_member(file, entry) for entry in entries}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", _GIVE_A_FILE) from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into this machine's memory", _USE_THE_SCRIPT) from error


def new_bundle(path: Path) -> AbstractContextManager[Archive]:
    """Begin a bundle; it is there once all members are added.

    Args:
        path: The file; one that is there is replaced.

    Raises:
        InputError: The disk does not take it, or no reader would.
    """
    return new_archive(path, MEMBERS, TOTAL_LIMIT)


def dataset_csv(rows: Rows) -> bytes:
    """Write a dataset's rows in their one form."""
    columns = (rows.sequence, rows.measured_at, rows.temperature, rows.humidity)
    lines = zip(rows.device.tolist(), *(column.tolist() for column in columns), strict=True)
    return (CSV_HEADING + "".join(f"{d},{s},{m},{t},{h}\n" for d, s, m, t, h in lines)).encode()
