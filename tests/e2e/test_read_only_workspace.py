"""Reading commands work on a read-only workspace, and on a full one, and say what is true; writing ones say why not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from command import INDOOR_START, Terminal, anchor_without_training, finish, readings_csv, refusal, terminal_at
from conftest import Site, make_site
from disks import fill, make_read_only, small_disk
from proxy import Call, running_proxy
from sensetrail.chain.client import Chain
from sensetrail.workspace import Workspace

INPUT, KEY = 2, 3
EACH = 20
LAST = INDOOR_START + 30 * (EACH - 1)


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    """A site on a chain of the test's own: these tests set its clock."""
    return make_site(fresh_devnet)


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Iterator[Terminal]:
    """A workspace on a disk of its own, with readings of two devices, an index, a dataset and an anchored model."""
    with small_disk(tmp_path / "sensetrail-workspace", 32 << 20):
        made = terminal_at(site, tmp_path, "A", "B")
        readings_csv(tmp_path / "night.csv", ["A", "B"], EACH)
        made.done("post", "night.csv", "--devnet-clock")
        made.done("index")
        made.done("dataset", "build", "night")
        anchor_without_training(site, made.workspace.model("model"))
        yield made


def test_reading_commands_read_and_writing_commands_say_read_only(site: Site, terminal: Terminal) -> None:
    make_read_only(terminal.workspace.root)
    assert len(terminal.json("query", "readings")) == 2 * EACH
    assert [each["name"] for each in terminal.json("device", "list")] == ["A", "B"]
    terminal.done("dataset", "prove", "night", "0", "--out", terminal.folder / "proof.json")
    terminal.done("dataset", "verify", "proof.json")
    assert "audit passed" in terminal.done("audit", "model", "--no-retrain")
    for command in (
        ("index",),
        ("dataset", "build", "new"),
        ("device", "new", "C"),
        ("post", "night.csv", "--devnet-clock"),
        ("dataset", "prove", "night", "0", "--out", terminal.workspace.root / "proof.json"),
    ):
        said, to_do = terminal.fails(INPUT, *command)
        assert "on a read-only disk" in said, command
        assert "delete" not in to_do


def test_taint_on_a_read_only_workspace_knows_what_its_index_does_not(terminal: Terminal) -> None:
    make_read_only(terminal.workspace.root)
    terminal.done("device", "revoke", "B", "--since", LAST)
    assert terminal.json("query", "devices", "--device", "B")[0]["untrusted_since"] is None
    result = terminal.run("taint", "--check")
    assert result.code == 5, result
    assert "cannot be written to: its index is brought up to date in a temporary copy" in result.err
    assert "1 of 40 rows: 1 of B" in result.out


def test_a_workspace_without_an_index_is_indexed_in_a_temporary_copy(terminal: Terminal) -> None:
    for file in terminal.workspace.root.glob("index.sqlite*"):
        file.unlink()
    make_read_only(terminal.workspace.root)
    result = terminal.run("taint")
    assert result.code == 0, result
    assert "nothing is touched" in result.out
    assert "there is no index" in terminal.fails(INPUT, "query", "devices")[0]


def test_another_user_reads_a_workspace_that_only_its_owner_may_write(terminal: Terminal) -> None:
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become another user")
    # Not below pytest's own folders, which it closes to others whenever it starts.
    with TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        root = folder / "sensetrail-workspace"
        shutil.copytree(terminal.workspace.root, root)
        for each in (folder, root):
            each.chmod(0o755)
        user = Terminal(
            folder,
            {**terminal.environment, "HOME": "/nonexistent", "TMPDIR": "/var/tmp"},  # noqa: S108
            (setpriv, "--reuid=65534", "--clear-groups", str(Path(sys.executable).parent / "sensetrail")),
        )
        assert len(user.json("query", "readings")) == 2 * EACH
        assert "nothing is touched" in user.done("taint")
        said, to_do = user.fails(INPUT, "index")
        assert "this user may not write to" in said
        assert "permission" in to_do
        for file in Workspace(root).keys().values():
            file.chmod(0o600)
        assert "this user may not read" in user.fails(KEY, "device", "fund", "A")[0]
        root.chmod(0o700)
        assert "this user may not enter the folder" in user.fails(INPUT, "query", "devices")[0]
        root.chmod(0o755)
        folder.chmod(0o700)
        assert f"this user may not enter the folder {folder}" in user.fails(INPUT, "query", "devices")[0]


def test_a_full_disk_is_read_and_what_is_written_is_called_full(site: Site, terminal: Terminal) -> None:
    root = terminal.workspace.root
    before = {path: path.read_bytes() for path in root.rglob("*.json")}
    ballast = fill(root)
    assert len(terminal.json("query", "readings")) == 2 * EACH
    readings_csv(terminal.folder / "later.csv", ["A", "B"], 2 * EACH)
    newest = site.chain.latest_block().number
    for command in (
        ("device", "new", "C"),
        ("dataset", "build", "early", "--until", LAST),
        ("post", "later.csv", "--devnet-clock"),
        ("dataset", "prove", "night", "0", "--out", root / "proof.json"),
    ):
        said, to_do = terminal.fails(INPUT, *command)
        assert "is full" in said, command
        assert "free space" in to_do
        assert "backup" not in to_do
    assert site.chain.latest_block().number == newest
    assert {path: path.read_bytes() for path in root.rglob("*.json")} == before
    ballast.unlink()
    terminal.done("device", "new", "C")
    assert terminal.json("post", "later.csv", "--devnet-clock")["readings"] == 2 * EACH
    terminal.done("dataset", "build", "early", "--until", LAST)


def test_a_disk_that_fills_up_while_sending_loses_nothing_and_doubles_nothing(site: Site, terminal: Terminal) -> None:
    """What cannot be noted is not sent; what was sent is known to the next run."""
    count = 40
    readings_csv(terminal.folder / "later.csv", ["A"], count, LAST + 600)
    ballast: list[Path] = []

    def on_request(calls: list[Call]) -> None:
        if calls[0]["method"] == "eth_sendRawTransaction" and proxy.calls.count("eth_sendRawTransaction") == 5:
            ballast.append(fill(terminal.workspace.root))

    command = ("post", "later.csv", "--devnet-clock", "--batch", "1")
    with running_proxy(site.chain.url) as proxy:
        proxy.on_request = on_request
        said, to_do = terminal.fails(INPUT, *command, "--rpc", proxy.url)
        assert "outbox.sqlite" in said
        assert "is full" in said
        assert "nothing was lost" in to_do
        sent = proxy.calls.count("eth_sendRawTransaction")
    assert 5 <= sent < count
    ballast[0].unlink()
    assert terminal.json(*command)["readings"] in (count - sent, count - sent + 1)
    terminal.done("index")
    sequences = [row["sequence"] for row in terminal.json("query", "readings", "--device", "A")]
    assert sequences == list(range(EACH + count))
    assert terminal.json("query", "rejections") == []


def test_temporary_files_without_room_are_no_failed_audit(terminal: Terminal, tmp_path: Path) -> None:
    with small_disk(tmp_path / "temporary", 64 << 10) as disk:
        fill(disk, leave=16 << 10)
        user = Terminal(terminal.folder, {**terminal.environment, "TMPDIR": str(disk)})
        said, to_do = refusal(finish(user.start("audit", "model", "--no-retrain")), INPUT)
        assert said.startswith("temporary files: the disk of")
        assert "TMPDIR" in to_do
        make_read_only(terminal.workspace.root)
        said, to_do = refusal(finish(user.start("taint")), INPUT)
        assert said.startswith("temporary files: the disk of")
        assert "TMPDIR" in to_do


def test_a_damaged_key_file_is_named_and_hides_nothing(terminal: Terminal) -> None:
    keys = terminal.workspace.root / "keys"
    (keys / "C.json").touch()
    (keys / "D.json").mkdir()
    (keys / "\u202ebad.json").write_text(terminal.workspace.key("A").read_text())
    (keys / ".B.json.swp.json").write_text("an editor's")
    result = terminal.run("device", "list")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "A", "B", "C", "D", r"\u202ebad"]
    assert [line.split()[2] for line in lines[1:]] == ["active", "active", "unreadable", "unreadable", "active"]
    assert "C.json is empty" in result.err
    assert "D.json is a folder" in result.err
    listed = {each["name"]: each for each in terminal.json("device", "list")}
    assert listed["C"]["device"] is None
    assert "is empty" in listed["C"]["wrong"]
    assert len(terminal.json("query", "readings")) == 2 * EACH
    terminal.done("device", "revoke", "B", "--since", LAST)
    assert "1 of B" in terminal.done("taint")
    assert "there is a key at" in terminal.fails(INPUT, "device", "new", "C")[0]


def test_names_and_texts_that_cannot_be(terminal: Terminal) -> None:
    for name in ("\u202eA", "a\u2028b", "\udcff", "0xA", " A", "A\u200b", "\U0001f321" * 63):
        said, _ = terminal.fails(INPUT, "device", "new", name)
        assert "cannot be a" in said
        assert said.isprintable()
    for option in ("--make", "--model", "--serial", "--calibration"):
        assert (
            f"{option} '\\udcff' is not UTF-8" in terminal.fails(INPUT, "device", "register", "A", option, "\udcff")[0]
        )
    assert "--reason '\\udcff' is not UTF-8" in terminal.fails(INPUT, "recall", "model", "--reason", "\udcff")[0]
