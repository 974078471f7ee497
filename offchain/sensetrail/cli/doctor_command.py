"""The command `doctor`: ten lines for a bug report, without secrets."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrail import __version__
from sensetrail.cli.output import is_unicode, print_json, say
from sensetrail.cli.session import DEFAULT_FOLDER, DEFAULT_RPC, Folder, Json, Rpc, StoreUrl
from sensetrail.core.primitives import keccak256
from sensetrail.core.text import printable
from sensetrail.errors import ChainError, SensetrailError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain

PACKAGES = ("web3", "eth-account", "numpy", "pyarrow", "typer", "keras", "tensorflow", "psycopg")
MIB, GIB = 1 << 20, 1 << 30
LONGEST = 160
"""Characters of what a node or an error says."""


def doctor(
    store: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Say what a bug report should hold: versions, node, contracts, workspace, store, clock, free disk. No secrets.

    Example: sensetrail doctor
    """
    checkup = _Checkup(Workspace(workspace), rpc, store)
    checks: dict[str, Callable[[], str]] = {
        "sensetrail": checkup.version,
        "packages": checkup.packages,
        "node": checkup.node,
        "contracts": checkup.contracts,
        "workspace": checkup.workspace,
        "keys": checkup.keys,
        "outbox": checkup.outbox,
        "index": checkup.index,
        "clock": checkup.clock,
        "disk": checkup.disk,
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except SensetrailError as error:
            found[name] = f"PROBLEM: {printable(error.what, LONGEST)}; to do: {printable(error.to_do, LONGEST)}"
        if not as_json:
            say(f"{name:<10}  {found[name]}")
    if as_json:
        print_json(found)


@dataclass(slots=True)
class _Checkup:
    """What is looked at, each part once."""

    place: Workspace
    rpc: str | None
    store_url: str | None
    _chain: Chain | None = None
    _trouble: SensetrailError | None = None

    def version(self) -> str:
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        text = "UTF-8" if is_unicode(sys.stdout) else str(sys.stdout.encoding)
        return f"{__version__}; Python {platform.python_version()}; {system}; output {text}"

    def packages(self) -> str:
        return ", ".join(f"{name} {_version_of(name)}" for name in PACKAGES)

    def node(self) -> str:
        chain = self._connected()
        newest = chain.latest_block()
        return f"{chain.endpoint.name}: {_client(chain)}; chain {chain.chain_id}, block {newest.number}"

    def contracts(self) -> str:
        from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
        from sensetrail.chain.deployment import require_chain

        deployment = self.place.deployment()
        chain = self._connected()
        require_chain(chain, deployment)
        said = []
        for name, where in ((SENSOR_REGISTRY, deployment.sensor_registry), (MODEL_REGISTRY, deployment.model_registry)):
            is_ours = keccak256(chain.code(where)) == load_artifact(name).code_digest
            said.append(f"{name} {where} ({'this version' if is_ours else 'ANOTHER VERSION, OR NONE'})")
        return "; ".join(said)

    def workspace(self) -> str:
        from sensetrail.disk import is_writable

        root = self.place.root
        if not root.exists():
            return f"{root} is not there yet"
        state = "writable" if is_writable(root) else "READ-ONLY"
        parts = [f"{len(_folders(root / kind))} {kind}" for kind in ("datasets", "models")]
        return f"{root.resolve()}: {state}, {', '.join(parts)}"

    def keys(self) -> str:
        from sensetrail.sensor.keystore import key_address

        keys = self.place.keys()
        damaged = []
        for name, path in keys.items():
            try:
                key_address(path)
            except SensetrailError:
                damaged.append(name)
        return f"{len(keys)} device keys" + (
            f", DAMAGED, OR WITHOUT AN ADDRESS: {', '.join(map(printable, damaged))}" if damaged else ""
        )

    def outbox(self) -> str:
        from sensetrail.gateway.outbox import Outbox

        if not self.place.outbox.exists():
            return "none yet"
        with Outbox.rehearsal(self.place.outbox) as copy:
            waiting, known = copy.counts()
        return f"{waiting} readings waiting, {known} accepted"

    def index(self) -> str:
        from sensetrail.cli.indexed import open_store, standing

        deployment = self.place.deployment()
        if self.store_url is None and not self.place.index.exists():
            return "none yet"
        with open_store(self.place, deployment, self.store_url) as store:
            cursor = store.cursor()
        size = "" if self.store_url else f", {self.place.index.stat().st_size / MIB:.1f} MiB"
        return f"empty{size}" if cursor is None else f"through block {cursor.number}{size}; {standing(cursor)}"

    def clock(self) -> str:
        now = int(time.time())
        said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        try:
            ahead = self._connected().latest_block().timestamp - now
        except SensetrailError:
            return f"this machine {said}; no node to hold it against"
        return f"this machine {said}; the newest block is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} it"

    def disk(self) -> str:
        from sensetrail.disk import room

        found = room(self.place.root)
        temporary = room(Path(os.environ.get("TMPDIR") or "/tmp"))  # noqa: S108 - where temporary files go
        return (
            f"{found.free / GIB:.1f} of {found.total / GIB:.1f} GiB free for the workspace, "
            f"{temporary.free / GIB:.1f} GiB for temporary files"
        )

    def _connected(self) -> Chain:
        """Connect once; where that fails, say so each time without waiting again."""
        from sensetrail.cli.node import open_node

        if self._trouble is not None:
            raise self._trouble
        if self._chain is None:
            try:
                self._chain = open_node(self.rpc, self.place)[0]
            except SensetrailError as error:
                self._trouble = error
                raise
        return self._chain


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _client(chain: Chain) -> str:
    try:
        said: Any = chain.request("web3_clientVersion")
    except ChainError:
        return "does not say what it is"
    return chain.endpoint.foreign_text(str(said))[:LONGEST]


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.glob("*") if path.is_dir() and not path.name.startswith(".")]
