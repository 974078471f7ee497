"""Sending the demo's stream to the chain, each message as its sender would, and telling what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from eth_account import Account
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray

from sensetrail.chain.devnet import devnet_account
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import Batch, encode
from sensetrail.core.events import Accepted, Rejection
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.rules import Verdict
from sensetrail.core.signature import Secp256k1Key
from sensetrail.core.typed_data import batch_digest
from sensetrail.demo.stream import Attack, Message

ADMIN, RELAYER, ATTACKER = 0, 1, 2
"""Which of the devnet's throw-away accounts plays whom."""
DEVICE_ETHER = 10 * 10**18
"""Wei of play money for the device that sends its own transactions."""


def demo_key(name: str) -> LocalAccount:
    """Make a throw-away key for the demo's chain. Anyone can make the same one: it guards nothing.

    Args:
        name: The device's name.
    """
    account: LocalAccount = Account.from_key(keccak256(f"sensetrail demo, throw-away key of {name}".encode()))
    return account


SIGNS: dict[Attack, Rejection | Verdict] = {
    Attack.UNKNOWN_DEVICE: Rejection.UNKNOWN_DEVICE,
    Attack.FORGED_SIGNATURE: Rejection.WRONG_SIGNATURE,
    Attack.REPLAY: Rejection.WRONG_SEQUENCE,
    Attack.REVOKED_DEVICE: Rejection.REVOKED_DEVICE,
    Attack.ALTERED: Rejection.WRONG_SIGNATURE,
    Attack.OUT_OF_RANGE: Verdict.TEMPERATURE_RANGE,
    Attack.JUMP: Verdict.TEMPERATURE_STEP,
    Attack.BACK_DATED: Verdict.TIME_NOT_AFTER,
    Attack.FUTURE_DATED: Verdict.TIME_IN_FUTURE,
}
"""What the contract must say of each attack for it to count as caught."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a message.

    Attributes:
        message: What was sent.
        rejection: Why it did not enter a device's history; `NONE` if it did.
        verdicts: Each reading's verdict, shape `(n,)`; empty where it was rejected.
        gas_used: Gas.
    """

    message: Message
    rejection: Rejection
    verdicts: NDArray[np.uint8]
    gas_used: int

    @property
    def caught(self) -> bool:
        """Whether the contract said of it, all of it, just what it is: none of its readings can reach a dataset."""
        if self.message.attack is None:
            return False
        sign = SIGNS[self.message.attack]
        if isinstance(sign, Rejection):
            return self.rejection is sign
        return self.rejection is Rejection.NONE and bool((self.verdicts & sign != 0).all())


class DemoSender:
    """Sends a stream to a registry on a devnet whose clock follows the stream's."""

    def __init__(self, registry: SensorRegistry) -> None:
        """Make the sender.

        Args:
            registry: On a devnet, fresh.
        """
        self._registry = registry
        self._separator = registry.domain_separator()
        self._sequences: dict[str, int] = {}
        self._sent: dict[Message, tuple[Batch, bytes]] = {}

    def send(self, messages: Sequence[Message], on_sent: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
        """Send messages in order.

        Args:
            messages: By the time they are sent.
            on_sent: Told what became of each.

        Returns:
            What became of each.
        """
        chain = self._registry.chain
        now = chain.latest_block().timestamp
        outcomes = []
        for message in messages:
            now = max(now + 1, message.sent_at)
            chain.set_next_block_time(now)
            outcome = self._send(message)
            outcomes.append(outcome)
            on_sent(outcome)
        return outcomes

    def _send(self, message: Message) -> Outcome:
        transaction_hash = self._own(message) if message.own else self._batch(message)
        receipt = self._registry.chain.wait(transaction_hash)
        match self._registry.outcome(receipt):
            case Accepted(device=device, verdicts=verdicts):
                self._sequences[device] = self._sequences.get(device, 0) + len(verdicts)
                return Outcome(message, Rejection.NONE, verdicts, receipt.gas_used)
            case rejected:
                return Outcome(message, rejected.reason, np.zeros(0, dtype=np.uint8), receipt.gas_used)

    def _own(self, message: Message) -> bytes:
        key, readings = demo_key(message.device), message.measurements
        return self._registry.post(
            key,
            self._sequences.get(key.address, 0),
            int(readings.measured_at[0]),
            int(readings.temperature[0]),
            int(readings.humidity[0]),
        )

    def _batch(self, message: Message) -> bytes:
        key = demo_key(message.device)
        if message.attack is Attack.REPLAY and message.original is not None:
            batch, signature = self._sent[message.original]
        else:
            batch = encode(address(key.address), self._sequences.get(key.address, 0), message.measurements)
            signature = self._signature(message, key, batch)
            self._sent[message] = (batch, signature)
        sender = devnet_account(RELAYER if message.attack is None else ATTACKER)
        return self._registry.submit_batch(sender, batch, signature)

    def _signature(self, message: Message, key: LocalAccount, batch: Batch) -> bytes:
        signed = batch
        if message.attack is Attack.FORGED_SIGNATURE:
            key = devnet_account(ATTACKER)
        if message.attack is Attack.ALTERED and message.original is not None:
            # The device signed what it measured; the values were replaced after that.
            signed = encode(batch.header.device, batch.header.first_sequence, message.original.measurements)
        return Secp256k1Key(bytes(key.key)).sign(batch_digest(signed, self._separator))


@dataclass(frozen=True, slots=True)
class AttackCount:
    """How one kind of attack went.

    Attributes:
        attack: Which.
        messages: How many were sent.
        readings: How many readings they carried.
        caught: How many of the messages the contract recognised as what they were, so that no reading of them can
            reach a dataset.
    """

    attack: Attack
    messages: int
    readings: int
    caught: int


def count_attacks(outcomes: Sequence[Outcome]) -> list[AttackCount]:
    """Count each attack's messages, their readings, and how many were caught."""
    counts = []
    for attack in Attack:
        those = [outcome for outcome in outcomes if outcome.message.attack is attack]
        readings = sum(len(outcome.message.measurements) for outcome in those)
        counts.append(AttackCount(attack, len(those), readings, sum(outcome.caught for outcome in those)))
    return counts


@dataclass(frozen=True, slots=True)
class CleanCount:
    """How the clean readings went.

    Attributes:
        readings: How many were sent.
        legal: How many the contract judged legal.
        after_attack: How many it did not because the reading before was an injected jump or out of range.
        by_themselves: How many it did not because of themselves (real data has such).
    """

    readings: int
    legal: int
    after_attack: int
    by_themselves: int


def count_clean(outcomes: Sequence[Outcome]) -> CleanCount:
    """Count the clean readings that were accepted as legal, and why the others were not."""
    readings = legal = after_attack = 0
    before: dict[str, Attack | None] = {}
    for outcome in outcomes:
        message = outcome.message
        if message.attack is None:
            readings += len(message.measurements)
            legal += int((outcome.verdicts == 0).sum())
            shaken = before.get(message.device) in (Attack.JUMP, Attack.OUT_OF_RANGE)
            after_attack += int(shaken and len(outcome.verdicts) > 0 and outcome.verdicts[0] != 0)
        if outcome.rejection == Rejection.NONE:
            before[message.device] = message.attack
    return CleanCount(readings, legal, after_attack, readings - legal - after_attack)
