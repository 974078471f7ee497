"""Readings from files: every kind of table that loggers write, with the right values in it, or refused with its row."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensetrail.errors import InputError, ReadingError
from sensetrail.sensor.csv_table import Dialect, LastLine
from sensetrail.sensor.moments import Clock, TimeUnit, unix_seconds
from sensetrail.sensor.quantities import Unit
from sensetrail.sensor.source import ReadOptions, Source, read_source

HEADER = "device,time,temperature,humidity\n"
MORNING = 1_780_387_200
"""2026-06-02 08:00:00 UTC."""
ONE = {"A": [(MORNING, 2150, 5010)]}
TWO = {"A": [(MORNING, 2150, 5010), (MORNING + 30, 2160, 5020)]}
BERLIN = ZoneInfo("Europe/Berlin")

Readings = dict[str, list[tuple[int, int, int]]]


def values(source: Source) -> Readings:
    return {
        name: list(zip(m.measured_at.tolist(), m.temperature.tolist(), m.humidity.tolist(), strict=True))
        for name, m in source.measurements.items()
    }


def read(folder: Path, content: str | bytes, options: ReadOptions | None = None, name: str = "r.csv") -> Readings:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return values(read_source(path, options))


def refusal(folder: Path, content: str | bytes, options: ReadOptions | None = None, name: str = "r.csv") -> InputError:
    with pytest.raises(InputError) as caught:
        read(folder, content, options, name)
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 300
    return caught.value


def row(time: str = "2026-06-02T08:00:00", temperature: str = "21.5", humidity: str = "50.1", device: str = "A") -> str:
    return f"{HEADER}{device},{time},{temperature},{humidity}\n"


READ: dict[str, str | bytes] = {
    "plain": row(),
    "spaces in header and rows": "device, time, temperature, humidity\nA, 2026-06-02 08:00:00, 21.5, 50.1\n",
    "another case": "Device,TIME,Temperature,Humidity\nA,2026-06-02T08:00:00,21.5,50.1\n",
    "a byte order mark": "\ufeff" + row(),
    "carriage returns": row().replace("\n", "\r\n"),
    "carriage returns alone": row().replace("\n", "\r"),
    "semicolons and decimal commas": "device;time;temperature;humidity\nA;2026-06-02 08:00:00;21,5;50,1\n",
    "semicolons and decimal points": row().replace(",", ";"),
    "tabs": row().replace(",", "\t"),
    "bars": row().replace(",", "|"),
    "quoted decimal commas": row(temperature='"21,5"', humidity='"50,1"'),
    "a spreadsheet's own delimiter": "sep=;\n" + row().replace(",", ";"),
    "UTF-16 with tabs": row().replace(",", "\t").encode("utf-16"),
    "units in the header": "device,time (UTC),Temperature (°C),humidity_percent\nA,2026-06-02 08:00:00,21.5,50.1\n",
    "Fahrenheit in the header": "device,time,temperature [°F],Humidity (%RH)\nA,2026-06-02 08:00:00,70.7,50.1\n",
    "Kelvin in the header": "device,time,temperature (K),humidity\nA,2026-06-02 08:00:00,294.65,50.1\n",
    "other columns": 'n,device,time,note,temperature,humidity,v\n1,A,2026-06-02 08:00:00,"a, b",21.5,50.1,3\n',
    "columns in another order": "humidity,temperature,time,device\n50.1,21.5,2026-06-02T08:00:00,A\n",
    "empty lines": "\n".join(["", *row().splitlines(), "", "  ", ""]).lstrip("\n") + "\n",
    "our own export": "device,sequence,measured_at,temperature,humidity\nA,0,2026-06-02T08:00:00Z,21.50,50.10\n",
}


@pytest.mark.parametrize("kind", READ)
def test_a_table_of_text_is_read(tmp_path: Path, kind: str) -> None:
    assert read(tmp_path, READ[kind]) == ONE


@pytest.mark.parametrize("name", ["UPPER.CSV", "r.tsv", "r.txt", "r", "r.dat"])
def test_the_name_does_not_matter(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, row(), name=name) == ONE


def test_gzip_and_pipes(tmp_path: Path) -> None:
    packed = gzip.compress(row().encode())
    assert read(tmp_path, packed, name="r.csv.gz") == ONE
    assert read(tmp_path, packed, name="r.csv") == ONE
    assert values(read_source(io.BytesIO(row().encode()))) == ONE
    assert values(read_source(io.BufferedReader(io.BytesIO(packed)))) == ONE
    assert "cut off" in refusal(tmp_path, packed[:-9], name="r.csv.gz").to_do
    many = gzip.compress((row() + "".join(f"A,{MORNING + 30 + i},21.5,50.1\n" for i in range(9000))).encode())
    assert "cut off" in refusal(tmp_path, many[:-9], name="r.csv.gz").to_do


TIMES = {
    "2026-06-02T08:00:00": 0,
    "2026-06-02 08:00": 0,
    "2026-06-02T08:00:00.999": 0,
    "2026-06-02 08:00:00,5": 0,
    "2026/06/02 08:00:00": 0,
    "20260602T080000": 0,
    "20260602T080000Z": 0,
    "2026-06-02T08:00:00Z": 0,
    "2026-06-02 08:00:00 UTC": 0,
    "2026-06-02 08:00:00 GMT": 0,
    "2026-06-02T10:00:00+02:00": 0,
    "2026-06-02T10:00:00+0200": 0,
    "2026-06-02T10:00:00 +02": 0,
    "2026-06-02 08:00:00 +0000 UTC": 0,
    "2026-06-02T03:30:00-04:30": 0,
    "1780387200": 0,
    "1780387200.75": 0,
    "20260602": -8 * 3600,
    "2026-06-02": -8 * 3600,
}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read(tmp_path: Path, text: str) -> None:
    quoted = f'"{text}"' if "," in text else text
    assert read(tmp_path, row(quoted)) == {"A": [(MORNING + TIMES[text], 2150, 5010)]}


NO_TIMES = {
    "12": "since the sensor was switched on",
    "42.5": "since the sensor was switched on",
    "-5": "cannot be Unix seconds",
    "1780387200000": "milliseconds since 1970",
    "1780387200000000": "microseconds since 1970",
    "1780387200000000000": "nanoseconds since 1970",
    "46175.3333": "a day as Excel counts them",
    "20260602080000": "date and time without marks",
    "3863221200": "since 1900 or 1904",
    "639159840000000000": ".NET ticks",
    "134248608000000000": "Windows file time",
    "1.78039E+09": "rounded",
    "500000000": "before 2000",
    "1970-01-01T00:00:12": "before 2000",
    "1999-12-31T23:59:59": "before 2000",
    "19700101": "before 2000",
    "2200-01-01": "outside what a reading can hold (1970 to 2106)",
    "1969-12-31": "outside what a reading can hold (1970 to 2106)",
    "02.06.2026 08:00": "is no time",
    "02/06/2026 08:00": "is no time",
    "2026-06-02 08:00 PM": "is no time",
    "2026-06-02T24:00:00": "is no time",
    "2026-06-31": "is no time",
    "2026-06-02T08:00:00 CEST": "is no time",
    "2026-06-02x08:00:00": "is no time",
    "2026-06-02 8:00:00": "is no time",
    "2026-06-02  8:00:00": "is no time",
    "2026-6-2 08:00:00": "is no time",
    "2026-06-02T08:00:00+99:00": "offset",
    "": "time is missing",
    "٢٠٢٦-06-02": "is no time",
    "1_780_387_200": "is no time",
    "99999999999999999999999999999999999": "is no time",
}


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_cannot_be_a_time_is_refused_and_named(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, row(text))
    assert isinstance(error, ReadingError)
    assert "r.csv, row 2: time" in error.what
    assert NO_TIMES[text] in error.what


def test_a_time_unit_or_form_says_how_to_read_them(tmp_path: Path) -> None:
    for unit, text in {
        TimeUnit.MILLISECONDS: "1780387200999",
        TimeUnit.MICROSECONDS: "1780387200000001",
        TimeUnit.NANOSECONDS: "1780387200000000000",
        TimeUnit.EXCEL: "46175.3333333333",
        TimeUnit.SECONDS: "1780387200",
    }.items():
        assert read(tmp_path, row(text), ReadOptions(clock=Clock(unit=unit))) == ONE
    german = ReadOptions(clock=Clock(form="%d.%m.%Y %H:%M:%S"))
    assert read(tmp_path, row("02.06.2026 08:00:00"), german) == ONE
    zoned = ReadOptions(clock=Clock(form="%d.%m.%Y %H:%M %z"))
    assert read(tmp_path, row("02.06.2026 10:00 +0200"), zoned) == ONE
    assert "not written as" in refusal(tmp_path, row("2026-06-02"), german).what
    assert (
        "cannot be milliseconds"
        in refusal(tmp_path, row("1780387200"), ReadOptions(clock=Clock(unit=TimeUnit.MILLISECONDS))).what
    )


def test_old_times_and_jumps_are_refused_unless_asked_for(tmp_path: Path) -> None:
    unset = row("2000-01-01T00:00:12") + "A,2026-06-02T08:00:00,21.5,50.1\n"
    assert "row 3: device A's time jumps by 26 years" in refusal(tmp_path, unset).what
    anyway = ReadOptions(clock=Clock(any_time=True))
    assert [moment for moment, _, _ in read(tmp_path, unset, anyway)["A"]] == [946_684_812, MORNING]
    assert read(tmp_path, row("12"), anyway) == {"A": [(12, 2150, 5010)]}
    before = row("1970-01-01T00:00:12") + "A,2026-06-02T08:00:00,21.5,50.1\n"
    assert read(tmp_path, before, ReadOptions(skip_invalid=True)) == ONE
    years = row("2024-06-02T08:00:00") + "A,2026-06-02T08:00:00,21.5,50.1\n"
    assert len(read(tmp_path, years)["A"]) == 2


def local_rows(*moments: str) -> str:
    return HEADER + "".join(f"A,{moment},{20 + i}.5,50.1\n" for i, moment in enumerate(moments))


def test_local_time_falls_back_at_the_end_of_summer_time(tmp_path: Path) -> None:
    berlin = ReadOptions(clock=Clock(zone=BERLIN))
    fold = local_rows(
        "2025-10-26 01:30", "2025-10-26 02:30", "2025-10-26 02:59:30", "2025-10-26 02:00", "2025-10-26 03:00"
    )
    error = refusal(tmp_path, fold)
    assert "falls back at the end of summer time" in error.what
    assert "--zone Europe/Berlin" in error.to_do
    midnight = int(datetime(2025, 10, 26, tzinfo=BERLIN).timestamp())
    assert [moment - midnight for moment, _, _ in read(tmp_path, fold, berlin)["A"]] == [
        5400,
        9000,
        10770,
        10800,
        14400,
    ]


def test_an_hour_that_stands_once_and_could_be_either_is_refused(tmp_path: Path) -> None:
    berlin = ReadOptions(clock=Clock(zone=BERLIN))
    once = local_rows("2025-10-26 01:59:30", "2025-10-26 02:30", "2025-10-26 02:30:30", "2025-10-26 03:00")
    assert "row 3: Europe/Berlin has this hour twice" in refusal(tmp_path, once, berlin).what
    unsorted_rows = local_rows("2025-10-26 02:30", "2025-10-26 02:29:30", "2025-10-26 03:00")
    assert "steps back by only 30 s" in refusal(tmp_path, unsorted_rows, berlin).what
    spring = local_rows("2025-03-30 01:59:30", "2025-03-30 02:30")
    assert "2025-03-30 02:30:00 does not exist in Europe/Berlin" in refusal(tmp_path, spring, berlin).what
    with_offset = local_rows("2025-10-26T02:30+02:00", "2025-10-26T02:30+01:00")
    assert len(read(tmp_path, with_offset, berlin)["A"]) == 2


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
@pytest.mark.parametrize("every", [30, 300, 900])
def test_a_whole_year_of_local_time_is_the_year_of_utc(tmp_path: Path, zone: str, every: int) -> None:
    """Both changes of a year, at several intervals, in zones that change by an hour, by half an hour, and never."""
    place = ZoneInfo(zone)
    changes = [
        datetime(2025, month, day, tzinfo=UTC) for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))
    ]
    instants = sorted(
        {int((day + timedelta(seconds=i)).timestamp()) for day in changes for i in range(0, 2 * 86400, every)}
    )
    times = [datetime.fromtimestamp(instant, place).strftime("%Y-%m-%d %H:%M:%S") for instant in instants]
    content = HEADER + "".join(f"A,{time},{20 + i % 7}.5,50.1\n" for i, time in enumerate(times))
    found = read(tmp_path, content, ReadOptions(clock=Clock(zone=place)))
    assert [moment for moment, _, _ in found["A"]] == instants


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "decimal commas between commas": (
        row(temperature="21,5", humidity="50,1"),
        "row 2: 6 fields, and the header has 4",
    ),
    "one field too many": (row(humidity="50.1,7"), "row 2: 5 fields, and the header has 4"),
    "one field too few": (HEADER + "A,2026-06-02T08:00:00,21.5\n", "row 2: 3 fields, and the header has 4"),
    "a number for thousands or decimals": (row(temperature='"1,013"'), "decimals or thousands"),
    "two decimal signs": (
        "device;time;temperature;humidity\nA;2026-06-02 08:00:00;21,5;50.1\n",
        "row 2: humidity '50.1' is not a number",
    ),
    "the same column twice": (
        "device,time,temperature,humidity,temperature\nA,2026-06-02T08:00:00,21.5,50.1,99.9\n",
        "has 2 columns that could be the temperature",
    ),
    "nearly the same column twice": (
        "device,time,temperature,humidity,Temperature (°F)\nA,2026-06-02T08:00:00,21.5,50.1,70.7\n",
        "temperature, Temperature (°F)",
    ),
    "an unknown unit": (
        "device,time,temperature (raw),humidity\nA,2026-06-02T08:00:00,21.5,50.1\n",
        "has no column temperature",
    ),
    "a quotation mark left open": (
        HEADER + 'A,2026-06-02T08:00:00,"21.5,50.1\n' + "A,2026-06-02T08:01:00,21.5,50.1\n" * 4,
        "row 2: a quotation mark opens here and is never closed",
    ),
    "a quotation mark that swallows rows": (
        "device,time,temperature,humidity,note\n"
        'A,2026-06-02T08:00:00,21.5,50.1,"open\nA,2026-06-02T08:01:00,21.5,50.1,x\nA,2026-06-02T08:02:00,21.5,50.1,"\n',
        "row 2: a quotation mark opens here and closes rows later",
    ),
    "zero bytes": (row() + "\0" * 64 + "\nA,2026-06-02T08:00:30,21.6,50.2\n", "row 3: 64 zero bytes"),
    "cut off by a power failure": (row() + "A,2026-06-02T08:00:30,21.6,5", "row 3: the last line has no line end"),
    "Latin-1": (
        "device,time,temperature,humidity\nK\xfcche,2026-06-02T08:00:00,21.5,50.1\n".encode("latin-1"),
        "row 2 has the byte 0xfc",
    ),
    "a long form": (
        "entity_id,state,last_changed\nsensor.a_temperature,21.5,2026-06-02T08:00:00.000Z\n",
        "has no column device",
    ),
    "a name with a control character": (row(device="A\x1b[31m"), "row 2: device 'A\\x1b[31m' cannot be a name"),
    "a name that turns its direction": (row(device="A\u202eB"), "row 2: device 'A\\u202eB' cannot be a name"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(40), "neither .csv nor .parquet: it is a spreadsheet"),
    "a line without an end": (HEADER + "A" * (1 << 21) + "\n", "row 2"),
    "words for nothing": (row(temperature="unavailable"), "row 2: temperature is missing"),
    "not a number": (row(temperature="nan"), "row 2: temperature is nan"),
    "infinity": (row(humidity="-inf"), "row 2: humidity is -inf"),
    "digits of another script": (row(temperature="٢١"), "is not a number"),
    "underscores": (row(temperature="2_1"), "is not a number"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_in_doubt_is_refused(tmp_path: Path, kind: str) -> None:
    content, said = REFUSED[kind]
    assert said in refusal(tmp_path, content).what


def test_a_last_line_without_an_end_is_kept_or_dropped_as_told(tmp_path: Path) -> None:
    cut = row() + "A,2026-06-02T08:00:30,21.6,50.2"
    assert read(tmp_path, cut, ReadOptions(dialect=Dialect(last_line=LastLine.KEEP))) == TWO
    assert read(tmp_path, cut, ReadOptions(dialect=Dialect(last_line=LastLine.DROP))) == ONE
    error = refusal(tmp_path, cut)
    assert "--last-line keep" in error.to_do
    assert read(tmp_path, row() + "   ") == ONE


def test_what_the_user_says_of_the_file(tmp_path: Path) -> None:
    named = "device,time,Temp (°C),RH (%)\nA,2026-06-02 08:00:00,21.5,50.1\n"
    error = refusal(tmp_path, named)
    assert "--column temperature='Temp (°C)' --column humidity='RH (%)'" in error.to_do
    mapped = ReadOptions(columns={"temperature": "Temp (°C)", "humidity": "RH (%)"})
    assert read(tmp_path, named, mapped) == ONE
    fraction = ReadOptions(units={"temperature": Unit.FAHRENHEIT, "humidity": Unit.FRACTION})
    path = tmp_path / "f.csv"
    path.write_text(row(temperature="70.7", humidity="0.501"))
    source = read_source(path, fraction)
    assert values(source) == ONE
    assert "CONVERTED: temperature from F and humidity from fraction" in " ".join(source.understood.lines())
    no_device = "time,temperature,humidity\n2026-06-02T08:00:00,21.5,50.1\n"
    assert "--device NAME" in refusal(tmp_path, no_device).to_do
    assert read(tmp_path, no_device, ReadOptions(device="A")) == ONE
    latin = "device,time,temperature,humidity\nKüche,2026-06-02T08:00:00,21.5,50.1\n".encode("latin-1")
    assert read(tmp_path, latin, ReadOptions(dialect=Dialect(encoding="cp1252"))) == {"Küche": ONE["A"]}
    assert read(tmp_path, row(temperature='"21,500"', humidity='"50,1"'), ReadOptions(decimal=",")) == ONE


def test_rows_that_hold_no_reading_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(row() + "A,2026-06-02T08:00:10,,50\nA,2026-06-02T08:00:20,400,50\nA,2026-06-02T08:00:25\n")
    source = read_source(path, ReadOptions(skip_invalid=True))
    assert values(source) == ONE
    assert source.skipped == 3
    assert source.understood.skipped["temperature is missing"] == 1


def test_the_same_row_twice_is_one_reading_and_order_is_kept_by_device(tmp_path: Path) -> None:
    twice = row() + row().removeprefix(HEADER) + "B,2026-06-02T07:00:00,21.5,50.1\n"
    assert read(tmp_path, twice) == {**ONE, "B": [(MORNING - 3600, 2150, 5010)]}
    assert "row 3: device A's time is not after" in refusal(tmp_path, row() + "A,2026-06-02T08:00:00,22,50\n").what


def test_a_name_that_a_spreadsheet_was_kept_from_is_the_name(tmp_path: Path) -> None:
    for name in ("=1+1", "+A", "-A", "@A", "'=A", "'A"):
        shown = f"'{name}" if name[0] in "=+-@" or name.startswith("'=") else name
        assert list(read(tmp_path, row(device=shown))) == [name]


def table(**columns: Any) -> pa.Table:
    whole = {
        "device": pa.array(["A", "A"]),
        "time": pa.array([MORNING, MORNING + 30]),
        "temperature": pa.array([21.5, 21.6]),
        "humidity": pa.array([50.1, 50.2]),
        **columns,
    }
    return pa.table(whole)


TICKS = [MORNING, MORNING + 30]
COLUMNS: dict[str, dict[str, Any]] = {
    "device as binary": {"device": pa.array([b"A", b"A"])},
    "device as dictionary": {"device": pa.array(["A", "A"]).dictionary_encode()},
    "device as large text": {"device": pa.array(["A", "A"], pa.large_string())},
    **{
        f"time in {unit}{' UTC' if zone else ''}": {
            "time": pa.array([tick * scale + scale // 3 for tick in TICKS], pa.timestamp(unit, zone))
        }
        for unit, scale in {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}.items()
        for zone in (None, "UTC", "Europe/Berlin", "+02:00")
    },
    "time as text": {"time": pa.array(["2026-06-02T08:00:00Z", "2026-06-02 08:00:30"])},
    "time as float64": {"time": pa.array([MORNING + 0.25, MORNING + 30.5])},
    "time as decimal": {"time": pa.array([Decimal(tick) for tick in TICKS])},
    "time as uint64": {"time": pa.array(TICKS, pa.uint64())},
    "values as float32": {"temperature": pa.array([21.5, 21.6], pa.float32())},
    "values as decimals": {"humidity": pa.array([Decimal("50.10"), Decimal("50.20")])},
    "values as text": {"humidity": pa.array(["50.1", " 50.2 "])},
    "values as dictionary": {"humidity": pa.array([50.1, 50.2]).dictionary_encode()},
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_parquet_column_is_cast(tmp_path: Path, kind: str) -> None:
    pq.write_table(table(**COLUMNS[kind]), tmp_path / "r.parquet")
    assert values(read_source(tmp_path / "r.parquet")) == TWO


NO_COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "milliseconds": ({"time": pa.array([tick * 1000 for tick in TICKS])}, "row 2: time 1780387200000 cannot be Unix"),
    "an unknown zone": ({"time": pa.array(TICKS, pa.timestamp("s", "Mars/Phobos"))}, "zone 'Mars/Phobos'"),
    "a time after 9999": ({"time": pa.array([MORNING, 2**40], pa.timestamp("s"))}, "row 3: time"),
    "a time before 1970": ({"time": pa.array([-(2**40), MORNING], pa.timestamp("s"))}, "row 2: time"),
    "time as float32": ({"time": pa.array([1.78e9, 1.78e9], pa.float32())}, "no time to the second"),
    "time of day": ({"time": pa.array([1, 2], pa.time32("s"))}, "is of type time32"),
    "a duration": ({"time": pa.array(TICKS, pa.duration("s"))}, "is of type duration[s]"),
    "a time missing": ({"time": pa.array([None, MORNING], pa.timestamp("s"))}, "row 2: time is missing"),
    "binary that is no text": ({"device": pa.array([b"\xff", b"A"])}, "column device is binary"),
    "a device as a float": ({"device": pa.array([1.0, 2.0])}, "column device is of type double"),
    "a device missing": ({"device": pa.array([None, "A"])}, "row 2: device is missing"),
    "a list": ({"temperature": pa.array([[1.0], [2.0]])}, "column temperature is of type list"),
    "a truth value": ({"humidity": pa.array([True, False])}, "column humidity is of type bool"),
    "not a number": ({"humidity": pa.array([50.1, float("nan")])}, "row 3: humidity is nan"),
    "nothing": ({"humidity": pa.array([50.1, None])}, "row 3: humidity is missing"),
}


@pytest.mark.parametrize("kind", NO_COLUMNS)
def test_a_parquet_column_that_cannot_be_is_refused(tmp_path: Path, kind: str) -> None:
    columns, said = NO_COLUMNS[kind]
    pq.write_table(table(**columns), tmp_path / "r.parquet")
    with pytest.raises(InputError) as caught:
        read_source(tmp_path / "r.parquet")
    assert said in caught.value.what


def test_a_parquet_file_with_a_column_twice_or_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    twice = table()
    pq.write_table(
        pa.Table.from_arrays([*twice.columns, twice["humidity"]], [*twice.column_names, "temperature"]), path
    )
    with pytest.raises(InputError, match="2 columns that could be the temperature"):
        read_source(path)
    pq.write_table(table(), path)
    whole = path.read_bytes()
    for cut in (whole[:-1], whole[: len(whole) // 2], whole[:4], b"PAR1" + bytes(100) + b"PAR1"):
        path.write_bytes(cut)
        with pytest.raises(InputError, match="is not a Parquet file"):
            read_source(path)


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for i in range(12):
        part = folder / "device=A" / f"part-{i}.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        moved = table(time=pa.array([tick + 60 * i for tick in TICKS]))
        pq.write_table(moved.drop_columns(["device"]), part)
    (folder / "device=A" / "_metadata").write_bytes(b"")
    found = values(read_source(folder))
    assert [moment for moment, _, _ in found["A"]] == [MORNING + 30 * i for i in range(24)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no Parquet file"):
        read_source(tmp_path / "empty")


def test_the_moments_that_commands_take() -> None:
    assert unix_seconds("0") == 0
    assert unix_seconds("2026-06-02T08:00") == MORNING
    assert unix_seconds("1970-01-01T00:00:12Z") == 12
    assert unix_seconds("1780387200") == MORNING
    for text in ("2026", "12", "1780387200000", "yesterday", ""):
        with pytest.raises(ReadingError):
            unix_seconds(text)
