"""Datasets: the legal readings that a selection takes from a history, in canonical order, under a Merkle root."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from eth_abi.abi import encode as abi_encode
from numpy.typing import NDArray

from sensetrail.core.canonical import fault, json_digest, parse_word
from sensetrail.core.history import History
from sensetrail.core.merkle import MerkleTree, standard_leaf
from sensetrail.core.primitives import Address, address, hex_word, keccak256
from sensetrail.errors import InputError, ManifestError

LEAF_TYPES = ["address", "uint24", "uint32", "int16", "uint16"]
"""A row's leaf: device, sequence, measured_at (Unix s), temperature (0.01 degC), humidity (0.01 %RH)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`n` rows in canonical order: by device address, then by sequence number.

    Attributes:
        device: Addresses, shape `(n,)`.
        sequence: Each reading's number in its device's history, shape `(n,)`.
        measured_at: Unix seconds, shape `(n,)`.
        temperature: 0.01 degC, shape `(n,)`.
        humidity: 0.01 %RH, shape `(n,)`.
    """

    device: NDArray[np.str_]
    sequence: NDArray[np.int64]
    measured_at: NDArray[np.int64]
    temperature: NDArray[np.int64]
    humidity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.device)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Give the rows at an integer index or under a boolean mask."""
        return Rows(
            self.device[index],
            self.sequence[index],
            self.measured_at[index],
            self.temperature[index],
            self.humidity[index],
        )

    def leaf(self, row: int) -> bytes:
        """Give a row's leaf in the dataset's Merkle tree, 32 bytes."""
        values = (column[row].item() for column in (self.sequence, self.measured_at, self.temperature, self.humidity))
        return standard_leaf(abi_encode(LEAF_TYPES, [str(self.device[row]), *values]))

    def tree(self) -> MerkleTree:
        """Build the Merkle tree over all rows."""
        return MerkleTree([self.leaf(row) for row in range(len(self))])

    @classmethod
    def concatenate(cls, parts: Iterable[Rows]) -> Rows:
        """Join rows and bring them into canonical order."""
        listed = list(parts)
        empty = np.zeros(0, dtype=np.int64)
        joined = cls(
            *(
                np.concatenate([getattr(part, name) for part in listed] or [empty])
                for name in ("device", "sequence", "measured_at", "temperature", "humidity")
            )
        )
        order = np.lexsort((joined.sequence, np.char.lower(joined.device.astype(np.str_))))
        return joined.take(order)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to take from the chain.

    Attributes:
        devices: Only these; None for all.
        since: Only readings measured at or after this, Unix seconds; None for all.
        until: Only readings measured before this, Unix seconds; None for all.
    """

    devices: tuple[Address, ...] | None = None
    since: int | None = None
    until: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the selection as JSON, devices sorted."""
        devices = None if self.devices is None else sorted(set(self.devices), key=str.lower)
        return {"selection": "sensetrail-legal-v1", "devices": devices, "since": self.since, "until": self.until}

    @classmethod
    def from_json(cls, value: Any) -> Selection:
        """Read a selection.

        Raises:
            ManifestError: It is none.
        """
        try:
            devices = None if value["devices"] is None else tuple(address(device) for device in value["devices"])
            selection = cls(devices, value["since"], value["until"])
            limits = (selection.since, selection.until)
            if selection.to_json() != value or not all(limit is None or type(limit) is int for limit in limits):
                raise ManifestError("a selection with unknown or badly typed fields", "restore the original file")
        except (TypeError, KeyError, InputError) as error:
            raise ManifestError(f"not a selection: {error}", "restore the original file") from error
        return selection

    @property
    def digest(self) -> bytes:
        """keccak256 of its canonical JSON, 32 bytes."""
        return json_digest(self.to_json())


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset as the model registry holds it, in the order of the contract's struct.

    Attributes:
        root: Merkle root, 32 bytes.
        row_count: How many rows.
        selection_digest: 32 bytes.
        through_block: The last block whose events were taken.
        block_hash: That block's hash, 32 bytes.
    """

    root: bytes
    row_count: int
    selection_digest: bytes
    through_block: int
    block_hash: bytes

    @property
    def dataset_id(self) -> bytes:
        """keccak256 of the ABI-encoded struct, 32 bytes: its key in the registry."""
        return keccak256(abi_encode(["bytes32", "uint64", "bytes32", "uint64", "bytes32"], list(self.as_tuple())))

    def as_tuple(self) -> tuple[bytes, int, bytes, int, bytes]:
        """Give the struct's fields in the contract's order."""
        return (self.root, self.row_count, self.selection_digest, self.through_block, self.block_hash)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a dataset's rows were worth when they were taken from an index.

    Attributes:
        proven: Whether every event was proven: header, receipts, log.
        word: On whose word the block stands that everything was followed to.
        anchor_block: That block; None where there was none.
        anchor_hash: Its hash, 32 bytes.
    """

    proven: bool
    word: str
    anchor_block: int | None = None
    anchor_hash: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        anchor = None if self.anchor_hash is None else {"block": self.anchor_block, "hash": hex_word(self.anchor_hash)}
        return {"proven": self.proven, "word": self.word, "anchor": anchor}

    @classmethod
    def from_json(cls, value: Any) -> Provenance:
        """Read it.

        Raises:
            ManifestError: It is none.
        """
        try:
            anchor = value["anchor"] or {"block": None, "hash": None}
            block_hash = None if anchor["hash"] is None else parse_word(anchor["hash"])
            found = cls(value["proven"], value["word"], anchor["block"], block_hash)
        except (TypeError, KeyError) as error:
            raise ManifestError(f"a dataset's provenance is damaged: {fault(error)}", "build it again") from error
        if found.to_json() != value or type(found.proven) is not bool or type(found.word) is not str:
            raise ManifestError("a dataset's provenance with unknown or badly typed fields", "build it again")
        return found


UNPROVEN = Provenance(False, "nobody's word")


def select(history: History, selection: Selection) -> Rows:
    """Take a history's legal readings.

    Readings of a revoked device that were measured at or after its `untrusted_since` are left out.

    Args:
        history: Replayed through the dataset's last block, and no further.
        selection: What to take.

    Returns:
        The rows in canonical order; the same history and selection give the same rows, always.

    Raises:
        InputError: Nothing is left.
    """
    parts = []
    for run in history.runs:
        measured_at = run.measurements.measured_at
        if selection.devices is not None and run.device not in selection.devices:
            continue
        keep = run.verdicts == 0
        if selection.since is not None:
            keep &= measured_at >= selection.since
        if selection.until is not None:
            keep &= measured_at < selection.until
        untrusted_since = history.devices[run.device].untrusted_since
        if untrusted_since is not None:
            keep &= measured_at < untrusted_since
        index = np.flatnonzero(keep)
        taken = run.measurements[index]
        names = np.full(len(index), run.device, dtype="<U42")
        parts.append(Rows(names, run.sequence[index], taken.measured_at, taken.temperature, taken.humidity))
    if not any(len(part) for part in parts):
        raise InputError("no legal reading matches the selection", "index more readings, or widen the selection")
    return Rows.concatenate(parts)


def describe(rows: Rows, selection: Selection, through_block: int, block_hash: bytes) -> DatasetRecord:
    """Give a dataset's record: what the model registry anchors."""
    return DatasetRecord(rows.tree().root, len(rows), selection.digest, through_block, block_hash)
