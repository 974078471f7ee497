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
OWN, TIMED, REGULAR = 0, 1, 2

NOW = 1_790_000_000
ROOM = Profile(0, 5000, 100, 500, 9800, 500, 60)
"""A room's rules."""
COLD = Profile(-4000, -1500, 50, 0, 10000, 1000, 0)
"""Negative temperatures only, no tolerance."""
POINT = Profile(2000, 2000, 0, 5000, 5000, 0, 5)
"""One legal value and no step at all."""
ANYTHING = Profile(-(2**15), 2**15 - 1, 2**16 - 1, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1)
"""Every value the format can hold, any step, any time."""

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


def random_cases(count: int) -> list[Case]:
    """Give cases of mostly illegal readings around every boundary, from a fixed seed."""
    source = random.Random(20)  # noqa: S311
    cases = []
    for number in range(count):
        profile = source.choice([ROOM, COLD, POINT])
        edges_t = [profile.temperature_min + d for d in (-1, 0, 1)] + [profile.temperature_max + d for d in (-1, 0, 1)]
        edges_h = [max(0, profile.humidity_min + d) for d in (-1, 0, 1)]
        edges_h += [profile.humidity_max + d for d in (-1, 0, 1)]
        state = replace(
            KNOWN,
            temperature=source.choice(edges_t),
            humidity=source.choice(edges_h),
            sequence=source.choice([0, 1, 1000]),
        )
        values = [(source.choice(edges_t), source.choice(edges_h)) for _ in range(source.randint(1, 12))]
        start = source.choice([NOW, NOW + profile.future_tolerance, state.last_time, state.last_time - 5])
        if number % 2:
            data = timed(*((source.choice([0, 1, 5, 60, 600]), *value) for value in values))
        else:
            data = regular(*values)
        kind = TIMED if number % 2 else REGULAR
        period = 0 if number % 2 else source.choice([0, 1, 30, 600])
        cases.append(Case(f"random {number}", profile, state, NOW, start, period, kind, data))
    return cases


def judge_vector(case: Case) -> dict[str, Any]:
    """Judge a case, and write it down with what is expected."""
    width = 6 if case.format == TIMED else 4
    count = len(case.data) // width
    readings, measured_at = [], case.start
    for index in range(count):
        fields = case.data[width * index : width * (index + 1)]
        temperature, humidity = struct.unpack(">hH", fields[-4:])
        measured_at += int.from_bytes(fields[:-4], "big")
        readings.append((measured_at, temperature, humidity))
        measured_at += case.period if case.format == REGULAR else 0
    verdicts, after = judge_all(readings, case.state, case.profile, case.block_time)
    header = DEVICE + struct.pack(">IH", case.start, case.period) + case.state.sequence.to_bytes(3, "big")
    header += struct.pack(">HB", count, case.format)
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
    vectors = [judge_vector(case) for case in chosen_cases() + random_cases(40)]
    judge = {"device_key": "0x" + DEVICE_KEY.hex(), "count": len(vectors), "vectors": vectors}
    node = ROOT / ".venv" / "bin" / "node"
    merkle = subprocess.run([node, FOLDER / "merkle.mjs"], check=True, capture_output=True, text=True).stdout
    return {"judge.json": json.dumps(judge, indent=1) + "\n", "merkle.json": merkle}


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
