"""A workspace: the folder where a user's state lies, and the files in it.

deployment.json      which contracts, on which chain
keys/NAME.json       device keys, encrypted
outbox.sqlite        readings on their way
index.sqlite         what the chain said
datasets/NAME/       dataset.parquet, dataset.json
models/NAME/         model.keras, manifest.json
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrail.core.manifest import Manifest, parse_manifest
from sensetrail.core.model_file import ModelFile, read_model_file
from sensetrail.errors import InputError, ManifestError, WorkspaceError

if TYPE_CHECKING:
    from sensetrail.chain.deployment import Deployment

MANIFEST_LIMIT = 1 << 20
"""Bytes: a longer manifest is none of ours."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's folder.

    Attributes:
        root: The folder; made when something is first written.
    """

    root: Path

    @property
    def outbox(self) -> Path:
        """The outbox's file."""
        return self.root / "outbox.sqlite"

    @property
    def index(self) -> Path:
        """The index's file."""
        return self.root / "index.sqlite"

    def key(self, name: str) -> Path:
        """A device key's file."""
        return self.root / "keys" / f"{_file_name(name)}.json"

    def keys(self) -> dict[str, Path]:
        """Every device key's file by the device's name."""
        return {path.stem: path for path in sorted((self.root / "keys").glob("*.json"))}

    def dataset(self, name: str) -> Path:
        """A dataset's folder: a name in this workspace, or a path."""
        return self._folder("datasets", name)

    def model(self, name: str) -> Path:
        """A model's folder: a name in this workspace, or a path."""
        return self._folder("models", name)

    def reserve_deployment(self) -> None:
        """Make sure that a deployment can be written here, before anything is paid for.

        Raises:
            WorkspaceError: There is one already, or the folder cannot be written to.
        """
        if self.has_deployment():
            raise WorkspaceError(f"there is a deployment in {self.root} already", "choose another --workspace")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / "deployment.json").touch()
            (self.root / "deployment.json").unlink()
        except OSError as error:
            raise WorkspaceError(
                f"cannot write to {self.root}: {error.strerror}", "choose another --workspace"
            ) from error

    def write_deployment(self, deployment: Deployment) -> None:
        """Write where the registries are."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "deployment.json").write_text(json.dumps(deployment.to_json(), indent=2) + "\n")

    def has_deployment(self) -> bool:
        """Whether there is a deployment here."""
        return (self.root / "deployment.json").is_file()

    def deployment(self) -> Deployment:
        """Read where the registries are.

        Raises:
            WorkspaceError: Nothing is deployed from here yet, or the file is damaged.
        """
        if not self.has_deployment():
            raise WorkspaceError(
                f"no deployment in {self.root}", "deploy first (`sensetrail deploy`), or name the --workspace"
            )
        # Not before it is needed: web3 takes a second to load, and most errors come sooner.
        from sensetrail.chain.deployment import Deployment

        return Deployment.parse((self.root / "deployment.json").read_bytes())

    def _folder(self, kind: str, name: str) -> Path:
        if "/" in name or name in (".", ".."):
            return Path(name)
        return self.root / kind / _file_name(name)


def require_free(folder: Path, file: str) -> None:
    """Make sure that a folder does not hold something that would be lost.

    Raises:
        WorkspaceError: It does.
    """
    if (folder / file).exists():
        raise WorkspaceError(f"there is a {file} in {folder} already", "choose another name: it is not overwritten")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a model folder's manifest."""
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=2, sort_keys=True) + "\n")


def read_model(folder: Path) -> tuple[Manifest, ModelFile]:
    """Read a model folder, without Keras.

    Args:
        folder: From anywhere.

    Returns:
        Its manifest and its model file; that they belong together is for the caller to verify.

    Raises:
        ManifestError: Something is missing, or damaged.
    """
    files = {name: folder / name for name in ("manifest.json", "model.keras")}
    for name, path in files.items():
        if not path.is_file():
            raise ManifestError(
                f"there is no {name} in {folder}", "give a model's folder, as `sensetrail train` wrote it"
            )
    if files["manifest.json"].stat().st_size > MANIFEST_LIMIT:
        raise ManifestError("manifest.json is too large", "restore the original manifest")
    return parse_manifest(files["manifest.json"].read_bytes()), read_model_file(files["model.keras"].read_bytes())


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f/\\]{1,64}", name) or name.startswith("."):
        raise InputError(f"{name!r} cannot be a name here", "use 1 to 64 letters, digits or signs other than / and \\")
    return name
