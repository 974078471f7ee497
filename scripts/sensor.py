#!/usr/bin/env python3
"""A sensor: registers a throw-away key on a devnet and submits readings by its own transactions.

    scripts/sensor.py deployment.json [COUNT] [RPC-URL]        (default: 10 readings, http://127.0.0.1:8545)

The readings are simulated. A real sensor does the same with a key of its own: make it with `sensetrail device new`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eth_account import Account

from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, require_chain
from sensetrail.chain.devnet import devnet_account
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.events import Accepted
from sensetrail.core.primitives import address
from sensetrail.core.rules import Verdict
from sensetrail.errors import SensetrailError
from sensetrail.sensor.room import simulate


def main(deployment_file: Path, count: int, rpc: str) -> None:
    """Register a new device, then post readings, each a transaction; print each verdict."""
    deployment = Deployment.parse(deployment_file.read_bytes())
    chain = Chain(rpc)
    require_chain(chain, deployment)
    registry, operator, sensor = SensorRegistry(chain, deployment.sensor_registry), devnet_account(0), Account.create()
    registry.register_device(operator, address(sensor.address), 1, bytes(32))
    chain.wait(chain.send(operator, address(sensor.address), value=10**18))
    readings = simulate(chain.latest_block().timestamp, seed=1)["A"]
    for i in range(min(count, len(readings))):
        moment = int(readings.measured_at[i])
        chain.set_next_block_time(moment + 1)
        temperature, humidity = int(readings.temperature[i]), int(readings.humidity[i])
        outcome = registry.outcome(chain.wait(registry.post(sensor, i, moment, temperature, humidity)))
        verdict = Verdict(int(outcome.verdicts[0])) if isinstance(outcome, Accepted) else outcome.reason
        print(f"{sensor.address} {i} {moment} {temperature / 100:.2f} degC {humidity / 100:.2f} %RH: {verdict.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deployment_file", type=Path, help="as scripts/deploy.py prints it")
    parser.add_argument("count", nargs="?", type=int, default=10, help="how many readings, at most 840")
    parser.add_argument("rpc", nargs="?", default="http://127.0.0.1:8545", help="URL of the devnet's JSON-RPC")
    try:
        main(**vars(parser.parse_args()))
    except SensetrailError as error:
        sys.exit(f"{error.what}\n{error.to_do}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
