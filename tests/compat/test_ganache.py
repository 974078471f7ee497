"""Ganache 7.9.2, which stops at Shanghai's rules, runs the contracts, and the same checks hold there.

What it lacks: `eth_getBlockReceipts`, and setting the next block's time; `evm_increaseTime` stands in elsewhere.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Site, make_site, throw_away_key
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import verify_code
from sensetrail.chain.devnet import DEVNET_MNEMONIC, free_port
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.history import replay
from sensetrail.core.rules import Verdict
from sensetrail.core.transaction import verify_sender
from sensetrail.errors import NodeUnreachableError, SensorRegistryDeviceExistsError

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 60


@pytest.fixture(scope="module")
def ganache() -> Iterator[Chain]:
    port = free_port()
    options = {"server.port": port, "wallet.mnemonic": DEVNET_MNEMONIC, "chain.hardfork": "shanghai"}
    command = [ROOT / ".venv/bin/node", ROOT / "node_modules/ganache/dist/node/cli.js"]
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield connected(process, port)
    finally:
        process.terminate()
        process.wait(timeout=20)


def connected(process: subprocess.Popen[bytes], port: int) -> Chain:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return Chain(f"http://127.0.0.1:{port}")
        except NodeUnreachableError:
            time.sleep(0.1)
    raise AssertionError("Ganache did not start")


@pytest.fixture(scope="module")
def ganache_site(ganache: Chain) -> Site:
    return make_site(ganache)


def test_the_whole_way_of_a_reading(ganache_site: Site) -> None:
    site = ganache_site
    verify_code(site.chain, site.deployment)
    batch, signature = site.batch(site.measurements(5))
    assert isinstance(site.submit(batch, site.sign(batch, throw_away_key("forger"))), Rejected)
    taken = site.submit(batch, signature)
    assert isinstance(taken, Accepted)
    assert not taken.verdicts.any()
    again = site.submit(batch, signature)
    assert isinstance(again, Rejected)
    assert again.reason is Rejection.WRONG_SEQUENCE
    posted = site.post(5, site.now, 99_00, 60_00)
    assert isinstance(posted, Accepted)
    assert posted.verdicts.tolist() == [Verdict.TEMPERATURE_RANGE | Verdict.TEMPERATURE_STEP]

    logs = site.chain.logs([site.registry.address], site.deployment.block_number, site.chain.latest_block().number)
    times = {log.block_number: block.timestamp for log in logs if (block := site.chain.block(log.block_number))}
    history = replay(logs, times)
    assert history.devices[site.device_address].state.pack() == site.registry.state_slot(site.device_address)
    for entry in history.entries:
        assert (entry.verdicts == entry.event.verdicts).all()
    transaction_hash = history.entries[-1].log.transaction_hash
    transaction = site.chain.transaction(transaction_hash)
    assert transaction is not None
    verify_sender(transaction, transaction_hash, site.device_address)


def test_its_reverts_are_the_same_errors(ganache_site: Site) -> None:
    with pytest.raises(SensorRegistryDeviceExistsError):
        ganache_site.registry.register_device(ganache_site.admin, ganache_site.device_address, 1, bytes(32))
