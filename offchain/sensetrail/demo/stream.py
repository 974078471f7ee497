"""The demo's stream: what the sensors send, and what the attackers send among it, in the order of time.

Attacks with a device's own key (a faulty or taken-over sensor) are readings between the clean ones. Attacks from
outside are batches of false readings: of an unknown device, with a forged signature, of a revoked device, altered on
the way; and replays of genuine batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.batch import MAX_GAP
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR
from sensetrail.errors import InputError
from sensetrail.sensor.room import false_measurements

BATCH = 60
"""Readings a genuine batch, where no attack cuts it short."""
OWN_LIMIT = 2000
"""The first device sends its own transactions if it has at most this many readings; all others send batches."""
FALSE_BATCH = 20
FALSE_BATCHES = 5
"""Of each attack from outside: so many batches of so many false readings."""
ALTERED_BATCHES = 2
"""Genuine batches whose values are replaced on the way; the genuine ones arrive all the same."""
REPLAYS = 5
REPLAY_DELAY = 900
"""Seconds."""
SINGLES = 6
"""Of each attack with a device's own key."""
MIN_GAP = 10
"""Seconds: a reading is slipped in only between two that are at least this far apart."""


class Attack(StrEnum):
    """The attacks, named as the report names them."""

    UNKNOWN_DEVICE = "unknown device"
    FORGED_SIGNATURE = "forged signature"
    REPLAY = "replay"
    REVOKED_DEVICE = "revoked device"
    ALTERED = "altered on the way"
    OUT_OF_RANGE = "out of range"
    JUMP = "jump"
    BACK_DATED = "back-dated"
    FUTURE_DATED = "future-dated"


OUTSIDE = (Attack.UNKNOWN_DEVICE, Attack.FORGED_SIGNATURE, Attack.REVOKED_DEVICE)
WITH_KEY = (Attack.OUT_OF_RANGE, Attack.JUMP, Attack.BACK_DATED, Attack.FUTURE_DATED)


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One transaction's worth of readings.

    Attributes:
        sent_at: Unix seconds: the chain's clock when it arrives.
        device: The name of the device it claims to come from.
        measurements: Its readings.
        own: Whether it is the device's own transaction (one reading), not a batch.
        attack: What it is, None for a clean one.
        original: For a replay, the message that it repeats; for an altered one, the message whose signature it bears.
    """

    sent_at: int
    device: str
    measurements: Measurements
    own: bool = False
    attack: Attack | None = None
    original: Message | None = None


def build_stream(sensors: Mapping[str, Measurements], seed: int) -> list[Message]:
    """Put the sensors' readings and the attacks into one stream.

    Args:
        sensors: At least two devices' clean measurements, in order of time.
        seed: Of the attacks' places and values.

    Returns:
        Messages by the time they are sent.

    Raises:
        InputError: Fewer than two devices, or a device with too few readings to hide attacks among.
    """
    if len(sensors) < 2:
        raise InputError("the experiments need two devices or more", "give readings of at least two devices")
    generator = np.random.default_rng(seed)
    genuine: list[Message] = []
    for position, (name, clean) in enumerate(sorted(sensors.items())):
        own = position == 0 and len(clean) <= OWN_LIMIT
        genuine += _device_messages(name, clean, own, generator)
    batches = sorted((m for m in genuine if not m.own and m.attack is None), key=lambda m: m.sent_at)
    everyone = _joined(sensors)
    attacks = [
        *_false_batches(everyone, batches, generator, seed),
        *_altered(everyone, batches, generator, seed),
        *_replays(batches, generator),
    ]
    # The sort is stable: an altered message goes before its original, which is sent in the same second.
    return sorted([*attacks, *genuine], key=lambda message: message.sent_at)


def _device_messages(name: str, clean: Measurements, own: bool, generator: np.random.Generator) -> Iterator[Message]:
    attacks = _slipped_in(name, clean, generator)
    starts = sorted({0, *range(0, len(clean), 1 if own else BATCH), *attacks})
    for start, end in zip(starts, [*starts[1:], len(clean)], strict=True):
        if start in attacks:
            attack, reading = attacks[start]
            now = int(clean.measured_at[start - 1]) + 1
            yield Message(now, name, reading, own, attack)
        part = clean[start:end]
        yield Message(int(part.measured_at[-1]), name, part, own)


def _slipped_in(
    name: str, clean: Measurements, generator: np.random.Generator
) -> dict[int, tuple[Attack, Measurements]]:
    """Give attacks with the device's key: before which clean reading, and what."""
    gaps = np.diff(clean.measured_at)
    # Not in the first hour or so, so that there is a past to back-date into; not side by side.
    places = 1 + np.flatnonzero((gaps >= MIN_GAP) & (gaps <= MAX_GAP))
    places = places[places > len(clean) // 6][::2]
    wanted = SINGLES * len(WITH_KEY)
    if len(places) < wanted:
        raise InputError(f"device {name} has too few readings to hide {wanted} attacks among", "give a longer file")
    chosen = generator.choice(places, wanted, replace=False)
    return {
        int(place): (attack, _attack_reading(attack, clean, int(place)))
        for place, attack in zip(chosen, WITH_KEY * SINGLES, strict=True)
    }


def _attack_reading(attack: Attack, clean: Measurements, place: int) -> Measurements:
    before = place - 1
    measured_at = int(clean.measured_at[before]) + 1
    temperature, humidity = int(clean.temperature[before]), int(clean.humidity[before])
    match attack:
        case Attack.OUT_OF_RANGE:
            temperature = 85_00
        case Attack.JUMP:
            temperature += 6_00 if temperature < 40_00 else -6_00
            humidity += -20_00 if humidity > 40_00 else 20_00
        case Attack.BACK_DATED:
            measured_at = int(clean.measured_at[before]) - 600
        case Attack.FUTURE_DATED:
            measured_at += 7200
        case _:
            raise AssertionError(attack)
    return Measurements.of(measured_at, temperature, humidity)


def _false_batches(
    everyone: Measurements, batches: list[Message], generator: np.random.Generator, seed: int
) -> Iterator[Message]:
    times = np.linspace(everyone.measured_at.min(), everyone.measured_at.max(), FALSE_BATCHES + 2)[1:-1].astype(int)
    names = {Attack.UNKNOWN_DEVICE: "stranger", Attack.REVOKED_DEVICE: "revoked sensor"}
    for number, attack in enumerate(OUTSIDE):
        for sent_at in times.tolist():
            values = _false_values(everyone, FALSE_BATCH, seed + 1000 * number + sent_at)
            measured_at = sent_at - 30 * np.arange(FALSE_BATCH, dtype=np.int64)[::-1]
            victim = batches[int(generator.integers(len(batches)))].device
            name = names.get(attack, victim)
            yield Message(sent_at, name, Measurements(measured_at, *values), attack=attack)


def _altered(
    everyone: Measurements, batches: list[Message], generator: np.random.Generator, seed: int
) -> Iterator[Message]:
    for place in generator.choice(len(batches), min(ALTERED_BATCHES, len(batches)), replace=False).tolist():
        original = batches[place]
        times = original.measurements.measured_at
        false = Measurements(times, *_false_values(everyone, len(times), seed + 5000 + place))
        yield Message(original.sent_at, original.device, false, attack=Attack.ALTERED, original=original)


def _replays(batches: list[Message], generator: np.random.Generator) -> Iterator[Message]:
    early = batches[: max(1, len(batches) * 3 // 4)]
    for place in generator.choice(len(early), min(REPLAYS, len(early)), replace=False).tolist():
        original = early[place]
        yield Message(
            original.sent_at + REPLAY_DELAY,
            original.device,
            original.measurements,
            attack=Attack.REPLAY,
            original=original,
        )


def _false_values(everyone: Measurements, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """False readings that every rule of the profile allows: too dry, where the room is at its usual temperatures."""
    temperature, humidity = false_measurements(count, seed)
    low, high = np.quantile(everyone.temperature, (0.05, 0.95))
    if not low < temperature.min() <= temperature.max() < high:
        # Another room than the simulated one: the same lie about the middle of its temperatures.
        generator = np.random.default_rng(seed)
        middle = np.quantile(everyone.temperature, (0.4, 0.6))
        temperature = np.rint(generator.uniform(float(middle[0]), float(middle[1]), count)).astype(np.int64)
        too_dry = float(np.median(everyone.humidity)) - generator.uniform(15_00, 22_00, count)
        humidity = np.rint(np.maximum(too_dry, INDOOR.humidity_min + 50)).astype(np.int64)
    return temperature, humidity


def _joined(sensors: Mapping[str, Measurements]) -> Measurements:
    parts = list(sensors.values())
    return Measurements(
        np.concatenate([part.measured_at for part in parts]),
        np.concatenate([part.temperature for part in parts]),
        np.concatenate([part.humidity for part in parts]),
    )
