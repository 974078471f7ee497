#!/usr/bin/env python3
"""Let four judges judge random batches, and exit 1 where they differ: `make fuzz`.

    scripts/fuzz_judge.py [--batches 20000] [--seed N] [--artifact FILE]

The registry on a real Anvil (a transaction each batch, a real signature), the plain judge in Solidity, the Python twin
and the plain Python reference must agree on every verdict, on the head and on the device's whole storage slot. Where
they do not, the smallest batch found on which they differ is printed with all that it takes to judge it again.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from differential.fuzz import DifferenceError, Fuzz, Tally


def main(batches: int, seed: int | None, artifact: Path | None) -> int:
    """Run; give the exit code."""
    seed = secrets.randbelow(10**9) if seed is None else seed
    print(f"seed {seed}", file=sys.stderr)
    fuzz = Fuzz(batches, seed, artifact)
    begin = time.monotonic()

    def progress(tally: Tally) -> None:
        print(f"\r{time.monotonic() - begin:5.0f} s  {tally}", end="", file=sys.stderr, flush=True)

    code = 0
    try:
        fuzz.run(progress)
    except DifferenceError as error:
        print(f"\n{error}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    print(file=sys.stderr)
    for path, count in sorted(fuzz.tally.paths.items()):
        print(f"{count:8}  {path}")
    print(f"{fuzz.tally}, seed {seed}")
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20_000, help="how many, at least")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--artifact", type=Path, help="an artifact of SensorRegistry to judge by, such as a mutant's")
    sys.exit(main(**vars(parser.parse_args())))
