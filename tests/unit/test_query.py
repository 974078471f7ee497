"""What the index says, as rows: which, in what order, of what types, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas  # type: ignore[import-untyped]
import polars
import pyarrow as pa
import pyarrow.parquet
import pytest

from sensetrail.core.batch import Header
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.primitives import Address, address, hex_word
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.core.text import guarded
from sensetrail.errors import InputError
from sensetrail.indexer import formats, query
from sensetrail.indexer.derive import derive
from sensetrail.indexer.formats import RowFormat, text, write_parquet
from sensetrail.indexer.query import Wanted, limited
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.store import Cursor, Store
from story import REGISTRY, Story, log_of, word

ALICE, BOB = address("0x" + "a1" * 20), address("0x" + "b0" * 20)
MODELS = address("0x" + "77" * 20)
TIME = 1_790_000_000
ALL = Wanted()
NAMED = Wanted(names={ALICE: "Alice's"})
REJECTED = "Rejected(address,uint8,address,uint256,bytes32)"
REGISTERED = "ModelRegistered(bytes32,bytes32,bytes32,bytes32,string)"
RECALLED = "ModelRecalled(bytes32,string)"
HOSTILE = 'a "task",\n\x1b[31m=1+1 é'


class Tale(Story):
    """A story with rejections and models in it; block 3 on is proven, but for the second to last."""

    def reject(self, device: Address, reason: int, count: int) -> None:
        header = Header(device, TIME, 30, 5, count, 2).pack()
        values = [BOB, header, b"\xda" * 32]
        self.emit(REJECTED, [word(device), word(reason)], ["address", "uint256", "bytes32"], values)

    def model(self, signature: str, indexed: list[bytes], types: list[str], values: list[object]) -> None:
        self.emit(signature, indexed, types, values)
        self.logs[-1] = replace(self.logs[-1], address=MODELS)

    @property
    def told(self) -> list[BlockLogs]:
        blocks = self.blocks
        return [replace(b, header=None if b.number == len(blocks) - 1 else b"\xc0") for b in blocks]


@pytest.fixture
def tale() -> Tale:
    told = Tale(TIME, seconds=60)
    told.add_profile(INDOOR)
    told.register(ALICE, identity_digest=b"\x07" * 32)
    told.register(BOB)
    told.submit(ALICE, Measurements.of([TIME, TIME + 30], [20_00, 20_10], [50_00, 50_10]))
    told.post(BOB, TIME + 5, -1_50, 55_00)
    told.reject(ALICE, 5, 120)
    told.model(REGISTERED, [b"\x01" * 32, b"\x02" * 32, bytes(32)], ["bytes32", "string"], [b"\x03" * 32, HOSTILE])
    told.submit(ALICE, Measurements.of([TIME + 60, TIME + 91], [40_00, 20_00], [50_00, 50_00]))
    told.model(REGISTERED, [b"\x11" * 32, b"\x02" * 32, b"\x01" * 32], ["bytes32", "string"], [b"\x13" * 32, "b"])
    told.revoke(BOB, TIME + 4)
    told.reject(BOB, 3, 1)
    told.model(RECALLED, [b"\x01" * 32], ["string"], ["=HYPERLINK()"])
    told.post(ALICE, TIME + 100, 20_00, 50_00)
    return told


def rows(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


def readings(tale: Tale, wanted: Wanted = ALL) -> list[dict[str, Any]]:
    return rows(query.readings(tale.told, REGISTRY, wanted))


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_readings_stand_in_the_order_of_the_chain_with_the_twins_verdicts(tale: Tale) -> None:
    found = readings(tale, NAMED)
    assert [(r["block_number"], r["device"], r["sequence"]) for r in found] == [
        (4, ALICE, 0),
        (4, ALICE, 1),
        (5, BOB, 0),
        (8, ALICE, 2),
        (8, ALICE, 3),
        (13, ALICE, 4),
    ]
    assert [r["verdict"] for r in found] == [0, 0, 4, 16, 16, 0]
    assert [r["flags"] for r in found][2:5] == ["temperature_range", "temperature_step", "temperature_step"]
    assert found[2] == {
        "device": BOB,
        "name": None,
        "sequence": 0,
        "measured_at": moment(TIME + 5),
        "temperature": -1.5,
        "humidity": 55.0,
        "verdict": 4,
        "flags": "temperature_range",
        "block_number": 5,
        "block_time": moment(TIME + 300),
        "log_index": 0,
        "proven": True,
    }
    assert {r["name"] for r in found if r["device"] == ALICE} == {"Alice's"}


def test_events_of_one_block_keep_their_order_whoever_sent_them(tale: Tale) -> None:
    together = [replace(log, block_number=4, block_hash=word(4), log_index=i) for i, log in enumerate(tale.logs[3:5])]
    blocks = tale.told
    block = BlockLogs.of(4, word(4), TIME + 240, None, [together[1], together[0]])
    found = rows(query.readings([*blocks[:3], block], REGISTRY, ALL))
    assert [(r["log_index"], r["device"], r["sequence"]) for r in found] == [(0, ALICE, 0), (0, ALICE, 1), (1, BOB, 0)]
    assert not any(r["proven"] for r in found)


def test_portions_of_the_chain_change_nothing(tale: Tale, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (query.readings, query.rejections)
    whole = [rows(ask(tale.told, REGISTRY, ALL)) for ask in asked] + [rows(query.models(tale.told, MODELS, ALL))]
    for blocks, size in ((1, 10**6), (3, 10**6), (2000, 1)):
        monkeypatch.setattr(query, "BLOCKS_AT_ONCE", blocks)
        monkeypatch.setattr(query, "BYTES_AT_ONCE", size)
        monkeypatch.setattr(query, "ROWS_AT_ONCE", blocks)
        parts = [rows(ask(tale.told, REGISTRY, ALL)) for ask in asked] + [rows(query.models(tale.told, MODELS, ALL))]
        assert parts == whole


@pytest.mark.parametrize(
    ("wanted", "sequences"),
    [
        (Wanted(devices=frozenset({BOB})), [0]),
        (Wanted(since=TIME + 5), [0, 2, 3, 4, 1]),
        (Wanted(since=TIME + 30, until=TIME + 91), [1, 2]),
        (Wanted(until=TIME), []),
        (Wanted(verdicts=["legal"]), [0, 1, 4]),
        (Wanted(verdicts=["illegal"]), [0, 2, 3]),
        (Wanted(verdicts=["temperature_step"]), [2, 3]),
        (Wanted(verdicts=["Temperature range", "temperature-step"]), [0, 2, 3]),
        (Wanted(verdicts=["humidity_range"]), []),
        (Wanted(verdicts=["illegal"], devices=frozenset({ALICE}), since=TIME + 61), [3]),
    ],
)
def test_readings_by_device_time_and_verdict(tale: Tale, wanted: Wanted, sequences: list[int]) -> None:
    assert sorted(r["sequence"] for r in readings(tale, wanted)) == sorted(sequences)


def test_rejections(tale: Tale) -> None:
    first, second = rows(query.rejections(tale.told, REGISTRY, NAMED))
    assert first == {
        "block_number": 6,
        "block_time": moment(TIME + 360),
        "log_index": 0,
        "device": ALICE,
        "name": "Alice's",
        "reason": "wrong_sequence",
        "sender": BOB,
        "count": 120,
        "data_digest": hex_word(b"\xda" * 32),
        "proven": True,
    }
    assert (second["device"], second["reason"], second["name"]) == (BOB, "revoked_device", None)
    for wanted, blocks in (
        (Wanted(verdicts=["revoked_device"]), [11]),
        (Wanted(verdicts=["malformed"]), []),
        (Wanted(devices=frozenset({ALICE})), [6]),
        (Wanted(since=TIME + 361), [11]),
        (Wanted(until=TIME + 361), [6]),
    ):
        assert [r["block_number"] for r in rows(query.rejections(tale.told, REGISTRY, wanted))] == blocks


def test_models_and_their_recalls(tale: Tale) -> None:
    first, second = rows(query.models(tale.told, MODELS, ALL))
    assert first == {
        "weights_digest": hex_word(b"\x01" * 32),
        "task": HOSTILE,
        "dataset_id": hex_word(b"\x02" * 32),
        "parent": None,
        "manifest_digest": hex_word(b"\x03" * 32),
        "block_number": 7,
        "block_time": moment(TIME + 420),
        "log_index": 0,
        "recalled": True,
        "recalled_at": moment(TIME + 720),
        "reason": "=HYPERLINK()",
        "proven": False,
    }
    assert (second["recalled"], second["recalled_at"], second["reason"], second["proven"]) == (False, None, None, True)
    assert second["parent"] == first["weights_digest"]
    for wanted, found in (
        (Wanted(verdicts=["standing"]), [second]),
        (Wanted(verdicts=["recalled"]), [first]),
        (Wanted(since=TIME + 421), [second]),
        (Wanted(until=TIME + 421), [first]),
    ):
        assert rows(query.models(tale.told, MODELS, wanted)) == found
    assert rows(query.models(tale.told, REGISTRY, ALL)) == []


def stored(tale: Tale, path: Path, unproven_through: int | None = None) -> Store:
    store = open_sqlite(path, bytes(32), (REGISTRY, MODELS))
    blocks = tale.told
    store.append(blocks, [], Cursor(blocks[-1].number, blocks[-1].hash, unproven_through=unproven_through))
    return store


@pytest.mark.parametrize("derived_through", [None, 3, 8, 13])
def test_devices_stand_as_at_the_cursor_however_far_they_were_derived(
    tale: Tale, tmp_path: Path, derived_through: int | None
) -> None:
    with stored(tale, tmp_path / "index.sqlite") as store:
        if derived_through is not None:
            store.write_derived(derive(store, REGISTRY, derived_through)[0])
        before = store.derived()
        cursor = store.cursor()
        assert cursor is not None
        alice, bob = rows(query.devices(store, REGISTRY, cursor, NAMED))
        assert store.derived() == before
        assert rows(query.devices(store, REGISTRY, cursor, Wanted(devices=frozenset({BOB})))) == [bob]
    state = tale.states[ALICE]
    assert alice == {
        "address": ALICE,
        "name": "Alice's",
        "profile": 1,
        "identity_digest": hex_word(b"\x07" * 32),
        "readings": 5,
        "legal": 3,
        "untrusted_since": None,
        "sequence": 5,
        "last_time": moment(state.last_time),
        "head": hex_word(state.head),
        "proven": True,
    }
    assert (bob["untrusted_since"], bob["readings"], bob["legal"], bob["profile"]) == (moment(TIME + 4), 1, 0, 1)


def test_a_device_without_readings_has_no_last_time_and_an_unproven_index_says_so(tmp_path: Path) -> None:
    told = Tale(TIME)
    told.add_profile(INDOOR)
    told.register(ALICE)
    with stored(told, tmp_path / "index.sqlite", unproven_through=2) as store:
        (alice,) = rows(query.devices(store, REGISTRY, store.cursor() or Cursor(0, b""), ALL))
    assert (alice["last_time"], alice["sequence"], alice["readings"], alice["proven"]) == (None, 0, 0, False)


@pytest.mark.parametrize("words", [["broken"], ["legal", "step"], [""]])
def test_a_verdict_that_there_is_not_is_refused(words: list[str]) -> None:
    for parse in (query.verdict_mask, query.reasons, query.standings):
        with pytest.raises(InputError) as caught:
            parse(words)
        assert "give one of: " in caught.value.to_do


def test_a_limit_takes_the_first_and_reads_no_further(tale: Tale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "BLOCKS_AT_ONCE", 1)
    whole = readings(tale)
    for limit in range(8):
        assert rows(limited(query.readings(tale.told, REGISTRY, ALL), limit)) == whole[:limit]
    assert rows(limited(query.readings(tale.told, REGISTRY, ALL), None)) == whole
    read: list[int] = []

    def blocks() -> Iterable[BlockLogs]:
        for block in tale.told:
            read.append(block.number)
            yield block

    rows(limited(query.readings(blocks(), REGISTRY, ALL), 3))
    assert max(read) == 5
    rows(limited(query.readings(blocks(), REGISTRY, ALL), 0))
    assert max(read) == 5


# The formats.


def written(form: RowFormat, schema: pa.Schema, batches: Iterable[pa.RecordBatch], columns: list[str]) -> str:
    return "".join(text(form, schema, batches, columns))


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row as JSON has it."""
    return {k: v.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(v, datetime) else v for k, v in row.items()}


def everything(tale: Tale) -> list[tuple[pa.Schema, list[pa.RecordBatch]]]:
    return [
        (query.READINGS, list(query.readings(tale.told, REGISTRY, NAMED))),
        (query.REJECTIONS, list(query.rejections(tale.told, REGISTRY, NAMED))),
        (query.MODELS, list(query.models(tale.told, MODELS, ALL))),
    ]


@pytest.mark.parametrize("at_once", [1, 2, 1 << 16])
def test_json_and_json_lines_hold_every_row(tale: Tale, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(query, "ROWS_AT_ONCE", at_once)
    for schema, batches in everything(tale):
        expected = [plain(row) for row in rows(batches)]
        assert json.loads(written(RowFormat.JSON, schema, batches, [])) == expected
        lines = written(RowFormat.JSONL, schema, batches, []).splitlines()
        assert [json.loads(line) for line in lines] == expected


def test_csv_holds_every_row(tale: Tale) -> None:
    for schema, batches in everything(tale):
        found = list(csv.DictReader(io.StringIO(written(RowFormat.CSV, schema, batches, []), newline="")))
        expected = [
            {k: "" if v is None else str(v).lower() if isinstance(v, bool) else v for k, v in plain(row).items()}
            for row in rows(batches)
        ]
        assert len(found) == len(expected) > 0
        for row, wanted in zip(found, expected, strict=True):
            for name, value in wanted.items():
                assert row[name] == guarded(str(value)) or float(row[name]) == value


def test_no_rows_are_no_rows_in_every_format(tmp_path: Path) -> None:
    names = query.READINGS.names
    assert json.loads(written(RowFormat.JSON, query.READINGS, [], [])) == []
    assert written(RowFormat.JSONL, query.READINGS, [], []) == ""
    assert written(RowFormat.CSV, query.READINGS, [], []) == ",".join(names) + "\n"
    assert written(RowFormat.TABLE, query.READINGS, [], ["device", "flags"]) == "device  flags\n"
    write_parquet(tmp_path / "none.parquet", query.READINGS, [])
    assert pandas.read_parquet(tmp_path / "none.parquet").columns.tolist() == names


def test_a_table_is_aligned_and_sends_a_terminal_no_commands(tale: Tale) -> None:
    columns = ["measured_at", "device", "temperature", "flags", "proven"]
    table = written(RowFormat.TABLE, query.READINGS, query.readings(tale.told, REGISTRY, NAMED), columns)
    head, first, _, third, *_ = table.splitlines()
    assert head.split() == columns
    assert first == f"2026-09-21 14:13:20  {NAMED.names[ALICE]:42}        20.00  legal              yes"
    assert third == f"2026-09-21 14:13:25  {BOB}        -1.50  temperature_range  yes"
    models = written(RowFormat.TABLE, query.MODELS, query.models(tale.told, MODELS, ALL), ["task", "reason", "proven"])
    assert "\x1b" not in models
    assert len(models.splitlines()) == 3
    assert models.splitlines()[1].endswith("NO")


@pytest.fixture
def parquet(tale: Tale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(formats, "ROW_GROUP", 4)
    monkeypatch.setattr(query, "ROWS_AT_ONCE", 3)
    path = tmp_path / "readings.parquet"
    write_parquet(path, query.READINGS, query.readings(tale.told, REGISTRY, NAMED))
    return path


def test_parquet_is_written_by_row_groups(parquet: Path) -> None:
    metadata = pa.parquet.read_metadata(parquet)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [4, 2]
    assert pa.parquet.read_schema(parquet).field("temperature").metadata[b"unit"] == b"degC"


def test_duckdb_reads_parquet_with_the_right_types(tale: Tale, parquet: Path) -> None:
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(parquet))
        assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
            "device": "VARCHAR",
            "name": "VARCHAR",
            "sequence": "UINTEGER",
            "measured_at": "TIMESTAMP WITH TIME ZONE",
            "temperature": "DOUBLE",
            "humidity": "DOUBLE",
            "verdict": "UTINYINT",
            "flags": "VARCHAR",
            "block_number": "BIGINT",
            "block_time": "TIMESTAMP WITH TIME ZONE",
            "log_index": "UINTEGER",
            "proven": "BOOLEAN",
        }
        wanted = [
            (r["name"], r["sequence"], r["measured_at"].timestamp(), r["temperature"], r["flags"], r["proven"])
            for r in readings(tale, NAMED)
        ]
        columns = "name, sequence, epoch(measured_at), temperature, flags, proven"
        assert connection.sql(f"SELECT {columns} FROM '{parquet}'").fetchall() == wanted  # noqa: S608 - a test's path
        mean = f"SELECT avg(humidity) FROM '{parquet}' WHERE verdict = 0 AND device = '{ALICE}'"  # noqa: S608
        assert connection.sql(mean).fetchall() == [(pytest.approx((50 + 50.1 + 50) / 3),)]


def test_polars_reads_parquet_with_the_right_types(tale: Tale, parquet: Path) -> None:
    frame = polars.read_parquet(parquet)
    moments = polars.Datetime("us", "UTC")
    assert list(frame.schema.values()) == [
        *(polars.String, polars.String, polars.UInt32, moments, polars.Float64, polars.Float64),
        *(polars.UInt8, polars.String, polars.Int64, moments, polars.UInt32, polars.Boolean),
    ]
    assert frame.to_dicts() == readings(tale, NAMED)


def test_pandas_reads_parquet_with_the_right_types(tale: Tale, parquet: Path) -> None:
    frame = pandas.read_parquet(parquet)
    assert [str(kind) for kind in frame.dtypes] == [
        *("str", "str", "uint32", "datetime64[us, UTC]", "float64", "float64"),
        *("uint8", "str", "int64", "datetime64[us, UTC]", "uint32", "bool"),
    ]
    expected = readings(tale, NAMED)
    assert frame["measured_at"].dt.to_pydatetime().tolist() == [r["measured_at"] for r in expected]
    for name in ("device", "sequence", "temperature", "verdict", "flags", "proven"):
        assert frame[name].tolist() == [r[name] for r in expected]
    assert frame["name"].isna().tolist() == [r["name"] is None for r in expected]


def test_other_logs_and_none_at_all_are_no_rows(tale: Tale) -> None:
    other = log_of("Transfer(address)", [word(ALICE)], b"", 99)
    empty = BlockLogs.of(98, word(98), TIME, None, [])
    nameless = BlockLogs.of(100, word(100), TIME, None, [Log(100, word(100), 0, 0, REGISTRY, (), b"")])
    blocks = [empty, BlockLogs.of(99, word(99), TIME, None, [other]), nameless]
    assert rows(query.readings(blocks, REGISTRY, ALL)) == []
    assert rows(query.rejections(blocks, REGISTRY, ALL)) == []
    assert rows(query.models(blocks, REGISTRY, ALL)) == []
