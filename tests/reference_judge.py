"""The judge once more: plain Python, one reading at a time, straight from rules J1 to J6.

It shares nothing with `sensetrail.core.rules` but the types, so that a mistake would have to be made twice.
"""

from __future__ import annotations

from dataclasses import replace

from sensetrail.core.rules import DeviceState, Profile

Reading = tuple[int, int, int]
"""measured_at (Unix s), temperature (0.01 degC), humidity (0.01 %RH)."""


def judge_one(reading: Reading, state: DeviceState, profile: Profile, block_time: int) -> tuple[int, DeviceState]:
    """Judge one reading, and give the state after it, its head unchanged."""
    measured_at, temperature, humidity = reading
    verdict = 0
    if measured_at <= state.last_time:  # J1
        verdict += 1
    # No chain of ours lives past 32 bits of time: what lies beyond is in the future.
    if measured_at > block_time + profile.future_tolerance or measured_at >= 2**32:  # J2
        verdict += 2
    if temperature < profile.temperature_min or temperature > profile.temperature_max:  # J3
        verdict += 4
    if humidity < profile.humidity_min or humidity > profile.humidity_max:  # J4
        verdict += 8
    if state.sequence > 0:
        if abs(temperature - state.temperature) > profile.temperature_step:  # J5
            verdict += 16
        if abs(humidity - state.humidity) > profile.humidity_step:  # J6
            verdict += 32
    last_time = measured_at if verdict % 4 == 0 else state.last_time
    after = replace(state, humidity=humidity, temperature=temperature, sequence=state.sequence + 1, last_time=last_time)
    return verdict, after


def judge_all(
    readings: list[Reading], state: DeviceState, profile: Profile, block_time: int
) -> tuple[list[int], DeviceState]:
    """Judge readings in order."""
    verdicts = []
    for reading in readings:
        verdict, state = judge_one(reading, state, profile, block_time)
        verdicts.append(verdict)
    return verdicts, state


def exceptions_of(verdicts: list[int]) -> bytes:
    """List what is not legal as the registry's event does: index (2 bytes), verdict (1)."""
    return b"".join(index.to_bytes(2, "big") + bytes([verdict]) for index, verdict in enumerate(verdicts) if verdict)
