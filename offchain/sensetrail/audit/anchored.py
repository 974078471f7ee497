"""Whether a model is the one that is anchored, and still stands: what every use of it asks first."""

from __future__ import annotations

from sensetrail.chain.model_registry import ModelRegistry, task_digest
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import hex_word
from sensetrail.core.storage import ModelRecord
from sensetrail.errors import UnanchoredError


def verify_anchored(models: ModelRegistry, manifest: Manifest, model_file: ModelFile) -> None:
    """Verify that a model may be used: its weights are the manifest's, the manifest is anchored, and not recalled.

    Args:
        models: The model registry; that its code is ours is for the caller to verify.
        manifest: The model folder's.
        model_file: The model folder's.

    Raises:
        UnanchoredError: It may not.
    """
    verify_weights(manifest, model_file)
    record = models.model(manifest.weights_digest)
    verify_manifest(record, manifest)
    verify_not_recalled(record)


def verify_weights(manifest: Manifest, model_file: ModelFile) -> None:
    """Verify that the model file has the weights digest that the manifest says.

    Raises:
        UnanchoredError: It has another.
    """
    digest = model_file.digest
    if digest != manifest.weights_digest:
        raise UnanchoredError(
            f"the model file has digest {hex_word(digest)}, anchored is {hex_word(manifest.weights_digest)}",
            "the model file was changed: restore the original",
            expected=manifest.weights_digest,
            actual=digest,
        )


def verify_manifest(record: ModelRecord, manifest: Manifest) -> None:
    """Verify that the registry holds this manifest for these weights.

    Args:
        record: The registry's, of the manifest's weights digest.
        manifest: The model's.

    Raises:
        UnanchoredError: It holds none, or another.
    """
    if not record.exists:
        raise UnanchoredError(
            f"no model {hex_word(manifest.weights_digest)} is anchored", "anchor it: sensetrail anchor MODEL"
        )
    if (record.dataset_id, record.manifest_digest, record.parent, record.task_digest) != (
        manifest.dataset.dataset_id,
        manifest.digest,
        manifest.parent,
        task_digest(manifest.task),
    ):
        raise UnanchoredError(
            f"the manifest has digest {hex_word(manifest.digest)}, anchored is {hex_word(record.manifest_digest)}",
            "the manifest was edited: restore the original manifest.json",
            expected=record.manifest_digest,
            actual=manifest.digest,
        )


def verify_not_recalled(record: ModelRecord) -> None:
    """Verify that the model still stands, by the registry's record of it.

    Raises:
        UnanchoredError: It is recalled.
    """
    if record.recalled_at:
        raise UnanchoredError(f"the model is recalled (since Unix second {record.recalled_at})", "use its successor")
