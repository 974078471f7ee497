"""Readings from files: CSV or Parquet with the columns device, time, temperature (degC), humidity (%RH).

Other columns are ignored. Times are ISO 8601 (without a zone: UTC) or Unix seconds; fractions are cut off, because the
chain's clock counts whole seconds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, TIME_LIMITS, Measurements, quantise
from sensetrail.errors import InputError, ReadingError

COLUMNS = ("device", "time", "temperature", "humidity")
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds.

    Attributes:
        measurements: By the device's name, in the order of the file.
        skipped: How many rows were left out because they hold no reading.
    """

    measurements: dict[str, Measurements]
    skipped: int


def read_source(path: Path, *, skip_invalid: bool = False) -> Source:
    """Read a file of readings.

    Args:
        path: `.csv` or `.parquet`.
        skip_invalid: Leave out rows with a missing or impossible value (failed reads) instead of refusing the file.

    Returns:
        Each device's measurements.

    Raises:
        InputError: No such file, not of this format, a column missing, or no reading in it.
        ReadingError: A row that cannot be a reading, or a device's times out of order; names the row.
    """
    columns: dict[str, list[tuple[int, int, int]]] = {}
    skipped = 0
    for number, row in _rows(path):
        try:
            name, reading = _reading(row)
        except ReadingError as error:
            if skip_invalid:
                skipped += 1
                continue
            hint = f"{error.to_do}; or leave such rows out with --skip-invalid"
            raise ReadingError(f"{path.name}, row {number}: {error.what}", hint) from error
        readings = columns.setdefault(name, [])
        # The same row twice is one reading; another one in the same second would be judged illegal.
        if readings and reading[0] <= readings[-1][0] and reading != readings[-1]:
            if skip_invalid and reading[0] == readings[-1][0]:
                skipped += 1
                continue
            raise ReadingError(
                f"{path.name}, row {number}: device {name}'s time is not after that of the row before",
                "sort the file by time, with one row a second at most",
            )
        readings.append(reading)
    if not columns:
        raise InputError(f"{path} holds no reading", "give a file with at least one row of readings")
    return Source({name: Measurements.of(*zip(*rows, strict=True)) for name, rows in columns.items()}, skipped)


def unix_seconds(value: object) -> int:
    """Read a moment: a datetime, ISO 8601 (without a zone: UTC) or Unix seconds; fractions are cut off.

    Raises:
        ReadingError: It is none, or outside what a reading can hold.
    """
    if isinstance(value, datetime):
        moment = value
    else:
        text = "" if value is None else str(value).strip()
        try:
            moment = datetime.fromtimestamp(float(text), UTC)
        except (ValueError, OverflowError, OSError):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as error:
                raise ReadingError(f"time {text!r:.40} is no time", "give ISO 8601 or Unix seconds") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.timestamp() // 1)
    if not TIME_LIMITS[0] <= seconds <= TIME_LIMITS[1]:
        raise ReadingError(f"time {value} is outside what a reading can hold (1970 to 2106)", "repair the file")
    return seconds


def _rows(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Give each row's number (the first row of data is 2, as an editor shows a CSV) and its four fields."""
    if not path.is_file():
        raise InputError(f"there is no file {path}", "check the path")
    if path.suffix == ".parquet":
        yield from enumerate(_parquet_rows(path), start=2)
    elif path.suffix == ".csv":
        yield from _csv_rows(path)
    else:
        raise InputError(f"{path.name} is neither .csv nor .parquet", "give one of these")


def _csv_rows(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file)
            _require_columns(path, reader.fieldnames or ())
            for row in reader:
                yield reader.line_num, tuple(row[name] for name in COLUMNS)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path.name} is not a CSV file: {error}", "save it as UTF-8 CSV") from error


def _parquet_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    try:
        with pq.ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(columns=list(COLUMNS)):
                yield from zip(*(batch.column(name).to_pylist() for name in COLUMNS), strict=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name} is not a Parquet file: {error}", "check the file") from error


def _require_columns(path: Path, present: object) -> None:
    missing = [name for name in COLUMNS if name not in (present or ())]  # type: ignore[operator]
    if missing:
        raise InputError(
            f"{path.name} has no column {', '.join(missing)}", f"name the columns {', '.join(COLUMNS)} in its first row"
        )


def _reading(row: tuple[Any, ...]) -> tuple[str, tuple[int, int, int]]:
    device, time, temperature, humidity = row
    name = "" if device is None else str(device).strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ReadingError(f"device {name!r:.80} is no name", f"give 1 to {MAX_NAME} printable characters")
    return name, (
        unix_seconds(time),
        quantise(_number(temperature, "temperature"), TEMPERATURE_LIMITS, "temperature"),
        quantise(_number(humidity, "humidity"), HUMIDITY_LIMITS, "humidity"),
    )


def _number(value: object, name: str) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ReadingError(f"{name} is missing", "repair the file")
    try:
        return float(str(value))
    except ValueError as error:
        raise ReadingError(f"{name} {value!r:.40} is not a number", "repair the file") from error
