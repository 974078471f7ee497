"""Tables in Parquet: every type that can be a reading's part, cast by Arrow; a folder of files is one table.

The first row of data has the number 2, as in a CSV file with the same rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from sensetrail.core.text import printable
from sensetrail.errors import InputError
from sensetrail.sensor.moments import Moment, parse_zone

Cell = str | float | Moment | None
"""Text, a number, a moment, or nothing."""
ROWS_AT_ONCE = 1 << 16
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What a folder is called whose rows lack the value."""
_SCALES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_OFFSET = re.compile(r"[+-]\d\d:\d\d", re.ASCII)


def parquet_files(folder: Path) -> list[Path]:
    """Give a folder's Parquet files, in the order of their names with numbers by their size.

    Raises:
        InputError: There is none.
    """
    found = [
        path
        for parent, _, names in os.walk(folder, onerror=_unreadable)
        for path in (Path(parent, name) for name in names)
        if path.suffix.casefold() in (".parquet", ".pq")
        and path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise InputError(
            f"{printable(str(folder))} holds no Parquet file", "name a file, or a folder of .parquet files"
        )
    return sorted(found, key=lambda path: [_natural(part) for part in path.relative_to(folder).parts])


def _unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be listed: its readings would be missing, and nobody would know."""
    raise error


def partition(path: Path, folder: Path) -> dict[str, str]:
    """Give what the folders between say of a file, such as `device=A`."""
    pairs = (part.partition("=") for part in path.relative_to(folder).parts[:-1])
    return {unquote(name): "" if value == NO_VALUE else unquote(value) for name, equals, value in pairs if equals}


def open_parquet(file: Path | BinaryIO, name: str) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        InputError: It is none, or a damaged one.
    """
    try:
        # Old timestamps (INT96) of any year fit microseconds; as nanoseconds, years after 2262 wrap to others.
        return pq.ParquetFile(file, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name, error) from error


def read_rows(
    table: pq.ParquetFile, name: str, places: Mapping[str, int | None], constants: Mapping[str, str]
) -> Iterator[tuple[int, tuple[Cell, Cell, Cell, Cell]]]:
    """Give each row's number and its parts: device, time, temperature, humidity.

    Args:
        table: An open file.
        name: Its name, for messages.
        places: Each part's column, counted from 0; None where `constants` has it.
        constants: Parts that are the same in every row.

    Raises:
        InputError: A column's type cannot be its part's, or the file is damaged.
    """
    header = table.schema_arrow.names
    readers: Mapping[str, Callable[[pa.Array, str], list[Cell]]] = {
        "device": _devices,
        "time": _times,
        "temperature": _numbers,
        "humidity": _numbers,
    }
    wanted = sorted({header[place] for place in places.values() if place is not None})
    number = 2
    try:
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
            columns: list[Sequence[Cell]] = []
            for part, read in readers.items():
                place = places[part]
                if place is None:
                    columns.append([constants[part]] * len(batch))
                elif pa.types.is_null(batch.column(header[place]).type):
                    columns.append([None] * len(batch))
                else:
                    columns.append(read(batch.column(header[place]), f"{name}, column {printable(header[place], 40)}"))
            for cells in zip(*columns, strict=True):
                yield number, cells
                number += 1
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(name, error) from error


def _devices(column: pa.Array, where: str) -> list[Cell]:
    column = _decoded(column)
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        try:
            column = column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowException as error:
            raise InputError(f"{where} is binary and not UTF-8 text", "write the devices' names as text") from error
    elif not (_is_text(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{where} is of type {kind}, which is no name", "write the devices' names as text")
    values: list[Cell] = column.cast(pa.large_string()).to_pylist()
    return values


def _times(column: pa.Array, where: str) -> list[Cell]:
    column = _decoded(column)
    kind = column.type
    if pa.types.is_timestamp(kind):
        _require_zone(kind.tz, where)
        scale, is_local = _SCALES[kind.unit], kind.tz is None
        ticks = column.cast(pa.int64()).to_pylist()
        return [None if tick is None else Moment(tick // scale, is_local) for tick in ticks]
    if pa.types.is_date(kind):
        days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if day is None else Moment(86_400 * day, is_local=True) for day in days]
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        raise InputError(
            f"{where} is of type {kind}, which holds no time to the second", "write the times as timestamps"
        )
    if pa.types.is_floating(kind):
        return [None if value != value or value is None else _digits(value) for value in column.to_pylist()]
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{where} is of type {kind}, which is no time", "write the times as timestamps")
    return [None if value is None else str(value) for value in column.to_pylist()]


def _numbers(column: pa.Array, where: str) -> list[Cell]:
    column = _decoded(column)
    kind = column.type
    if _is_text(kind):
        values: list[Cell] = column.cast(pa.large_string()).to_pylist()
        return values
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{where} is of type {kind}, which is no number", "write the values as numbers")
    if pa.types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    # Not safely: an integer beyond 2**53 is refused for its size in any case.
    numbers: list[Cell] = column.cast(pa.float64(), safe=False).to_pylist()
    return numbers


def _digits(value: float) -> str:
    return f"{Decimal(str(value)):f}" if abs(value) < 1e30 else str(value)


def _decoded(column: pa.Array) -> pa.Array:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _require_zone(name: str | None, where: str) -> None:
    """Make sure that a zone is known: of times in another one nobody can tell what they mean."""
    if name is None or _OFFSET.fullmatch(name):
        return
    try:
        parse_zone(name)
    except InputError as error:
        raise InputError(
            f"{where} is in the time zone {printable(name, 60)!r}, which is not known",
            "write the times in UTC, or in a zone such as Europe/Berlin",
        ) from error


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    return tuple((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts))


def _damaged(name: str, error: BaseException) -> InputError:
    why = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 160)
    if "magic bytes" in why or "too small" in why.lower() or "size is 0" in why:
        why = "its beginning or end is missing; was it cut off while it was written?"
    return InputError(f"{name} is not a Parquet file: {why}", "restore it, or write it again")
