"""How `post` and `demo` are told to read a file: their shared options, and what becomes of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

import typer

from sensetrail.cli.output import err
from sensetrail.errors import InputError

if TYPE_CHECKING:
    from sensetrail.sensor.source import ReadOptions, Source

E = TypeVar("E", bound=StrEnum)

ColumnNames = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="PART=NAME",
        help="The column that holds a part, such as temperature='Temp (°C)'; repeat it.",
    ),
]
UnitNames = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        metavar="PART=UNIT",
        help="temperature=C, F or K; humidity=percent or fraction (0 to 1): converted, and reported; may be repeated.",
    ),
]
OneDevice = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="The device of all rows, where no column says it.")
]
ZoneName = Annotated[
    str | None,
    typer.Option(
        "--zone", metavar="ZONE", help="Zone of times without an offset, such as Europe/Berlin (default: UTC)."
    ),
]
TimeUnitName = Annotated[
    str | None,
    typer.Option(
        "--time-unit", metavar="UNIT", help="What bare numbers count: s, ms, us, ns since 1970, or excel (days)."
    ),
]
TimeForm = Annotated[
    str | None,
    typer.Option("--time-format", metavar="FORMAT", help="How other times are written, such as '%d.%m.%Y %H:%M:%S'."),
]
AnyTime = Annotated[bool, typer.Option("--any-time", help="Take times before 2000, and jumps of years.")]
DelimiterName = Annotated[
    str | None, typer.Option("--delimiter", metavar="SIGN", help="Between two columns (default: found by the header).")
]
DecimalSign = Annotated[
    str | None, typer.Option("--decimal", metavar="SIGN", help="Decimal sign: . or , (default: what the numbers show).")
]
EncodingName = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Of the text, such as cp1252 (default: UTF-8).")
]
LastLineName = Annotated[
    str | None,
    typer.Option("--last-line", metavar="keep|drop", help="What to do with a last line that has no line end."),
]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Leave out rows that hold no reading.")]


def read_options(
    columns: list[str] | None,
    units: list[str] | None,
    device: str | None,
    zone: str | None,
    time_unit: str | None,
    time_format: str | None,
    any_time: bool,
    delimiter: str | None,
    decimal: str | None,
    encoding: str | None,
    last_line: str | None,
    skip_invalid: bool,
) -> ReadOptions:
    """Give what the options say.

    Raises:
        InputError: One of them cannot be.
    """
    from sensetrail.core.names import device_name
    from sensetrail.sensor.columns import COLUMNS, parse_pairs
    from sensetrail.sensor.csv_table import Dialect, LastLine, parse_delimiter
    from sensetrail.sensor.moments import Clock, TimeUnit, parse_form, parse_zone
    from sensetrail.sensor.quantities import UNITS, parse_unit
    from sensetrail.sensor.source import ReadOptions

    if decimal not in (None, ".", ","):
        raise InputError(f"{decimal!r} is not a decimal sign", "give --decimal . or --decimal ,")
    return ReadOptions(
        columns=parse_pairs(columns or (), "--column", COLUMNS),
        units={part: parse_unit(unit, part) for part, unit in parse_pairs(units or (), "--unit", tuple(UNITS)).items()},
        device=None if device is None else device_name(device),
        clock=Clock(
            None if zone is None else parse_zone(zone),
            None if time_unit is None else _one_of(TimeUnit, time_unit, "--time-unit"),
            None if time_format is None else parse_form(time_format),
            any_time,
        ),
        dialect=Dialect(
            None if delimiter is None else parse_delimiter(delimiter),
            encoding,
            None if last_line is None else _one_of(LastLine, last_line, "--last-line"),
        ),
        decimal=decimal,
        skip_invalid=skip_invalid,
    )


def read_file(file: Path, options: ReadOptions) -> Source:
    """Read a file, or standard input for `-`, and say that it goes on."""
    from sensetrail.sensor.source import read_source

    source: Path | BinaryIO = sys.stdin.buffer if str(file) == "-" else file
    with err.status("reading the file"):
        return read_source(source, options)


def _one_of(kind: type[E], text: str, option: str) -> E:
    try:
        return kind(text)
    except ValueError as error:
        known = ", ".join(kind)
        raise InputError(f"{option} {text!r:.40} is not one of {known}", f"give one of {known}") from error
