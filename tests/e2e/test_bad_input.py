"""Bad input gets one line of what is wrong, one of what to do, and an exit code; nothing is sent or changed."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from eth_account.signers.local import LocalAccount

from command import (
    INDOOR_START,
    Terminal,
    anchor_without_training,
    finish,
    readings_csv,
    refusal,
    terminal_at,
    write_keystore,
)
from conftest import Site, make_site, throw_away_key
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.dataset import Selection
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import address
from sensetrail.dataset.folder import Dataset, write_dataset
from unit.test_model_file import BIAS, keras_file

HEADER = "device,time,temperature,humidity"
MOMENT = "2026-01-01T00:10:00"
INPUT, KEY, CHAIN, EVIDENCE = 2, 3, 4, 5
"""Exit codes, as `sensetrail.cli.main` documents them."""


@dataclass(frozen=True)
class Guard:
    """A terminal in whose workspace and on whose chain a failing command may change nothing."""

    terminal: Terminal
    site: Site

    def fails(self, code: int, *arguments: object, **environment: str | None) -> tuple[str, str]:
        before = self._state()
        said = self.terminal.fails(code, *arguments, **environment)
        assert self._state() == before
        return said

    def write(self, name: str, content: str | bytes) -> str:
        (self.terminal.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def _state(self) -> tuple[int, dict[Path, bytes]]:
        files = {
            path: path.read_bytes()
            for path in self.terminal.folder.rglob("*")
            if path.is_file() and not path.name.startswith(("outbox.sqlite", "index.sqlite"))
        }
        return self.site.chain.latest_block().number, files


@pytest.fixture
def guard(fresh_devnet: Chain, tmp_path: Path) -> Guard:
    site = make_site(fresh_devnet)
    return Guard(terminal_at(site, tmp_path, "A", "B"), site)


BAD_TABLES: dict[str, tuple[str | bytes, str]] = {
    "a missing column": ("device,time,temperature\nA,1,2\n", "has no column humidity"),
    "text in a number": (f"{HEADER}\nA,{MOMENT},warm,50\n", "row 2: temperature 'warm' is not a number"),
    "a number missing": (f"{HEADER}\nA,{MOMENT},20,\n", "row 2: humidity is missing"),
    "a row cut short": (f"{HEADER}\nA,{MOMENT},20,50\nA,{MOMENT}\n", "row 3: 2 fields, and the header has 4"),
    "no time": (f"{HEADER}\nA,yesterday,20,50\n", "row 2: time 'yesterday' is no time"),
    "NaN": (f"{HEADER}\nA,{MOMENT},nan,50\n", "row 2: temperature is nan"),
    "infinity": (f"{HEADER}\nA,{MOMENT},20,-inf\n", "row 2: humidity is -inf"),
    "an unknown device": (f"{HEADER}\nA,{MOMENT},20,50\nZ,{MOMENT},20,50\n", "device 'Z' has no key"),
    "a device without a name": (f"{HEADER}\n,{MOMENT},20,50\n", "row 2: device is missing"),
    "a device that climbs out": (f"{HEADER}\n../keys/A,{MOMENT},20,50\n", "'../keys/A' cannot be a name"),
    "times out of order": (
        f"{HEADER}\nA,{INDOOR_START + 9},20,50\nB,{INDOOR_START},20,50\nA,{INDOOR_START + 8},20,50\n",
        "row 4: device A's time is not after",
    ),
    "seconds since it was switched on": (f"{HEADER}\nA,100,20,50\n", "row 2: time 100 cannot be Unix seconds"),
    "nothing at all": ("", "has no column device, time, temperature, humidity"),
    "a header alone": (f"{HEADER}\n", "holds no reading"),
    "too hot for the format": (f"{HEADER}\nA,{MOMENT},400,50\n", "temperature 400.0 is outside"),
    "humidity below zero": (f"{HEADER}\nA,{MOMENT},20,-1\n", "humidity -1.0 is outside"),
    "too damp for the format": (f"{HEADER}\nA,{MOMENT},20,700\n", "humidity 700.0 is outside"),
    "a time after 2106": (f"{HEADER}\nA,2200-01-01,20,50\n", "is outside what a reading can hold (1970 to 2106)"),
    "a time before 1970": (f"{HEADER}\nA,1969-12-31,20,50\n", "is outside what a reading can hold (1970 to 2106)"),
    "binary junk": (random.Random(7).randbytes(4096), "is not a CSV file"),  # noqa: S311 - junk
    "a NUL in a number": (f"{HEADER}\nA,{MOMENT},2\x000,50\n", "row 2: 1 zero bytes"),
    "an endless field": (f"{HEADER}\nA,{MOMENT},{'1' * 200_000},50\n", "is not a CSV file"),
}


def test_a_csv_that_cannot_be_sent(guard: Guard) -> None:
    for name, (content, wrong) in BAD_TABLES.items():
        said, to_do = guard.fails(INPUT, "post", guard.write("readings.csv", content))
        assert wrong in said, name
        assert len(said) < 300, name
        is_of_a_row = ", row " in said and "is not after" not in said
        assert ("--skip-invalid" in to_do) == is_of_a_row, name
    assert not guard.terminal.workspace.outbox.exists()


def test_a_parquet_or_other_file_that_cannot_be_sent(guard: Guard) -> None:
    folder = guard.terminal.folder
    said, _ = guard.fails(INPUT, "post", guard.write("broken.parquet", b"PAR1" + bytes(100) + b"PAR1"))
    assert "broken.parquet is not a Parquet file" in said
    pyarrow.parquet.write_table(pyarrow.table({"device": ["A"], "time": [1]}), folder / "narrow.parquet")
    assert "no column temperature, humidity" in guard.fails(INPUT, "post", "narrow.parquet")[0]
    odd = pyarrow.table({"device": ["A"], "time": [1], "temperature": [[1, 2]], "humidity": [None]})
    pyarrow.parquet.write_table(odd, folder / "odd.parquet")
    assert "column temperature is of type list" in guard.fails(INPUT, "post", "odd.parquet")[0]
    assert "neither .csv nor .parquet" in guard.fails(INPUT, "post", guard.write("readings.xlsx", "A"))[0]
    assert "there is no file missing.csv" in guard.fails(INPUT, "post", "missing.csv")[0]
    (folder / "empty").mkdir()
    assert "empty holds no Parquet file" in guard.fails(INPUT, "post", "empty")[0]
    assert "either FILE or --simulate" in guard.fails(INPUT, "post")[0]


def test_a_device_that_the_chain_does_not_know(guard: Guard) -> None:
    write_keystore(guard.terminal.workspace.key("C"), throw_away_key("C"))
    said, to_do = guard.fails(INPUT, "post", guard.write("c.csv", f"{HEADER}\nA,{MOMENT},20,50\nC,{MOMENT},20,50\n"))
    assert "'C' is not registered" in said
    assert "device register" in to_do


def test_readings_behind_those_that_were_sent(guard: Guard) -> None:
    readings_csv(guard.terminal.folder / "new.csv", ["A"], 4)
    guard.terminal.done("post", "new.csv", "--devnet-clock")
    readings_csv(guard.terminal.folder / "old.csv", ["A"], 4, INDOOR_START - 300)
    said, _ = guard.fails(INPUT, "post", "old.csv")
    assert "the new ones begin at" in said


def test_readings_that_lie_ahead_of_the_chain_s_clock_are_not_wasted(guard: Guard) -> None:
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2, INDOOR_START + 7200)
    said, to_do = guard.fails(INPUT, "post", "a.csv")
    assert "ahead of the chain's clock" in said
    assert "--devnet-clock" in to_do


def test_another_row_in_the_same_second_is_refused_and_the_same_row_is_one_reading(guard: Guard) -> None:
    said, _ = guard.fails(INPUT, "post", guard.write("same.csv", f"{HEADER}\nA,{MOMENT},20,50\nA,{MOMENT},21,50\n"))
    assert "row 3: device A's time is not after" in said
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2)
    lines = (guard.terminal.folder / "a.csv").read_text().splitlines(keepends=True)
    twice = guard.write("twice.csv", "".join([*lines, lines[-1]]))
    assert guard.terminal.json("post", twice, "--devnet-clock")["readings"] == 2


def test_nothing_is_deployed_where_the_deployment_cannot_be_written(guard: Guard) -> None:
    said, _ = guard.fails(INPUT, "deploy", "--workspace", guard.write("file", "no folder"))
    assert "file is a file, not a folder" in said
    assert "file is a file, not a folder" in guard.fails(INPUT, "demo", "--out", "file")[0]


def test_a_dataset_is_not_replaced_by_another(guard: Guard) -> None:
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 4)
    guard.terminal.done("post", "a.csv", "--devnet-clock")
    guard.terminal.done("dataset", "build", "night")
    guard.terminal.done("dataset", "build", "night")
    said, _ = guard.fails(INPUT, "dataset", "build", "night", "--until", INDOOR_START + 60)
    assert "another dataset" in said


def test_passwords_and_keystores(guard: Guard) -> None:
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2)
    said, to_do = guard.fails(KEY, "post", "a.csv", "--devnet-clock", SENSETRAIL_PASSWORD=None)
    assert said == "no password given"
    assert "SENSETRAIL_PASSWORD" in to_do
    assert "no password" in guard.fails(KEY, "device", "new", "C", SENSETRAIL_PASSWORD=None)[0]
    assert "SENSETRAIL_PASSWORD is empty" in guard.fails(KEY, "device", "new", "C", SENSETRAIL_PASSWORD="")[0]
    said, to_do = guard.fails(KEY, "post", "a.csv", "--devnet-clock", SENSETRAIL_PASSWORD="wrong")
    assert "the password in SENSETRAIL_PASSWORD does not open" in said
    assert "SENSETRAIL_PASSWORD" in to_do
    key = guard.terminal.workspace.key("A")
    keystore = json.loads(key.read_text())
    keystore["crypto"]["ciphertext"] = "00" + keystore["crypto"]["ciphertext"][2:]
    for damaged in (json.dumps(keystore), json.dumps(keystore)[:100], "[]", "{}", '{"crypto": 1, "address": 7}'):
        key.write_text(damaged)
        said, _ = guard.fails(KEY, "post", "a.csv", "--devnet-clock")
        assert "A.json" in said
    assert "there is a key at" in guard.fails(INPUT, "device", "new", "A")[0]


def test_accounts_that_cannot_pay(guard: Guard) -> None:
    pauper = write_keystore(guard.terminal.folder / "pauper.json", throw_away_key("pauper"))
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2)
    for arguments in (("post", "a.csv", "--devnet-clock"), ("device", "fund", "A")):
        said, to_do = guard.fails(CHAIN, *arguments, "--account", pauper)
        assert "cannot pay" in said
        assert "send it ether" in to_do
    assert "there is no key" in guard.fails(KEY, "profile", "add", "--account", "nobody.json")[0]


def test_a_device_that_cannot_pay_for_itself(guard: Guard) -> None:
    poor: LocalAccount = throw_away_key("poor")
    write_keystore(guard.terminal.workspace.key("poor"), poor)
    guard.terminal.done("device", "register", "poor")
    readings_csv(guard.terminal.folder / "poor.csv", ["poor"], 2)
    said, to_do = guard.fails(CHAIN, "post", "poor.csv", "--own", "--devnet-clock")
    assert "cannot pay" in said
    assert "device fund" in to_do
    assert guard.site.registry.state(address(poor.address)).sequence == 0
    guard.terminal.done("device", "fund", "poor")
    assert guard.terminal.json("post", "poor.csv", "--own", "--devnet-clock")["readings"] == 2


def test_names_and_numbers_that_cannot_be(guard: Guard) -> None:
    for name in ("../x", "a/b", ".hidden", "", "n" * 65, "a\nb", "..", "a\\b"):
        assert "cannot be a name" in guard.fails(INPUT, "device", "new", name)[0]
    assert "is no range" in guard.fails(INPUT, "profile", "add", "--temperature", "warm")[0]
    assert "nan" in guard.fails(INPUT, "profile", "add", "--humidity", "nan:50")[0]
    said, to_do = guard.fails(CHAIN, "profile", "add", "--temperature", "50:0")
    assert "least value is above its greatest" in said
    assert "least, then greatest" in to_do
    assert "is no time" in guard.fails(INPUT, "device", "revoke", "A", "--since", "yesterday")[0]
    assert "'0x12' is not an address" in guard.fails(INPUT, "device", "fund", "0x12")[0]
    assert "not an http URL" in guard.fails(INPUT, "index", "--rpc", "localhost:8545")[0]


def test_what_was_done_before(guard: Guard) -> None:
    said, _ = guard.fails(INPUT, "deploy")
    assert "there is a deployment" in said
    said, to_do = guard.fails(CHAIN, "device", "register", "A")
    assert "registered already" in said
    assert "device new" in to_do
    assert "no profile with this number" in guard.fails(CHAIN, "device", "register", "B", "--profile", "9")[0]
    guard.terminal.done("device", "revoke", "B", "--since", "0")
    assert "revoked already" in guard.fails(CHAIN, "device", "revoke", "B", "--since", "0")[0]


def test_datasets_that_cannot_be_made(guard: Guard) -> None:
    assert "no legal reading" in guard.fails(INPUT, "dataset", "build", "none")[0]
    assert "block 9999 is not final" in guard.fails(INPUT, "dataset", "build", "none", "--through", "9999")[0]
    assert "'Z' has no key" in guard.fails(INPUT, "dataset", "build", "none", "--device", "Z")[0]
    assert "there is no dataset at" in guard.fails(INPUT, "train", "none", "model", "--task", "humidity")[0]


class NoNode(BaseHTTPRequestHandler):
    """A web server that is no node: it answers each request with its page, or with an error."""

    def do_POST(self) -> None:
        page = b"<html>Welcome to nginx!</html>" if self.path == "/page" else b'{"jsonrpc": "2.0"}'
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoNode) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_no_node_at_the_url(guard: Guard) -> None:
    said, to_do = guard.fails(CHAIN, "index", "--rpc", "http://127.0.0.1:1")
    assert said == "no node answers at http://127.0.0.1:1"
    assert "sensetrail devnet" in to_do
    with serving() as url:
        for path in ("page", "missing", "json"):
            said, _ = guard.fails(CHAIN, "index", "--rpc", f"{url}/{path}")
            assert len(said) < 300


def test_a_node_of_another_chain(guard: Guard) -> None:
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2)
    with running_devnet(timestamp=1) as other:
        for command in (("post", "a.csv", "--devnet-clock"), ("index",), ("device", "list"), ("dataset", "build", "x")):
            said, to_do = guard.fails(CHAIN, *command, "--rpc", other.url)
            assert "another chain: genesis block" in said
            assert "--rpc" in to_do
        assert other.latest_block().number == 0


def test_a_deployment_from_another_chain_or_damaged(guard: Guard) -> None:
    workspace, deployment = guard.terminal.workspace, guard.site.deployment
    workspace.write_deployment(replace(deployment, chain_id=11155111))
    assert "chain id 11155111" in guard.fails(CHAIN, "index")[0]
    path = workspace.root / "deployment.json"
    good = json.dumps(deployment.to_json())
    for damaged in ("", good[:-20], "[]", "{}", good.replace(deployment.sensor_registry, "0x12"), "\x00", "null"):
        path.write_text(damaged)
        said, to_do = guard.fails(INPUT, "index")
        assert f"deployment.json is {'damaged' if damaged.strip(chr(0)) else 'empty'}" in said, damaged
        assert "deploy again" in to_do
    path.unlink()
    said, to_do = guard.fails(INPUT, "index")
    assert "no deployment in sensetrail-workspace" in said
    assert "sensetrail deploy" in to_do


def test_a_deployment_of_other_contracts(guard: Guard) -> None:
    deployment = guard.site.deployment
    guard.terminal.workspace.write_deployment(replace(deployment, sensor_registry=deployment.model_registry))
    readings_csv(guard.terminal.folder / "a.csv", ["A"], 2)
    guard.fails(CHAIN, "post", "a.csv", "--devnet-clock")
    guard.terminal.workspace.write_deployment(replace(deployment, sensor_registry=address("0x" + "5e" * 20)))
    guard.fails(CHAIN, "post", "a.csv", "--devnet-clock")


@dataclass(frozen=True)
class Anchored:
    """A model that is anchored, with its dataset, made without training."""

    guard: Guard
    folder: Path
    manifest: Manifest

    def edit(self, change: Callable[[dict[str, object]], object]) -> None:
        value = self.manifest.to_json()
        change(value)
        (self.folder / "manifest.json").write_text(json.dumps(value))


@pytest.fixture
def anchored(guard: Guard) -> Anchored:
    site, workspace = guard.site, guard.terminal.workspace
    site.submit(*site.batch(site.measurements(5)))
    folder = workspace.model("model")
    manifest, rows = anchor_without_training(site, folder)
    write_dataset(workspace.dataset("night"), Dataset(rows, Selection(), manifest.dataset))
    return Anchored(guard, folder, manifest)


def test_a_model_folder_that_is_missing_or_incomplete(anchored: Anchored) -> None:
    guard = anchored.guard
    for command in (("audit", "none"), ("anchor", "none"), ("predict", "none", "--temperature", "28")):
        assert "there is no manifest.json in" in guard.fails(EVIDENCE, *command)[0]
    (anchored.folder / "model.keras").rename(anchored.folder / "kept")
    assert "there is no model.keras in" in guard.fails(EVIDENCE, "audit", "model")[0]
    (anchored.folder / "manifest.json").unlink()
    assert "there is no manifest.json in" in guard.fails(EVIDENCE, "audit", "model")[0]


def test_a_manifest_that_is_none(anchored: Anchored) -> None:
    guard, path = anchored.guard, anchored.folder / "manifest.json"
    good = path.read_text()
    for damaged in ("", "not JSON", good[:-30], "[]", "null", "{}", "[" * 10_000, good.replace("0.5", "NaN")):
        path.write_text(damaged)
        said, to_do = guard.fails(EVIDENCE, "predict", "model", "--temperature", "28")
        assert "manifest.json" in said
        assert "restore the original" in to_do
        assert len(said) < 300


def audit_step(guard: Guard, *arguments: str) -> tuple[int, str]:
    """Run an audit that has to fail; give the step's number and what it says."""
    result = guard.terminal.run("audit", "model", "--no-retrain", "--json", *arguments)
    assert result.code == EVIDENCE, result
    assert "Traceback" not in result.err
    report = json.loads(result.out)
    assert report["passed"] is False
    (failed,) = [step for step in report["steps"] if step["status"] == "failed"]
    assert failed["to_do"]
    return failed["number"], failed["detail"]


def test_an_edited_metric_is_found(anchored: Anchored) -> None:
    anchored.edit(lambda value: value.update(metrics={"validation_mae": 0.1}))
    said, to_do = anchored.guard.fails(EVIDENCE, "predict", "model", "--temperature", "28")
    assert "the manifest has digest" in said
    assert "restore the original" in to_do
    assert audit_step(anchored.guard)[0] == 7
    anchored.guard.fails(CHAIN, "anchor", "model")


def test_an_edited_weights_digest_is_found(anchored: Anchored) -> None:
    digest = "sensetrail-keras-v1:keccak256:0x" + "5e" * 32
    anchored.edit(lambda value: value.update(weights_digest=digest))
    assert "digest" in anchored.guard.fails(EVIDENCE, "predict", "model", "--temperature", "28")[0]
    assert "digest" in anchored.guard.fails(EVIDENCE, "anchor", "model")[0]
    assert audit_step(anchored.guard)[0] == 7


def test_a_damaged_or_changed_model_file_is_found(anchored: Anchored) -> None:
    guard, path = anchored.guard, anchored.folder / "model.keras"
    good = path.read_bytes()
    for damaged in (b"", good[: len(good) // 2], b"PK\x03\x04" + bytes(1000), b"not a zip"):
        path.write_bytes(damaged)
        said, _ = guard.fails(EVIDENCE, "predict", "model", "--temperature", "28")
        assert "not a .keras file" in said
        assert len(said) < 300
    path.write_bytes(keras_file(write=lambda file: file.__setitem__("layers/dense/vars/0", BIAS)))
    assert "the model file has digest" in guard.fails(EVIDENCE, "predict", "model", "--temperature", "28")[0]
    assert audit_step(guard)[0] == 8


def test_a_number_that_no_prediction_is_for(anchored: Anchored) -> None:
    assert "finite" in anchored.guard.fails(INPUT, "predict", "model", "--temperature", "nan")[0]
    said, _ = anchored.guard.fails(INPUT, "predict", "model", "--temperature", "28", "--humidity", "50")
    assert "--temperature alone" in said


def test_a_dataset_that_is_missing_or_edited(anchored: Anchored) -> None:
    guard, folder = anchored.guard, anchored.guard.terminal.workspace.dataset("night")
    train = ("train", "night", "new", "--task", "humidity")
    path = folder / "dataset.parquet"
    good = path.read_bytes()
    assert "there is no dataset at" in guard.fails(INPUT, "audit", "model", "--no-retrain", "--dataset", "none")[0]
    table = pyarrow.parquet.read_table(path)
    warmer = table.column("temperature").to_pylist()
    warmer[2] += 0.01
    edited = table.set_column(3, table.schema.field(3), pyarrow.array(warmer))
    pyarrow.parquet.write_table(edited, path)
    assert "a row was changed" in guard.fails(EVIDENCE, *train)[0]
    number, detail = audit_step(guard, "--dataset", "night")
    assert number == 6
    assert "row 2" in detail
    path.write_bytes(good[:-200])
    assert "dataset.parquet is damaged" in guard.fails(EVIDENCE, *train)[0]
    path.write_bytes(good)
    description = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(description.replace('"row_count": 5', '"row_count": 4'))
    assert "do not belong together" in guard.fails(EVIDENCE, *train)[0]
    (folder / "dataset.json").unlink()
    assert "there is no dataset at" in guard.fails(INPUT, *train)[0]
    assert not guard.terminal.workspace.model("new").exists()


def test_too_few_rows_to_train_on(anchored: Anchored) -> None:
    said, _ = anchored.guard.fails(INPUT, "train", "night", "new", "--task", "device")
    assert "device" in said
    assert not anchored.guard.terminal.workspace.model("new").exists()


def test_a_devnet_on_a_taken_port(guard: Guard) -> None:
    port = guard.site.chain.url.rpartition(":")[2]
    said, to_do = refusal(finish(guard.terminal.start("devnet", "--port", port), timeout=15), CHAIN)
    assert port in said + to_do
    assert "--port" in to_do


def test_it_is_the_same_at_a_real_terminal(guard: Guard) -> None:
    terminal = replace(guard.terminal, in_process=False)
    bad = guard.write("bad.csv", BAD_TABLES["NaN"][0])
    readings_csv(terminal.folder / "good.csv", ["A", "B"], 2)
    assert "row 2: temperature is nan" in terminal.fails(INPUT, "post", bad)[0]
    assert "no password given" in terminal.fails(KEY, "post", "good.csv", "--devnet-clock", SENSETRAIL_PASSWORD=None)[0]
    assert (
        "no node answers"
        in terminal.fails(CHAIN, "post", "good.csv", "--devnet-clock", "--rpc", "http://127.0.0.1:1")[0]
    )
    assert "no manifest.json" in terminal.fails(EVIDENCE, "audit", "none")[0]
    assert terminal.json("post", "good.csv", "--devnet-clock")["illegal"] == 0


def test_a_p256_key_pays_for_nothing_and_a_keystore_that_names_another_key_is_refused(
    site: Site, tmp_path: Path
) -> None:
    terminal = terminal_at(site, tmp_path)
    made = terminal.json("device", "new", "meter", "--p256")
    terminal.done("device", "register", "meter")
    readings_csv(tmp_path / "few.csv", ["meter"], 3)
    wrong, to_do = terminal.fails(KEY, "post", "few.csv", "--own", "--devnet-clock")
    assert "holds a P-256 key" in wrong
    assert "without --own" in to_do
    keystore = tmp_path / made["keystore"]
    written = json.loads(keystore.read_text())
    for change in ({"curve": "secp256k1"}, {"address": site.device_address[2:]}):
        keystore.write_text(json.dumps({**written, **change}))
        wrong, _ = terminal.fails(KEY, "post", "few.csv", "--devnet-clock")
        assert "but holds the key of" in wrong
    keystore.write_text(json.dumps({**written, "curve": "P-521"}))
    assert "a key of the curve 'P-521'" in terminal.fails(KEY, "post", "few.csv", "--devnet-clock")[0]
    keystore.write_text(json.dumps(written))
    assert terminal.json("post", "few.csv", "--devnet-clock")["readings"] == 3
