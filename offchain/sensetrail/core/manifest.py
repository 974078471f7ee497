"""Manifests: what a model is, of what data, and how it was made. Its digest goes on the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensetrail.core.canonical import fault, json_digest, named_digest, parse_json, parse_named_digest, parse_word
from sensetrail.core.dataset import DatasetRecord, Selection
from sensetrail.core.model_file import WEIGHTS_ALGORITHM
from sensetrail.core.primitives import ZERO_WORD, hex_word
from sensetrail.errors import ManifestError

VERSION = "sensetrail-manifest-v1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model's manifest.

    Attributes:
        weights_digest: Of the model file, 32 bytes.
        task: Such as "humidity-from-temperature".
        dataset: The record of the dataset it was trained on.
        selection: What that dataset takes.
        configuration: All that training takes but the data: epochs, rates, split, seed.
        labels: The classes' names in the order of the outputs; empty for a regression.
        environment: Versions and machine that trained it.
        metrics: What training measured.
        parent: Weights digest of the model it succeeds, 32 bytes; zero for none.
    """

    weights_digest: bytes
    task: str
    dataset: DatasetRecord
    selection: Selection
    configuration: dict[str, Any]
    labels: tuple[str, ...]
    environment: dict[str, str]
    metrics: dict[str, float]
    parent: bytes = ZERO_WORD

    def to_json(self) -> dict[str, Any]:
        """Give the manifest as JSON."""
        return {
            "manifest": VERSION,
            "weights_digest": named_digest(WEIGHTS_ALGORITHM, self.weights_digest),
            "task": self.task,
            "dataset": {
                "id": hex_word(self.dataset.dataset_id),
                "root": hex_word(self.dataset.root),
                "row_count": self.dataset.row_count,
                "selection": self.selection.to_json(),
                "through_block": self.dataset.through_block,
                "block_hash": hex_word(self.dataset.block_hash),
            },
            "configuration": self.configuration,
            "labels": list(self.labels),
            "environment": self.environment,
            "metrics": self.metrics,
            "parent": hex_word(self.parent),
        }

    @property
    def digest(self) -> bytes:
        """keccak256 of its canonical JSON, 32 bytes: what the model registry anchors."""
        return json_digest(self.to_json())


@dataclass(frozen=True, slots=True)
class Retrained:
    """What training again, by a manifest, gave.

    Attributes:
        weights_digest: 32 bytes.
        same_environment: Whether it ran on the versions and machine that the manifest says.
        metrics: Measured again.
    """

    weights_digest: bytes
    same_environment: bool
    metrics: dict[str, float]


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest that came from outside.

    Raises:
        ManifestError: It is not one, or it says anything that a manifest does not say.
    """
    value = parse_json(data, "manifest.json")
    try:
        given = value["dataset"]
        selection = Selection.from_json(given["selection"])
        record = DatasetRecord(
            parse_word(given["root"]),
            given["row_count"],
            selection.digest,
            given["through_block"],
            parse_word(given["block_hash"]),
        )
        manifest = Manifest(
            weights_digest=parse_named_digest(value["weights_digest"], WEIGHTS_ALGORITHM),
            task=value["task"],
            dataset=record,
            selection=selection,
            configuration=value["configuration"],
            labels=tuple(value["labels"]),
            environment=value["environment"],
            metrics=value["metrics"],
            parent=parse_word(value["parent"]),
        )
        _require_types(manifest)
        same = manifest.to_json() == value
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise ManifestError(f"manifest.json is damaged: {fault(error)}", "restore the original manifest") from error
    if not same:
        raise ManifestError("manifest.json has fields that do not belong together", "restore the original manifest")
    return manifest


def _require_types(manifest: Manifest) -> None:
    numbers = (manifest.dataset.row_count, manifest.dataset.through_block)
    texts = (manifest.task, *manifest.labels, *manifest.environment.values())
    mappings = (manifest.configuration, manifest.environment, manifest.metrics)
    if (
        not all(type(number) is int and 0 <= number < 2**64 for number in numbers)
        or not all(type(text) is str for text in texts)
        or not all(type(mapping) is dict for mapping in mappings)
        or not all(type(metric) in (int, float) for metric in manifest.metrics.values())
    ):
        raise ManifestError("manifest.json has a field of the wrong type", "restore the original manifest")
