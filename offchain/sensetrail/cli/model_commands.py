"""Commands for models: train, anchor, recall, audit, predict."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from sensetrail.cli.output import err, print_json, say, warn
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    AccountFile,
    Folder,
    Json,
    Rpc,
    connect_deployment,
    paying_account,
)
from sensetrail.core.names import plain_text
from sensetrail.core.primitives import ZERO_WORD, hex_word
from sensetrail.disk import temporary_folder
from sensetrail.errors import InputError
from sensetrail.workspace import Workspace, read_model, require_free

MODEL = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name in this workspace, or its folder.")]


class TaskName(StrEnum):
    """What a model is for."""

    HUMIDITY = "humidity"
    DEVICE = "device"


class SplitName(StrEnum):
    """Which rows validate."""

    SHUFFLED = "shuffled"
    CHRONOLOGICAL = "chronological"


def train(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name in this workspace, or folder.")],
    model: MODEL,
    task: Annotated[TaskName, typer.Option(help="Predict humidity from temperature, or tell the device.")],
    split: Annotated[SplitName, typer.Option(help="Which rows validate.")] = SplitName.SHUFFLED,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of weights, split and order.")] = 0,
    parent: Annotated[str | None, typer.Option(help="The model that this one succeeds (name or folder).")] = None,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Train a model on a dataset; needs `pip install 'sensetrail[train]'`.

    Example: sensetrail train night night-humidity --task humidity
    """
    from sensetrail.dataset.folder import read_dataset

    place = Workspace(workspace)
    folder = place.model(model)
    require_free(folder, "manifest.json")
    found = read_dataset(place.dataset(dataset))
    parent_digest = ZERO_WORD if parent is None else read_model(place.model(parent))[0].weights_digest
    with err.status("training"):
        from sensetrail.training.configuration import DEFAULTS, DEVICE, HUMIDITY
        from sensetrail.training.make import make_model

        defaults = DEFAULTS[HUMIDITY if task is TaskName.HUMIDITY else DEVICE]
        configuration = defaults.with_seed(seed).with_split(str(split))
        _, manifest = make_model(folder, found.rows, found.selection, found.record, configuration, parent_digest)
    if as_json:
        print_json({"folder": str(folder), **manifest.to_json()})
    else:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
        say(f"{folder}: {metrics}\nweights digest {hex_word(manifest.weights_digest)}")


def anchor(
    model: MODEL,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Register a model and its dataset on the chain.

    Example: sensetrail anchor night-humidity
    """
    from sensetrail.audit.anchored import verify_weights
    from sensetrail.chain.model_registry import ModelRegistry

    place = Workspace(workspace)
    manifest, model_file = read_model(place.model(model))
    verify_weights(manifest, model_file)
    chain, deployment = connect_deployment(rpc, place)
    registry = ModelRegistry(chain, deployment.model_registry)
    receipts = registry.anchor(paying_account(chain, account), manifest)
    result = {
        "weights_digest": hex_word(manifest.weights_digest),
        "dataset_id": hex_word(manifest.dataset.dataset_id),
        "manifest_digest": hex_word(manifest.digest),
        "transactions": [hex_word(receipt.transaction_hash) for receipt in receipts],
        "gas_used": sum(receipt.gas_used for receipt in receipts),
    }
    if as_json:
        print_json(result)
    else:
        done = f"anchored in {len(receipts)} transactions, {result['gas_used']} gas" if receipts else "anchored before"
        say(f"{model} is {done}\nweights digest {result['weights_digest']}\ndataset id     {result['dataset_id']}")


def recall(
    model: MODEL,
    reason: Annotated[str, typer.Option(help="Why, for everyone to read.")],
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Recall an anchored model, for good: audits of it fail from now on, and predictions are refused.

    Example: sensetrail recall night-humidity --reason "sensor B was miscalibrated"
    """
    from sensetrail.chain.model_registry import ModelRegistry

    reason = plain_text(reason, "--reason")
    place = Workspace(workspace)
    manifest, _ = read_model(place.model(model))
    chain, deployment = connect_deployment(rpc, place)
    registry = ModelRegistry(chain, deployment.model_registry)
    registry.recall_model(paying_account(chain, account), manifest.weights_digest, reason)
    result = {"weights_digest": hex_word(manifest.weights_digest), "reason": reason}
    print_json(result) if as_json else say(f"{model} is recalled: {reason}")


def predict(
    model: MODEL,
    temperature: Annotated[float, typer.Option(help="degC.")],
    humidity: Annotated[float | None, typer.Option(help="%RH; for a model that tells the device.")] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Answer even if the model is not anchored, or is recalled.")
    ] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Predict with a model, if its digest is anchored and not recalled.

    Example: sensetrail predict night-humidity --temperature 31.2
    """
    place = Workspace(workspace)
    manifest, model_file = read_model(place.model(model))
    if unverified:
        warn("UNVERIFIED: nothing says that this model is what it claims to be, or still stands")
    else:
        from sensetrail.audit.anchored import verify_anchored
        from sensetrail.chain.deployment import verify_code
        from sensetrail.chain.model_registry import ModelRegistry

        chain, deployment = connect_deployment(rpc, place)
        verify_code(chain, deployment)
        verify_anchored(ModelRegistry(chain, deployment.model_registry), manifest, model_file)
    is_device = bool(manifest.labels)
    if is_device != (humidity is not None):
        need = "both --temperature and --humidity" if is_device else "--temperature alone"
        raise InputError(f"a model of the task {manifest.task} takes {need}", "see sensetrail predict --help")
    _check_finite(temperature, humidity)
    result: dict[str, object] = {"model": hex_word(manifest.weights_digest), "verified": not unverified}
    if humidity is None:
        answer = round(_predict_humidity(model_file.data, temperature), 2)
        result["humidity"] = answer
        text = f"{answer} %RH at {temperature} degC"
    else:
        probabilities = _predict_device(model_file.data, manifest.labels, temperature, humidity)
        result["probabilities"] = probabilities
        text = "\n".join(f"{device}  {p:.1%}" for device, p in sorted(probabilities.items(), key=lambda pair: -pair[1]))
    print_json(result) if as_json else say(text)


def _check_finite(*values: float | None) -> None:
    from math import isfinite

    if not all(value is None or isfinite(value) for value in values):
        raise InputError("a temperature or humidity that is not a finite number", "give degC and %RH")


def _load(data: bytes) -> Any:
    """Load a model from the bytes that were verified: the file may be another by now."""
    with err.status("loading TensorFlow"), temporary_folder() as folder:
        from sensetrail.training.fit import load

        path = folder / "model.keras"
        path.write_bytes(data)
        return load(path)


def _predict_humidity(data: bytes, temperature: float) -> float:
    import numpy as np

    model = _load(data)
    from sensetrail.training.fit import predict_humidity

    return float(predict_humidity(model, np.array([temperature]))[0])


def _predict_device(data: bytes, labels: tuple[str, ...], temperature: float, humidity: float) -> dict[str, float]:
    import numpy as np

    model = _load(data)
    from sensetrail.training.fit import predict_device

    probabilities = predict_device(model, np.array([temperature]), np.array([humidity]))[0]
    return {label: round(float(p), 4) for label, p in zip(labels, probabilities, strict=True)}
