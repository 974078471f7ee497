"""What the Python judges say of a case, and which ways the lane judge should have gone through it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from differential.cases import HUMIDITY, TEMPERATURE, WORD, Case
from reference_judge import Reading, exceptions_of, judge_all
from sensetrail.core.batch import Format, decode
from sensetrail.core.primitives import keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState, judge

LONGEST_LANE_GAP = 0x3FFF


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one judge says.

    Attributes:
        exceptions: As in the registry's event.
        slot: The device's storage slot after; None where it was not seen, as another batch of the device followed.
        trouble: What it did instead of judging.
    """

    exceptions: bytes
    slot: bytes | None
    trouble: str = ""

    def agrees(self, other: Outcome) -> bool:
        """Tell whether two judges say the same, as far as both were heard."""
        same_slot = self.slot == other.slot or self.slot is None or other.slot is None
        return self.exceptions == other.exceptions and same_slot and not self.trouble and not other.trouble

    def __str__(self) -> str:
        slot = "not seen" if self.slot is None else f"0x{self.slot.hex()}"
        return self.trouble or f"exceptions 0x{self.exceptions.hex()}, slot after {slot}"


def twin(case: Case) -> tuple[Outcome, DeviceState]:
    """Judge by `sensetrail.core`; give the state after as well."""
    verdicts, state = judge(decode(case.batch), case.state, case.profile, case.block_time)
    state = replace(state, head=case.batch.commit(state.head))
    index = np.flatnonzero(verdicts)
    exceptions = np.column_stack([index >> 8, index & 0xFF, verdicts[index]]).astype(np.uint8).tobytes()
    return Outcome(exceptions, state.pack()), state


def reference(case: Case) -> Outcome:
    """Judge by `reference_judge`."""
    verdicts, state = judge_all(readings(case), case.state, case.profile, case.block_time)
    return Outcome(exceptions_of(verdicts), replace(state, head=head_after(case)).pack())


def head_after(case: Case) -> bytes:
    """Give the head after a case, 20 bytes."""
    header = case.batch.header.pack().to_bytes(32, "big")
    return keccak256(case.state.head + header + keccak256(case.data))[:20]


def readings(case: Case) -> list[Reading]:
    """Read a case's data byte by byte, without `sensetrail.core`'s decoder."""
    data, clock = case.data, case.start
    found: list[Reading] = []
    temperature = humidity = 0
    for index in range(case.count):
        if case.kind is Format.DELTA and index > 0:
            change = data[2 * index + 2 : 2 * index + 4]
            temperature += change[0] - 256 if change[0] > 127 else change[0]
            humidity = (humidity + change[1] - (256 if change[1] > 127 else 0)) % 2**16
        else:
            width = 6 if case.kind is Format.TIMED else 4
            values = data[index * width : (index + 1) * width][-4:]
            temperature, humidity = int.from_bytes(values[:2], "big"), int.from_bytes(values[2:], "big")
        temperature = (temperature + 2**15) % 2**16 - 2**15
        if case.kind is Format.TIMED:
            clock += int.from_bytes(data[6 * index : 6 * index + 2], "big")
        elif index > 0:
            clock += case.period
        found.append((clock, temperature, humidity))
    return found


def paths(case: Case, exceptions: bytes) -> Counter[str]:
    """Estimate how the lane judge went through a case: how many words, or whole batches, went which way."""
    name = case.kind.name.lower()
    measurements = decode(case.batch)
    latest = min(case.block_time + case.profile.future_tolerance, 2**32 - 1)
    times = measurements.measured_at
    if times[0] <= case.state.last_time or (case.kind is not Format.TIMED and case.count > 1 and case.period == 0):
        return Counter({f"{name}: batches reading by reading": 1})
    if times[-1] > latest:
        way = (
            "batches begun by words, then reading by reading"
            if case.kind is Format.TIMED
            else "batches reading by reading"
        )
        return Counter({f"{name}: {way}": 1})
    listed = np.zeros(case.count, dtype=np.bool_)
    listed[[int.from_bytes(exceptions[at : at + 2], "big") for at in range(0, len(exceptions), 3)]] = True
    return Counter(f"{name}: {way}" for way in _words(case, measurements, listed))


def _words(case: Case, measurements: Measurements, listed: NDArray[np.bool_]) -> list[str]:
    spilt = _spilt(measurements.temperature, measurements.humidity)
    if case.kind is Format.TIMED:
        spilt |= np.diff(measurements.measured_at, prepend=case.start) > LONGEST_LANE_GAP
    state = case.state
    before = state.sequence > 0 and bool(_spilt(np.array([state.temperature]), np.array([state.humidity]))[0])
    ways, begin = [], 0
    while begin < case.count:
        alone = case.kind is Format.DELTA and begin == 0
        end = min(begin + (1 if alone else WORD[case.kind]), case.count)
        part = "first reading" if alone else "words" if end - begin == WORD[case.kind] else "part words"
        if before or spilt[begin:end].any():
            ways.append(f"{part} reading by reading")
        else:
            ways.append(f"{part} listed" if listed[begin:end].any() else f"{part} all legal")
        if ways[-2:] == ["words all legal"] * 2:
            ways.insert(-1, "words all legal after another")
        # A gap too long for a lane is no reason to mistrust the values behind it.
        before = bool(_spilt(measurements.temperature[end - 1 : end], measurements.humidity[end - 1 : end])[0])
        begin = end
    return ways


def _spilt(temperature: NDArray[np.int64], humidity: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which readings no lanes hold."""
    cold, hot = temperature < TEMPERATURE.lane_least, temperature > TEMPERATURE.lane_most
    found: NDArray[np.bool_] = cold | hot | (humidity > HUMIDITY.lane_most)
    return found
