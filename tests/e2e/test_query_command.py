"""`sensetrail query`: what the index says, without a node, without waiting, in every format, however many rows."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars
import pytest
from eth_abi.abi import encode as abi_encode

from command import Terminal, finish, poll, terminal_at
from conftest import Site, device_key, throw_away_key
from sensetrail.chain.deployment import Deployment
from sensetrail.core.batch import Batch, encode
from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.primitives import address, hex_word, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.store import Cursor
from story import BATCH_ACCEPTED, BATCH_FIELDS, DEVICE_REGISTERED, PROFILE_ADDED, REGISTRY, SIGNATURE, word

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    """Give a terminal whose index holds 5 readings of A, 1 of them illegal, 1 of B, a rejection and two models."""
    terminal = terminal_at(site, tmp_path, "A", "B")
    a, b = throw_away_key("A"), throw_away_key("B")
    start = site.now - 3000
    readings = Measurements.of(start + 30 * np.arange(4), [20_00, 20_50, 23_00, 23_10], [50_00] * 4)
    site.submit(*site.batch(readings, a))
    site.post(0, start + 100, 21_00, 55_00, b)
    batch = Batch(site.batch(readings, a)[0].header, b"\x00" * 16)
    site.submit(batch, site.sign(site.batch(readings, b)[0], b))
    site.post(4, start + 200, 23_20, 50_00, a)
    newest = site.chain.latest_block()
    record = DatasetRecord(b"\x01" * 32, 5, b"\x02" * 32, newest.number, newest.hash)
    site.models.register_dataset(site.admin, record)
    for number, task in ((3, "humidity-from-temperature"), (4, "device-from-reading")):
        site.models.register_model(site.admin, bytes([number]) * 32, record.dataset_id, b"\x05" * 32, task, bytes(32))
    site.models.recall_model(site.admin, b"\x04" * 32, "wrong, labels")
    terminal.done("index")
    return Terminal(terminal.folder, {"SENSETRAIL_RPC": NOWHERE}, in_process=True)


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_readings_by_device_time_and_verdict(terminal: Terminal) -> None:
    rows = terminal.json("query", "readings")
    assert [(row["name"], row["sequence"]) for row in rows] == [
        ("A", 0),
        ("A", 1),
        ("A", 2),
        ("A", 3),
        ("B", 0),
        ("A", 4),
    ]
    assert [row["flags"] for row in rows if row["verdict"]] == ["temperature_step"]
    assert {row["proven"] for row in rows} == {True}
    a = address(throw_away_key("A").address)
    for arguments, wanted in (
        (("--device", "A"), [r for r in rows if r["name"] == "A"]),
        (("--device", a.lower(), "--device", "B"), rows),
        (("--verdict", "temperature_step"), rows[2:3]),
        (("--verdict", "legal", "--limit", "2"), rows[:2]),
        (("--since", rows[1]["measured_at"], "--until", rows[3]["measured_at"]), rows[1:3]),
        (("--device", "B", "--verdict", "illegal"), []),
    ):
        assert terminal.json("query", "readings", *arguments) == wanted


def test_rejections_devices_and_models(terminal: Terminal, site: Site) -> None:
    (rejection,) = terminal.json("query", "rejections")
    assert (rejection["name"], rejection["reason"], rejection["count"]) == ("A", "wrong_signature", 4)
    assert rejection["sender"] == site.relayer.address
    assert terminal.json("query", "rejections", "--reason", "malformed") == []
    assert terminal.json("query", "rejections", "--verdict", "wrong_signature", "--device", "A") == [rejection]
    devices = terminal.json("query", "devices", "--device", "A", "--device", "B")
    assert [(d["readings"], d["legal"]) for d in sorted(devices, key=lambda d: str(d["name"]))] == [(5, 4), (1, 1)]
    for device in devices:
        state = site.registry.state(device["address"])
        assert (device["head"], device["sequence"]) == (hex_word(state.head), state.sequence)
        assert device["last_time"] == iso(state.last_time)
    standing, recalled = terminal.json("query", "models")
    assert (standing["task"], standing["recalled"], standing["reason"]) == ("humidity-from-temperature", False, None)
    assert (recalled["task"], recalled["recalled"], recalled["reason"]) == (
        "device-from-reading",
        True,
        "wrong, labels",
    )
    assert terminal.json("query", "models", "--verdict", "recalled") == [recalled]
    assert terminal.json("query", "models", "--since", "2040-01-01") == []


@pytest.mark.parametrize("kind", ["readings", "rejections", "devices", "models"])
def test_every_format_says_the_same(terminal: Terminal, kind: str) -> None:
    rows = terminal.json("query", kind)
    assert json.loads(terminal.done("query", kind, "--format", "json")) == rows
    assert [json.loads(line) for line in terminal.done("query", kind, "--format", "jsonl").splitlines()] == rows
    of_csv = list(csv.DictReader(io.StringIO(terminal.done("query", kind, "--format", "csv"))))
    assert [list(row) for row in of_csv] == [list(row) for row in rows]
    table = terminal.done("query", kind)
    assert len(table.splitlines()) == 1 + len(rows)
    for suffix in ("csv", "json", "jsonl", "parquet"):
        said = terminal.json("query", kind, "--out", f"rows.{suffix}")
        assert (said["rows"], said["format"], said["proven"]) == (len(rows), suffix, True)
    frame = polars.read_parquet(terminal.folder / "rows.parquet")
    assert frame.columns == list(rows[0])
    moments = [name for name, kind_ in frame.schema.items() if kind_ == polars.Datetime("us", "UTC")]
    assert frame.with_columns(polars.col(moments).dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts() == rows
    assert json.loads((terminal.folder / "rows.json").read_text()) == rows
    assert (terminal.folder / "rows.csv").read_text() == terminal.done("query", kind, "--format", "csv")
    assert not list(terminal.folder.glob(".*"))


def test_what_was_not_proven_says_so_in_every_row(terminal: Terminal, site: Site) -> None:
    terminal.done("index", "--rebuild", "--trust-node", SENSETRAIL_RPC=site.chain.url)
    for kind in ("readings", "rejections", "devices", "models"):
        assert {row["proven"] for row in terminal.json("query", kind)} == {False}
        result = terminal.run("query", kind)
        assert all(line.rstrip().endswith("NO") for line in result.out.splitlines()[1:])
        assert "UNPROVEN" in result.err


def test_it_neither_waits_for_an_indexer_nor_sees_half_of_what_it_does(terminal: Terminal, site: Site) -> None:
    before = terminal.json("query", "readings")
    contracts = (site.deployment.sensor_registry, site.deployment.model_registry)
    with open_sqlite(terminal.workspace.index, site.deployment.genesis_hash, contracts) as held:
        held.hold()
        with closing(sqlite3.connect(terminal.workspace.index, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM blocks")
            assert terminal.json("query", "readings") == before
            writer.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("--verdict", "broken"), "no verdict 'broken'"),
        (("--format", "xml"), "no format 'xml'"),
        (("--format", "parquet"), "Parquet is written into a file"),
        (("--out", "rows.txt"), "does not say its format"),
        (("--out", "no/rows.csv"), "there is no folder"),
        (("--out", "/dev/null", "--format", "csv"), "is a pipe or a device, not a file"),
        (("--json", "--format", "csv"), "do not go together"),
        (("--since", "yesterday"), "yesterday"),
        (("--device", "C"), "'C' has no key"),
        (("--device", "0x12"), "is not an address"),
    ],
)
def test_what_cannot_be_asked_is_refused(terminal: Terminal, arguments: tuple[str, ...], wrong: str) -> None:
    said, _ = terminal.fails(2, "query", "readings", *arguments)
    assert wrong in said


def test_without_an_index_it_says_what_to_do_and_makes_none(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path)
    _, to_do = terminal.fails(2, "query", "readings")
    assert "sensetrail index" in to_do
    assert not terminal.workspace.index.exists()
    contracts = (site.deployment.sensor_registry, site.deployment.model_registry)
    open_sqlite(terminal.workspace.index, site.deployment.genesis_hash, contracts).close()
    _, to_do = terminal.fails(2, "query", "readings")
    assert "sensetrail index" in to_do


# Many rows.

MANY = 1_500_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Give a terminal with an index of so many readings of one device, 10,000 a batch."""
    terminal = Terminal(tmp_path_factory.mktemp("many"))
    models = address("0x" + "77" * 20)
    terminal.workspace.write_deployment(Deployment(31337, bytes(32), REGISTRY, models, 1))
    device = device_key(throw_away_key("many")).address
    profile = abi_encode(["(int16,int16,uint16,uint16,uint16,uint16,uint32)"], [astuple(INDOOR)])
    told = [(PROFILE_ADDED, [word(1)], profile), (DEVICE_REGISTERED, [word(device), word(1)], bytes(32))]
    random = np.random.default_rng(0)
    for first in range(0, MANY, 10_000):
        values = 25_00 + random.integers(-60, 60, 10_000), 60_00 + random.integers(-300, 300, 10_000)
        batch = encode(device, first, Measurements.of(10**9 + 30 * (first + np.arange(10_000)), *values))
        fields = [batch.header.pack(), batch.data + SIGNATURE, b""]
        told.append((BATCH_ACCEPTED, [word(device)], abi_encode(BATCH_FIELDS, fields)))
    blocks = []
    for number, (signature, indexed, data) in enumerate(told, 1):
        log = Log(number, word(number), 0, 0, REGISTRY, (keccak256(signature.encode()), *indexed), data)
        blocks.append(BlockLogs.of(number, word(number), 2 * 10**9, b"\xc0", [log]))
    with open_sqlite(terminal.workspace.index, bytes(32), (REGISTRY, models)) as store:
        store.append(blocks, [], Cursor(len(blocks), word(len(blocks))))
    return terminal


def memory(terminal: Terminal, *arguments: str) -> int:
    """Run a command in a process of its own; give the most memory it had, bytes."""
    process = terminal.start(*arguments)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    out, err = process.communicate()
    assert process.returncode == 0, (out, err)
    return usage.ru_maxrss * 1024


def test_many_rows_take_no_more_memory_than_few(many: Terminal) -> None:
    few = memory(many, "query", "readings", "--limit", "1", "--out", "few.parquet")
    all_ = memory(many, "query", "readings", "--out", "many.parquet")
    assert all_ - few < 150 * 2**20, (few, all_)
    frame = polars.scan_parquet(many.folder / "many.parquet")
    columns = polars.col("sequence").n_unique().alias("count"), polars.col("verdict").eq(0).sum().alias("legal")
    found = frame.select(*columns).collect()
    assert found["count"].item() == MANY
    (device,) = many.json("query", "devices")
    assert (device["readings"], device["legal"]) == (MANY, found["legal"].item())


def test_interrupted_it_leaves_no_half_file_and_the_one_before(many: Terminal) -> None:
    target = many.folder / "interrupted.csv"
    target.write_text("before")
    process = many.start("query", "readings", "--out", "interrupted.csv")
    poll(lambda: any(p.stat().st_size for p in many.folder.glob(".*.part.csv")), process, "writing")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "interrupted" in result.err
    assert target.read_text() == "before"
    assert not list(many.folder.glob(".*"))


def test_a_reader_who_has_enough_is_no_error(many: Terminal) -> None:
    for form in ("table", "csv", "jsonl"):
        process = many.start("query", "readings", "--format", form)
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_the_first_rows_come_before_all_are_read(many: Terminal) -> None:
    arguments = [*many.command, "query", "readings", "--limit", "3", "--format", "csv"]
    out = subprocess.run(arguments, cwd=many.folder, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line.split(",")[2] for line in out.splitlines()] == ["sequence", "0", "1", "2"]
