"""The whole way by commands alone, as the README's reader goes it, on a chain of their own."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from command import INDOOR_START, PASSWORD, Terminal, address_in, devnet_command, readings_csv, terminal_at
from conftest import START, Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import free_port
from sensetrail.sensor.keystore import key_address

READINGS = 90
STEPS = [
    "code",
    "events",
    "heads",
    "verdicts",
    "signatures",
    "dataset",
    "manifest",
    "weights",
    "retraining",
    "standing",
]


def test_from_a_new_chain_to_a_recalled_model(tmp_path: Path) -> None:
    port = free_port()
    terminal = Terminal(tmp_path, {"SENSETRAIL_RPC": f"http://127.0.0.1:{port}"})
    with devnet_command(terminal, port, "--timestamp", "2026-01-01T00:00:00"):
        assert Chain(f"http://127.0.0.1:{port}").latest_block().timestamp == START
        devices = register_two_sensors(terminal)
        send_readings(terminal, devices)
        root = assemble(terminal)
        digest = train_and_anchor(terminal, root)
        # From here on in this process, through the console entry point: TensorFlow is loaded once, not five times.
        here = replace(terminal, in_process=True)
        audit_passes(here)
        predict_verified(here, digest)
        succeed(here, digest, devices)
        recall_and_refuse(here)


def register_two_sensors(terminal: Terminal) -> dict[str, str]:
    deployed = terminal.json("deploy")
    assert deployed["chain_id"] == 31337
    assert deployed == json.loads((terminal.workspace.root / "deployment.json").read_text())
    assert terminal.done("profile", "add", "--temperature", "0:50", "--humidity-step", "6.5") == "profile 1\n"
    devices = {}
    for name in ("kitchen", "cellar"):
        # One of either kind: from here on nothing else tells them apart.
        made = terminal.json("device", "new", name, *(["--p256"] if name == "cellar" else []))
        keystore = terminal.folder / made["keystore"]
        assert keystore.stat().st_mode & 0o777 == 0o600
        written = json.loads(keystore.read_text())
        assert "crypto" in written
        assert written.get("curve") == ("P-256" if name == "cellar" else None)
        assert "0x" + written["address"] == made["device"].lower()
        devices[name] = made["device"]
        registered = terminal.json("device", "register", name, "--make", "Sensirion", "--serial", "7")
        assert registered["device"] == made["device"]
        assert registered["profile"] == 1
        assert len(registered["identity_digest"]) == 66
    return devices


def send_readings(terminal: Terminal, devices: dict[str, str]) -> None:
    readings_csv(terminal.folder / "night.csv", list(devices), READINGS)
    sent = terminal.json("post", "night.csv", "--devnet-clock", "--batch", "50")
    assert (sent["readings"], sent["transactions"], sent["illegal"], sent["flags"]) == (180, 2, 0, {})
    assert sent["formats"] == {"delta": {"batches": 4, "readings": 180}}
    assert sent["gas_per_reading"] == round(sent["gas_used"] / 180, 2)
    assert sent["gas_used"] > 0
    listed = {entry["name"]: entry for entry in terminal.json("device", "list")}
    assert {name: (entry["device"], entry["status"], entry["readings"]) for name, entry in listed.items()} == {
        name: (address, "active", READINGS) for name, address in devices.items()
    }


def assemble(terminal: Terminal) -> str:
    made = terminal.json("dataset", "build", "night")
    assert made["rows"] == 2 * READINGS
    table = pyarrow.parquet.read_table(terminal.workspace.dataset("night") / "dataset.parquet")
    assert table.column_names == ["device", "sequence", "measured_at", "temperature", "humidity"]
    assert len(table) == 2 * READINGS
    return str(made["root"])


def train_and_anchor(terminal: Terminal, root: str) -> str:
    trained = terminal.json("train", "night", "night-humidity", "--task", "humidity", "--seed", "4")
    assert trained["dataset"]["root"] == root
    assert trained["configuration"]["seed"] == 4
    assert trained["metrics"]["validation_rows"] == 36
    assert {path.name for path in terminal.workspace.model("night-humidity").iterdir()} == {
        "manifest.json",
        "model.keras",
    }
    wrong, _ = terminal.fails(5, "predict", "night-humidity", "--temperature", "28")
    assert "anchored" in wrong
    anchored = terminal.json("anchor", "night-humidity")
    assert len(anchored["transactions"]) == 2
    assert trained["weights_digest"].endswith(anchored["weights_digest"])
    assert anchored["dataset_id"] == trained["dataset"]["id"]
    assert "anchored before" in terminal.done("anchor", "night-humidity")
    return str(anchored["weights_digest"])


def audit_passes(terminal: Terminal) -> None:
    audited = terminal.json("audit", "night-humidity", "--dataset", "night")
    assert audited["passed"] is True
    assert [step["number"] for step in audited["steps"]] == list(range(1, 11))
    assert [step["name"] for step in audited["steps"]] == STEPS
    assert {step["status"] for step in audited["steps"]} == {"passed"}
    assert "bit for bit" in audited["steps"][8]["detail"]


def predict_verified(terminal: Terminal, digest: str) -> None:
    answer = terminal.json("predict", "night-humidity", "--temperature", "28")
    assert answer["model"] == digest
    assert answer["verified"] is True
    assert 70 < answer["humidity"] < 80


def succeed(terminal: Terminal, parent: str, devices: dict[str, str]) -> None:
    """Train a second model with the first as its parent: one that tells the devices."""
    text = terminal.done("train", "night", "night-device", "--task", "device", "--parent", "night-humidity")
    assert "validation_accuracy" in text
    manifest = json.loads((terminal.workspace.model("night-device") / "manifest.json").read_text())
    assert manifest["parent"] == parent
    assert sorted(manifest["labels"]) == sorted(devices.values())
    assert "anchored in 1 transactions" in terminal.done("anchor", "night-device")
    answer = terminal.json("predict", "night-device", "--temperature", "28", "--humidity", "75")
    assert set(answer["probabilities"]) == set(devices.values())
    assert abs(sum(answer["probabilities"].values()) - 1) < 0.001
    wrong, to_do = terminal.fails(2, "predict", "night-device", "--temperature", "28")
    assert "--humidity" in wrong + to_do


def recall_and_refuse(terminal: Terminal) -> None:
    said = terminal.done("recall", "night-humidity", "--reason", "the cellar's sensor was miscalibrated")
    assert "is recalled: the cellar's sensor was miscalibrated" in said
    audit = terminal.run("audit", "night-humidity", "--no-retrain", "--json")
    audited = json.loads(audit.out)
    assert (audit.code, audited["passed"]) == (5, False)
    assert [step["number"] for step in audited["steps"] if step["status"] == "failed"] == [10]
    assert [step["number"] for step in audited["steps"] if step["status"] == "skipped"] == [9]
    wrong, to_do = terminal.fails(5, "predict", "night-humidity", "--temperature", "28")
    assert "recalled" in wrong
    assert "successor" in to_do
    loud = terminal.run("predict", "night-humidity", "--temperature", "28", "--unverified")
    assert loud.code == 0
    assert "UNVERIFIED" in loud.err
    assert "UNVERIFIED" not in loud.out
    assert "%RH at 28.0 degC" in loud.out
    skipped = terminal.done("audit", "night-device", "--no-retrain")
    assert "one step skipped" in skipped
    assert "not proven" in skipped


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    """A site on a chain of the test's own: these tests set its clock."""
    return make_site(fresh_devnet)


def test_readings_come_from_parquet_one_by_one_and_from_a_simulated_room(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path, "A", "B")
    table = pyarrow.csv.read_csv(readings_csv(tmp_path / "few.csv", ["A", "B"], 4))
    pyarrow.parquet.write_table(table, tmp_path / "few.parquet")
    sent = terminal.json("post", "few.parquet", "--own", "--devnet-clock")
    assert (sent["readings"], sent["transactions"], sent["illegal"]) == (8, 8, 0)
    assert terminal.json("post", "few.csv", "--devnet-clock")["readings"] == 0
    text = terminal.done("post", "--simulate", "2026-01-02", "--devnet-clock", "--batch", "1000")
    # The first simulated reading of each device may lie a jump away from the last one of the file.
    assert "1680 readings sent in 1 transaction" in text
    assert "chosen for the least gas: 1680 as regular in 2 batches" in text
    indexed = terminal.json("index")
    assert (indexed["readings"], indexed["rejected"]) == (1688, 0)
    assert 1680 <= indexed["legal"] <= 1688
    assert terminal.json("index", "--rebuild") == indexed


def test_illegal_readings_are_told_and_left_out(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path, "A")
    lines = readings_csv(tmp_path / "good.csv", ["A"], 10).read_text().splitlines()
    device, time, _, humidity, battery = lines[5].split(",")
    lines[5] = ",".join((device, time, "45", humidity, battery))
    lines.insert(7, f"A,{INDOOR_START + 170},,62,97")
    (tmp_path / "jump.csv").write_text("\n".join(lines) + "\n")
    sent = terminal.json("post", "jump.csv", "--devnet-clock", "--skip-invalid")
    assert (sent["readings"], sent["illegal"], sent["skipped_rows"]) == (10, 2, 1)
    assert sent["flags"] == {"temperature_step": 2}
    assert terminal.json("dataset", "build", "good")["rows"] == 8


def test_the_same_selection_gives_the_same_root(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path, "A", "B")
    readings_csv(tmp_path / "night.csv", ["A", "B"], 20)
    terminal.done("post", "night.csv", "--devnet-clock", "--batch", "10")
    first = terminal.json("dataset", "build", "one")
    assert first["rows"] == 40
    site.chain.request("anvil_mine", "0x5")
    second = terminal.json("dataset", "build", "two", "--through", first["through_block"])
    assert (second["root"], second["id"]) == (first["root"], first["id"])
    files = [terminal.workspace.dataset(name) / "dataset.parquet" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    some = terminal.json(
        "dataset", "build", "some", "--device", "A", "--since", INDOOR_START + 60, "--until", "2026-01-01T00:13"
    )
    assert some["rows"] == 4
    text = terminal.done(
        "dataset", "build", "some", "--device", "A", "--since", INDOOR_START + 60, "--until", INDOOR_START + 180
    )
    assert some["root"] in text


def test_profiles_funds_and_revocation(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path, "A")
    assert terminal.json("profile", "add", "--temperature", "-20:10", "--temperature-step", "0.5") == {"profile": 2}
    indoor, outdoor = terminal.json("profile", "list")
    assert (indoor["profile"], indoor["temperature_min"], indoor["temperature_max"]) == (1, 0, 5000)
    assert (outdoor["temperature_min"], outdoor["temperature_max"], outdoor["temperature_step"]) == (-2000, 1000, 50)
    assert "-20.00 to 10.00" in terminal.done("profile", "list")
    made = terminal.done("device", "new", "attic")
    address = address_in(made)
    wrong, _ = terminal.fails(
        3,
        "device",
        "fund",
        "attic",
        "--account",
        "sensetrail-workspace/keys/attic.json",
        SENSETRAIL_PASSWORD="not " + PASSWORD,
    )
    assert "password" in wrong
    assert f"({address}) has 2.5 ether" in terminal.done("device", "fund", "attic", "--ether", "2.5")
    assert {row["name"]: row["status"] for row in terminal.json("device", "list")} == {
        "A": "active",
        "attic": "not registered",
    }
    assert "is revoked" in terminal.done("device", "revoke", "A", "--since", "2026-01-01T00:00")
    assert {row["name"]: row["status"] for row in terminal.json("device", "list")}["A"] == "revoked"
    readings_csv(tmp_path / "late.csv", ["A"], 2)
    wrong, to_do = terminal.fails(2, "post", "late.csv")
    assert "'A' is revoked" in wrong
    assert "new key" in to_do


def test_the_columns_of_a_csv_may_stand_in_any_order(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path, "A")
    with (tmp_path / "other.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["humidity", "note", "time", "device", "temperature"])
        writer.writeheader()
        for i in range(3):
            moment = f"2026-01-01T01:10:{10 * i:02}+01:00"
            writer.writerow({"humidity": 60, "note": "ä,b", "time": moment, "device": "A", "temperature": 21})
    sent = terminal.json("post", "other.csv", "--devnet-clock")
    assert (sent["readings"], sent["illegal"]) == (3, 0)
    assert site.registry.state(key_address(terminal.workspace.key("A"))).last_time == START + 620
