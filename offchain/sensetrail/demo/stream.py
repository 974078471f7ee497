"""The demo's stream: what the sensors send, and what the attackers send among it, in the order of time.

Attacks with a device's own key (a faulty or taken-over sensor) are readings between the clean ones. Attacks from
outside are batches of false readings: of an unknown device, with a forged signature, of a revoked device, altered on
the way; and replays of genuine batches. Their number goes with the readings: few readings hide few attacks, and what
cannot be hidden at all is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.batch import MAX_GAP
from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, Measurements
from sensetrail.core.rules import Profile
from sensetrail.sensor.room import false_measurements

BATCH = 60
"""Readings a genuine batch, where no attack cuts it short."""
OWN_LIMIT = 2000
"""The first device sends its own transactions if it has at most this many readings; all others send batches."""
FALSE_BATCH = 20
FALSE_BATCHES = 5
"""Of each attack from outside: so many batches of so many false readings, at most."""
CLEAN_A_FALSE = 80
"""A false batch has at most one reading for so many clean ones."""
ALTERED_BATCHES = 2
"""Genuine batches whose values are replaced on the way; the genuine ones arrive all the same."""
REPLAYS = 5
REPLAY_DELAY = 900
"""Seconds."""
SINGLES = 6
"""Of each attack with a device's own key, at most."""
CLEAN_A_SINGLE = 35
"""One reading in so many may be such an attack."""
MIN_GAP = 2
"""Seconds: a reading is slipped in only between two that are at least this far apart: one has to fit between."""


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


@dataclass(frozen=True, slots=True)
class Stream:
    """What is sent.

    Attributes:
        messages: By the time they are sent.
        missing: What could not be hidden among the readings, a sentence each.
    """

    messages: Sequence[Message]
    missing: Sequence[str] = field(default=())


def build_stream(
    sensors: Mapping[str, Measurements], profile: Profile, attackers: Mapping[Attack, str], seed: int
) -> Stream:
    """Put the sensors' readings and the attacks into one stream.

    Args:
        sensors: The devices' clean measurements, in order of time.
        profile: The rules that the attackers know.
        attackers: The names of the unknown and of the revoked device.
        seed: Of the attacks' places and values.

    Returns:
        The messages, and what could not be hidden among them.
    """
    generator = np.random.default_rng(seed)
    genuine: list[Message] = []
    missing = []
    for position, (name, clean) in enumerate(sorted(sensors.items())):
        attacks = _slipped_in(clean, profile, generator)
        if len(attacks) < SINGLES * len(WITH_KEY):
            missing.append(
                f"device {name}: {len(attacks)} of {SINGLES * len(WITH_KEY)} attacks with its own key: its "
                f"{len(clean)} readings hide no more"
            )
        # One alone sends batches: most attacks are on those.
        own = position == 0 and len(sensors) > 1 and len(clean) <= OWN_LIMIT
        genuine += _device_messages(name, clean, own, attacks)
    batches = sorted((m for m in genuine if not m.own and m.attack is None), key=lambda m: m.sent_at)
    everyone = Measurements.concatenate(list(sensors.values()))
    lies = _Lies(everyone, profile, seed)
    attacks_from_outside = [
        *_false_batches(lies, batches, attackers, generator),
        *_altered(lies, batches, generator),
        *_replays(batches, generator),
    ]
    # The sort is stable: an altered message goes before its original, which is sent in the same second.
    messages = sorted([*attacks_from_outside, *genuine], key=lambda message: message.sent_at)
    sent = {message.attack for message in messages}
    missing += [f"{attack}: not one could be hidden" for attack in Attack if attack not in sent]
    return Stream(messages, missing)


def _device_messages(
    name: str, clean: Measurements, own: bool, attacks: Mapping[int, tuple[Attack, Measurements]]
) -> Iterator[Message]:
    # A batch holds no gap above MAX_GAP: behind one, the next begins.
    gaps = 1 + np.flatnonzero(np.diff(clean.measured_at) > MAX_GAP)
    starts = sorted({0, *range(0, len(clean), 1 if own else BATCH), *attacks, *gaps.tolist()})
    for start, end in zip(starts, [*starts[1:], len(clean)], strict=True):
        if start in attacks:
            attack, reading = attacks[start]
            now = int(clean.measured_at[start - 1]) + 1
            yield Message(now, name, reading, own, attack)
        part = clean[start:end]
        yield Message(int(part.measured_at[-1]), name, part, own)


def _slipped_in(
    clean: Measurements, profile: Profile, generator: np.random.Generator
) -> dict[int, tuple[Attack, Measurements]]:
    """Give attacks with the device's key: before which clean reading, and what."""
    gaps = np.diff(clean.measured_at)
    # Not in the first hour or so, so that there is a past to back-date into; not side by side.
    places = 1 + np.flatnonzero((gaps >= MIN_GAP) & (gaps <= MAX_GAP))
    places = places[places > len(clean) // 6][::2]
    count = min(SINGLES * len(WITH_KEY), len(places), len(clean) // CLEAN_A_SINGLE)
    kinds = (WITH_KEY * SINGLES)[:count]
    chosen = generator.choice(places, count, replace=False).tolist() if count else []
    return {
        place: (attack, _attack_reading(attack, clean, place, profile))
        for place, attack in zip(chosen, kinds, strict=True)
    }


def _attack_reading(attack: Attack, clean: Measurements, place: int, profile: Profile) -> Measurements:
    before = place - 1
    measured_at = int(clean.measured_at[before]) + 1
    temperature, humidity = int(clean.temperature[before]), int(clean.humidity[before])
    match attack:
        case Attack.OUT_OF_RANGE:
            temperature = profile.temperature_max + 35_00
            if temperature > TEMPERATURE_LIMITS[1]:
                temperature = max(profile.temperature_min - 35_00, TEMPERATURE_LIMITS[0])
        case Attack.JUMP:
            step, bound = profile.temperature_step + 5_00, profile.temperature_max - 10_00
            temperature = _jumped(temperature, step, bound, TEMPERATURE_LIMITS)
            humidity = _jumped(humidity, profile.humidity_step + 15_00, 40_00, HUMIDITY_LIMITS)
        case Attack.BACK_DATED:
            measured_at = max(0, int(clean.measured_at[before]) - 600)
        case Attack.FUTURE_DATED:
            # Far enough even where the chain's clock runs ahead: each message takes it a second at least.
            measured_at += 7200 + len(clean)
        case _:
            raise AssertionError(attack)
    return Measurements.of(measured_at, temperature, humidity)


def _jumped(value: int, step: int, bound: int, limits: tuple[int, int]) -> int:
    """Move a value by a step towards where there is room: up below the bound, down above it, never past a limit."""
    moved = value + step if value < bound else value - step
    return min(max(moved if limits[0] <= moved else value + step, limits[0]), limits[1])


@dataclass(frozen=True, slots=True)
class _Lies:
    """What the attackers claim, known to pass the rules: too dry, where the room is at its usual temperatures."""

    everyone: Measurements
    profile: Profile
    seed: int

    @property
    def batch(self) -> int:
        """Readings of a false batch."""
        return min(FALSE_BATCH, max(1, len(self.everyone) // CLEAN_A_FALSE))

    def values(self, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Make up temperatures, 0.01 degC, and humidities, 0.01 %RH, shape `(count,)` each."""
        everyone = self.everyone
        temperature, humidity = false_measurements(count, self.seed + seed)
        low, high = np.quantile(everyone.temperature, (0.05, 0.95))
        if not low < temperature.min() <= temperature.max() < high:
            # Another room than the simulated one: the same lie about the middle of its temperatures.
            generator = np.random.default_rng(self.seed + seed)
            middle = np.quantile(everyone.temperature, (0.4, 0.6))
            temperature = np.rint(generator.uniform(float(middle[0]), float(middle[1]), count)).astype(np.int64)
            too_dry = float(np.median(everyone.humidity)) - generator.uniform(15_00, 22_00, count)
            humidity = np.rint(np.maximum(too_dry, self.profile.humidity_min + 50)).astype(np.int64)
        return temperature, humidity


def _false_batches(
    lies: _Lies, batches: list[Message], attackers: Mapping[Attack, str], generator: np.random.Generator
) -> Iterator[Message]:
    everyone, size = lies.everyone, lies.batch
    times = np.linspace(everyone.measured_at.min(), everyone.measured_at.max(), FALSE_BATCHES + 2)[1:-1].astype(int)
    for number, attack in enumerate(OUTSIDE):
        for sent_at in times.tolist():
            values = lies.values(size, 1000 * number + sent_at)
            measured_at = sent_at - 30 * np.arange(size, dtype=np.int64)[::-1]
            victim = batches[int(generator.integers(len(batches)))].device
            name = attackers.get(attack, victim)
            yield Message(sent_at, name, Measurements(measured_at, *values), attack=attack)


def _altered(lies: _Lies, batches: list[Message], generator: np.random.Generator) -> Iterator[Message]:
    for place in generator.choice(len(batches), min(ALTERED_BATCHES, len(batches)), replace=False).tolist():
        original = batches[place]
        times = original.measurements.measured_at
        false = Measurements(times, *lies.values(len(times), 5000 + place))
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
