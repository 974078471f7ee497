#!/usr/bin/env python3
"""Measure on Anvil what a reading costs in the registry, and in the Ethereum Attestation Service beside it.

    scripts/bench_gas.py               print the figures, and write build/bench/gas.json
    scripts/bench_gas.py --snapshot    write tests/bench/gas_snapshot.json, which the tests hold the contracts against

Gas per reading: gas used by the receipt over the readings in it. Floor: the least that a transaction with the same call
data uses (EIP-7623).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from eth_account import Account

from bench import eas, registry
from bench.figure import Figure
from bench.readings import quiet_room
from sensetrail.chain.client import TRANSACTION_GAS_CAP
from sensetrail.chain.devnet import devnet_account, running_devnet
from sensetrail.core.batch import Format
from sensetrail.core.primitives import keccak256
from sensetrail.core.signature import P256Key

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "bench" / "gas.json"
SNAPSHOT = ROOT / "tests" / "bench" / "gas_snapshot.json"
CHAIN_START = 1_767_225_600
START = CHAIN_START + 86_400
EAS_SIZES = (1, 10, 60, 71, 120)
"""71: the most attestations that one transaction of 2^24 gas holds."""


def main() -> None:
    """Measure, print, write."""
    with running_devnet(timestamp=CHAIN_START) as chain:
        figures = registry.measure(chain, START)
    if sys.argv[1:] == ["--snapshot"]:
        SNAPSHOT.write_text(json.dumps(snapshot_of(figures), indent=1) + "\n")
        print(f"wrote {SNAPSHOT.relative_to(ROOT)}")
        return
    print("measured the registry; measuring the Ethereum Attestation Service", file=sys.stderr)
    with running_devnet(timestamp=CHAIN_START) as chain:
        device = Account.from_key(keccak256(b"bench device for EAS"))
        figures += eas.measure(chain, devnet_account(0), device, quiet_room(120, START), EAS_SIZES)
    with running_devnet(timestamp=CHAIN_START, hardfork="prague") as chain:
        bench = registry.Bench(chain, START)
        readings = quiet_room(registry.BATCH, START)
        figures.append(bench.batch("regular-p256-solidity", Format.REGULAR, readings, P256Key))
    print_figures(figures)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    print(f"\nwrote {RESULTS.relative_to(ROOT)}")


def snapshot_of(figures: list[Figure]) -> dict[str, int]:
    """Give each case's gas for the whole transaction."""
    return {f"{figure.case} {figure.n}": round(figure.gas_per_reading * figure.n) for figure in figures}


def print_figures(figures: list[Figure]) -> None:
    """Print a table, and what the figures say of each other."""
    print(f"{'case':<32}{'n':>6}{'gas a reading':>15}{'x floor':>9}")
    for figure in figures:
        fits = "" if figure.fits else f"   does not fit a transaction of {TRANSACTION_GAS_CAP} gas"
        print(f"{figure.case:<32}{figure.n:>6}{figure.gas_per_reading:>15.2f}{figure.floor_ratio:>9.3f}{fits}")
    cost = {(figure.case, figure.n): figure.gas_per_reading for figure in figures}
    print()
    for kind in ("timed", "regular", "delta"):
        added = cost[f"{kind}-illegal", registry.ILLEGAL_AT] - cost[kind, registry.ILLEGAL_AT]
        print(f"5 % illegal readings add {added:.2f} gas a reading ({kind}, {registry.ILLEGAL_AT})")
    for way in ("regular-p256", "regular-p256-solidity"):
        added = (cost[way, registry.BATCH] - cost["regular", registry.BATCH]) * registry.BATCH
        chain = "with" if way == "regular-p256" else "without"
        print(f"a P-256 key adds {added:.0f} gas a batch on a chain {chain} EIP-7951's precompile")
    attested = cost["eas-multi-attest", registry.BATCH]
    for kind in ("regular", "delta"):
        times = attested / cost[kind, registry.BATCH]
        print(f"EAS multiAttest costs {times:.0f} times as much as a {kind} batch ({registry.BATCH} readings)")


if __name__ == "__main__":
    main()
