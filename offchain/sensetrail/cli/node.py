"""Which node a command speaks to, and what a workspace remembers of it.

The first of these that is there:

    1. --rpc              a URL, or file:PATH of a file that holds it
    2. SENSETRAIL_RPC     the same
    3. node.json          in the workspace: the path of such a file, or the URL without password and key
    4. http://127.0.0.1:8545

A URL's password or key is never written down by a command. A file that holds one must be readable by its owner only.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrail.cli.output import note
from sensetrail.core.canonical import parse_json
from sensetrail.disk import write_whole
from sensetrail.errors import DiskError, InputError, ManifestError, WorkspaceError

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain
    from sensetrail.chain.endpoint import Endpoint
    from sensetrail.workspace import Workspace

LOCAL_NODE = "http://127.0.0.1:8545"
VARIABLE = "SENSETRAIL_RPC"
FILE_SCHEME = "file:"
LONGEST_FILE = 1 << 13
"""Bytes of a file that holds a URL."""
HOW_TO = f"put the whole URL into a file that only you can read (chmod 600) and give --rpc file:PATH, or set {VARIABLE}"


@dataclass(frozen=True, slots=True)
class Node:
    """The node that a command speaks to.

    Attributes:
        endpoint: Its URL.
        file: The file that holds the URL; None where it came otherwise.
        is_named: Whether --rpc named it.
    """

    endpoint: Endpoint
    file: Path | None = None
    is_named: bool = False


def find_node(rpc: str | None, workspace: Workspace) -> Node:
    """Find out which node to speak to.

    Args:
        rpc: What --rpc says; None where it is not given.
        workspace: Where a node may be remembered.

    Raises:
        InputError: What is given is no http URL, or its file is not fit to be used.
        WorkspaceError: What is remembered is damaged, or lacks the password or key.
    """
    if rpc is not None:
        return _read(rpc, "--rpc", is_named=True)
    given = os.environ.get(VARIABLE)
    return _read(given, VARIABLE) if given else _remembered(workspace) or _read(LOCAL_NODE, "the default")


def open_node(rpc: str | None, workspace: Workspace) -> tuple[Chain, Node]:
    """Connect to the node that is given, or to the workspace's; arguments and errors as for `find_node`.

    Raises:
        ChainError: It does not answer, or makes no sense.
    """
    from sensetrail.chain.client import Chain

    node = find_node(rpc, workspace)
    chain = Chain(node.endpoint)
    if node.is_named and node.file is None and node.endpoint.is_shortened:
        note(f"others on this machine can see the password or key in --rpc: {HOW_TO}")
    return chain, node


def endpoint_of(text: str, what: str) -> Endpoint:
    """Read a node's URL as it is given: itself, or file:PATH.

    Args:
        text: What is given.
        what: What it was given as, for errors.

    Raises:
        InputError: It is no http URL, or its file is not fit to be used.
    """
    return _read(text, what).endpoint


def remember(node: Node, workspace: Workspace) -> None:
    """Note a node in the workspace, without password and key; where that cannot be written, go on without."""
    endpoint = node.endpoint
    value: dict[str, object] = {"url": endpoint.public_url, "is_shortened": endpoint.is_shortened}
    if node.file is not None:
        value["file"] = str(node.file)
    text = json.dumps(value, indent=2) + "\n"
    path = _path(workspace)
    with suppress(DiskError):
        if not path.is_file() or path.read_text(errors="replace") != text:
            write_whole(path, text.encode())


def _path(workspace: Workspace) -> Path:
    return workspace.root / "node.json"


def _read(text: str, what: str, *, is_named: bool = False) -> Node:
    from sensetrail.chain.endpoint import parse_endpoint

    if not text.startswith(FILE_SCHEME):
        name = "the node's URL" if what == "the default" else f"the node's URL ({what})"
        return Node(parse_endpoint(text, name), None, is_named)
    path = Path(text.removeprefix(FILE_SCHEME).removeprefix("//")).expanduser().absolute()
    return Node(parse_endpoint(_secret(path), f"the content of {path}"), path, is_named)


def _secret(path: Path) -> str:
    """Read a file that holds a URL.

    Raises:
        InputError: It is not there, is no such file, or others can read it.
    """
    try:
        # Not to wait for a pipe that nobody writes to.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path} is not a file", "give file:PATH of a file that holds the node's URL")
            if status.st_mode & 0o077:
                raise InputError(f"others can read or write {path}, which holds the node's URL", f"chmod 600 {path}")
            data = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise InputError(
            f"cannot read {path}, which should hold the node's URL: {error.strerror}", "check the path, or give --rpc"
        ) from error
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > LONGEST_FILE or "\n" in text:
        what = f"{path} does not hold one line with the node's URL"
        raise InputError(what, "write the URL into it, and nothing else")
    return text


def _remembered(workspace: Workspace) -> Node | None:
    """Give the node that the workspace remembers; None where it remembers none.

    Raises:
        WorkspaceError: The note is damaged, or its URL lacks the password or key.
    """
    path = _path(workspace)
    try:
        value = parse_json(path.read_bytes(), "node.json")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WorkspaceError(f"cannot read {path}: {error.strerror}", "give --rpc") from error
    except ManifestError as error:
        raise _damaged(path) from error
    file, url = (value.get("file"), value.get("url")) if isinstance(value, dict) else (None, None)
    if not isinstance(url, str) or not isinstance(file, str | None):
        raise _damaged(path)
    if file is not None:
        return _read(FILE_SCHEME + file, path.name)
    try:
        node = _read(url, path.name)
    except InputError as error:
        raise _damaged(path) from error
    if value.get("is_shortened") is not False:
        raise WorkspaceError(
            f"this workspace's node, {node.endpoint.name}, needs a password or key, which is never remembered", HOW_TO
        )
    return node


def _damaged(path: Path) -> WorkspaceError:
    return WorkspaceError(f"{path} is damaged", "delete it, and give the node once more with --rpc")
