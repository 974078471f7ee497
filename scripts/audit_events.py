#!/usr/bin/env python3
"""An auditor's query of the registry's events: every device, its readings and verdicts, its head against storage.

    scripts/audit_events.py deployment.json [RPC-URL]        (default: http://127.0.0.1:8545)

Needs a node and nothing else: no index, no TensorFlow. Exits with 1 if a device's events do not give its storage slot,
or if the contract's verdicts are not the rules'.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, require_chain, verify_code
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.history import replay
from sensetrail.core.logs import gather
from sensetrail.core.rules import Verdict
from sensetrail.errors import SensetrailError, VerificationError


def main(deployment_file: Path, rpc: str) -> bool:
    """Print what the events say; give whether every device's head holds."""
    deployment = Deployment.parse(deployment_file.read_bytes())
    chain = Chain(rpc)
    require_chain(chain, deployment)
    verify_code(chain, deployment)
    newest = chain.latest_block()
    logs = chain.logs([deployment.sensor_registry], deployment.block_number, newest.number)
    times = {}
    for number in {log.block_number for log in logs}:
        block = chain.block(number)
        if block is None:
            raise VerificationError(f"the node has logs of block {number}, but no such block", "use another node")
        times[number] = block.timestamp
    history = replay(gather(logs, times), deployment.sensor_registry)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    all_hold = True
    for address, device in history.devices.items():
        verdicts: Counter[int] = Counter()
        runs = [run for run in history.runs if run.device == address]
        for run in runs:
            verdicts.update(run.verdicts.tolist())
        judged = all((run.verdicts == run.claimed).all() for run in runs)
        holds = device.state.pack() == registry.state_slot(address, newest.number)
        all_hold &= holds and judged
        said = ", ".join(f"{count} {Verdict(value).name}" for value, count in sorted(verdicts.items())) or "no readings"
        print(
            f"{address}: {said}; verdicts {'are' if judged else 'ARE NOT'} the rules'; "
            f"head {'equals' if holds else 'DIFFERS FROM'} storage"
        )
    for log, rejected in history.rejections:
        print(f"block {log.block_number}: rejected in the name of {rejected.device}: {rejected.reason.name}")
    return all_hold


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deployment_file", type=Path, help="a workspace's deployment.json")
    parser.add_argument("rpc", nargs="?", default="http://127.0.0.1:8545", help="URL of the node's JSON-RPC")
    try:
        sys.exit(0 if main(**vars(parser.parse_args())) else 1)
    except SensetrailError as error:
        sys.exit(f"{error.what}\n{error.to_do}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
