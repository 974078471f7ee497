"""A compromise: what it touched is listed, and one command puts a successor in the touched model's place."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from command import INDOOR_START, Terminal, finish, poll, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.events import DatasetRegistered, ModelRecalled, ModelRegistered, decode_log
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import hex_word
from sensetrail.dataset import folder as dataset_folder
from sensetrail.dataset.folder import Dataset, read_dataset, write_dataset
from sensetrail.sensor.keystore import key_address
from sensetrail.training import make
from sensetrail.training.configuration import DEFAULT_HUMIDITY
from sensetrail.workspace import read_model

EACH = 60
TOUCHED = 25
SINCE = INDOOR_START + 30 * (EACH - TOUCHED)
CONFIGURATION = replace(DEFAULT_HUMIDITY, epochs=3)


@dataclass(frozen=True)
class World:
    """A terminal with 60 readings each of A and B, two datasets, and models that were trained a little."""

    site: Site
    terminal: Terminal

    def address(self, name: str) -> str:
        return key_address(self.terminal.workspace.key(name))

    def train(self, dataset: str, model: str, seed: int = 0, parent: str | None = None) -> Manifest:
        place = self.terminal.workspace
        found = read_dataset(place.dataset(dataset))
        of = bytes(32) if parent is None else self.manifest(parent).weights_digest
        folder, configuration = place.model(model), CONFIGURATION.with_seed(seed)
        _, manifest = make.make_model(folder, found.rows, found.selection, found.record, configuration, of)
        self.terminal.done("anchor", model)
        return manifest

    def manifest(self, model: str) -> Manifest:
        return read_model(self.terminal.workspace.model(model))[0]

    def revoke(self, name: str = "B", since: int = SINCE) -> None:
        self.terminal.done("device", "revoke", name, "--since", since)

    def taint(self) -> dict[str, Any]:
        told: dict[str, Any] = self.terminal.json("taint")
        return told

    def events(self, kind: type[object]) -> list[Any]:
        """Give the model registry's events of a kind."""
        chain = self.site.chain
        logs = chain.logs([self.site.models.address], self.site.deployment.block_number, chain.latest_block().number)
        return [event for event in map(decode_log, logs) if isinstance(event, kind)]


@pytest.fixture
def world(fresh_devnet: Chain, tmp_path: Path) -> World:
    site = make_site(fresh_devnet)
    terminal = terminal_at(site, tmp_path, "A", "B")
    readings_csv(tmp_path / "night.csv", ["A", "B"], EACH)
    terminal.done("post", "night.csv", "--devnet-clock")
    made = World(site, terminal)
    terminal.done("dataset", "build", "night")
    terminal.done("dataset", "build", "early", "--until", SINCE)
    made.train("night", "first")
    return made


def test_what_is_touched_is_listed_by_name_and_on_the_chain(world: World) -> None:
    terminal = world.terminal
    world.train("early", "clean")
    world.train("early", "heir", seed=1, parent="first")
    world.train("early", "grandchild", seed=2, parent="heir")
    assert "nothing is touched" in terminal.done("taint", "--check")
    assert world.taint()["readings"] == []
    world.revoke()
    told = world.taint()
    assert told["readings"] == [
        {
            "name": "B",
            "device": world.address("B"),
            "untrusted_since": SINCE,
            "count": TOUCHED,
            "first_time": SINCE,
            "last_time": INDOOR_START + 30 * (EACH - 1),
            "first_sequence": EACH - TOUCHED,
            "last_sequence": EACH - 1,
        }
    ]
    (dataset,) = told["datasets"]
    assert (dataset["names"], dataset["anchored"], dataset["rows"]) == (["night"], True, 2 * EACH)
    assert [each["count"] for each in dataset["touched"]] == [TOUCHED]
    models = {name: model for model in told["models"] for name in model["names"]}
    assert {name: model["why"] for name, model in models.items()} == {
        "first": "dataset",
        "heir": "inherits",
        "grandchild": "inherits",
    }
    assert models["heir"]["parent"] == models["first"]["weights_digest"]
    terminal.done("recall", "heir", "--reason", "its parent")
    text = terminal.done("taint")
    for expected in ("night", f"{TOUCHED} of {2 * EACH} rows: {TOUCHED} of B", "its dataset", "inherits", "recalled"):
        assert expected in text, expected
    for absent in ("early", "clean", "cannot be told"):
        assert absent not in text, absent
    assert terminal.run("taint", "--check").code == 5
    assert terminal.run("taint", "--check", "--json").code == 5


def test_the_chain_alone_tells_where_the_workspace_knows_the_selection(world: World) -> None:
    """Another workspace knows nothing: all devices' selection is tried, and a manifest's, and else it is said."""
    terminal = world.terminal
    world.train("early", "clean")
    terminal.done("dataset", "build", "late", "--since", INDOOR_START + 300)
    world.train("late", "late", seed=1)
    newest = world.site.chain.latest_block()
    first = world.manifest("first")
    false = DatasetRecord(bytes([1]) * 32, 7, first.selection.digest, newest.number, newest.hash)
    # Over a connection of its own: the site's may be behind with its accounts' nonces.
    registry = ModelRegistry(Chain(world.site.chain.url), world.site.models.address)
    registry.register_dataset(world.site.admin, false)
    world.revoke()
    shutil.rmtree(terminal.workspace.root / "datasets")
    everything = world.taint()
    assert {tuple(m["names"]): m["why"] for m in everything["models"]} == {("first",): "dataset", ("late",): "dataset"}
    shutil.rmtree(terminal.workspace.root / "models")
    shutil.rmtree(terminal.workspace.root / "keys")
    told = world.taint()
    assert told["readings"][0]["name"] is None
    datasets = {dataset["id"]: dataset for dataset in told["datasets"]}
    assert [each["count"] for each in datasets[hex_word(first.dataset.dataset_id)]["touched"]] == [TOUCHED]
    assert "does not give" in datasets[hex_word(false.dataset_id)]["cannot_be_told"]
    unknown = [dataset for dataset in told["datasets"] if dataset.get("cannot_be_told") == "selection unknown"]
    assert len(unknown) == 2  # "early" and "late"
    assert sorted(model["why"] for model in told["models"]) == ["dataset", "unknown", "unknown"]
    assert all(model["names"] == [] for model in told["models"])
    text = terminal.done("taint")
    assert "cannot be told: selection unknown" in text
    assert "cannot be told: its dataset cannot" in text


def test_a_damaged_folder_is_named_and_stops_nothing(world: World) -> None:
    world.revoke()
    place = world.terminal.workspace
    (place.dataset("early") / "dataset.json").write_text("{")
    shutil.copytree(place.model("first"), place.model("broken"))
    (place.model("broken") / "manifest.json").write_text("[]")
    told = world.taint()
    assert {Path(path).name for path in told["unreadable"]} == {"early", "broken"}
    assert [dataset["names"] for dataset in told["datasets"]] == [["night"]]
    assert "broken cannot be told" in world.terminal.done("taint")


def test_a_touched_model_is_renewed_by_one_command(world: World) -> None:
    terminal = world.terminal
    old = world.manifest("first")
    world.revoke()
    renewed = terminal.json("renew", "first", "second")
    new = world.manifest("second")
    assert renewed["rows"] == new.dataset.row_count == 2 * EACH - TOUCHED
    assert [(each["device"], each["count"]) for each in renewed["left_out"]] == [(world.address("B"), TOUCHED)]
    assert (new.parent, new.configuration, new.selection) == (old.weights_digest, old.configuration, old.selection)
    assert (renewed["parent"], renewed["recalled"]) == (hex_word(old.weights_digest), True)
    assert len(renewed["transactions"]) == 3
    record = world.site.models.model(new.weights_digest)
    assert (record.parent, record.dataset_id) == (old.weights_digest, new.dataset.dataset_id)
    (recall,) = world.events(ModelRecalled)
    assert recall.weights_digest == old.weights_digest
    assert f"device {world.address('B')} is not trusted since 2026-01-01 00:27:30 UTC" in recall.reason
    assert f"{TOUCHED} of {2 * EACH} rows" in recall.reason
    assert hex_word(new.weights_digest) in recall.reason
    audited = terminal.json("audit", "second", "--dataset", "second")
    assert audited["passed"] is True
    terminal.fails(5, "predict", "first", "--temperature", "28")
    assert terminal.json("predict", "second", "--temperature", "28")["verified"] is True
    again = terminal.json("renew", "first", "second")
    assert (again["transactions"], again["recalled"]) == ([], True)
    assert again["weights_digest"] == renewed["weights_digest"]
    assert "it was done before" in terminal.done("renew", "first", "second")
    told = {model["names"][0]: (model["why"], model["standing"]) for model in world.taint()["models"]}
    assert told == {"first": ("dataset", "recalled"), "second": ("inherits", "anchored")}
    # The successor's own dataset holds nothing untrusted: it has nothing to be renewed for, until the next revocation.
    assert "nothing to renew" in terminal.fails(2, "renew", "second", "third")[0]
    world.revoke("A", INDOOR_START + 600)
    assert terminal.json("renew", "second", "third")["rows"] == EACH - TOUCHED + 20


def test_without_recall_the_old_model_stands_until_it_is_asked_for(world: World) -> None:
    world.revoke()
    kept = world.terminal.json("renew", "first", "second", "--no-recall")
    assert (kept["recalled"], len(kept["transactions"])) == (False, 2)
    assert world.events(ModelRecalled) == []
    assert "is NOT recalled; it was done before" in world.terminal.done("renew", "first", "second", "--no-recall")
    recalled = world.terminal.json("renew", "first", "second")
    assert (recalled["recalled"], len(recalled["transactions"])) == (True, 1)


def test_renew_refuses_what_it_cannot_renew(world: World) -> None:
    terminal, place = world.terminal, world.terminal.workspace
    assert "nothing to renew" in terminal.fails(2, "renew", "first", "second")[0]
    world.train("early", "clean")
    world.revoke()
    wrong, to_do = terminal.fails(2, "renew", "clean", "second")
    assert "nothing to renew" in wrong
    assert "sensetrail taint" in to_do
    assert "is a folder" in terminal.fails(2, "renew", "first", "../second")[0]
    assert "cannot be a name" in terminal.fails(2, "renew", "first", ".second")[0]
    assert "there is no manifest.json" in terminal.fails(5, "renew", "none", "second")[0]
    before = {path: path.read_bytes() for path in place.root.rglob("*.*") if "sqlite" not in path.name}
    # A dataset or a model of that name: other ones, or the old one's own.
    for name in ("early", "night", "clean", "first"):
        wrong, to_do = terminal.fails(2, "renew", "first", name)
        assert "holds something else" in wrong, name
        assert "not overwritten" in to_do
    (place.root / "models" / "notes").mkdir()
    (place.root / "models" / "notes" / "mine.txt").write_text("mine")
    assert "holds something else" in terminal.fails(2, "renew", "first", "notes")[0]
    assert not place.dataset("notes").exists()
    assert {path: path.read_bytes() for path in before} == before
    assert world.events(ModelRecalled) == []
    shutil.copytree(place.model("first"), place.model("edited"))
    manifest = json.loads((place.model("edited") / "manifest.json").read_text())
    manifest["metrics"]["validation_mae"] = 0.0
    (place.model("edited") / "manifest.json").write_text(json.dumps(manifest))
    assert "was edited" in terminal.fails(5, "renew", "edited", "second")[1]


def test_renew_says_when_nothing_would_be_left(world: World) -> None:
    world.revoke("A", 0)
    world.revoke("B", 0)
    assert "no legal reading" in world.terminal.fails(2, "renew", "first", "second")[0]
    assert not world.terminal.workspace.dataset("second").exists()


@dataclass
class Interruption:
    """Lets something happen, wholly or in part, and then is Ctrl-C; once."""

    happen: Callable[..., object]
    done: bool = False

    def __call__(self, *arguments: Any, **named: Any) -> object:
        result = self.happen(*arguments, **named)
        if not self.done:
            self.done = True
            raise KeyboardInterrupt
        return result


def half_a_dataset(folder: Path, dataset: Dataset) -> None:
    write_dataset(folder, dataset)
    (folder / "dataset.json").unlink()


def half_a_model(folder: Path, *_: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(b"half")


def test_interrupted_anywhere_it_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, place = world.terminal, world.terminal.workspace
    world.revoke()
    stages: list[tuple[object, str, Callable[..., object]]] = [
        (dataset_folder, "write_dataset", half_a_dataset),
        (dataset_folder, "write_dataset", write_dataset),
        (make, "make_model", half_a_model),
        (make, "make_model", make.make_model),
        (ModelRegistry, "register_dataset", ModelRegistry.register_dataset),
        (ModelRegistry, "register_model", ModelRegistry.register_model),
        (ModelRegistry, "recall_model", ModelRegistry.recall_model),
    ]
    for where, name, happen in stages:
        interruption = Interruption(happen)
        with monkeypatch.context() as patch:
            # A function, so that it binds as a method where it stands for one.
            patch.setattr(where, name, lambda *given, stop=interruption, **named: stop(*given, **named))
            result = terminal.run("renew", "first", "second")
        assert interruption.done, name
        assert (result.code, "Traceback" in result.err) == (130, False), result
        # Never half of anything under its name.
        for folder, files in ((place.dataset("second"), 2), (place.model("second"), 2)):
            assert not folder.exists() or len(list(folder.iterdir())) == files
    renewed = terminal.json("renew", "first", "second")
    assert (renewed["transactions"], renewed["recalled"]) == ([], True)
    counts = [len(world.events(kind)) for kind in (DatasetRegistered, ModelRegistered, ModelRecalled)]
    assert counts == [2, 2, 1]
    assert {path.name for path in (place.root / "models").iterdir()} == {"first", "second"}
    assert {path.name for path in (place.root / "datasets").iterdir()} == {"night", "early", "second"}
    assert terminal.json("audit", "second", "--no-retrain", "--dataset", "second")["passed"] is True


def test_ctrl_c_while_it_trains(world: World) -> None:
    world.revoke()
    alone = replace(world.terminal, in_process=False)
    process = alone.start("renew", "first", "second")
    poll(lambda: (alone.workspace.dataset("second") / "dataset.json").exists(), process, "the dataset was written")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130, result
    assert "Traceback" not in result.err
    # Readings of later blocks do not change what was begun.
    through = json.loads((alone.workspace.dataset("second") / "dataset.json").read_text())["through_block"]
    world.site.chain.request("anvil_mine", "0x5")
    renewed = world.terminal.json("renew", "first", "second")
    assert (renewed["through_block"], renewed["recalled"]) == (through, True)


def test_a_successor_in_the_making_that_is_touched_itself_is_not_gone_on_with(world: World) -> None:
    world.revoke()
    place = world.terminal.workspace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "make_model", Interruption(half_a_model))
        assert world.terminal.run("renew", "first", "second").code == 130
    assert (place.dataset("second") / "dataset.json").exists()
    world.revoke("A", SINCE)
    assert "holds something else" in world.terminal.fails(2, "renew", "first", "second")[0]
    assert world.terminal.json("renew", "first", "third")["rows"] == 2 * (EACH - TOUCHED)
