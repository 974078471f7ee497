"""A real Anvil for every test worker, the other nodes for attacks, and registries deployed anew for every test."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from nodes import ANVIL, NODES, Lack, Node
from nodes import START as START
from sensetrail.chain.answers import Receipt
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, deploy
from sensetrail.chain.devnet import devnet_account, running_devnet
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import Batch, encode
from sensetrail.core.events import Accepted, Rejected
from sensetrail.core.primitives import Address, address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.core.signature import DeviceKey, Secp256k1Key
from sensetrail.core.typed_data import batch_digest

# A shell's background job ignores SIGINT, and so would every command that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Site:
    """Registries on a devnet, one registered device, and shorthands to send what it signs."""

    chain: Chain
    deployment: Deployment
    registry: SensorRegistry
    models: ModelRegistry
    admin: LocalAccount
    relayer: LocalAccount
    device: LocalAccount

    @property
    def device_address(self) -> Address:
        return address(self.device.address)

    @property
    def key(self) -> DeviceKey:
        return device_key(self.device)

    @property
    def now(self) -> int:
        return self.chain.latest_block().timestamp

    def measurements(self, count: int, *, start: int | None = None, temperature: int = 25_00) -> Measurements:
        """Give legal readings that end about now."""
        first = self.now - 30 * count if start is None else start
        steps = np.arange(count)
        return Measurements.of(first + 30 * steps, temperature + steps % 7, 60_00 + steps % 11)

    def batch(self, measurements: Measurements, key: LocalAccount | DeviceKey | None = None) -> tuple[Batch, bytes]:
        """Encode readings as the device's next batch, and sign it."""
        signer = device_key(key or self.device)
        batch = encode(signer.address, self.registry.state(signer.address).sequence, measurements)
        return batch, self.sign(batch, signer)

    def sign(self, batch: Batch, key: LocalAccount | DeviceKey | None = None) -> bytes:
        return device_key(key or self.device).sign(batch_digest(batch, self.registry.domain_separator()))

    def submit(self, batch: Batch, signature: bytes) -> Accepted | Rejected:
        return self.registry.outcome(self.chain.wait(self.registry.submit_batch(self.relayer, batch, signature)))

    def post(
        self, sequence: int, measured_at: int, temperature: int, humidity: int, key: LocalAccount | None = None
    ) -> Accepted | Rejected:
        sent = self.registry.post(key or self.device, sequence, measured_at, temperature, humidity)
        return self.registry.outcome(self.chain.wait(sent))

    def register(self, name: str) -> LocalAccount:
        """Register and fund another device."""
        key = throw_away_key(name)
        self.registry.register_device(self.admin, address(key.address), 1, keccak256(name.encode()))
        self.fund(key)
        return key

    def fund(self, key: LocalAccount) -> Receipt:
        return self.chain.wait(self.chain.send(self.admin, address(key.address), value=10**18))


def device_key(key: LocalAccount | DeviceKey) -> DeviceKey:
    return Secp256k1Key(bytes(key.key)) if isinstance(key, LocalAccount) else key


def throw_away_key(name: str) -> LocalAccount:
    key: LocalAccount = Account.from_key(keccak256(f"test key {name}".encode()))
    return key


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every attack on every node that does not lack what it needs: its module's `NEEDS`."""
    if metafunc.definition.path.parent.name == "attacks" and "site" in metafunc.fixturenames:
        needs: frozenset[Lack] = getattr(metafunc.module, "NEEDS", frozenset())
        able = [node for node in NODES if not needs & node.lacks]
        metafunc.parametrize("devnet", able, ids=[node.name for node in able], indirect=True, scope="session")


@pytest.fixture(scope="session")
def node_chain() -> Iterator[Callable[[Node], Chain]]:
    """Start each node once, when it is first asked for."""
    with ExitStack() as running:
        yield cache(lambda node: running.enter_context(node.running()))


@pytest.fixture(scope="session")
def devnet(request: pytest.FixtureRequest, node_chain: Callable[[Node], Chain]) -> Chain:
    return node_chain(getattr(request, "param", ANVIL))


@pytest.fixture
def fresh_devnet() -> Iterator[Chain]:
    """A chain of the test's own, for tests that set clocks or mine."""
    with running_devnet(timestamp=START) as chain:
        yield chain


def make_site(chain: Chain) -> Site:
    admin = devnet_account(0)
    deployment = deploy(chain, admin)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    registry.add_profile(admin, INDOOR)
    made = Site(
        chain,
        deployment,
        registry,
        ModelRegistry(chain, deployment.model_registry),
        admin,
        devnet_account(1),
        throw_away_key("device"),
    )
    made.register("device")
    return made


@pytest.fixture
def site(devnet: Chain) -> Site:
    # A connection of its own: another's accounts' nonces may be behind what commands sent from the same accounts.
    return make_site(Chain(devnet.url))
