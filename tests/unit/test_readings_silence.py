"""What real files say beside their numbers, and would make every number wrong in silence: read, or refused."""

from __future__ import annotations

import io
import struct
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensetrail.errors import InputError
from sensetrail.sensor.csv_table import Dialect
from sensetrail.sensor.moments import Clock, TimeUnit, parse_form, parse_zone
from sensetrail.sensor.quantities import Unit
from sensetrail.sensor.source import ReadOptions, read_source

HEADER = "device,time,temperature,humidity\n"
ROW = "A,2026-06-02T08:00:00Z,21.50,50.20\n"
LATER = "A,2026-06-02T08:01:00Z,21.60,50.30\n"
START = 1_780_387_200


def read(text: str | bytes, **options: object) -> dict[str, list[tuple[int, int, int]]]:
    data = text.encode() if isinstance(text, str) else text
    source = read_source(io.BytesIO(data), ReadOptions(**options))  # type: ignore[arg-type]
    return {
        name: list(zip(each.measured_at.tolist(), each.temperature.tolist(), each.humidity.tolist(), strict=True))
        for name, each in source.measurements.items()
    }


def refusal(text: str | bytes, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(text, **options)
    return f"{caught.value.what}; {caught.value.to_do}"


def test_a_second_header_in_another_order_is_not_left_out() -> None:
    """Files were put together, and the columns below swap: leaving the row out would swap the values."""
    second = "device,time,humidity,temperature\nA,2026-06-02T08:01:00Z,50.3,21.6\n"
    assert "row 3 is a second header" in refusal(HEADER + ROW + second, skip_invalid=True)
    fahrenheit = "device,time,temperature (°F),humidity\nA,2026-06-02T08:01:00Z,70.9,50.3\n"
    assert "row 3 is a second header" in refusal(HEADER + ROW + fahrenheit, skip_invalid=True)
    assert read(HEADER + ROW + HEADER + LATER, skip_invalid=True) == {
        "A": [(START, 2150, 5020), (START + 60, 2160, 5030)]
    }


def test_a_row_of_units_is_not_left_out() -> None:
    assert "--unit temperature=F" in refusal(HEADER + ",UTC,degF,%\n" + ROW, skip_invalid=True)
    assert read(HEADER + ",UTC,°C,%RH\n" + ROW, skip_invalid=True) == {"A": [(START, 2150, 5020)]}


def test_one_device_for_all_rows_is_not_given_to_two() -> None:
    assert "'A' and 'B'" in refusal(HEADER + ROW + LATER.replace("A", "B"), device="hall")
    assert read(HEADER + ROW + LATER, device="hall") == {"hall": [(START, 2150, 5020), (START + 60, 2160, 5030)]}


def test_one_device_for_all_rows_of_a_folder(tmp_path: Path) -> None:
    for name in "AB":
        (tmp_path / f"device={name}").mkdir()
        table = pa.table({"time": [START], "temperature": [21.5], "humidity": [50.2]})
        pq.write_table(table, tmp_path / f"device={name}" / "x.parquet")
    with pytest.raises(InputError, match="'A' and 'B'"):
        read_source(tmp_path, ReadOptions(device="hall"))
    one = read_source(tmp_path / "device=A" / "x.parquet", ReadOptions(device="hall"))
    assert list(one.measurements) == ["hall"]


def test_decimal_commas_do_not_fit_into_columns_without_a_name() -> None:
    text = "device,time,temperature,humidity,\nA,2026-06-02T08:00:00Z,21,5,50\n"
    assert "row 2: a field behind the last column that has a name: are there decimal commas?" in refusal(text)
    assert read(HEADER.replace("\n", ",\n") + ROW.replace("\n", ",\n")) == {"A": [(START, 2150, 5020)]}
    assert read("," + HEADER + "0," + ROW) == {"A": [(START, 2150, 5020)]}


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%Y-%m-%d %H:%M %Z", "--zone"),
        ("%m/%d/%Y %H:%M %p", "go together"),
        ("%m/%d/%Y %I:%M", "go together"),
        ("%m-%d %H:%M", "the year"),
        ("%Y-%H:%M", "the month"),
        ("%Y-%m-%d %Q", "'Q' is a bad directive"),
        ("%Y-%m-%d %", "stray %"),
        ("%Y-%m-%d %Y", "redefinition of group name"),
        ("", "the year"),
    ],
)
def test_a_form_that_does_not_tell_the_moment_is_no_form(form: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_form(form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d.%m.%Y %H:%M", "2.6.2026 8:00"),
        ("%m/%d/%y %I:%M:%S %p", "6/2/26 8:00:00 am"),
        ("%d.%m.%Y %H%M", "2.6.2026 0800"),
        ("%Y%m%d%H%M%S", "20260602080000"),
        ("%Y-%j %H:%M", "2026-153 08:00"),
        ("%d %b %Y %H:%M %z", "2 Jun 2026 10:00 +0200"),
    ],
)
def test_forms_tell_the_moment(form: str, text: str) -> None:
    assert parse_form(form) == form
    assert read(f"device;time;temperature;humidity\nA;{text};21.5;50.2\n", clock=Clock(form=form)) == {
        "A": [(START, 2150, 5020)]
    }


def test_a_digit_is_not_borrowed_from_the_next_number() -> None:
    clock = Clock(form="%Y%m%d%H%M%S")
    assert "row 2: time '2026060208000' is not written as" in refusal(
        HEADER + "A,2026060208000,21.5,50.2\n", clock=clock
    )


@pytest.mark.parametrize("name", ["tempf", "tempinf", "Temp (°F) kitchen", "°F outside", "Temp, degF avg", "temp.f"])
def test_a_unit_anywhere_in_a_name_is_asked_for(name: str) -> None:
    text = f"device;time;{name};humidity\nA;2026-06-02T08:00:00Z;41;50.2\n"
    mapped = {"columns": {"temperature": name}}
    assert "--unit temperature=UNIT" in refusal(text, **mapped)
    assert read(text, **mapped, units={"temperature": Unit.FAHRENHEIT}) == {"A": [(START, 500, 5020)]}


def test_a_number_behind_a_name_is_no_unit() -> None:
    text = "device,time,temperature_1,humidity_1\nA,2026-06-02T08:00:00Z,21.5,0.9\n"
    mapped = {"temperature": "temperature_1", "humidity": "humidity_1"}
    assert "--column humidity=humidity_1" in refusal(text)
    assert read(text, columns=mapped) == {"A": [(START, 2150, 90)]}


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        ("Date Time, GMT+02:00", None, "--zone Etc/GMT-2"),
        ("Date Time, GMT-05:00", None, "--zone Etc/GMT+5"),
        ("time (UTC+5:30)", None, "name a zone that has it"),
        ("time (local)", None, "--zone Europe/Berlin"),
        ("Time CEST", None, "--zone Europe/Berlin"),
        ("time (UTC)", "Europe/Berlin", "leave out --zone"),
        ("time (UTC)", None, None),
        ("Date Time, GMT+00:00", None, None),
    ],
)
def test_a_zone_in_a_name_is_not_ignored(name: str, zone: str | None, said: str | None) -> None:
    text = f'device,"{name}",temperature,humidity\nA,2026-06-02 08:00:00,21.5,50.2\n'
    options = {"columns": {"time": name}, "clock": Clock(parse_zone(zone) if zone else None)}
    if said is None:
        assert read(text, **options) == {"A": [(START, 2150, 5020)]}
    else:
        assert said in refusal(text, **options)
    berlin = {"columns": {"time": "Date Time, GMT+02:00"}, "clock": Clock(parse_zone("Etc/GMT-2"))}
    assert read(text.replace(name, "Date Time, GMT+02:00"), **berlin) == {"A": [(START - 7200, 2150, 5020)]}


@pytest.mark.parametrize(("time", "zone"), [("1970-01-01 00:00", "Asia/Tokyo"), ("2106-02-07 06:28", "US/Eastern")])
def test_local_times_outside_what_a_reading_can_hold(time: str, zone: str) -> None:
    clock = Clock(parse_zone(zone), any_time=True)
    assert "row 2: " in refusal(HEADER + f"A,{time},21.5,50.2\n", clock=clock)


def test_excels_days_are_the_nearest_second(tmp_path: Path) -> None:
    clock = Clock(unit=TimeUnit.EXCEL)
    assert read(HEADER + "A,46175.33333,21.5,50.2\n", clock=clock) == {"A": [(START, 2150, 5020)]}
    days = [(START + 60 * i) / 86_400 + 25_569 for i in range(50)]
    table = pa.table({"device": ["A"] * 50, "time": days, "temperature": [21.5] * 50, "humidity": [50.2] * 50})
    pq.write_table(table, tmp_path / "x.parquet")
    found = read_source(tmp_path / "x.parquet", ReadOptions(clock=clock)).measurements["A"]
    assert found.measured_at.tolist() == [START + 60 * i for i in range(50)]


def parquet(**columns: pa.Array) -> pa.Table:
    base = {"device": ["A"], "time": [START], "temperature": [21.5], "humidity": [50.2]}
    return pa.table(base | columns)


def test_old_timestamps_of_far_years_do_not_wrap(tmp_path: Path) -> None:
    """As nanoseconds, 2600-06-02 is a day in 2015."""
    table = parquet(time=pa.array([datetime(2600, 6, 2, 8)], pa.timestamp("us")))
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    with pytest.raises(InputError, match="row 2: time 2600-06-02"):
        read_source(tmp_path / "x.parquet")


def test_checksums_of_parquet_pages_are_verified() -> None:
    sink = io.BytesIO()
    pq.write_table(
        parquet(), sink, write_page_checksum=True, compression="none", use_dictionary=False, write_statistics=False
    )
    sound = sink.getvalue()
    assert read(sound) == {"A": [(START, 2150, 5020)]}
    assert "CRC" in refusal(sound.replace(struct.pack("<d", 21.5), struct.pack("<d", 22.5)))


def test_a_column_of_nothing_and_a_folder_of_no_device(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(parquet(temperature=pa.nulls(1)), sink)
    assert "row 2: temperature is missing" in refusal(sink.getvalue())
    folder = tmp_path / "device=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir()
    pq.write_table(parquet().drop_columns("device"), folder / "x.parquet")
    with pytest.raises(InputError, match="row 2: device is missing"):
        read_source(tmp_path)


def test_bytes_that_are_no_utf_16_are_named_by_their_row() -> None:
    rows = [f"A,2026-06-02T{i // 60:02d}:{i % 60:02d}:00Z,21.5,50.2\n" for i in range(1000)]
    sound = (HEADER + "".join(rows)).encode("utf-16")
    place = 2 + 2 * len(HEADER + "".join(rows[:700]))
    damaged = sound[:place] + b"\x00\xd8" + sound[place + 2 :]
    assert "row 702 has the byte 0x00" in refusal(damaged)


@pytest.mark.parametrize("encoding", ["\udcff", "a\0b", "hex", "../x"])
def test_what_is_no_encoding_is_refused(encoding: str) -> None:
    assert "no encoding is named" in refusal(HEADER + ROW, dialect=Dialect(encoding=encoding))


def test_a_column_is_offered_for_what_it_can_be() -> None:
    """`humidity` contains "id", and is no device; what is offered works as it stands, for one column each."""
    said = refusal("Zeit\u00a0time,temp in,temp out,humidity\n2026-06-02T08:00:00Z,21.5,8.0,50.2\n")
    assert "--column device=" not in said
    assert "--column time='Zeit\\xa0time' --column temperature='temp in' (or 'temp out')" in said
    text = "Zeit\u00a0time,temp,humidity\n2026-06-02T08:00:00Z,21.5,50.2\n"
    mapped = {"time": "Zeit\\xa0time", "temperature": "temp"}
    assert read(text, columns=mapped, device="A") == {"A": [(START, 2150, 5020)]}
    assert "two parts" in refusal(text, columns={**mapped, "humidity": "temp"}, device="A")
