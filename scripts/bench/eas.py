"""What readings cost as attestations of the Ethereum Attestation Service (EAS), the usual way to sign data on a chain.

The contracts are EAS's own, as its npm package ships them compiled; an attestation's data is one reading, ABI-encoded
by `SCHEMA`. Where EAS leaves a choice, it is the cheapest one for EAS: no resolver, recipient, expiry, reference or
revocation, and one request for all of a transaction's readings.

In all three cases the device's key vouches for the reading: `attest` and `multiAttest` are transactions of its own, and
by `multiAttestByDelegation` anyone sends what it signed, one EIP-712 signature an attestation. What only a device's
first attestation pays is paid before: its nonce exists, and sequence numbers begin at 1, for a stored 0 costs less.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_account.signers.local import LocalAccount

from bench.figure import Figure
from sensetrail.chain.artifact import Artifact
from sensetrail.chain.client import Chain
from sensetrail.chain.contract import Contract
from sensetrail.core.primitives import ZERO_WORD, Address, address, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.errors import ChainError

PACKAGE = Path(__file__).resolve().parents[2] / "node_modules" / "@ethereum-attestation-service" / "eas-contracts"
SCHEMA = "address device,uint32 measuredAt,int16 temperature,uint16 humidity,uint24 sequence"
FIRST_SEQUENCE = 1
SINGLES = 10
"""How many transactions of one attestation the mean is taken over."""
BLOCK_GAS_LIMIT = 2**30
"""Enough for every size: that a transaction is above the cap must not keep it from being measured."""
NOBODY = address(bytes(20))
NEVER = 0
"""EAS's expiry and deadline that never comes."""
ATTEST_FIELDS = (
    "address attester,bytes32 schema,address recipient,uint64 expirationTime,bool revocable,bytes32 refUID,bytes data,"
    "uint256 value,uint256 nonce,uint64 deadline"
)
"""The EIP-712 type `Attest`."""
ATTESTED = keccak256(b"Attested(address,address,bytes32,bytes32)")

Request = tuple[Address, int, bool, bytes, bytes, int]
"""EAS's `AttestationRequestData`: recipient, expirationTime, revocable, refUID, data, value."""


class Shipped(Contract):
    """A contract that EAS's package ships compiled."""

    def __init__(self, chain: Chain, where: Address) -> None:
        """Bind the contract at an address."""
        self.chain, self.address, self.artifact = chain, where, shipped_artifact(self.NAME)


class SchemaRegistry(Shipped):
    """Where EAS looks up what an attestation's data is."""

    NAME = "SchemaRegistry"


class Eas(Shipped):
    """The attestations."""

    NAME = "EAS"

    def sign(self, device: LocalAccount, schema: bytes, requests: Sequence[Request]) -> list[tuple[int, bytes, bytes]]:
        """Sign requests as the device's next ones; give each one's `v`, `r`, `s`."""
        version = self.read("version")
        domain = {"name": "EAS", "version": version, "chainId": self.chain.chain_id, "verifyingContract": self.address}
        fields = [field.split() for field in ATTEST_FIELDS.split(",")]
        types = {"Attest": [{"name": name, "type": kind} for kind, name in fields]}
        nonce = self.read("getNonce", device.address)
        signatures = []
        for i, request in enumerate(requests):
            values = (device.address, schema, *request, nonce + i, NEVER)
            message = {name: value for (_, name), value in zip(fields, values, strict=True)}
            signed = device.sign_typed_data(domain, types, message)
            signatures.append((signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")))
        return signatures

    def spend(self, account: LocalAccount, function: str, argument: Any, attestations: int) -> tuple[bytes, int]:
        """Send a transaction; give its call data and gas used.

        Raises:
            ChainError: It did not make as many attestations as it was to.
        """
        data = self.encode(function, argument)
        # Anvil may give two blocks the same time: a reading attested twice would pay for finding its UID taken.
        self.chain.set_next_block_time(self.chain.latest_block().timestamp + 1)
        receipt = self.chain.wait(self.chain.send(account, self.address, data))
        made = sum(log.address == self.address and log.topics[0] == ATTESTED for log in receipt.logs)
        if made != attestations:
            raise ChainError(f"{function} made {made} attestations, not {attestations}", "use another node")
        return data, receipt.gas_used


def measure(
    chain: Chain, payer: LocalAccount, device: LocalAccount, measurements: Measurements, sizes: Sequence[int]
) -> list[Figure]:
    """Deploy EAS and measure what the same readings cost by each of its three ways.

    Args:
        chain: A devnet of Anvil's; its block gas limit is raised.
        payer: Pays for what the device does not send, and funds the device.
        device: The sensor's key, which attests.
        measurements: At least as many readings as the largest size.
        sizes: Readings a transaction.

    Returns:
        "eas-attest", the mean of several transactions, then for each size "eas-multi-attest" and
        "eas-multi-attest-by-delegation". A size above the transaction gas cap is measured, and does not `fit`.
    """
    chain.request("evm_setBlockGasLimit", hex(BLOCK_GAS_LIMIT))
    attester = address(device.address)
    chain.wait(chain.send(payer, attester, value=10**19))
    eas, schema = deploy(chain, payer)
    requests = requests_for(attester, measurements)

    def delegated(n: int) -> tuple[bytes, int]:
        part = requests[:n]
        signed = (schema, part, eas.sign(device, schema, part), attester, NEVER)
        return eas.spend(payer, "multiAttestByDelegation", [signed], n)

    delegated(1)
    singles = [eas.spend(device, "attest", (schema, request), 1) for request in requests[:SINGLES]]
    figures = [Figure.of("eas-attest", 1, singles)]
    for n in sizes:
        own = eas.spend(device, "multiAttest", [(schema, requests[:n])], n)
        figures.append(Figure.of("eas-multi-attest", n, [own]))
        figures.append(Figure.of("eas-multi-attest-by-delegation", n, [delegated(n)]))
    return figures


def requests_for(device: Address, measurements: Measurements) -> list[Request]:
    """Give each reading's request."""
    types = [field.split()[0] for field in SCHEMA.split(",")]
    columns = (measurements.measured_at, measurements.temperature, measurements.humidity)
    readings = enumerate(zip(*(column.tolist() for column in columns), strict=True), FIRST_SEQUENCE)
    encoded = [abi_encode(types, (device, *reading, sequence)) for sequence, reading in readings]
    return [(NOBODY, NEVER, False, ZERO_WORD, data, 0) for data in encoded]


def deploy(chain: Chain, payer: LocalAccount) -> tuple[Eas, bytes]:
    """Deploy EAS and register the schema; give EAS and the schema's UID, 32 bytes."""
    registry = SchemaRegistry(chain, create(chain, payer, SchemaRegistry.NAME))
    eas = Eas(chain, create(chain, payer, Eas.NAME, abi_encode(["address"], [registry.address])))
    registered = registry.transact(payer, "register", SCHEMA, NOBODY, False)
    return eas, registered.logs[0].topics[1]


def create(chain: Chain, payer: LocalAccount, name: str, arguments: bytes = b"") -> Address:
    """Create one of EAS's contracts; give its address."""
    where = chain.wait(chain.send(payer, None, shipped_artifact(name).bytecode + arguments)).contract_address
    if where is None:
        raise ChainError("the deployment created no contract", "use another node")
    return where


def shipped_artifact(name: str) -> Artifact:
    """Load one of EAS's compiled contracts by its name."""
    value = json.loads((PACKAGE / "artifacts" / "contracts" / f"{name}.sol" / f"{name}.json").read_text("utf-8"))
    code, deployed_code = (bytes.fromhex(value[key][2:]) for key in ("bytecode", "deployedBytecode"))
    return Artifact(name, value["abi"], code, deployed_code, storage={})
