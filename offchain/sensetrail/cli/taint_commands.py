"""The command `taint`: what a compromise touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensetrail.cli.indexed import Believed, histories, model_events, synchronised, writable
from sensetrail.cli.output import err, print_json, print_table, say
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    BlockHash,
    Depth,
    Folder,
    Json,
    Rpc,
    SecondNode,
    StoreUrl,
    TrustNode,
    connect_deployment,
)
from sensetrail.core.primitives import hex_word
from sensetrail.errors import InputError, SensetrailError
from sensetrail.report.section import Table
from sensetrail.workspace import Workspace, read_model

if TYPE_CHECKING:
    from sensetrail.chain.deployment import Deployment
    from sensetrail.core.dataset import DatasetRecord, Rows, Selection
    from sensetrail.core.history import History
    from sensetrail.core.primitives import Address
    from sensetrail.core.taint import Descent, Touched
    from sensetrail.indexer.store import Store


def taint(
    check: Annotated[bool, typer.Option("--check", help="Exit code 5 if anything is touched.")] = False,
    trust_node: TrustNode = False,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    depth: Depth = None,
    store_url: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List what revoked devices leave untrusted: their readings, and the datasets and models made of them.

    Looks at the chain and at this workspace. A model of a touched dataset is touched; a successor of one inherits. The
    index is brought up to date first; where the workspace is read-only, in a temporary copy.

    Example: sensetrail taint --check
    """
    place = Workspace(workspace)
    chain, deployment = connect_deployment(rpc, place)
    believed = Believed(trust_node, block_hash, second_node, depth)
    with (
        writable(place, store_url) as indexing,
        synchronised(indexing, chain, deployment, believed, store_url, quiet=as_json) as (store, indexed),
        err.status("tracing"),
    ):
        survey = _survey(place, store, indexed.cursor.number, deployment)
    print_json(survey.to_json()) if as_json else _print_survey(survey)
    if check and survey.readings:
        raise typer.Exit(5)


@dataclass(slots=True)
class _Dataset:
    """A dataset that the workspace or the chain knows.

    Attributes:
        record: Its record.
        names: Its folders' names in this workspace.
        is_anchored: Whether the model registry has it.
        rows: From its folder, under the record's root; None where there is none.
        touched: What is touched of it; None while that cannot be told.
        why: Why it cannot be told.
    """

    record: DatasetRecord
    names: list[str] = field(default_factory=list)
    is_anchored: bool = False
    rows: Rows | None = None
    touched: tuple[Touched, ...] | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": hex_word(self.record.dataset_id),
            "names": self.names,
            "anchored": self.is_anchored,
            "rows": self.record.row_count,
            **(
                {"cannot_be_told": self.why}
                if self.touched is None
                else {"touched": [touched_json(each) for each in self.touched]}
            ),
        }


@dataclass(slots=True)
class _Model:
    """A model that the workspace or the chain knows.

    Attributes:
        descent: Where it comes from.
        names: Its folders' names in this workspace.
        is_anchored: Whether the model registry has it.
        is_recalled: Whether it is recalled.
    """

    descent: Descent
    names: list[str] = field(default_factory=list)
    is_anchored: bool = False
    is_recalled: bool = False

    @property
    def standing(self) -> str:
        return "recalled" if self.is_recalled else "anchored" if self.is_anchored else "not anchored"

    def to_json(self, why: str) -> dict[str, Any]:
        return {
            "weights_digest": hex_word(self.descent.weights_digest),
            "names": self.names,
            "standing": self.standing,
            "dataset": hex_word(self.descent.dataset_id),
            "parent": hex_word(self.descent.parent),
            "why": why,
        }


@dataclass(slots=True)
class _Survey:
    """All that is known and touched, or cannot be told.

    Attributes:
        through_block: The index's last block.
        readings: Touched readings by device.
        device_names: Of the devices that have a key in this workspace.
        datasets: Touched ones, and those that cannot be told.
        models: With why: "dataset", "inherits" or "unknown".
        unreadable: Folders of this workspace, and what is wrong with them.
    """

    through_block: int
    readings: tuple[Touched, ...]
    device_names: dict[Address, str]
    datasets: list[_Dataset]
    models: list[tuple[_Model, str]]
    unreadable: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "through_block": self.through_block,
            "readings": [{"name": self.device_names.get(e.device), **touched_json(e)} for e in self.readings],
            "datasets": [each.to_json() for each in self.datasets],
            "models": [each.to_json(why) for each, why in self.models],
            "unreadable": self.unreadable,
        }


def _survey(place: Workspace, store: Store, block_number: int, deployment: Deployment) -> _Survey:
    from sensetrail.core.dataset import Selection
    from sensetrail.core.taint import descendants, summarise, touched_readings, untrusted_since
    from sensetrail.sensor.keystore import names_of

    history_through = histories(store, deployment)
    history = history_through(block_number)
    untrusted = untrusted_since(history)
    readings = summarise(touched_readings(history), untrusted)
    names = names_of(place.keys()) if readings else {}
    survey = _Survey(block_number, readings, names, [], [], {})
    if not readings:
        return survey
    known = _Known(selections={Selection().digest: Selection()})
    known.read_workspace(place)
    known.read_chain(store, deployment, block_number)
    for dataset in known.datasets.values():
        _trace(dataset, known.selections.get(dataset.record.selection_digest), history_through, block_number, untrusted)
    survey.datasets = [each for each in known.datasets.values() if each.touched != ()]
    survey.unreadable = known.unreadable
    touched = {each.record.dataset_id for each in survey.datasets if each.touched}
    untold = {each.record.dataset_id for each in survey.datasets if each.touched is None}
    why: dict[bytes, str] = {}
    descents = [model.descent for model in known.models.values()]
    direct = {descent.weights_digest for descent in descents if descent.dataset_id in touched}
    # The surest word last: it replaces the others.
    why |= {descent.weights_digest: "unknown" for descent in descents if descent.dataset_id in untold}
    why |= dict.fromkeys(descendants(descents, direct), "inherits")
    why |= dict.fromkeys(direct, "dataset")
    survey.models = [
        (model, why[model.descent.weights_digest])
        for model in known.models.values()
        if model.descent.weights_digest in why
    ]
    return survey


@dataclass(slots=True)
class _Known:
    """Datasets by their id, models by all that their descent says, selections by their digest."""

    selections: dict[bytes, Selection]
    datasets: dict[bytes, _Dataset] = field(default_factory=dict)
    models: dict[Descent, _Model] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def read_workspace(self, place: Workspace) -> None:
        """Take in the workspace's datasets and models; what is damaged is noted, and does not stop the others."""
        from sensetrail.core.taint import Descent
        from sensetrail.dataset.folder import read_dataset

        for path in _folders(place.root / "datasets", "dataset.json"):
            try:
                found = read_dataset(path)
            except SensetrailError as error:
                self.unreadable[str(path)] = error.what
                continue
            dataset = self._dataset(found.record)
            dataset.names.append(path.name)
            dataset.rows = found.rows
            self.selections[found.selection.digest] = found.selection
        for path in _folders(place.root / "models", "manifest.json"):
            try:
                manifest, _ = read_model(path)
            except SensetrailError as error:
                self.unreadable[str(path)] = error.what
                continue
            self._dataset(manifest.dataset)
            self.selections[manifest.selection.digest] = manifest.selection
            descent = Descent(manifest.weights_digest, manifest.dataset.dataset_id, manifest.parent)
            self._model(descent).names.append(path.name)

    def read_chain(self, store: Store, deployment: Deployment, block_number: int) -> None:
        """Take in what the model registry's events say."""
        from sensetrail.core.dataset import DatasetRecord
        from sensetrail.core.events import DatasetRegistered, ModelRecalled, ModelRegistered
        from sensetrail.core.taint import Descent

        anchored: dict[bytes, _Model] = {}
        for event in model_events(store, deployment, block_number):
            match event:
                case DatasetRegistered(_, root, row_count, selection_digest, through_block, block_hash):
                    record = DatasetRecord(root, row_count, selection_digest, through_block, block_hash)
                    self._dataset(record).is_anchored = True
                case ModelRegistered(weights_digest, dataset_id, parent):
                    model = self._model(Descent(weights_digest, dataset_id, parent))
                    model.is_anchored = True
                    anchored[weights_digest] = model
                case ModelRecalled(weights_digest) if weights_digest in anchored:
                    anchored[weights_digest].is_recalled = True
                case _:
                    pass

    def _dataset(self, record: DatasetRecord) -> _Dataset:
        return self.datasets.setdefault(record.dataset_id, _Dataset(record))

    def _model(self, descent: Descent) -> _Model:
        return self.models.setdefault(descent, _Model(descent))


def _trace(
    dataset: _Dataset,
    selection: Selection | None,
    history_through: Callable[[int], History],
    block_number: int,
    untrusted: dict[Address, int],
) -> None:
    """Tell what of a dataset is touched: by its folder's rows, else by what its selection takes from the chain."""
    from sensetrail.core.dataset import select
    from sensetrail.core.taint import summarise, touched_rows

    record, rows = dataset.record, dataset.rows
    if rows is None:
        if selection is None:
            dataset.why = "selection unknown"
            return
        if record.through_block > block_number:
            dataset.why = f"its block {record.through_block} is not indexed"
            return
        try:
            rows = select(history_through(record.through_block), selection)
        except InputError:
            rows = None
        if rows is None or rows.tree().root != record.root:
            dataset.why = "the chain does not give the rows that it claims"
            return
    dataset.touched = summarise(touched_rows(rows, untrusted), untrusted)


def _folders(parent: Path, file: str) -> list[Path]:
    """Give the folders that hold a file; those whose name begins with a dot are half-written ones."""
    return sorted(path.parent for path in parent.glob(f"*/{file}") if not path.parent.name.startswith("."))


def touched_json(touched: Touched) -> dict[str, Any]:
    """Give what is touched of a device's readings as JSON; times in Unix seconds."""
    return {
        "device": touched.device,
        "untrusted_since": touched.untrusted_since,
        "count": touched.count,
        "first_time": touched.first_time,
        "last_time": touched.last_time,
        "first_sequence": touched.first_sequence,
        "last_sequence": touched.last_sequence,
    }


def _print_survey(survey: _Survey) -> None:
    from sensetrail.core.taint import utc

    if not survey.readings:
        say(f"through block {survey.through_block}: nothing is touched")
        return
    rows = [
        (
            survey.device_names.get(each.device, each.device),
            utc(each.untrusted_since),
            str(each.count),
            f"{utc(each.first_time)} to {utc(each.last_time)}",
            f"{each.first_sequence} to {each.last_sequence}",
        )
        for each in survey.readings
    ]
    columns = ("device", "not trusted since", "readings", "measured", "sequence")
    print_table(Table(columns, rows, frozenset({2})))
    datasets = [
        (
            ", ".join(each.names) or "-",
            hex_word(each.record.dataset_id)[:18] + "...",
            "anchored" if each.is_anchored else "not anchored",
            _extent(each, survey.device_names),
        )
        for each in survey.datasets
    ]
    models = [
        (", ".join(each.names) or "-", hex_word(each.descent.weights_digest)[:18] + "...", each.standing, WHY[why])
        for each, why in survey.models
    ]
    for title, found in (("dataset", datasets), ("model", models)):
        say("")
        if found:
            print_table(Table((title, "digest", "on the chain", "what is touched"), found))
        else:
            say(f"no {title} is touched")
    for folder, what in survey.unreadable.items():
        say(f"{folder} cannot be told: {what}")


WHY = {
    "dataset": "its dataset",
    "inherits": "inherits: a model that it succeeds is touched",
    "unknown": "cannot be told: its dataset cannot",
}


def _extent(dataset: _Dataset, names: dict[Address, str]) -> str:
    if dataset.touched is None:
        return f"cannot be told: {dataset.why}"
    parts = ", ".join(f"{each.count} of {names.get(each.device, each.device)}" for each in dataset.touched)
    return f"{sum(each.count for each in dataset.touched)} of {dataset.record.row_count} rows: {parts}"
