#!/usr/bin/env python3
"""Measure on Anvil how fast a registry's events are read, beside what others do with them.

    scripts/bench_index.py [--chains S,M,R] [--cases web3py,fetch] [--runs 3]
    scripts/bench_index.py --chains S --keep    leave the chain's node running, and say where

The chains: `bench.chains`. The cases: `bench.ours` (proofs, trust-node) and `bench.peers`. Each is a process of its
own; all take their turns, `--runs` times, and the median counts. A rate is that of the work inside, for Python's start
is not the indexer's; CPU time and memory are the whole process's.

Writes build/bench/index.json; where not all chains and cases were asked for, index-part.json beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import ours, peers
from bench.chains import PLANS, Built, Node, build, running_node

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "bench" / "index.json"
PART = RESULTS.with_name("index-part.json")
SCRIPTS = ROOT / "scripts" / "bench"
OURS = str(SCRIPTS / "ours.py")
PEERS = str(SCRIPTS / "peers.py")
CRYO_PYTHON = str(ROOT / ".venv" / "bench" / "bin" / "python")
CASES: dict[str, list[str]] = {
    "proofs": [sys.executable, OURS, "proofs"],
    "trust-node": [sys.executable, OURS, "trust-node"],
    "web3py": [sys.executable, PEERS, "web3py"],
    "cryo": [CRYO_PYTHON, PEERS, "cryo"],
    "cryo-raw": [CRYO_PYTHON, PEERS, "cryo-raw"],
    "fetch": [sys.executable, PEERS, "fetch"],
    "fetch-2": [sys.executable, PEERS, "fetch-2"],
}
"""Each case's command; the paths of `chain.json` (see `bench.chains.Built`) and of an empty folder are added to it.

It prints {"seconds": of the work, "count": of the chain's events, on R of readings}. What cannot count its own work
prints {"seconds": , "bytes": of answers}, or leaves what it made in the folder: a store, or Parquet.
"""
NOTES = {
    "proofs": "every event proven and stored verbatim, verdicts and heads recomputed, heads proven against storage",
    "trust-node": "logs stored verbatim on the node's word; what is derived of them is made when it is asked for",
    "cryo": "decoded events in Parquet",
    "cryo-raw": "logs as they come in Parquet",
    "web3py": "decoded events in SQLite",
    "fetch": "logs read over one connection and thrown away: what the node can give",
}
"""What each case leaves."""
DEFAULT_CASES = [case for case in CASES if case != "fetch-2"]
CASE_TIMEOUT = 900


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a case took.

    Attributes:
        per_second: Events, on R readings.
        cpu_s: Seconds of user and system time, of the process and its children.
        rss_mb: Peak resident memory of the process, or of its largest child.
        node_cpu_s: What the node used meanwhile.
    """

    per_second: float
    cpu_s: float
    rss_mb: float
    node_cpu_s: float


def main() -> None:
    """Build each chain, run the cases on it, print, write."""
    options = parse_options()
    results: list[dict[str, str | float | None]] = []
    for name in options.chains:
        with running_node(keep=options.keep) as node:
            started = time.monotonic()
            built = build(name, node, RESULTS.parent / name)
            took = f"{time.monotonic() - started:.0f} s; Anvil has {node.memory():.0f} MB"
            print(f"{name}: {built.events} events, {built.readings} readings, built in {took}", flush=True)
            medians = measure(built, node, options.cases, options.runs)
            results += report(built, medians)
            if options.keep:
                print(f"{name}: node {built.url} (process {built.pid}), {built.deployment}, {chain_file(built)}")
    for case in options.cases:
        if case in NOTES:
            print(f"{case:<12}{NOTES[case]}")
    is_whole = set(options.chains) == set(PLANS) and set(options.cases) == set(DEFAULT_CASES)
    path = RESULTS if is_whole else PART
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")


def parse_options() -> argparse.Namespace:
    """Read the command line."""

    def some_of(known: list[str]) -> Callable[[str], list[str]]:
        def split(text: str) -> list[str]:
            if unknown := set(text.split(",")) - set(known):
                raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(known)}")
            return text.split(",")

        return split

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chains", type=some_of(list(PLANS)), default=list(PLANS))
    parser.add_argument("--cases", type=some_of(list(CASES)), default=DEFAULT_CASES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="leave the nodes running")
    return parser.parse_args()


def measure(built: Built, node: Node, cases: list[str], runs: int) -> dict[str, Run]:
    """Run cases in turn; give each one's medians."""
    # Counts what `fetch` throws away, and is the first to ask the node.
    answers = peers.count_answers(asdict(built))
    done: dict[str, list[Run]] = {case: [] for case in cases}
    for turn in range(runs):
        for case in cases:
            run = run_case(case, built, node, answers)
            done[case].append(run)
            print(f"{built.chain}: {case}, run {turn + 1}: {run.per_second:,.0f}/s", file=sys.stderr, flush=True)
    fields = ("per_second", "cpu_s", "rss_mb", "node_cpu_s")
    return {
        case: Run(*(statistics.median(getattr(run, field) for run in found) for field in fields))
        for case, found in done.items()
    }


def run_case(case: str, built: Built, node: Node, answers: dict[str, int]) -> Run:
    """Run a case once.

    Raises:
        AssertionError: It did not see the whole chain.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        output.mkdir()
        took = Path(folder, "took.json")
        measured = [sys.executable, "-S", str(SCRIPTS / "measure.py"), str(took)]
        before = node.cpu_seconds()
        said = subprocess.run(
            [*measured, *CASES[case], str(chain_file(built)), str(output)],
            stdout=subprocess.PIPE,
            check=True,
            timeout=CASE_TIMEOUT,
        )
        node_cpu = node.cpu_seconds() - before
        result = json.loads(said.stdout.splitlines()[-1])
        count = result.get("count")
        if "bytes" in result:
            count = answers["count"] if result["bytes"] == answers["bytes"] else 0
        elif count is None:
            count_made = peers.count_parquet if CASES[case][1] == PEERS else ours.count_stored
            count = count_made(asdict(built), output)
        expected = built.readings if built.chain == "R" else built.events
        if not count == expected == answers["count"]:
            raise AssertionError(f"{case} on {built.chain}: {count} counted of {expected}")
        used = json.loads(took.read_text())
    return Run(expected / result["seconds"], used["cpu_s"], used["rss_mb"], node_cpu)


def report(built: Built, medians: dict[str, Run]) -> list[dict[str, str | float | None]]:
    """Print a chain's table, and give its lines of the results file."""
    fetch = medians.get("fetch")
    unit = "readings/s" if built.chain == "R" else "events/s"
    print(f"{built.chain:<12}{unit:>14}{'x fetch':>10}{'CPU s':>9}{'MB':>8}{'node CPU s':>12}")
    lines: list[dict[str, str | float | None]] = []
    for case, run in medians.items():
        ratio = run.per_second / fetch.per_second if fetch else None
        shown = "" if ratio is None else f"{ratio:.3f}"
        print(
            f"{case:<12}{run.per_second:>14,.0f}{shown:>10}{run.cpu_s:>9.2f}{run.rss_mb:>8.0f}{run.node_cpu_s:>12.2f}"
        )
        taken = {"per_second": run.per_second, "cpu_s": run.cpu_s, "rss_mb": run.rss_mb}
        lines.append({"chain": built.chain, "case": case, **taken, "ratio_to_fetch": ratio})
    print(flush=True)
    return lines


def chain_file(built: Built) -> Path:
    """Give the path of what the cases' processes are told of a chain."""
    return Path(built.deployment).with_name("chain.json")


if __name__ == "__main__":
    main()
