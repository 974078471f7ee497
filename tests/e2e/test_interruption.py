"""Ctrl-C and worse in the middle of sending: what was sent is known, and running again sends only the rest."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from command import Terminal, devnet_command, finish, poll, readings_csv, terminal_at
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import free_port
from sensetrail.core.events import Accepted, Rejected, decode_log
from sensetrail.core.primitives import Address
from sensetrail.errors import NodeUnreachableError
from sensetrail.sensor.keystore import key_address

READINGS = 150
OWN, BATCHES = ("--own",), ("--batch", "1")


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    """A site on a chain of the test's own: these tests set its clock."""
    return make_site(fresh_devnet)


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    made = terminal_at(site, tmp_path, "A", in_process=False)
    readings_csv(tmp_path / "big.csv", ["A"], READINGS)
    return made


def interrupt(site: Site, terminal: Terminal, after: int, how: signal.Signals, *ways: str) -> subprocess.Popen[str]:
    """Start sending, and send a signal once the chain has more than so many readings."""
    device = key_address(terminal.workspace.key("A"))
    process = terminal.start("post", "big.csv", "--devnet-clock", *ways)
    poll(lambda: site.registry.state(device).sequence > after, process, f"{after} readings were sent")
    process.send_signal(how)
    return process


def rest_is_sent(site: Site, terminal: Terminal, *ways: str) -> None:
    """Run the command again: exactly the rest goes out, and the chain has every reading once."""
    device = key_address(terminal.workspace.key("A"))
    before = site.registry.state(device).sequence
    assert 0 < before < READINGS
    sent = terminal.json("post", "big.csv", "--devnet-clock", *ways)
    # One that was on its way when the command died may be mined in between; none was sent twice.
    assert sent["readings"] in (READINGS - before, READINGS - before - 1)
    assert site.registry.state(device).sequence == READINGS
    accepted, rejected = events(site, device)
    assert accepted == list(range(READINGS))
    assert rejected == 0
    assert terminal.json("post", "big.csv", *ways)["readings"] == 0


def events(site: Site, device: Address) -> tuple[list[int], int]:
    """Give the sequence numbers of every reading that the chain accepted, and how many rejections it recorded."""
    newest = site.chain.latest_block().number
    found = [decode_log(log) for log in site.chain.logs([site.registry.address], site.deployment.block_number, newest)]
    accepted = [event for event in found if isinstance(event, Accepted) and event.device == device]
    sequences = [event.batch.header.first_sequence + i for event in accepted for i in range(event.batch.header.count)]
    return sequences, sum(isinstance(event, Rejected) for event in found)


@pytest.mark.parametrize("ways", [OWN, BATCHES], ids=["own", "batches"])
def test_ctrl_c(site: Site, terminal: Terminal, ways: tuple[str, ...]) -> None:
    result = finish(interrupt(site, terminal, 20, signal.SIGINT, *ways))
    assert result.code == 130, result
    lines = [line for line in result.err.splitlines() if not line.startswith("paying with ")]
    assert lines == [
        "interrupted",
        "to do: run the same command again; sending and indexing go on from where they were",
    ]
    rest_is_sent(site, terminal, *ways)


@pytest.mark.parametrize("ways", [OWN, BATCHES], ids=["own", "batches"])
def test_kill(site: Site, terminal: Terminal, ways: tuple[str, ...]) -> None:
    assert finish(interrupt(site, terminal, 20, signal.SIGKILL, *ways)).code == -signal.SIGKILL
    rest_is_sent(site, terminal, *ways)


def test_many_interruptions(site: Site, terminal: Terminal) -> None:
    """Interrupted again and again, in both ways and by both signals, it gets there."""
    for after, how, ways in ((3, signal.SIGINT, OWN), (40, signal.SIGKILL, BATCHES), (90, signal.SIGINT, BATCHES)):
        finish(interrupt(site, terminal, after, how, *ways))
    rest_is_sent(site, terminal)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_a_devnet_is_the_end_of_its_anvil(tmp_path: Path, how: signal.Signals) -> None:
    port = free_port()
    terminal = Terminal(tmp_path)
    with devnet_command(terminal, port) as process:
        assert Chain(f"http://127.0.0.1:{port}").chain_id == 31337
        assert anvils(port)
        process.send_signal(how)
        assert process.wait(timeout=20) == 0
    assert not anvils(port)
    with pytest.raises(NodeUnreachableError):
        Chain(f"http://127.0.0.1:{port}")


def anvils(port: int) -> list[str]:
    """Give the command lines of the processes that serve a port, Anvil or what started it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if "anvil" in words and re.search(rf"--port {port}\b", words) and "sensetrail" not in words.split(" ", 2)[1]:
            found.append(words)
    return found
