#!/usr/bin/env python3
"""Write the test vectors that Python's and Solidity's tests share.

    tests/vectors/generate.py            write judge.json and merkle.json
    tests/vectors/generate.py --check    exit 1 if the committed ones differ from what would be written

Judge vectors come from the scalar reference judge, with header and data laid out here field by field; Merkle vectors
come from npm's @openzeppelin/merkle-tree (merkle.mjs).
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
sys.path.insert(0, str(FOLDER.parent))

from reference_judge import Reading, exceptions_of, judge_all  # noqa: E402
from sensetrail.core.rules import DeviceState, Profile  # noqa: E402

DEVICE_KEY = keccak(text="Sensetrail test vectors: a throw-away key, never a real device's")
DEVICE = bytes.fromhex(Account.from_key(DEVICE_KEY).address[2:])
OWN, TIMED, REGULAR, DELTA = 0, 1, 2, 3

NOW = 1_790_000_000
ROOM = Profile(0, 5000, 100, 500, 9800, 500, 60)
"""A room's rules."""
COLD = Profile(-4000, -1500, 50, 0, 10000, 1000, 0)
"""Negative temperatures only, no tolerance."""
POINT = Profile(2000, 2000, 0, 5000, 5000, 0, 5)
"""One legal value and no step at all."""
ANYTHING = Profile(-(2**15), 2**15 - 1, 2**16 - 1, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1)
"""Every value the format can hold, any step, any time."""
LANES = Profile(-4096, 12287, 2**14 - 1, 0, 2**14 - 1, 2**14 - 1, 60)
"""Every value and step that the contract's lanes of 14 bits can hold."""
BEYOND = Profile(-4097, 12288, 2**14, 0, 2**14, 2**14, 60)
"""One more each way: bounds that the lanes cannot hold."""
STEPS = [Profile(-4000, 12000, step, 0, 10000, 253 - step, 60) for step in (126, 127, 128)]
"""Steps around the largest change that a delta batch can say: 127 up, 128 down."""

LANE_EDGES_T = (-4097, -4096, 12287, 12288)
LANE_EDGES_H = (0, 2**14 - 1, 2**14, 2**16 - 1)

NEW = DeviceState(1)
HEAD = keccak(text="a head from before")[:20]
KNOWN = DeviceState(1, 5000, 2000, 7, NOW - 600, HEAD)
"""A device with seven readings behind it."""


@dataclass(frozen=True)
class Case:
    """A judge vector's input."""

    name: str
    profile: Profile
    state: DeviceState
    block_time: int
    start: int
    period: int
    format: int
    data: bytes


def timed(*readings: Reading) -> bytes:
    """Lay readings out as a timed batch's data: (seconds since the one before, temperature, humidity)."""
    return b"".join(struct.pack(">HhH", *reading) for reading in readings)


def regular(*values: tuple[int, int]) -> bytes:
    """Lay (temperature, humidity) out as a regular batch's data, or as the data of a device's own transaction."""
    return b"".join(struct.pack(">hH", *pair) for pair in values)


def delta(first: tuple[int, int], *changes: tuple[int, int]) -> bytes:
    """Lay a first (temperature, humidity) and what both change by from there out as a delta batch's data."""
    return struct.pack(">hH", *first) + b"".join(struct.pack(">bb", *pair) for pair in changes)


def chosen_cases() -> list[Case]:
    """Give one case for each thing that can go wrong, and each edge."""
    good = (2000, 5000)
    last = KNOWN.last_time
    top = replace(KNOWN, sequence=2**24 - 3)
    return [
        Case("own, first, legal", ROOM, NEW, NOW, NOW, 0, OWN, regular(good)),
        Case("own, first has no step", ROOM, NEW, NOW, NOW, 0, OWN, regular((4999, 9799))),
        Case("own, legal", ROOM, KNOWN, NOW, NOW, 0, OWN, regular(good)),
        Case("own, J1 same second", ROOM, KNOWN, NOW, last, 0, OWN, regular(good)),
        Case("own, J1 time zero on a new device", ROOM, NEW, NOW, 0, 0, OWN, regular(good)),
        Case("own, last second not in the future", ROOM, KNOWN, NOW, NOW + 60, 0, OWN, regular(good)),
        Case("own, J2 first second in the future", ROOM, KNOWN, NOW, NOW + 61, 0, OWN, regular(good)),
        Case("own, J2 at 32 bits", ROOM, KNOWN, NOW, 2**32 - 1, 0, OWN, regular(good)),
        Case("own, all but J2", POINT, KNOWN, NOW, 1, 0, OWN, regular((2001, 4999))),
        Case("own, J2 to J6", POINT, KNOWN, NOW, NOW + 6, 0, OWN, regular((-(2**15), 2**16 - 1))),
        Case("own, every value legal", ANYTHING, KNOWN, NOW, 2**32 - 1, 0, OWN, regular((-(2**15), 2**16 - 1))),
        Case("own, the largest step", ANYTHING, replace(KNOWN, temperature=2**15 - 1), NOW, NOW, 0, OWN,
             regular((-(2**15), 0))),
        Case("own, the last sequence number", ROOM, replace(KNOWN, sequence=2**24 - 2), NOW, NOW, 0, OWN,
             regular(good)),
        Case("timed, one reading at its start", ROOM, KNOWN, NOW, NOW, 0, TIMED, timed((0, *good))),
        Case("timed, J1 twice the same second", ROOM, KNOWN, NOW, NOW - 90, 0, TIMED,
             timed((0, *good), (0, *good), (30, *good))),
        Case("timed, start before the last time, then past it", ROOM, KNOWN, NOW, last - 60, 0, TIMED,
             timed((0, *good), (60, *good), (1, *good))),
        Case("timed, into the future: later ones do not come back", ROOM, KNOWN, NOW, NOW, 0, TIMED,
             timed((60, *good), (1, *good), (65535, *good))),
        Case("timed, beyond 32 bits", ANYTHING, KNOWN, NOW, 2**32 - 1, 0, TIMED, timed((0, *good), (1, *good))),
        Case("timed, a period that means nothing", ROOM, KNOWN, NOW, NOW - 90, 77, TIMED,
             timed((0, *good), (30, *good))),
        Case("timed, every range edge", ROOM, NEW, NOW, NOW - 300, 0, TIMED,
             timed((0, 0, 500), (30, -1, 499), (30, 5000, 9800), (30, 5001, 9801))),
        Case("timed, every step edge", ROOM, KNOWN, NOW, NOW - 300, 0, TIMED,
             timed((0, 2100, 5500), (30, 2000, 5000), (30, 1899, 4499), (30, 2000, 5000))),
        Case("timed, up to the last sequence number", ROOM, top, NOW, NOW - 90, 0, TIMED,
             timed((0, *good), (30, *good))),
        Case("regular, legal", ROOM, NEW, NOW, NOW - 90, 30, REGULAR, regular(good, (2010, 5010), (2020, 5020))),
        Case("regular, period 0 is one second for all", ROOM, KNOWN, NOW, NOW, 0, REGULAR, regular(good, good, good)),
        Case("regular, a jump costs itself and the next", ROOM, KNOWN, NOW, NOW - 90, 30, REGULAR,
             regular(good, (4000, 5000), good, good)),
        Case("regular, into the future", ROOM, KNOWN, NOW, NOW, 61, REGULAR, regular(good, good, good)),
        Case("regular, beyond 32 bits", ANYTHING, KNOWN, NOW, 2**32 - 1, 65535, REGULAR, regular(good, good)),
        Case("regular, below zero", COLD, replace(KNOWN, temperature=-2000), NOW, NOW - 90, 30, REGULAR,
             regular((-1951, 5000), (-2000, 5000), (-1500, 5000), (-1499, 5000), (-4000, 0), (-4001, 10001))),
        Case("regular, everything legal at every edge", ANYTHING, NEW, NOW, 1, 1, REGULAR,
             regular((-(2**15), 0), (2**15 - 1, 2**16 - 1), (-(2**15), 0))),
        Case("regular, the longest list of exceptions", POINT, KNOWN, NOW, 0, 0, REGULAR,
             regular(*[(2001 + i % 2, 4999 - i % 2) for i in range(300)])),
    ]  # fmt: skip


def word_cases() -> list[Case]:
    """Give regular and timed batches around the ends of words of eight and of five, with and without exceptions."""
    cases = []
    for n in (7, 8, 9, 15, 16, 17, 24, 25):
        good = [(2000 + 10 * (i % 7), 5000 - 10 * (i % 5)) for i in range(n)]
        bad = [(4000, 9900), *good[1:-1], (1000, 100)]
        cases += [
            Case(f"regular, {n} legal", ROOM, KNOWN, NOW, NOW - 90, 3, REGULAR, regular(*good)),
            Case(f"regular, {n}, first and last not", ROOM, KNOWN, NOW, NOW - 90, 3, REGULAR, regular(*bad)),
        ]
    for n in (4, 5, 6, 9, 10, 11, 15, 16):
        good = [(2000 + 10 * (i % 7), 5000 - 10 * (i % 5)) for i in range(n)]
        bad = [(4000, 9900), *good[1:-1], (1000, 100)]
        for name, values in (("legal", good), ("first and last not", bad)):
            data = timed(*((i % 3 + 1, *pair) for i, pair in enumerate(values)))
            cases.append(Case(f"timed, {n}, {name}", ROOM, KNOWN, NOW, NOW - 90, 0, TIMED, data))
        data = timed(*((0, *pair) for pair in good))
        cases.append(Case(f"timed, {n} in one second", ROOM, KNOWN, NOW, NOW - 90, 0, TIMED, data))
    return cases


def lane_cases() -> list[Case]:
    """Give values, gaps and states just inside and just outside the lanes' 14 bits."""
    good = (2000, 5000)
    around = [(t, 5000) for t in LANE_EDGES_T] + [(2000, h) for h in LANE_EDGES_H]
    cases = []
    for name, profile in (("lanes", LANES), ("beyond", BEYOND)):
        for t, h in [*around, (-4097, 2**14), (12288, 0), (-(2**15), 2**16 - 1)]:
            state = replace(KNOWN, temperature=t, humidity=h)
            what = f"{name}, {t}, {h}"
            middle = [good] * 9 + [(t, h)] + [good] * 9
            known, stored = (profile, KNOWN, NOW, NOW - 90), (profile, state, NOW, NOW - 90)
            cases += [
                Case(f"regular, {what} inside", *known, 1, REGULAR, regular(*middle)),
                Case(f"timed, {what} inside", *known, 0, TIMED, timed(*((1, *pair) for pair in middle))),
                Case(f"regular, {what} last", *known, 1, REGULAR, regular(good, (t, h))),
                Case(f"timed, {what} last", *known, 0, TIMED, timed((0, *good), (1, t, h))),
                Case(f"regular, {what} stored", *stored, 1, REGULAR, regular(*[good] * 10)),
                Case(f"timed, {what} stored", *stored, 0, TIMED, timed(*[(9, *good)] * 6)),
                Case(f"delta, {what} stored", *stored, 1, DELTA, delta(good, (1, 1))),
                Case(f"delta, {what} first", *known, 1, DELTA, delta((t, h), *[(1, -1)] * 2, *[(-1, 1)] * 15)),
            ]
    for gap in (0, 1, 2**14 - 1, 2**14, 2**16 - 1):
        start = NOW - 6 * 2**16
        for name, gaps in (("first", [gap, 1, 1]), ("sixth", [1] * 5 + [gap]), ("every", [gap] * 6)):
            data = timed(*((each, *good) for each in gaps))
            old = replace(KNOWN, last_time=start - 1)
            same = replace(KNOWN, last_time=start)
            cases += [
                Case(f"timed, {name} gap {gap}", ROOM, old, NOW, start, 0, TIMED, data),
                Case(f"timed, {name} gap {gap}, from the last time", ROOM, same, NOW, start, 0, TIMED, data),
                Case(f"timed, {name} gap {gap}, to the future", ROOM, KNOWN, NOW, NOW + 60, 0, TIMED, data),
            ]
    return cases


def delta_cases() -> list[Case]:
    """Give the delta format's own edges."""
    good, start = (2000, 5000), NOW - 90
    out_t = [(127, 1)] * 20 + [(-127, -1)] * 20
    cases = []
    for n in (1, 2, 16, 17, 18, 33):
        for name, last in (("legal", (1, -1)), ("last too far", (127, 1)), ("last too dry", (-1, -101))):
            data = delta(good, *([(3, -3), (-2, 2)] * n)[: n - 1])[: 2 * n] + struct.pack(">bb", *last)
            data = delta(good if name == "legal" else (1899, 499)) if n == 1 else data
            profile = replace(ROOM, humidity_step=100)
            cases.append(Case(f"delta, {n}, {name}", profile, KNOWN, NOW, start, 1, DELTA, data))
    for profile in STEPS:
        name = f"delta, steps up to {profile.temperature_step} and {profile.humidity_step}"
        for change in (-128, -127, -126, 126, 127):
            data = delta(good, (change, -change - 1), (-change - 1, change), *[(change, 0)] * 15)
            cases.append(Case(f"{name}: {change}", profile, KNOWN, NOW, start, 1, DELTA, data))
    for n in (2, 17, 33):
        up, down = [(1, 1)] * (n - 1), [(-1, -1)] * (n - 1)
        for profile in (ANYTHING, replace(ANYTHING, temperature_step=2**16 - 2, humidity_step=2**16 - 2), LANES):
            name = f"delta, {n}, steps up to {profile.temperature_step}"
            edges = [
                ("up over 16 bits", (2**15 - 1, 2**16 - 1), up),
                ("down over 16 bits", (-(2**15), 0), down),
                ("over 16 bits and back", (2**15 - 1, 0), [*up, *[(-1, -1)] * n]),
                ("humidity below 0 and back", (2000, 0), [*down, *[(1, 1)] * n]),
                ("out of the lanes above and back", (12287, 2**14 - 1), [*up, *[(-1, -1)] * n]),
                ("out of the lanes below and back", (-4096, 1), [*down, *[(1, 1)] * n]),
            ]
            cases += [
                Case(f"{name}, {what}", profile, KNOWN, NOW, start, 1, DELTA, delta(first, *changes))
                for what, first, changes in edges
            ]
    state = replace(KNOWN, temperature=12287, humidity=2**14 - 1)
    cases += [
        Case("delta, far out of the lanes and back", LANES, KNOWN, NOW, start, 1, DELTA, delta((12000, 9), *out_t)),
        Case("delta, a new device, no step to the first", POINT, NEW, NOW, start, 1, DELTA, delta(good, (0, 0))),
        Case("delta, a new device, out of the lanes", ROOM, NEW, NOW, start, 1, DELTA, delta((-5000, 2**15), (1, 1))),
        Case("delta, a new device, one reading", ROOM, NEW, NOW, start, 0, DELTA, delta((4999, 9799))),
        Case("delta, from the lanes' edge", LANES, state, NOW, start, 1, DELTA, delta((-4096, 0), (-1, -1))),
        Case("delta, every flag of the first", POINT, KNOWN, NOW, 0, 0, DELTA, delta((1999, 5001))),
        Case("delta, period 0 is one second for all", ROOM, KNOWN, NOW, NOW, 0, DELTA, delta(good, (1, 1), (1, 1))),
        Case("delta, J1 at the start", ROOM, KNOWN, NOW, KNOWN.last_time, 1, DELTA, delta(good, *[(1, 1)] * 17)),
        Case("delta, into the future", ROOM, KNOWN, NOW, NOW, 6, DELTA, delta(good, *[(1, -1)] * 17)),
        Case("delta, to the last second", ROOM, KNOWN, NOW, NOW, 10, DELTA, delta(good, *[(1, -1)] * 6)),
        Case("delta, beyond 32 bits", ANYTHING, KNOWN, NOW, 2**32 - 1, 65535, DELTA, delta(good, (1, 1))),
        Case("delta, every reading illegal", POINT, KNOWN, NOW, 0, 0, DELTA, delta((0, 0), *[(127, -128)] * 300)),
    ]
    return cases


def random_cases(count: int) -> list[Case]:
    """Give cases of mostly illegal readings around every boundary, from a fixed seed."""
    source = random.Random(20)  # noqa: S311
    cases = []
    for number in range(count):
        profile = source.choice([ROOM, COLD, POINT, LANES, BEYOND, ANYTHING])
        edges_t = [clip_t(edge + d) for edge in (profile.temperature_min, profile.temperature_max) for d in (-1, 0, 1)]
        edges_h = [clip_h(edge + d) for edge in (profile.humidity_min, profile.humidity_max) for d in (-1, 0, 1)]
        if number % 5 == 0:
            edges_t, edges_h = [*edges_t, *LANE_EDGES_T], [*edges_h, *LANE_EDGES_H]
        state = replace(
            KNOWN,
            temperature=source.choice(edges_t),
            humidity=source.choice(edges_h),
            sequence=source.choice([0, 1, 1000]),
        )
        n = source.choice([source.randint(1, 12), source.randint(13, 40)])
        values = [(source.choice(edges_t), source.choice(edges_h)) for _ in range(n)]
        start = source.choice([NOW, NOW + min(profile.future_tolerance, 600), state.last_time, state.last_time - 5])
        kind = (TIMED, REGULAR, DELTA)[number % 3]
        period = 0 if kind == TIMED else source.choice([0, 1, 30, 600])
        if kind == TIMED:
            data = timed(*((source.choice([0, 1, 5, 60, 600]), *value) for value in values))
        elif kind == REGULAR:
            data = regular(*values)
        else:
            small = (-128, -127, -1, 0, 0, 0, 1, 127)
            data = delta(values[0], *((source.choice(small), source.choice(small)) for _ in values[1:]))
        cases.append(Case(f"random {number}", profile, state, NOW, start, period, kind, data))
    return cases


def clip_t(temperature: int) -> int:
    """Bring a temperature into 16 bits."""
    return max(-(2**15), min(temperature, 2**15 - 1))


def clip_h(humidity: int) -> int:
    """Bring a humidity into 16 bits."""
    return max(0, min(humidity, 2**16 - 1))


def readings_of(case: Case) -> list[Reading]:
    """Read a case's data, one reading after the other."""
    if case.format == DELTA:
        values = [struct.unpack(">hH", case.data[:4])]
        for warmer, wetter in struct.iter_unpack(">bb", case.data[4:]):
            temperature, humidity = values[-1]
            # Both wrap at 16 bits.
            values.append(((temperature + warmer + 2**15) % 2**16 - 2**15, (humidity + wetter) % 2**16))
        return [(case.start + case.period * index, *pair) for index, pair in enumerate(values)]
    if case.format == TIMED:
        readings, measured_at = [], case.start
        for gap, temperature, humidity in struct.iter_unpack(">HhH", case.data):
            measured_at += gap
            readings.append((measured_at, temperature, humidity))
        return readings
    pairs = struct.iter_unpack(">hH", case.data)
    return [(case.start + case.period * index, *pair) for index, pair in enumerate(pairs)]


def judge_vector(case: Case) -> dict[str, Any]:
    """Judge a case, and write it down with what is expected."""
    readings = readings_of(case)
    verdicts, after = judge_all(readings, case.state, case.profile, case.block_time)
    header = DEVICE + struct.pack(">IH", case.start, case.period) + case.state.sequence.to_bytes(3, "big")
    header += struct.pack(">HB", len(readings), case.format)
    after = replace(after, head=keccak(case.state.head + header + keccak(case.data))[:20])
    return {
        "name": case.name,
        "profile": asdict(case.profile),
        "before": slot(case.state),
        "block_time": case.block_time,
        "header": "0x" + header.hex(),
        "data": "0x" + case.data.hex(),
        "verdicts": verdicts,
        "exceptions": "0x" + exceptions_of(verdicts).hex(),
        "after": slot(after),
    }


def slot(state: DeviceState) -> dict[str, Any]:
    """Write a state down: its fields, and the storage slot that holds them."""
    word = state.head + struct.pack(">I", state.last_time) + state.sequence.to_bytes(3, "big")
    word += struct.pack(">hHB", state.temperature, state.humidity, state.profile)
    return {**asdict(state), "head": "0x" + state.head.hex(), "slot": "0x" + word.hex()}


def files() -> dict[str, str]:
    """Give each vector file's name and text."""
    cases = chosen_cases() + word_cases() + lane_cases() + delta_cases() + random_cases(90)
    vectors = [judge_vector(case) for case in cases]
    # One vector a line: Solidity's test reads the file line by line.
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    judge = f'{{"device_key": "0x{DEVICE_KEY.hex()}", "count": {len(vectors)}, "vectors": [\n{lines}\n]}}\n'
    node = ROOT / ".venv" / "bin" / "node"
    merkle = subprocess.run([node, FOLDER / "merkle.mjs"], check=True, capture_output=True, text=True).stdout
    return {"judge.json": judge, "merkle.json": merkle}


def main() -> int:
    """Write the files, or check them."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, text in files().items():
        path = FOLDER / name
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201
    if stale:
        print(f"stale: {', '.join(stale)}; run tests/vectors/generate.py", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
