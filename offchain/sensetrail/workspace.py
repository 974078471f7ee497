"""A workspace: the folder where a user's state lies, and the files in it.

deployment.json      which contracts, on which chain
deployment.begun     while the contracts are being deployed: what was sent for them
keys/NAME.json       device keys, encrypted
outbox.sqlite        readings on their way
index.sqlite         what the chain said
datasets/NAME/       dataset.parquet, dataset.json
models/NAME/         model.keras, manifest.json
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrail.core.manifest import Manifest, parse_manifest
from sensetrail.core.model_file import ModelFile, read_model_file
from sensetrail.core.names import device_name
from sensetrail.disk import Journal, disk_error, explained, make_folder, read_whole, require_room, write_whole
from sensetrail.errors import ManifestError, WorkspaceError

if TYPE_CHECKING:
    from sensetrail.chain.deployment import Deployment

MANIFEST_LIMIT = 1 << 20
"""Bytes of a manifest."""
MODEL_LIMIT = 5 << 30
"""Bytes of a model file."""
DEPLOYMENT_LIMIT = 1 << 16
"""Bytes of a deployment's record."""
DEPLOYMENT_ROOM = 1 << 12
"""Bytes that must be free for it before it is paid for."""


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
        """Give a device key's file, which need not exist.

        Raises:
            InputError: It cannot be a name.
        """
        name = device_name(name)
        path = self.root / "keys" / f"{name}.json"
        if not os.path.lexists(path):
            # Earlier versions did not normalise names.
            alike = (file for stem, file in self.keys().items() if unicodedata.normalize("NFC", stem) == name)
            return next(alike, path)
        return path

    def keys(self) -> dict[str, Path]:
        """Give every device key's file by the device's name, in the names' order.

        Raises:
            DiskError: The folder cannot be read.
        """
        folder = self.root / "keys"
        if not os.path.lexists(folder):
            return {}
        with explained(folder):
            files = sorted(file for file in folder.iterdir() if file.suffix == ".json" and file.name[0] != ".")
        return {file.stem: file for file in files}

    def dataset(self, name: str) -> Path:
        """A dataset's folder: a name in this workspace, or a path."""
        return self._folder("datasets", name)

    def model(self, name: str) -> Path:
        """A model's folder: a name in this workspace, or a path."""
        return self._folder("models", name)

    @contextmanager
    def deploying(self) -> Iterator[Journal]:
        """Take the room for a deployment's record before anything is paid for, and hold the workspace for deploying.

        Yields:
            What an earlier, interrupted deployment left, to go on with. It is deleted once a deployment is written.

        Raises:
            WorkspaceError: There is a deployment already, a damaged one, or another command is deploying.
            DiskError: The record cannot be written here.
        """
        self._require_undeployed()
        make_folder(self.root)
        journal = Journal(self.root / "deployment.begun", f"another command deploys into {self.root}")
        try:
            self._require_undeployed()
            require_room(self.root, DEPLOYMENT_ROOM)
            yield journal
        finally:
            if self.has_deployment() or not any("transaction" in line for line in journal.lines):
                journal.remove()
            journal.close()

    def _require_undeployed(self) -> None:
        if self.has_deployment():
            # One that is damaged is not deployed over: its contracts are on the chain all the same.
            self.deployment()
            raise WorkspaceError(f"there is a deployment in {self.root} already", "choose another --workspace")

    def write_deployment(self, deployment: Deployment) -> None:
        """Write where the registries are.

        Raises:
            DiskError: It cannot be written; nothing is left of it.
        """
        make_folder(self.root)
        data = json.dumps(deployment.to_json(), indent=2) + "\n"
        write_whole(self.root / "deployment.json", data.encode())

    def has_deployment(self) -> bool:
        """Whether there is a deployment here, or a damaged one."""
        return os.path.lexists(self.root / "deployment.json")

    def deployment(self) -> Deployment:
        """Read where the registries are.

        Raises:
            WorkspaceError: Nothing is deployed from here yet, or the file is damaged.
            DiskError: It cannot be read.
        """
        path = self.root / "deployment.json"
        with explained(path):
            try:
                path.lstat()
            except FileNotFoundError as error:
                if self.root.is_symlink() and not self.root.exists():
                    raise disk_error(error, path) from error
                raise WorkspaceError(
                    f"no deployment in {self.root}", "deploy first (`sensetrail deploy`), or name the --workspace"
                ) from error
        data = read_whole(path, DEPLOYMENT_LIMIT)
        # Not before it is needed: web3 takes a second to load, and most errors come sooner.
        from sensetrail.chain.deployment import Deployment

        try:
            return Deployment.parse(data)
        except WorkspaceError as error:
            what = f"{path} is damaged: {error.what}" if data.strip(b" \t\r\n\0") else f"{path} is empty"
            raise WorkspaceError(what, error.to_do) from error

    def _folder(self, kind: str, name: str) -> Path:
        if "/" in name or name in (".", ".."):
            return Path(name)
        return self.root / kind / device_name(name)


def require_free(folder: Path, file: str) -> None:
    """Make sure that a folder does not hold something that would be lost.

    Raises:
        WorkspaceError: It does.
    """
    if os.path.lexists(folder / file):
        raise WorkspaceError(f"there is a {file} in {folder} already", "choose another name: it is not overwritten")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a model folder's manifest.

    Raises:
        DiskError: It cannot be written.
    """
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True) + "\n"
    write_whole(folder / "manifest.json", text.encode())


def read_model(folder: Path) -> tuple[Manifest, ModelFile]:
    """Read a model folder, without Keras.

    Args:
        folder: From anywhere.

    Returns:
        Its manifest and its model file; that they belong together is for the caller to verify.

    Raises:
        ManifestError: Something is missing, or damaged.
        DiskError: Something cannot be read.
    """
    for name in ("manifest.json", "model.keras"):
        with explained(folder / name):
            if not (folder / name).is_file():
                raise ManifestError(
                    f"there is no {name} in {folder}", "give a model's folder, as `sensetrail train` wrote it"
                )
    manifest = parse_manifest(_read(folder / "manifest.json", MANIFEST_LIMIT))
    return manifest, read_model_file(_read(folder / "model.keras", MODEL_LIMIT))


def _read(path: Path, limit: int) -> bytes:
    with explained(path):
        if path.stat().st_size > limit:
            raise ManifestError(f"{path.name} is too large", f"restore the original {path.name}")
    return read_whole(path, limit)
