"""A dataset's folder.

dataset.parquet  device, sequence, measured_at (UTC), temperature (degC), humidity (%RH), in canonical order
dataset.json     its id, Merkle root, selection, the block through which it goes, and what its events were worth
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensetrail.core.canonical import fault, parse_json, parse_word
from sensetrail.core.dataset import UNPROVEN, DatasetRecord, Provenance, Rows, Selection
from sensetrail.core.primitives import address, hex_word
from sensetrail.core.reading import HUNDREDTHS
from sensetrail.disk import disk_error, explained, make_folder, read_whole, replacing, write_whole
from sensetrail.errors import InputError, ManifestError, VerificationError, WorkspaceError

VERSION = "sensetrail-dataset-v1"
DESCRIPTION_LIMIT = 16 << 20
"""Bytes of a dataset.json: its selection may name many devices."""
SCHEMA = pa.schema(
    [
        pa.field("device", pa.string(), nullable=False),
        pa.field("sequence", pa.uint32(), nullable=False),
        pa.field("measured_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False, metadata={"unit": "degC"}),
        pa.field("humidity", pa.float64(), nullable=False, metadata={"unit": "%RH"}),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A dataset with its record.

    Attributes:
        rows: In canonical order.
        selection: What it takes.
        record: Its root and the block through which it goes.
        provenance: What the events it was taken from were worth.
    """

    rows: Rows
    selection: Selection
    record: DatasetRecord
    provenance: Provenance = UNPROVEN


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write a dataset's folder; the same dataset gives the same bytes.

    Args:
        folder: Made if it is not there; a dataset in it is replaced.
        dataset: What to write.

    Raises:
        DiskError: It cannot be written.
    """
    make_folder(folder)
    rows = dataset.rows
    columns: list[Any] = [
        pa.array(rows.device.tolist(), pa.string()),
        pa.array(rows.sequence, pa.uint32()),
        pa.array(rows.measured_at, pa.int64()).cast(pa.timestamp("s", tz="UTC")),
        pa.array(rows.temperature / HUNDREDTHS, pa.float64()),
        pa.array(rows.humidity / HUNDREDTHS, pa.float64()),
    ]
    with replacing(folder / "dataset.parquet") as partial:
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), partial, compression="zstd")
    # Last, because a folder without it is no dataset yet.
    write_whole(folder / "dataset.json", (json.dumps(_description(dataset), indent=2) + "\n").encode())


def read_dataset(folder: Path, *, verify: bool = True) -> Dataset:
    """Read a dataset's folder and verify that its rows have the root that its record says.

    Args:
        folder: From anywhere.
        verify: False for a caller that holds the rows against the chain itself, and can name the row that differs.

    Raises:
        WorkspaceError: There is none.
        DiskError: Its files cannot be read.
        VerificationError: Its files are damaged, or its rows do not have its root.
    """
    with explained(folder):
        if not all((folder / name).is_file() for name in ("dataset.json", "dataset.parquet")):
            raise WorkspaceError(f"there is no dataset at {folder}", "make one: sensetrail dataset build NAME")
    value = parse_json(read_whole(folder / "dataset.json", DESCRIPTION_LIMIT), "dataset.json")
    try:
        selection = Selection.from_json(value["selection"])
        record = DatasetRecord(
            parse_word(value["root"]),
            int(value["row_count"]),
            selection.digest,
            int(value["through_block"]),
            parse_word(value["block_hash"]),
        )
        provenance = Provenance.from_json(value["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"dataset.json is damaged: {fault(error)}", "build the dataset again") from error
    dataset = Dataset(_read_rows(folder / "dataset.parquet"), selection, record, provenance)
    if verify:
        verify_rows(dataset.rows, record.root)
    if _description(dataset) != value:
        raise ManifestError("dataset.json has fields that do not belong together", "build the dataset again")
    return dataset


def verify_rows(rows: Rows, root: bytes) -> None:
    """Verify that rows have a Merkle root.

    Raises:
        VerificationError: They have another.
    """
    actual = rows.tree().root if len(rows) else b""
    if actual != root:
        raise VerificationError(
            f"the rows have root {hex_word(actual)}, not {hex_word(root)}: a row was changed, added or left out",
            "build the dataset again from the chain",
            expected=root,
            actual=actual,
        )


def _description(dataset: Dataset) -> dict[str, Any]:
    record = dataset.record
    return {
        "dataset": VERSION,
        "id": hex_word(record.dataset_id),
        "root": hex_word(record.root),
        "row_count": record.row_count,
        "selection": dataset.selection.to_json(),
        "through_block": record.through_block,
        "block_hash": hex_word(record.block_hash),
        "provenance": dataset.provenance.to_json(),
    }


def _read_rows(path: Path) -> Rows:
    try:
        table = pq.read_table(path, columns=SCHEMA.names).cast(SCHEMA)
    except OSError as error:
        # Arrow's own complaints about a file's content are OSErrors without a number.
        if error.errno is not None:
            raise disk_error(error, path) from error
        raise ManifestError(f"{path.name} is damaged: {error}", "build the dataset again") from error
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise ManifestError(f"{path.name} is damaged: {error}", "build the dataset again") from error
    try:
        devices = [str(address(value)) for value in table.column("device").to_pylist()]
    except InputError as error:
        raise ManifestError(f"{path.name}: {error.what}", "build the dataset again") from error
    return Rows(
        np.array(devices, dtype="<U42"),
        table.column("sequence").to_numpy().astype(np.int64),
        table.column("measured_at").cast(pa.int64()).to_numpy(),
        _hundredths(table.column("temperature").to_numpy(), path),
        _hundredths(table.column("humidity").to_numpy(), path),
    )


def _hundredths(values: NDArray[np.float64], path: Path) -> NDArray[np.int64]:
    if not (np.abs(values) < 1e4).all():
        raise ManifestError(f"{path.name} holds values that no reading has", "build the dataset again")
    return np.rint(values * HUNDREDTHS).astype(np.int64)
