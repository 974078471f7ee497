"""Where the demo's readings come from, and under which rules they are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensetrail.core.reading import Measurements
from sensetrail.core.rules import INDOOR, DeviceState, Profile, judge
from sensetrail.demo.stream import Attack
from sensetrail.errors import InputError

ATTACKERS = {Attack.UNKNOWN_DEVICE: "stranger", Attack.REVOKED_DEVICE: "revoked sensor"}
"""What the devices are called that only attackers have."""
FEWEST_READINGS = 100
"""Fewer show nothing: neither attacks among them nor what a model learns."""
MOST_READINGS = 40_000
"""More make the experiments slow, and show no more."""
COMMON = 0.005
"""The share of readings at either end that fitted rules leave out."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Where the readings come from.

    Attributes:
        name: For the report.
        sensors: Each device's clean measurements.
        simulated: Whether nothing of it was ever measured.
        profile: The rules that its devices are judged by.
        notes: What else is to be said of it.
    """

    name: str
    sensors: Mapping[str, Measurements]
    simulated: bool
    profile: Profile = INDOOR
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, sensors: Mapping[str, Measurements], notes: Sequence[str] = ()) -> Room:
        """Make a room of real readings: at most `MOST_READINGS`, under rules that suit them.

        Args:
            name: For the report.
            sensors: Each device's measurements, in order of time.
            notes: What was understood of them, for the report.

        Raises:
            InputError: There are too few.
        """
        total = sum(map(len, sensors.values()))
        if total < FEWEST_READINGS:
            raise InputError(
                f"{name} has {total} readings: too few to hide attacks among, or to learn from",
                f"give at least {FEWEST_READINGS}, better {10 * FEWEST_READINGS}",
            )
        said = list(notes)
        if total > MOST_READINGS:
            sensors = _first(sensors, MOST_READINGS)
            kept = sum(map(len, sensors.values()))
            said.append(f"The file has {total} readings; the demo takes the first {kept}.")
        profile = _profile_for(sensors)
        if profile is not INDOOR:
            said.append(
                "Most of these readings break the rules for a room, so the profile is fitted to them: "
                f"{profile.temperature_min / 100:.0f} to {profile.temperature_max / 100:.0f} degC in steps of at most "
                f"{profile.temperature_step / 100:.2f}, {profile.humidity_min / 100:.0f} to "
                f"{profile.humidity_max / 100:.0f} %RH in steps of at most {profile.humidity_step / 100:.2f}."
            )
        return cls(name, sensors, False, profile, tuple(said))

    @property
    def attackers(self) -> dict[Attack, str]:
        """The names of the unknown and of the revoked device: no sensor of the room has one of them."""
        taken = set(self.sensors)
        names = {}
        for attack, name in ATTACKERS.items():
            while name in taken:
                name += "'"
            names[attack] = name
        return names

    @property
    def start(self) -> int:
        """The first reading's time, Unix seconds."""
        return min(int(measurements.measured_at[0]) for measurements in self.sensors.values())


def _first(sensors: Mapping[str, Measurements], count: int) -> dict[str, Measurements]:
    """Give the first readings of all sensors together, about so many; a sensor that has none among them is left out."""
    times = np.sort(np.concatenate([readings.measured_at for readings in sensors.values()]))
    end = int(times[count])
    parts = {name: readings[readings.measured_at < end] for name, readings in sensors.items()}
    return {name: part for name, part in parts.items() if len(part)}


def _profile_for(sensors: Mapping[str, Measurements]) -> Profile:
    """Give the rules for a room, or rules fitted to the readings where a room's make most of them illegal."""
    verdicts = [judge(clean, DeviceState(1), INDOOR, clean.measured_at)[0] for clean in sensors.values()]
    if 2 * sum(int((each == 0).sum()) for each in verdicts) >= sum(map(len, verdicts)):
        return INDOOR
    temperature, humidity = (
        np.concatenate([getattr(clean, name) for clean in sensors.values()]) for name in ("temperature", "humidity")
    )
    steps = [
        np.concatenate([np.abs(np.diff(getattr(clean, name))) for clean in sensors.values()])
        for name in ("temperature", "humidity")
    ]
    usual = (COMMON, 1 - COMMON)
    coldest, warmest = (np.quantile(temperature, share) for share in usual)
    driest, dampest = (np.quantile(humidity, share) for share in usual)
    step, damp_step = (max(1, np.quantile(each, 1 - COMMON)) for each in steps)
    return replace(
        INDOOR,
        temperature_min=100 * math.floor(coldest / 100),
        temperature_max=100 * math.ceil(warmest / 100),
        temperature_step=max(INDOOR.temperature_step, math.ceil(step)),
        humidity_min=100 * math.floor(driest / 100),
        humidity_max=100 * math.ceil(dampest / 100),
        humidity_step=max(INDOOR.humidity_step, math.ceil(damp_step)),
    )
