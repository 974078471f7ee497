"""Deploying is paid for once: interrupted, killed or out of room, it goes on where it was, and tells the addresses."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Terminal, finish, poll, refusal, write_keystore
from conftest import throw_away_key
from disks import fill, make_read_only, small_disk
from proxy import Call, Proxy, Reply, running_proxy
from proxy import refusal as refused
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import verify_code
from sensetrail.chain.devnet import devnet_account, running_devnet
from sensetrail.core.primitives import Address, address
from sensetrail.workspace import Workspace

INPUT, CHAIN = 2, 4
ACCOUNT = address(devnet_account(0).address)
SEND = "eth_sendRawTransaction"


@pytest.fixture
def proxy(fresh_devnet: Chain) -> Iterator[Proxy]:
    with running_proxy(fresh_devnet.url) as running:
        yield running


@pytest.fixture
def terminal(proxy: Proxy, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, {"SENSETRAIL_RPC": proxy.url}, in_process=True)


def sent(chain: Chain) -> int:
    """Give how many transactions the paying account has sent."""
    return int(chain.request("eth_getTransactionCount", ACCOUNT, "latest"), 16)


def mined(chain: Chain, count: int) -> bool:
    """Whether the paying account has sent so many, once what the node has is in a block."""
    deadline = time.monotonic() + 20
    while sent(chain) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return sent(chain) == count


def addresses(text: str) -> list[Address]:
    return [address(found) for found in re.findall(r"0x[0-9a-fA-F]{40}\b", text)]


def is_whole(chain: Chain, workspace: Workspace) -> bool:
    """Whether the deployment is on the chain, and its record all that is left in the workspace."""
    deployment = workspace.deployment()
    verify_code(chain, deployment)
    return sorted(path.name for path in workspace.root.iterdir()) == ["deployment.json", "node.json"]


def signal_at_send(terminal: Terminal, proxy: Proxy, how: signal.Signals, *, after: bool) -> int:
    """Deploy, and be sent a signal as the next transaction reaches the node, or when the node has it."""
    process = Terminal(terminal.folder, terminal.environment).start("deploy")

    def on_request(calls: list[Call]) -> Reply | None:
        if calls[0]["method"] != SEND or after:
            return None
        process.send_signal(how)
        process.wait(20)
        return refused(calls, "too late")

    def on_reply(calls: list[Call], reply: Reply) -> Reply | None:
        # An earlier process' refusal may still be on its way.
        if calls[0]["method"] != SEND or not after or b'"result"' not in reply.body:
            return reply
        process.send_signal(how)
        process.wait(20)
        return None

    proxy.on_request, proxy.on_reply = on_request, on_reply
    result = finish(process)
    proxy.reset()
    assert "Traceback" not in result.err
    return result.code


def test_killed_around_each_transaction_it_goes_on_and_pays_once(
    terminal: Terminal, proxy: Proxy, fresh_devnet: Chain
) -> None:
    for how, after, paid in (
        (signal.SIGKILL, False, 0),
        (signal.SIGINT, False, 0),
        (signal.SIGKILL, True, 1),
        (signal.SIGINT, False, 1),
        (signal.SIGKILL, False, 1),
        (signal.SIGINT, True, 2),
    ):
        assert signal_at_send(terminal, proxy, how, after=after) == (130 if how is signal.SIGINT else -how)
        assert mined(fresh_devnet, paid)
        assert not terminal.workspace.has_deployment()
    result = terminal.run("deploy")
    assert result.code == 0
    assert "going on with a deployment" in result.err
    assert sent(fresh_devnet) == 2
    assert is_whole(fresh_devnet, terminal.workspace)
    deployment = terminal.workspace.deployment()
    assert addresses(result.out) == [deployment.sensor_registry, deployment.model_registry]
    first = fresh_devnet.code(deployment.sensor_registry, deployment.block_number)
    assert first
    assert not fresh_devnet.code(deployment.sensor_registry, deployment.block_number - 1)
    assert "there is a deployment" in terminal.fails(INPUT, "deploy")[0]


def test_a_node_that_goes_away_in_between_is_gone_on_with(
    terminal: Terminal, proxy: Proxy, fresh_devnet: Chain
) -> None:
    def away(calls: list[Call], reply: Reply) -> Reply | None:
        return None if sent(fresh_devnet) else reply

    proxy.on_reply = away
    assert "no node answers" in terminal.fails(CHAIN, "deploy")[0]
    proxy.reset()
    terminal.done("deploy")
    assert sent(fresh_devnet) == 2
    assert is_whole(fresh_devnet, terminal.workspace)


def test_a_transaction_that_failed_is_sent_again(terminal: Terminal, proxy: Proxy, fresh_devnet: Chain) -> None:
    def failed(call: Call, response: dict[str, object]) -> dict[str, object]:
        result = response.get("result")
        if call["method"] == "eth_getTransactionReceipt" and isinstance(result, dict):
            response["result"] = {**result, "status": "0x0", "contractAddress": None}
        return response

    proxy.change = failed
    for count in (1, 2):
        result = terminal.run("deploy")
        assert result.code == CHAIN
        assert "failed" in result.err
        assert mined(fresh_devnet, count)
    proxy.reset()
    terminal.done("deploy")
    assert is_whole(fresh_devnet, terminal.workspace)


def test_of_two_at_once_one_deploys(terminal: Terminal, proxy: Proxy, fresh_devnet: Chain) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(calls: list[Call]) -> None:
        if calls[0]["method"] == SEND:
            reached.set()
            go_on.wait(60)

    proxy.on_request = hold
    first = Terminal(terminal.folder, terminal.environment).start("deploy")
    poll(reached.is_set, first, "about to pay")
    assert "another command deploys into" in terminal.fails(INPUT, "deploy")[0]
    go_on.set()
    assert finish(first).code == 0
    assert sent(fresh_devnet) == 2
    assert is_whole(fresh_devnet, terminal.workspace)


def test_nothing_is_paid_where_the_record_cannot_be_written(terminal: Terminal, fresh_devnet: Chain) -> None:
    root = terminal.workspace.root
    for leave in (0, 4096, 8192):
        with small_disk(root, 64 << 10) as disk:
            ballast = fill(disk, leave)
            said, to_do = terminal.fails(INPUT, "deploy")
            assert "is full" in said
            assert "free space" in to_do
            assert list(disk.iterdir()) == [ballast]
    with small_disk(root, 64 << 10, files=2):
        assert "holds as many files as it can" in terminal.fails(INPUT, "deploy")[0]
    with small_disk(root, 64 << 10) as disk:
        make_read_only(disk)
        assert "on a read-only disk" in terminal.fails(INPUT, "deploy")[0]
    root.rmdir()
    root.symlink_to("unplugged")
    for command in (("deploy",), ("device", "list"), ("device", "new", "A")):
        assert "is a symbolic link to unplugged, which does not exist" in terminal.fails(INPUT, *command)[0]
    assert sent(fresh_devnet) == 0


def test_a_disk_that_fills_up_while_paying_has_room_for_the_record(
    terminal: Terminal, proxy: Proxy, fresh_devnet: Chain
) -> None:
    with small_disk(terminal.workspace.root, 64 << 10) as disk:

        def on_request(calls: list[Call]) -> None:
            if calls[0]["method"] == SEND:
                fill(disk)

        proxy.on_request = on_request
        shown = terminal.json("deploy")
        assert terminal.workspace.deployment().to_json() == shown
        assert mined(fresh_devnet, 2)
        assert sorted(path.name for path in disk.iterdir()) == ["ballast", "deployment.json", "node.json"]


def test_a_record_that_cannot_be_written_in_the_end_is_written_by_the_next_run(
    terminal: Terminal, proxy: Proxy, fresh_devnet: Chain
) -> None:
    with small_disk(terminal.workspace.root, 64 << 10, files=3) as disk:

        def on_request(calls: list[Call]) -> None:
            if calls[0]["method"] == SEND:
                # It takes the place of the last file that the disk can hold.
                (disk / "other").touch()

        proxy.on_request = on_request
        result = terminal.run("deploy")
        said, to_do = refusal(result, INPUT)
        assert "holds as many files as it can" in said
        assert "run the same command again" in to_do
        shown = addresses(result.out)
        assert len(shown) == 2
        (disk / "other").unlink()
        proxy.reset()
        assert addresses(terminal.done("deploy")) == shown
        assert mined(fresh_devnet, 2)
        assert is_whole(fresh_devnet, terminal.workspace)


def test_what_was_begun_elsewhere_is_not_gone_on_with(terminal: Terminal, proxy: Proxy, tmp_path: Path) -> None:
    signal_at_send(terminal, proxy, signal.SIGKILL, after=True)
    other = write_keystore(tmp_path / "other.json", throw_away_key("other"))
    said, to_do = terminal.fails(INPUT, "deploy", "--account", other)
    assert "was begun here with another account" in said
    assert "--account" in to_do
    with running_devnet(timestamp=1_700_000_000) as another:
        said, _ = terminal.fails(INPUT, "deploy", "--rpc", another.url)
        assert "was begun here with another genesis hash" in said
        assert another.latest_block().number == 0
    begun = terminal.workspace.root / "deployment.begun"
    begun.write_text(begun.read_text().replace('"contract"', '"what"'))
    assert "are damaged" in terminal.fails(INPUT, "deploy")[0]


def test_an_empty_record_of_an_earlier_version_is_called_empty(terminal: Terminal, fresh_devnet: Chain) -> None:
    terminal.workspace.root.mkdir()
    (terminal.workspace.root / "deployment.json").touch()
    for command in (("deploy",), ("device", "list"), ("query", "devices")):
        said, to_do = terminal.fails(INPUT, *command)
        assert said.endswith("deployment.json is empty")
        assert "backup" in to_do
        assert "addresses that `deploy` printed" in to_do
    assert sent(fresh_devnet) == 0
