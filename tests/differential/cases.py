"""Random batches, bent to where judges go wrong: edges of profiles, of lanes, of words and of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from sensetrail.core.batch import MAX_SEQUENCE, Batch, Format, Header
from sensetrail.core.primitives import Address
from sensetrail.core.rules import INDOOR, DeviceState, Profile

LAST_TIME = 2**32 - 1
"""The last second that a state or a header can name."""
PROFILE_COUNT = 120
WORD = {Format.TIMED: 5, Format.REGULAR: 8, Format.DELTA: 16}
"""How many readings the lane judge takes at once."""
EDGE_STEPS = (0, 1, 126, 127, 128, 129, 255, 256, 16382, 16383, 16384, 32768, 65534, 65535)
EDGE_GAPS = (0, 0, 1, 1, 2, 60, 16382, 16383, 16384, 32768, 65535)
TOLERANCES = (0, 1, 60, 60, 3600, 65535, 2**31, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """A measured quantity: what 16 bits hold of it, what a lane does, and values at the edges of both."""

    least: int
    most: int
    lane_least: int
    lane_most: int
    edges: tuple[int, ...]


TEMPERATURE = Scale(
    -32768,
    32767,
    -4096,
    12287,
    (-32768, -32767, -4098, -4097, -4096, -4095, -1, 0, 1, 12286, 12287, 12288, 12289, 32766, 32767),
)
HUMIDITY = Scale(0, 65535, 0, 16383, (0, 1, 2, 16382, 16383, 16384, 16385, 65534, 65535))


@dataclass(frozen=True, slots=True)
class Bounds:
    """A profile's rules for one quantity."""

    least: int
    most: int
    step: int


@dataclass(frozen=True, slots=True)
class Mood:
    """How a batch's values are chosen.

    Attributes:
        illegal: How often a value is picked to be illegal.
        fits: Whether all values fit a lane.
        small: Whether they change by a byte at most: a delta batch's.
    """

    illegal: float
    fits: bool
    small: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A batch, and all that judging it depends on.

    Attributes:
        device: Whose.
        kind: Its format.
        start: Unix seconds.
        period: Seconds.
        data: The readings.
        state: The device's state before; its profile's number is that on the bench's registry.
        profile: The rules behind that number.
        block_time: Of the block that judges it, Unix seconds.
    """

    device: Address
    kind: Format
    start: int
    period: int
    data: bytes
    state: DeviceState
    profile: Profile
    block_time: int

    @property
    def count(self) -> int:
        """How many readings."""
        match self.kind:
            case Format.TIMED:
                return len(self.data) // 6
            case Format.DELTA:
                return len(self.data) // 2 - 1
            case _:
                return len(self.data) // 4

    @property
    def batch(self) -> Batch:
        """The batch as it travels."""
        header = Header(self.device, self.start, self.period, self.state.sequence, self.count, self.kind)
        return Batch(header, self.data)

    def __str__(self) -> str:
        return "\n".join(
            (
                f"  {self.kind.name.lower()}, {self.count} readings, start {self.start}, period {self.period}",
                f"  header      {self.batch.header.pack():#066x}",
                f"  data        0x{self.data.hex()}",
                f"  slot before 0x{self.state.pack().hex()}",
                f"              {self.state}",
                f"  profile     {self.profile}",
                f"  block time  {self.block_time} = {self.block_time:#x}",
            )
        )


def bounds_of(profile: Profile) -> tuple[Bounds, Bounds]:
    """Give a profile's rules for temperature and for humidity."""
    return (
        Bounds(profile.temperature_min, profile.temperature_max, profile.temperature_step),
        Bounds(profile.humidity_min, profile.humidity_max, profile.humidity_step),
    )


def profiles(random: Random) -> list[Profile]:
    """Give profiles: a room's, the widest, the narrowest, the lanes' own and one beyond, and random ones at edges."""
    chosen = [
        INDOOR,
        Profile(-32768, 32767, 65535, 0, 65535, 65535, 2**32 - 1),
        Profile(-32768, 32767, 0, 0, 65535, 0, 0),
        Profile(0, 0, 0, 0, 0, 0, 0),
        Profile(-4096, 12287, 16383, 0, 16383, 16383, 60),
        Profile(-4097, 12288, 16384, 0, 16384, 16384, 60),
        Profile(-4095, 12286, 16382, 1, 16382, 16382, 60),
        Profile(12288, 32767, 200, 16384, 65535, 200, 60),
        Profile(-32768, -4097, 200, 0, 0, 200, 60),
        Profile(-32768, -32768, 127, 65535, 65535, 128, 0),
    ]
    while len(chosen) < PROFILE_COUNT:
        temperature, humidity = (_bounds(random, scale) for scale in (TEMPERATURE, HUMIDITY))
        chosen.append(
            Profile(
                *(temperature.least, temperature.most, temperature.step),
                *(humidity.least, humidity.most, humidity.step),
                random.choice(TOLERANCES),
            )
        )
    return chosen


def _bounds(random: Random, scale: Scale) -> Bounds:
    # Half as a real sensor has them, so that whole words are legal.
    choice = random.random()
    if choice < 0.5:
        least = random.randint(scale.lane_least, scale.lane_most - 2000)
        most = random.randint(least + 1000, scale.lane_most)
        return Bounds(least, most, random.choice((20, 100, 126, 127, 128, 129, 255, 500, 16383)))
    if choice < 0.7:
        # Both sides of where lanes end: legal values in and out of them.
        edge = random.choice((scale.lane_least, scale.lane_most))
        least, most = max(edge - random.randint(1, 400), scale.least), edge + random.randint(1, 400)
        return Bounds(least, most, random.choice((1, 20, 100, 128, 500)))
    least, most = sorted(random.choice((*scale.edges, random.randint(scale.least, scale.most))) for _ in range(2))
    return Bounds(least, most, random.choice((*EDGE_STEPS, random.randrange(1000))))


def make_case(
    random: Random, rules: Sequence[Profile], device: Address, state: DeviceState | None, block_time: int
) -> Case:
    """Make a batch.

    Args:
        random: Where chance comes from.
        rules: The profiles, from number 1.
        device: Whose it is to be.
        state: The state that it continues; None to choose one.
        block_time: Of the block that will judge it, Unix seconds.
    """
    kind = random.choice((Format.TIMED, Format.REGULAR, Format.DELTA))
    count = _count(random, WORD[kind])
    if state is not None and state.sequence + count > MAX_SEQUENCE:
        state = None
    number = (
        state.profile if state else random.choice((1, 5, random.randint(1, 10), *[random.randint(1, len(rules))] * 3))
    )
    profile = rules[number - 1]
    latest = min(block_time + profile.future_tolerance, LAST_TIME)
    period, gaps = _gaps(random, kind, count)
    start, last_time = _times(random, gaps, latest, state.last_time if state else None)
    mood = Mood(random.choice((0, 0.02, 0.2, 0.7, 1, 1, 1, 1)), random.random() < 0.6, kind is Format.DELTA)
    if state is None:
        state = _state(random, number, profile, count, last_time)
    data = _data(random, kind, gaps, profile, state, mood)
    return Case(device, kind, start, period, data, state, profile, block_time)


def _count(random: Random, word: int) -> int:
    choice = random.random()
    if choice < 0.05:
        return random.randint(41, 300)
    if choice < 0.2:
        return random.randint(1, 40)
    near = random.choice((word, word, 5, 8, 16)) * random.randint(0, 5) + random.choice((-1, 0, 0, 1, 1, 2))
    return min(max(near, 1), 50)


def _gaps(random: Random, kind: Format, count: int) -> tuple[int, list[int]]:
    """Give the header's period, and the seconds from the start to the first reading and from each to the next."""
    if kind is not Format.TIMED:
        period = random.choice((0, *[1, 30, 60] * 3, 16384, 65535, random.randrange(2**16)))
        return period, [0] + [period] * (count - 1)
    # A timed batch's period means nothing.
    period = random.choice((0, 0, 1, 65535))
    few = random.choice(((60,), (1,), (0, 1, 60), (1, 2, 16383), (16383,), (0,), EDGE_GAPS, range(2**16)))
    gaps = [random.choice(few) for _ in range(count)]
    gaps[0] = random.choice((0, 0, gaps[0], random.choice(EDGE_GAPS)))
    if random.random() < 0.3:
        gaps[random.randrange(count)] = random.choice(EDGE_GAPS)
    return period, gaps


def _times(random: Random, gaps: list[int], latest: int, last_time: int | None) -> tuple[int, int]:
    """Give a start, and the latest time accepted before it, which may be given."""
    passed = list(accumulate(gaps))
    near = random.choice((-1, 0, 1))
    choice = random.random()
    if choice < 0.75 and last_time is None:
        start = latest - passed[-1] - random.choice((0, 0, 1, random.randrange(1000)))
    elif choice < 0.75 and last_time is not None:
        start = last_time - passed[0] + random.choice((0, 1, 1, 1, 1, 2, random.randrange(1000)))
    elif choice < 0.83:
        start = latest - random.choice(passed) + near
    elif choice < 0.89:
        start = LAST_TIME - random.choice(passed) + near
    elif choice < 0.96:
        start = latest - passed[-1] + random.choice((1, 2, 70_000))
    else:
        start = random.choice((0, 1, random.randrange(2**32)))
    start = min(max(start, 0), LAST_TIME)
    if last_time is None:
        first = start + passed[0]
        last_time = random.choice(
            (
                0,
                *[first - 1] * 12,
                first - random.randint(1, 100_000),
                first,
                first + 1,
                start + random.choice(passed) + near,
            )
        )
        if random.random() < 0.05:
            last_time = random.choice((LAST_TIME, LAST_TIME - 1, random.randrange(2**32)))
    return start, min(max(last_time, 0), LAST_TIME)


def _state(random: Random, number: int, profile: Profile, count: int, last_time: int) -> DeviceState:
    """Give a state: one in four of a new device, some of which hold what no new device does."""
    if random.random() < 0.2:
        return DeviceState(number)
    sequence = random.choice((0, 1, random.randrange(MAX_SEQUENCE - count), MAX_SEQUENCE - count, 7, 7, 7, 7))
    mood = Mood(random.choice((0, 0, 1)), random.random() < 0.5, small=False)
    temperature, humidity = (
        _pick(random, scale, bounds, random.choice((bounds.least, bounds.most, 0)), mood)
        for scale, bounds in zip((TEMPERATURE, HUMIDITY), bounds_of(profile), strict=True)
    )
    return DeviceState(number, humidity, temperature, sequence, last_time, random.randbytes(20))


def _data(random: Random, kind: Format, gaps: list[int], profile: Profile, state: DeviceState, mood: Mood) -> bytes:
    scales = list(zip((TEMPERATURE, HUMIDITY), bounds_of(profile), strict=True))
    before = [state.temperature, state.humidity]
    data, left, current = bytearray(), 0, mood
    for index, gap in enumerate(gaps):
        if left == 0:
            # Stretches of words that are all legal, or not, beginning anywhere.
            left = random.choice((1, WORD[kind], 2 * WORD[kind], 3 * WORD[kind], 40))
            illegal = random.choice((mood.illegal, mood.illegal, mood.illegal, 0))
            current = Mood(illegal, mood.fits or random.random() < 0.5, mood.small)
        left -= 1
        if kind is Format.DELTA and index == 0:
            first = Mood(mood.illegal, mood.fits, small=False)
            before = [_pick(random, *of, value, first) for of, value in zip(scales, before, strict=True)]
        elif kind is Format.DELTA:
            after = [_pick(random, *of, value, current) for of, value in zip(scales, before, strict=True)]
            changes = [min(max(new - old, -128), 127) for new, old in zip(after, before, strict=True)]
            data += bytes(change & 0xFF for change in changes)
            # Values wrap at 16 bits.
            temperature, before[1] = before[0] + changes[0] & 0xFFFF, before[1] + changes[1] & 0xFFFF
            before[0] = (temperature ^ 0x8000) - 0x8000
            continue
        else:
            before = [_pick(random, *of, value, current) for of, value in zip(scales, before, strict=True)]
        if kind is Format.TIMED:
            data += gap.to_bytes(2, "big")
        data += (before[0] & 0xFFFF).to_bytes(2, "big") + before[1].to_bytes(2, "big")
    return bytes(data)


def _pick(random: Random, scale: Scale, bounds: Bounds, before: int, mood: Mood) -> int:
    """Give the value after `before`."""
    if random.random() >= mood.illegal:
        low, high = max(bounds.least, before - bounds.step), min(bounds.most, before + bounds.step)
        if mood.small:
            low, high = max(low, before - 128), min(high, before + 127)
        if low > high:
            low, high = bounds.least, bounds.most
        value = random.choice((low, high, random.randint(low, high), min(max(before, low), high)))
    else:
        value = random.choice(
            (
                bounds.least + random.choice((-1, 0, 1)),
                bounds.most + random.choice((-1, 0, 1)),
                before + (bounds.step + random.choice((0, 1))) * random.choice((-1, 1)),
                before + random.choice((-129, -128, -127, 126, 127, 128)),
                before + random.choice((-65535, 65535)) if mood.small else random.choice(scale.edges),
                random.choice(scale.edges),
                random.randint(scale.lane_least, scale.lane_most),
                random.randint(scale.least, scale.most),
            )
        )
        if mood.small:
            # A delta batch's values may leave 16 bits: they wrap.
            return value
    low, high = (scale.lane_least, scale.lane_most) if mood.fits else (scale.least, scale.most)
    return min(max(value, low), high)
