"""Sending: from the outbox to the registry, one by one or in signed batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray

from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import decode, encode, split
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.primitives import Address, address
from sensetrail.core.typed_data import batch_digest, sign
from sensetrail.errors import ContractError, RejectedError
from sensetrail.gateway.outbox import Outbox, Pending, Reading, Unsettled

DEFAULT_BATCH = 120
BeforeSending = Callable[[int], None]

REMEDIES = {
    Rejection.MALFORMED: "update this package: it encodes batches that the registry does not read",
    Rejection.UNKNOWN_DEVICE: "register the device: sensetrail device register NAME",
    Rejection.REVOKED_DEVICE: "the device is revoked for good: give it a new key and register that",
    Rejection.WRONG_SIGNATURE: "check that the registry and the chain are the right ones",
    Rejection.WRONG_SEQUENCE: "another gateway sends for this device: use only one; then run the command again",
    Rejection.SENDER_IS_CODE: "send batches: `sensetrail post` without --own",
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


def settle(registry: SensorRegistry, outbox: Outbox, device: Address) -> Pending | None:
    """Find out what became of all that was sent, and number the rest on from there.

    Args:
        registry: Where it was sent to.
        outbox: Where it was sent from.
        device: Whose readings.

    Returns:
        What is still to be sent; None where nothing is.
    """
    for transaction_hash in outbox.hashes_on_their_way(device):
        if registry.chain.transaction(transaction_hash) is not None:
            # Failed or not: what its readings' numbers hold now is asked below.
            with suppress(ContractError):
                registry.chain.wait(transaction_hash)
    state = registry.state(device)
    unsettled = outbox.unsettled(device, state.sequence)
    if unsettled:
        outbox.mark_accepted(device, _accepted_among(registry, device, unsettled))
    outbox.renumber(device, state)
    return outbox.pending(device)


def _accepted_among(registry: SensorRegistry, device: Address, unsettled: Sequence[Unsettled]) -> list[int]:
    """Give the sequence numbers under which the chain's events hold just these readings."""
    held: dict[int, Reading] = {}
    for event in registry.accepted_from(device):
        readings = decode(event.batch)
        columns = (readings.measured_at, readings.temperature, readings.humidity)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        held |= dict(enumerate(rows, start=event.batch.header.first_sequence))
    return [one.sequence for one in unsettled if held.get(one.sequence) == one.reading]


def _send(
    registry: SensorRegistry,
    outbox: Outbox,
    device: LocalAccount,
    size: int,
    transmit: Callable[[Pending, int, Callable[[bytes], None]], bytes],
    before_sending: BeforeSending,
) -> Generator[Sent, None, None]:
    who = address(device.address)
    pending = settle(registry, outbox, who)
    i = 0
    while pending is not None and i < len(pending.measurements):
        count = len(next(split(pending.measurements[i:], size)))
        first = pending.first_sequence + i

        def note(transaction_hash: bytes, first: int = first, count: int = count) -> None:
            outbox.mark_sent(who, first, count, transaction_hash)

        before_sending(int(pending.measurements.measured_at[i + count - 1]))
        receipt = registry.chain.wait(transmit(pending, i, note))
        sequences = range(first, first + count)
        outcome = registry.outcome(receipt)
        if isinstance(outcome, Rejected):
            # A signed batch may reach the chain by anyone's hand: then ours comes second, and all is well.
            outcome = _by_another_hand(registry, outbox, who, sequences) or outcome
        if isinstance(outcome, Rejected):
            reason = outcome.reason.name.lower().replace("_", " ")
            raise RejectedError(f"the registry rejected what device {who} sent: {reason}", REMEDIES[outcome.reason])
        outbox.mark_accepted(who, sequences)
        yield Sent(outcome.verdicts, receipt.gas_used, receipt.transaction_hash)
        i += count


def _by_another_hand(registry: SensorRegistry, outbox: Outbox, device: Address, sequences: range) -> Accepted | None:
    """Give the event by which somebody else's transaction brought just these readings, if one did."""
    sent = [one for one in outbox.unsettled(device, sequences.stop) if one.sequence in sequences]
    if not sent or len(_accepted_among(registry, device, sent)) < len(sequences):
        return None
    return next(
        (event for event in registry.accepted_from(device) if event.batch.header.first_sequence == sequences.start),
        None,
    )
