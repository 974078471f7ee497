"""Making a model's folder from a dataset, and making the same model again for an audit."""

from __future__ import annotations

from pathlib import Path

from sensetrail.core.dataset import DatasetRecord, Rows, Selection
from sensetrail.core.manifest import Manifest, Retrained
from sensetrail.core.model_file import read_model_file
from sensetrail.core.primitives import ZERO_WORD
from sensetrail.disk import make_folder, replacing, require_room, temporary_folder
from sensetrail.training.configuration import Configuration
from sensetrail.training.environment import environment
from sensetrail.training.fit import Trained, save, train
from sensetrail.workspace import write_manifest


def make_model(
    folder: Path,
    rows: Rows,
    selection: Selection,
    record: DatasetRecord,
    configuration: Configuration,
    parent: bytes = ZERO_WORD,
) -> tuple[Trained, Manifest]:
    """Train a model and write its folder.

    Args:
        folder: Made if it is not there; a model in it is replaced.
        rows: The dataset's.
        selection: The dataset's.
        record: The dataset's.
        configuration: Everything else that decides the model.
        parent: Weights digest of the model it succeeds, 32 bytes; zero for none.

    Returns:
        What was trained, and its manifest.

    Raises:
        DiskError: The folder cannot be written to.
    """
    # Now, not after the work.
    require_room(folder.parent)
    trained = train(rows, configuration)
    return trained, write_model(folder, trained, selection, record, configuration, parent)


def write_model(
    folder: Path,
    trained: Trained,
    selection: Selection,
    record: DatasetRecord,
    configuration: Configuration,
    parent: bytes = ZERO_WORD,
) -> Manifest:
    """Write a trained model's folder; give its manifest. Arguments as of `make_model`."""
    make_folder(folder)
    with replacing(folder / "model.keras") as partial:
        save(trained.model, partial)
        digest = read_model_file(partial.read_bytes()).digest
    manifest = Manifest(
        weights_digest=digest,
        task=configuration.task,
        dataset=record,
        selection=selection,
        configuration=configuration.to_json(),
        labels=trained.labels,
        environment=environment(),
        metrics=trained.metrics,
        parent=parent,
    )
    write_manifest(folder, manifest)
    return manifest


def retrain(rows: Rows, manifest: Manifest) -> Retrained:
    """Train again as a manifest says.

    Args:
        rows: The dataset's, rebuilt.
        manifest: The model's.

    Returns:
        The weights digest and metrics that come of it.

    Raises:
        ManifestError: The manifest's configuration is none.
        DiskError: There is no room for temporary files.
    """
    trained = train(rows, Configuration.from_json(manifest.configuration))
    with temporary_folder() as folder:
        path = folder / "model.keras"
        save(trained.model, path)
        digest = read_model_file(path.read_bytes()).digest
    return Retrained(digest, environment() == manifest.environment, trained.metrics)
