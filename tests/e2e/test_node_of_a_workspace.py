"""How commands find their node, and what a workspace remembers of it: never a password or a key."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Terminal
from conftest import Site
from proxy import Proxy, running_proxy
from raw_server import raw_server, response, say

INPUT, CHAIN = 2, 4
LIST = ("profile", "list")
SECRETS = ("geheim", "0123456789abcdef", "s3cr3t", "me:")


@pytest.fixture
def node(site: Site) -> Iterator[Proxy]:
    with running_proxy(site.chain.url) as proxy:
        yield proxy


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path, in_process=True)
    made.workspace.write_deployment(site.deployment)
    return made


@pytest.fixture
def secret(node: Proxy) -> str:
    """The node's URL with all kinds of secrets, none of which the proxy asks for."""
    return node.url.replace("//", "//me:geheim@") + "/v3/0123456789abcdef0123456789abcdef?key=s3cr3t"


def note_of(terminal: Terminal) -> dict[str, object]:
    found: dict[str, object] = json.loads((terminal.workspace.root / "node.json").read_text())
    return found


def everything_in(folder: Path) -> str:
    return "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())


def url_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "node-url"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_node_that_was_named_is_remembered(terminal: Terminal, node: Proxy) -> None:
    terminal.done(*LIST, "--rpc", node.url)
    assert note_of(terminal) == {"url": node.url, "is_shortened": False}
    node.calls.clear()
    terminal.done(*LIST)
    assert node.calls


def test_what_is_named_comes_before_what_is_set_and_that_before_what_is_remembered(
    site: Site, terminal: Terminal, node: Proxy
) -> None:
    terminal.done(*LIST, "--rpc", node.url)
    nowhere = "http://127.0.0.1:1"
    assert "127.0.0.1:1" in terminal.fails(CHAIN, *LIST, SENSETRAIL_RPC=nowhere)[0]
    assert "127.0.0.1:1" in terminal.fails(CHAIN, *LIST, "--rpc", nowhere, SENSETRAIL_RPC=node.url)[0]
    # Neither of them worked, so neither is remembered; nor is what the environment says.
    terminal.done(*LIST, SENSETRAIL_RPC=site.chain.url)
    assert note_of(terminal)["url"] == node.url


def test_the_secrets_of_a_url_are_neither_shown_nor_kept(terminal: Terminal, node: Proxy, secret: str) -> None:
    result = terminal.run(*LIST, "--rpc", secret)
    assert result.code == 0
    assert "others on this machine can see the password or key in --rpc" in result.err
    assert note_of(terminal) == {"url": node.url + "/v3", "is_shortened": True}
    said, to_do = terminal.fails(INPUT, *LIST)
    assert said == f"this workspace's node, {node.url}, needs a password or key, which is never remembered"
    assert "--rpc file:PATH" in to_do
    shown = result.out + result.err + said + to_do + everything_in(terminal.folder)
    assert not [text for text in SECRETS if text in shown]
    assert terminal.run(*LIST, SENSETRAIL_RPC=secret).err == ""


def test_a_file_that_holds_the_url_is_named_once(terminal: Terminal, node: Proxy, secret: str, tmp_path: Path) -> None:
    path = url_file(tmp_path, secret + "\n")
    assert terminal.run(*LIST, "--rpc", "file:node-url").err == ""
    assert note_of(terminal) == {"url": node.url + "/v3", "is_shortened": True, "file": str(path)}
    node.calls.clear()
    terminal.done(*LIST)
    assert node.calls
    path.unlink()
    assert str(path) in terminal.fails(INPUT, *LIST)[0]
    assert not [text for text in SECRETS if text in everything_in(terminal.folder)]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_read_is_refused(terminal: Terminal, secret: str, tmp_path: Path, mode: int) -> None:
    path = url_file(tmp_path, secret, mode)
    said, to_do = terminal.fails(INPUT, *LIST, "--rpc", f"file:{path}")
    assert said == f"others can read or write {path}, which holds the node's URL"
    assert to_do == f"chmod 600 {path}"


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "geheim", "http://me:gehe/im@h", "x" * 10_000])
def test_a_file_that_holds_no_url_is_refused(terminal: Terminal, tmp_path: Path, text: str) -> None:
    path = url_file(tmp_path, text)
    said, to_do = terminal.fails(INPUT, *LIST, "--rpc", f"file://{path}")
    assert str(path) in said
    assert "gehe" not in said + to_do


def test_what_is_no_file_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bytes").chmod(0o600)
    for name in ("pipe", "folder", "bytes", "nothing"):
        assert name in terminal.fails(INPUT, *LIST, "--rpc", f"file:{name}")[0]


def test_deploy_remembers_its_node(node: Proxy, secret: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"SENSETRAIL_RPC": secret}, in_process=True)
    terminal.done("deploy")
    assert note_of(terminal) == {"url": node.url + "/v3", "is_shortened": True}
    assert not [text for text in SECRETS if text in everything_in(tmp_path)]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"url":7}', '{"url":"geheim"}', "[" * 200_000, "\x00", '{"url":"http://h","file":1}']
)
def test_a_damaged_note_is_one_sentence(terminal: Terminal, node: Proxy, text: str) -> None:
    path = terminal.workspace.root / "node.json"
    path.write_text(text)
    said, to_do = terminal.fails(INPUT, *LIST)
    assert said == "sensetrail-workspace/node.json is damaged"
    assert "--rpc" in to_do
    terminal.done(*LIST, "--rpc", node.url)
    assert note_of(terminal)["url"] == node.url


def test_a_workspace_that_cannot_be_written_to_still_works(terminal: Terminal, node: Proxy) -> None:
    # What holds for root, too: a folder in the note's place.
    (terminal.workspace.root / "node.json").mkdir()
    terminal.done(*LIST, "--rpc", node.url)
    assert sorted(path.name for path in terminal.workspace.root.iterdir()) == ["deployment.json", "node.json"]


def test_the_note_is_replaced_whole(terminal: Terminal, node: Proxy) -> None:
    terminal.done(*LIST, "--rpc", node.url)
    path = terminal.workspace.root / "node.json"
    before = path.stat()
    terminal.done(*LIST, "--rpc", node.url)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_ISREG(before.st_mode)
    terminal.done(*LIST, "--rpc", node.url + "/eth")
    assert note_of(terminal)["url"] == node.url + "/eth"
    assert sorted(each.name for each in path.parent.iterdir()) == ["deployment.json", "node.json"]


def test_the_second_node_s_secrets_are_not_shown(terminal: Terminal, node: Proxy, tmp_path: Path) -> None:
    with raw_server(say(response(b"", "401 Unauthorized"))) as second:
        url = second.url.replace("//", "//me:geheim@") + "/v3/0123456789abcdef?key=s3cr3t"
        url_file(tmp_path, url)
        for given in (url, "file:node-url"):
            said, to_do = terminal.fails(CHAIN, "index", "--rpc", node.url, "--second-node", given)
            assert said == f"block latest: {second.url} refuses the password or key (401)"
            shown = said + to_do + everything_in(terminal.workspace.root)
            assert not [text for text in SECRETS if text in shown]
