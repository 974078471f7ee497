"""Readings from files: CSV, Parquet, a folder of Parquet files, or a pipe; plain or gzipped.

A table has the columns device, time, temperature and humidity (`sensor.columns`); others are ignored. What is
understood of it is said (`Understood`). What cannot be understood beyond doubt is refused with its row, because a
reading that was misread stays on a chain for good: `read_source` gives what a plain reading of the table says, or
raises.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from sensetrail.core.names import device_name
from sensetrail.core.reading import Measurements
from sensetrail.core.text import printable, unguarded
from sensetrail.errors import InputError, ReadingError
from sensetrail.sensor.columns import COLUMNS, Columns, find_columns, require_no_header, require_zone
from sensetrail.sensor.csv_table import Dialect, TextTable, open_table
from sensetrail.sensor.moments import LONGEST_FALL, LONGEST_JUMP, Clock, Moment, parse_moment, require_plausible, settle
from sensetrail.sensor.parquet_table import Cell, open_parquet, parquet_files, partition, read_rows
from sensetrail.sensor.quantities import Numbers, Unit, hundredths
from sensetrail.sensor.understood import Understood

FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of an old kind",
    b"SQLite format 3": "an SQLite database",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\xfd7zXZ": "compressed by xz",
    b"BZh": "compressed by bzip2",
    b"ARROW1": "an Arrow or Feather file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF file",
}
"""How files of other kinds begin."""
SUFFIXES = frozenset({"", ".csv", ".tsv", ".txt", ".log", ".dat", ".gz", ".parquet", ".pq"})


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file, as far as its user says; the rest is found out, or refused where that is in doubt.

    Attributes:
        columns: The name of the column that holds a part ("device", "time", "temperature", "humidity"), by the part.
        units: Of temperature and humidity; they are converted to degC and %RH.
        device: The device of all rows, where there is no column for it.
        clock: How times are written.
        dialect: How text is written.
        decimal: The decimal sign, "." or ",".
        skip_invalid: Leave out rows that hold no reading (failed reads) instead of refusing the file.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    device: str | None = None
    clock: Clock = field(default_factory=Clock)
    dialect: Dialect = field(default_factory=Dialect)
    decimal: str | None = None
    skip_invalid: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds.

    Attributes:
        measurements: By the device's name; each device's in the order of time.
        understood: What was understood of the file.
    """

    measurements: dict[str, Measurements]
    understood: Understood

    @property
    def skipped(self) -> int:
        """How many rows were left out because they hold no reading."""
        return self.understood.skipped.total()


def read_source(source: Path | BinaryIO, options: ReadOptions | None = None) -> Source:
    """Read a file of readings.

    Args:
        source: A file, a folder of Parquet files, or an open stream such as standard input.
        options: How to read it; None for all defaults.

    Returns:
        Each device's measurements, and what was understood.

    Raises:
        InputError: No such file, not of a known form, a column missing or in doubt, or no reading in it.
        ReadingError: A row that cannot be a reading, or a device's times out of order; names the row.

    Example:
        >>> source = read_source(Path("readings.csv"))  # doctest: +SKIP
        >>> source.measurements["kitchen"].temperature  # doctest: +SKIP
        array([2150, 2160])
    """
    name = printable(source.name if isinstance(source, Path) else "standard input", 80)
    reading = _Reading(name, options or ReadOptions(), Understood(name))
    with ExitStack() as stack:
        if isinstance(source, Path) and source.is_dir():
            reading.read_folder(source)
        else:
            reading.read_stream(_opened(source, stack), source if isinstance(source, Path) else None)
    return reading.source()


@dataclass(slots=True)
class _Row:
    """A reading as a row says it: where, when, and values in the contract's units."""

    file: str
    number: int
    moment: Moment
    temperature: int
    humidity: int

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.number}"


@dataclass(slots=True)
class _Reading:
    """One reading of a file, or of a folder of files."""

    name: str
    options: ReadOptions
    understood: Understood
    numbers: Numbers = field(default_factory=Numbers)
    rows: dict[str, list[list[_Row]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    first_skipped: ReadingError | None = None
    called: str = ""
    """What the file calls the device that the user names for all rows."""

    def read_folder(self, folder: Path) -> None:
        """Read a folder of Parquet files as one table."""
        files = parquet_files(folder)
        for path in files:
            name = printable(str(path.relative_to(folder)), 80)
            self.read_parquet(path, name, {**partition(path, folder)})
        self.understood.form = f"{len(files)} Parquet files"

    def read_stream(self, stream: io.BufferedReader, path: Path | None) -> None:
        """Read one file."""
        start = stream.peek(16)[:16]
        suffix = "" if path is None or not path.is_file() else path.suffix.casefold()
        foreign = next((kind for mark, kind in FOREIGN.items() if start.startswith(mark)), None)
        if foreign is not None or suffix not in SUFFIXES:
            what = f"{self.name} is neither .csv nor .parquet" + (f": it is {foreign}" if foreign else "")
            raise InputError(what, "save it as CSV or Parquet" if foreign else "give one of these")
        if start.startswith(b"\x1f\x8b"):
            inner: io.BufferedReader = io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=stream)), 1 << 16)
            try:
                is_parquet = inner.peek(4)[:4] == b"PAR1"
            except (OSError, EOFError, ValueError) as error:
                raise InputError(
                    f"{self.name} is not a sound gzip file: {error}", "is it cut off? compress it again"
                ) from error
            if is_parquet:
                raise InputError(f"{self.name} is a Parquet file inside gzip", "unpack it first")
            self.read_text(inner, "gzipped ")
        elif start.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
            self.read_parquet(path if path is not None and path.is_file() else io.BytesIO(stream.read()), self.name, {})
            self.understood.form = "Parquet"
        else:
            self.read_text(stream, "")

    def read_text(self, stream: io.BufferedReader, how: str) -> None:
        """Read a table of text."""

        def fits(header: Any) -> bool:
            try:
                self._columns(header)
            except InputError:
                return False
            return True

        with open_table(cast(BinaryIO, stream), self.name, self.options.dialect, fits) as table:
            columns = self._columns(table.header)
            self._note(columns)
            self.numbers = Numbers(self.options.decimal, may_group=table.delimiter == ",")
            self._take(self.name, _text_cells(table, columns, self.options.device))
            self.understood.form = how + _form_of(table, self.numbers.decimal)
        self.understood.decimal = self.numbers.decimal

    def read_parquet(self, file: Path | BinaryIO, name: str, constants: dict[str, str]) -> None:
        """Read a Parquet file; `constants` are what the folders around it say of all its rows."""
        with open_parquet(file, name) as table:
            header = table.schema_arrow.names
            if self.options.device is not None:
                constants = {"device": self.options.device, **constants}
            constants = {part: value for part, value in constants.items() if part in COLUMNS and part not in header}
            known = header + list(constants)
            columns = self._columns(known, name)
            self._note(columns)
            places = {
                part: None if place is None or place >= len(header) else place for part, place in columns.places.items()
            }
            rows = read_rows(table, name, places, constants)
            self._take(name, rows)

    def source(self) -> Source:
        """Give what was read."""
        if not self.rows and self.first_skipped is not None:
            count, first = self.understood.skipped.total(), self.first_skipped
            raise InputError(
                f"{self.name} holds no reading: all {count} rows are left out; {first.what}", first.to_do
            ) from first
        if not self.rows:
            raise InputError(f"{self.name} holds no reading", "give a file with at least one row of readings")
        self.understood.zone = self.options.clock.zone.key if self.options.clock.zone else "UTC"
        measurements = {}
        for device, pieces in self.rows.items():
            # Of a folder each file is in the order of time; the files need not be.
            pieces.sort(key=lambda rows: rows[0].moment.seconds)
            found = self._ordered(device, [row for rows in pieces for row in rows])
            if found:
                measurements[device] = Measurements.of(*zip(*found, strict=True))
        return Source(measurements, self.understood)

    def _columns(self, header: Any, name: str | None = None) -> Columns:
        options = self.options
        return find_columns(
            name or self.name, list(header), options.columns, options.units, needs_device=options.device is None
        )

    def _note(self, columns: Columns) -> None:
        """Note what the columns of the file that is read next are."""
        zone = self.options.clock.zone
        require_zone(self.name, columns.names["time"], zone.key if zone else None)
        self.units = columns.units
        self.understood.columns = columns.names
        self.understood.units = {**self.understood.units, **columns.units}

    def _take(self, file: str, rows: Iterator[tuple[int, tuple[Cell, Cell, Cell, Cell] | ReadingError]]) -> None:
        """Take rows in; what cannot be a reading is refused with its row, or left out."""
        pieces: dict[str, list[_Row]] = {}
        for number, cells in rows:
            try:
                if isinstance(cells, ReadingError):
                    raise cells
                device, row = self._row(file, number, cells)
            except ReadingError as error:
                if not isinstance(cells, ReadingError):
                    texts = {part: cell for part, cell in zip(COLUMNS, cells, strict=True) if isinstance(cell, str)}
                    require_no_header(f"{file}, row {number}", texts, self.understood.columns, self.units)
                if self.options.skip_invalid:
                    self.understood.skipped[_reason(error)] += 1
                    self.first_skipped = self.first_skipped or ReadingError(
                        f"{file}, row {number}: {error.what}", error.to_do
                    )
                    continue
                hint = f"{error.to_do}; or leave such rows out with --skip-invalid"
                raise ReadingError(f"{file}, row {number}: {error.what}", hint) from error
            self.understood.times["local" if row.moment.is_local else "with an offset"] += 1
            pieces.setdefault(device, []).append(row)
        for device, piece in pieces.items():
            self.rows.setdefault(device, []).append(piece)

    def _row(self, file: str, number: int, cells: tuple[Cell, Cell, Cell, Cell]) -> tuple[str, _Row]:
        device, time, temperature, humidity = cells
        row = _Row(
            file,
            number,
            self._moment(time),
            self._hundredths(temperature, "temperature"),
            self._hundredths(humidity, "humidity"),
        )
        return self._device(device), row

    def _device(self, cell: Cell) -> str:
        text = "" if cell is None else str(cell).strip(" ")
        if self.options.device is not None:
            self.called = self.called or text
            if text and text != self.called:
                raise InputError(
                    f"{self.name}: --device names one device, and the file has {printable(self.called, 40)!r} and "
                    f"{printable(text, 40)!r}",
                    "leave out --device, or give each device's rows in a file of their own",
                )
            text = self.options.device
        if text not in self.names:
            try:
                self.names[text] = device_name(text)
            except InputError as error:
                raise ReadingError(f"device {error.what}" if text else "device is missing", error.to_do) from error
        return self.names[text]

    def _moment(self, cell: Cell) -> Moment:
        clock = self.options.clock
        if isinstance(cell, Moment):
            return require_plausible(cell, _utc(cell.seconds), clock)
        return parse_moment("" if cell is None else str(cell), clock)

    def _hundredths(self, cell: Cell, quantity: str) -> int:
        if cell is None:
            raise ReadingError(f"{quantity} is missing", "repair the file")
        value = cell if isinstance(cell, float) else self.numbers.parse(str(cell), quantity)
        return hundredths(value, quantity, self.units[quantity])

    def _ordered(self, device: str, rows: list[_Row]) -> list[tuple[int, int, int]]:
        """Give a device's readings as they rise in time."""
        clock = self.options.clock
        instants = settle([row.moment for row in rows], [row.where for row in rows], device, clock)
        found: list[tuple[int, int, int]] = []
        for row, seconds in zip(rows, instants, strict=True):
            reading = (seconds, row.temperature, row.humidity)
            if found and seconds <= found[-1][0]:
                if reading == found[-1]:
                    self.understood.repeated += 1
                    continue
                if self.options.skip_invalid and seconds == found[-1][0]:
                    self.understood.skipped["another row of its device has the same second"] += 1
                    continue
                raise _falls_back(row, device, found[-1][0] - seconds, clock)
            if found and seconds - found[-1][0] > LONGEST_JUMP and not clock.any_time:
                years = (seconds - found[-1][0]) / (365.25 * 86_400)
                raise ReadingError(
                    f"{row.where}: device {device}'s time jumps by {years:.0f} years: was its clock set only then?",
                    "remove the rows before, or take them all the same with --any-time",
                )
            found.append(reading)
        return found


def _opened(source: Path | BinaryIO, stack: ExitStack) -> io.BufferedReader:
    if not isinstance(source, Path):
        return cast(io.BufferedReader, source if hasattr(source, "peek") else io.BufferedReader(cast(Any, source)))
    if not source.exists():
        raise InputError(f"there is no file {printable(str(source))}", "check the path")
    try:
        file: IO[bytes] = stack.enter_context(source.open("rb"))
    except OSError as error:
        raise InputError(f"cannot read {printable(str(source))}: {error.strerror}", "check its permissions") from error
    return cast(io.BufferedReader, file)


def _text_cells(
    table: TextTable, columns: Columns, device: str | None
) -> Iterator[tuple[int, tuple[Cell, Cell, Cell, Cell] | ReadingError]]:
    places = [columns.places[part] for part in COLUMNS]
    for number, fields in table.rows:
        if isinstance(fields, ReadingError):
            yield number, fields
        else:
            name, *others = (device if place is None else fields[place] for place in places)
            yield number, (unguarded((name or "").strip()), others[0], others[1], others[2])


def _form_of(table: TextTable, decimal: str | None) -> str:
    between = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
    form = f"CSV, {between.get(table.delimiter, repr(table.delimiter))} between columns"
    form += ", decimal commas" if decimal == "," else ""
    return form + ("" if table.encoding == "utf-8-sig" else f", {table.encoding}")


def _falls_back(row: _Row, device: str, seconds: int, clock: Clock) -> ReadingError:
    what = f"{row.where}: device {device}'s time is not after that of the row before"
    if seconds and seconds <= LONGEST_FALL and row.moment.is_local and clock.zone is None:
        return ReadingError(
            f"{what}: local time falls back at the end of summer time",
            "if these are local times, name their zone, such as --zone Europe/Berlin; else sort the file by time",
        )
    return ReadingError(what, "sort the file by time, with one row a second at most")


def _reason(error: ReadingError) -> str:
    """Give why a row is left out, without the values of that one row, so that reasons can be counted."""
    return re.sub(r"'[^']*'|[+-]?\d[\d.:T-]*", "...", error.what)


def _utc(seconds: int) -> str:
    """Show Unix seconds as a date and time, however far from now; what no calendar has, as the number."""
    try:
        return str(datetime(1970, 1, 1) + timedelta(seconds=seconds))
    except OverflowError:
        return f"{seconds} s after 1970"
