"""Sending: from the outbox to the registry, one by one or in signed batches."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray

from sensetrail.chain.client import Receipt
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import encode, split
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.primitives import address
from sensetrail.core.typed_data import batch_digest, sign
from sensetrail.errors import RejectedError
from sensetrail.gateway.outbox import Outbox, Pending

DEFAULT_BATCH = 120
BeforeSending = Callable[[int], None]

REMEDIES = {
    Rejection.MALFORMED: "update this package: it encodes batches that the registry does not read",
    Rejection.UNKNOWN_DEVICE: "register the device: sensetrail device register NAME",
    Rejection.REVOKED_DEVICE: "the device is revoked for good: give it a new key and register that",
    Rejection.WRONG_SIGNATURE: "check that the registry and the chain are the right ones",
    Rejection.WRONG_SEQUENCE: "another gateway sends for this device: use only one; then run the command again",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What one transaction brought to the chain.

    Attributes:
        verdicts: The contract's verdict of each reading it carried, shape `(n,)`.
        gas_used: Gas.
        transaction_hash: 32 bytes.
    """

    verdicts: NDArray[np.uint8]
    gas_used: int
    transaction_hash: bytes


def send_own(
    registry: SensorRegistry, outbox: Outbox, device: LocalAccount, before_sending: BeforeSending = lambda _: None
) -> Generator[Sent, None, None]:
    """Send a device's pending readings one by one, each by the device's own transaction.

    Args:
        registry: Where to.
        outbox: Where from.
        device: The device's key; pays for its transactions.
        before_sending: Told the time of each transaction's last reading, Unix seconds.

    Yields:
        What each transaction did, once it is in a block.

    Raises:
        RejectedError: The registry did not accept a reading.
    """

    def one(pending: Pending, i: int, on_signed: Callable[[bytes], None]) -> bytes:
        readings = pending.measurements
        return registry.post(
            device,
            pending.first_sequence + i,
            int(readings.measured_at[i]),
            int(readings.temperature[i]),
            int(readings.humidity[i]),
            on_signed,
        )

    yield from _send(registry, outbox, device, 1, one, before_sending)


def send_batches(
    registry: SensorRegistry,
    outbox: Outbox,
    device: LocalAccount,
    relayer: LocalAccount,
    size: int = DEFAULT_BATCH,
    before_sending: BeforeSending = lambda _: None,
) -> Generator[Sent, None, None]:
    """Send a device's pending readings as batches: the device signs, the relayer pays.

    Args:
        registry: Where to.
        outbox: Where from.
        device: The device's key; signs.
        relayer: Pays.
        size: The most readings a batch may have.
        before_sending: Told the time of each transaction's last reading, Unix seconds.

    Yields:
        What each transaction did, once it is in a block.

    Raises:
        RejectedError: The registry did not accept a batch.
    """
    separator = registry.domain_separator()

    def batch(pending: Pending, i: int, on_signed: Callable[[bytes], None]) -> bytes:
        part = next(split(pending.measurements[i:], size))
        signed = encode(address(device.address), pending.first_sequence + i, part)
        signature = sign(batch_digest(signed, separator), bytes(device.key))
        return registry.submit_batch(relayer, signed, signature, on_signed=on_signed)

    yield from _send(registry, outbox, device, size, batch, before_sending)


def _send(
    registry: SensorRegistry,
    outbox: Outbox,
    device: LocalAccount,
    size: int,
    transmit: Callable[[Pending, int, Callable[[bytes], None]], bytes],
    before_sending: BeforeSending,
) -> Generator[Sent, None, None]:
    who = address(device.address)
    _settle(registry, outbox, device)
    sequence = registry.state(who).sequence
    pending = outbox.pending(who, sequence)
    i = 0
    while pending is not None and i < len(pending.measurements):
        count = len(next(split(pending.measurements[i:], size)))
        first = pending.first_sequence + i

        def note(transaction_hash: bytes, first: int = first, count: int = count) -> None:
            outbox.mark_sent(who, first, count, transaction_hash)

        before_sending(int(pending.measurements.measured_at[i + count - 1]))
        receipt = registry.chain.wait(transmit(pending, i, note))
        yield _outcome(registry, receipt)
        i += count


def _settle(registry: SensorRegistry, outbox: Outbox, device: LocalAccount) -> None:
    """Wait for a transaction that an interrupted run left on its way, so that nothing is sent twice."""
    who = address(device.address)
    pending = outbox.pending(who, registry.state(who).sequence)
    if pending is None:
        return
    for transaction_hash in dict.fromkeys(pending.transaction_hashes):
        if transaction_hash is not None and registry.chain.transaction(transaction_hash) is not None:
            registry.chain.wait(transaction_hash)


def _outcome(registry: SensorRegistry, receipt: Receipt) -> Sent:
    match registry.outcome(receipt):
        case Accepted(verdicts=verdicts):
            return Sent(verdicts, receipt.gas_used, receipt.transaction_hash)
        case Rejected(device=device, reason=reason):
            raise RejectedError(
                f"the registry rejected what was sent for device {device}: {reason.name.lower().replace('_', ' ')}",
                REMEDIES[reason],
            )
