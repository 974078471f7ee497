"""The file reader on arbitrary bytes, columns and dialects: it gives what the table plainly says, or refuses.

The plain reading below shares no code with the reader. It knows fewer kinds of table, so it may only be asked what a
reading says, not whether there is one.
"""

from __future__ import annotations

import csv
import io
import random
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensetrail.errors import InputError, ReadingError
from sensetrail.sensor.csv_table import Dialect, LastLine
from sensetrail.sensor.moments import EARLIEST
from sensetrail.sensor.source import ReadOptions, Source, read_source

NAMES = ("device", "time", "temperature", "humidity")
Row = tuple[str, int, int, int]

devices = st.sampled_from(["A", "B", "küche [1]", "=1+1", "x,y", "a;b", 'say "hi"', "22"])
steps = st.lists(st.integers(1, 10_000), min_size=1, max_size=8)
hundredths = st.integers(-4000, 6000)


def rows_of(source: Source) -> set[Row]:
    return {
        (name, *values)
        for name, m in source.measurements.items()
        for values in zip(m.measured_at.tolist(), m.temperature.tolist(), m.humidity.tolist(), strict=True)
    }


def read(data: bytes, options: ReadOptions | None = None) -> Source | None:
    """Read, or give None where the reader refuses: with one line, and with the row where one is to blame."""
    try:
        return read_source(io.BytesIO(data), options)
    except InputError as error:
        assert error.what.isprintable()
        assert error.to_do.isprintable()
        if isinstance(error, ReadingError):
            assert ", row " in error.what
        return None


def plain_reading(data: bytes, delimiter: str, decimal: str) -> list[Row]:
    """Read a table with the csv module and nothing else; rows as they stand."""
    text = data.decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    table = [row for row in reader if any(cell.strip() for cell in row)]
    places = [[name.strip().casefold() for name in table[0]].index(name) for name in NAMES]
    found = []
    for row in table[1:]:
        device, time, *values = (row[place].strip() for place in places)
        if device[:1] == "'" and device[1:2] in tuple("=+-@'"):
            device = device[1:]
        moment = datetime.fromisoformat(time)
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)
        numbers = [round(float(value.replace(decimal, ".")) * 100) for value in values]
        found.append((device, seconds, numbers[0], numbers[1]))
    return found


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[Row], str, str]:
    """A table in some dialect, and what it says."""
    delimiter, decimal = draw(st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    order = draw(st.permutations([*NAMES, "note"]))
    style = draw(st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%Y%m%dT%H%M%S+00:00"]))
    moment = 1_780_000_000
    rows: list[Row] = []
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=draw(st.sampled_from([0, 1])))
    writer.writerow([draw(st.sampled_from([name, name.upper(), f" {name}"])) for name in order])
    for step in draw(steps):
        moment += step
        device, temperature, humidity = draw(devices), draw(hundredths), abs(draw(hundredths))
        rows.append((device, moment, temperature, humidity))
        cells = {
            "device": f"'{device}" if device.startswith("=") else device,
            "time": datetime.fromtimestamp(moment, UTC).strftime(style),
            "temperature": f"{temperature / 100:.2f}".replace(".", decimal),
            "humidity": f"{humidity / 100:.2f}".replace(".", decimal),
            "note": draw(st.sampled_from(["", "ok", "a b"])),
        }
        writer.writerow([cells[name] for name in order])
    return sink.getvalue().encode(), rows, delimiter, decimal


@given(tables())
def test_a_table_in_any_dialect_says_what_was_written(table: tuple[bytes, list[Row], str, str]) -> None:
    data, rows, _, _ = table
    source = read(data)
    assert source is not None
    assert rows_of(source) == set(rows)


@settings(max_examples=400, deadline=None)
@given(tables(), st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([None, LastLine.KEEP]))
def test_a_damaged_table_says_what_it_plainly_says_or_is_refused(
    table: tuple[bytes, list[Row], str, str], seed: int, changes: int, last_line: LastLine | None
) -> None:
    data, _, delimiter, decimal = table
    generator = random.Random(seed)  # noqa: S311 - of a test
    damaged = bytearray(data)
    for _ in range(changes):
        place = generator.randrange(len(damaged) or 1)
        damaged = damaged or bytearray(b"\n")
        match generator.randrange(4):
            case 0:
                damaged[place] = generator.choice(b"0123456789.,;-\"'\n\r\t :TZA\xe9\0\xff")
            case 1:
                del damaged[place : place + generator.randrange(1, 20)]
            case 2:
                damaged[place:place] = generator.choice([b",", b'"', b"\n", b"\0" * 9, b" ", b"1", b"\r"])
            case _:
                damaged = damaged[: place + 1]
    source = read(bytes(damaged), ReadOptions(dialect=Dialect(last_line=last_line)))
    if source is not None:
        assert rows_of(source) == set(plain_reading(bytes(damaged), delimiter, decimal)), bytes(damaged)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_refused_or_read_and_never_more(data: bytes, with_header: bool) -> None:
    header = b"device,time,temperature,humidity\n" if with_header else b""
    for options in (None, ReadOptions(skip_invalid=True)):
        source = read(header + data, options)
        if source is not None:
            assert rows_of(source)


values = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=12),
    st.binary(max_size=12),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(-1000, 1000, places=2),
)


RIGHT = {"device": "A", "time": datetime(2026, 6, 2, 8), "temperature": 21.5, "humidity": 50.1}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({name: st.one_of(st.just(right), values) for name, right in RIGHT.items()}))
def test_arbitrary_columns_of_parquet_are_read_or_refused(row: dict[str, Any]) -> None:
    sink = io.BytesIO()
    try:
        table = pa.table({name: pa.array([value, value]) for name, value in row.items()})
        pq.write_table(table, sink)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return
    source = read(sink.getvalue())
    if source is not None:
        device = row["device"].decode() if isinstance(row["device"], bytes) else str(row["device"])
        ((name, moment, temperature, humidity),) = rows_of(source)
        assert name == unicodedata.normalize("NFC", device.strip())
        assert EARLIEST <= moment < 2**32
        if isinstance(row["time"], datetime):
            assert moment == int(row["time"].replace(tzinfo=UTC).timestamp() // 1)
        assert temperature == round(float(row["temperature"]) * 100)
        assert humidity == round(float(row["humidity"]) * 100)
