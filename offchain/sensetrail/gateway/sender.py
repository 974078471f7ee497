"""Sending: from the outbox to the registry, one by one or in signed batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray

from sensetrail.chain.client import TRANSACTION_GAS_CAP
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import MAX_COUNT, Batch, Format, decode, encode
from sensetrail.core.events import Accepted, Rejected, Rejection
from sensetrail.core.packing import pack
from sensetrail.core.primitives import Address, address
from sensetrail.core.reading import Measurements
from sensetrail.core.signature import DeviceKey
from sensetrail.core.typed_data import batch_digest
from sensetrail.errors import ChainError, ContractError, RejectedError
from sensetrail.gateway.outbox import Outbox, Part, Pending, Reading, Unsettled

DEFAULT_BATCH = 120
WORST_BATCH_GAS, WORST_READING_GAS = 300_000, 1_450
"""What a batch and a reading cost at worst: a P-256 key verified in Solidity, an illegal reading judged by itself
(`tests/contracts/Limit.t.sol`). What a transaction carries is bounded by these, so that it fits the gas that one may
use (EIP-7825) whatever its readings are like. It then fits the 128 KiB that nodes relay, too."""
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
class Delivery:
    """Readings of one device that the chain took.

    Attributes:
        device: Whose.
        kind: The format they came in.
        verdicts: The contract's, shape `(n,)`.
    """

    device: Address
    kind: Format
    verdicts: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sent:
    """What one transaction brought to the chain.

    Attributes:
        deliveries: Of each batch in it, or of its one reading.
        gas_used: Gas.
        transaction_hash: 32 bytes.
    """

    deliveries: tuple[Delivery, ...]
    gas_used: int
    transaction_hash: bytes

    @property
    def verdicts(self) -> NDArray[np.uint8]:
        """The contract's verdict of each reading, shape `(n,)`."""
        return np.concatenate([delivery.verdicts for delivery in self.deliveries])


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
    who = address(device.address)
    pending = settle(registry, outbox, who)
    readings = _columns(pending.measurements) if pending else []
    for sequence, reading in enumerate(readings, start=pending.first_sequence if pending else 0):
        before_sending(reading[0])

        def note(transaction_hash: bytes, sequence: int = sequence) -> None:
            outbox.mark_sent([(who, sequence, 1)], transaction_hash)

        sent = registry.post(device, sequence, *reading, note)
        yield _outcome(registry, outbox, [(who, sequence, 1)], sent)


def send_batches(
    registry: SensorRegistry,
    outbox: Outbox,
    devices: Sequence[DeviceKey],
    relayer: LocalAccount,
    size: int = DEFAULT_BATCH,
    before_sending: BeforeSending = lambda _: None,
) -> Generator[Sent, None, None]:
    """Send devices' pending readings: the devices sign batches, the relayer pays; several go in one transaction.

    Args:
        registry: Where to.
        outbox: Where from.
        devices: The devices' keys; sign.
        relayer: Pays.
        size: The most readings of one device that a transaction takes; they may go as more than one batch.
        before_sending: Told the time of each transaction's latest reading, Unix seconds.

    Yields:
        What each transaction did, once it is in a block.

    Raises:
        RejectedError: The registry did not accept a batch; what it accepted beside it is noted in the outbox.
    """
    separator = registry.domain_separator()
    keys = {key.address: key for key in devices}
    pending = [(device, found) for device in keys if (found := settle(registry, outbox, device))]
    for batches in plan(pending, size):
        signed = [(batch, keys[batch.header.device].sign(batch_digest(batch, separator))) for batch, _ in batches]
        parts = [(batch.header.device, batch.header.first_sequence, batch.header.count) for batch, _ in batches]
        before_sending(max(last for _, last in batches))

        def note(transaction_hash: bytes, parts: Sequence[Part] = parts) -> None:
            outbox.mark_sent(parts, transaction_hash)

        if len(signed) == 1:
            sent = registry.submit_batch(relayer, *signed[0], on_signed=note)
        else:
            sent = registry.submit_batches(relayer, signed, on_signed=note)
        yield _outcome(registry, outbox, parts, sent)


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


Planned = tuple[Batch, int]
"""A batch, and the time of its last reading (Unix s)."""


def plan(pending: Sequence[tuple[Address, Pending]], size: int = DEFAULT_BATCH) -> Iterator[list[Planned]]:
    """Divide what is to be sent into transactions: the next readings of each device, in the cheapest batches.

    Args:
        pending: Each device's readings.
        size: The most readings of one device that a transaction takes.

    Yields:
        What each transaction carries.
    """
    size = max(1, min(size, MAX_COUNT))
    for start in range(0, max((len(found.measurements) for _, found in pending), default=0), size):
        batches: list[Planned] = []
        gas = 0
        for device, found in pending:
            readings = found.measurements[start : start + size]
            for part in pack(readings) if len(readings) else []:
                chosen = readings[part.start : part.stop]
                batch = encode(device, found.first_sequence + start + part.start, chosen, part.kind)
                worst = WORST_BATCH_GAS + WORST_READING_GAS * len(chosen)
                if batches and gas + worst > TRANSACTION_GAS_CAP:
                    yield batches
                    batches, gas = [], 0
                batches.append((batch, int(chosen.measured_at[-1])))
                gas += worst
        yield batches


def _outcome(registry: SensorRegistry, outbox: Outbox, parts: Sequence[Part], transaction_hash: bytes) -> Sent:
    """Wait for a transaction, and note what the registry took of it.

    Args:
        registry: Where it was sent.
        outbox: Where its readings are.
        parts: Device, first sequence number and count of each batch in it, in order.
        transaction_hash: 32 bytes.

    Returns:
        What it brought.

    Raises:
        RejectedError: The registry rejected a part.
    """
    receipt = registry.chain.wait(transaction_hash)
    outcomes = registry.outcomes(receipt)
    if len(outcomes) != len(parts):
        raise ChainError(
            f"transaction 0x{transaction_hash.hex()} left {len(outcomes)} events of {len(parts)} batches",
            "check that the registry is ours: audit",
        )
    deliveries = []
    refused: tuple[Address, Rejection] | None = None
    for (device, first, count), outcome in zip(parts, outcomes, strict=True):
        sequences = range(first, first + count)
        if isinstance(outcome, Rejected):
            # A signed batch may reach the chain by anyone's hand: then ours comes second, and all is well.
            other = _by_another_hand(registry, outbox, device, sequences)
            if other is None:
                refused = refused or (device, outcome.reason)
                continue
            outcome = other
        outbox.mark_accepted(device, sequences)
        deliveries.append(Delivery(device, Format(outcome.batch.header.format), outcome.verdicts))
    if refused is not None:
        device, reason = refused
        said = reason.name.lower().replace("_", " ")
        raise RejectedError(f"the registry rejected what device {device} sent: {said}", REMEDIES[reason])
    return Sent(tuple(deliveries), receipt.gas_used, transaction_hash)


def _accepted_among(registry: SensorRegistry, device: Address, unsettled: Sequence[Unsettled]) -> list[int]:
    """Give the sequence numbers under which the chain's events hold just these readings."""
    held: dict[int, Reading] = {}
    for event in registry.accepted_from(device):
        held |= dict(enumerate(_columns(decode(event.batch)), start=event.batch.header.first_sequence))
    return [one.sequence for one in unsettled if held.get(one.sequence) == one.reading]


def _by_another_hand(registry: SensorRegistry, outbox: Outbox, device: Address, sequences: range) -> Accepted | None:
    """Give the event by which somebody else's transaction brought just these readings, if one did."""
    sent = [one for one in outbox.unsettled(device, sequences.stop) if one.sequence in sequences]
    if not sent or len(_accepted_among(registry, device, sent)) < len(sequences):
        return None
    return next(
        (event for event in registry.accepted_from(device) if event.batch.header.first_sequence == sequences.start),
        None,
    )


def _columns(readings: Measurements) -> list[Reading]:
    columns = (readings.measured_at, readings.temperature, readings.humidity)
    return list(zip(*(column.tolist() for column in columns), strict=True))
