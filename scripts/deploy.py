#!/usr/bin/env python3
"""Deploy both registries to a running devnet, add the indoor profile, and print where they are.

    scripts/deploy.py [RPC-URL] > deployment.json        (default: http://127.0.0.1:8545)

The devnet's throw-away account pays and is the admin; use `sensetrail deploy --account` on any other chain.
"""

from __future__ import annotations

import argparse
import json
import sys

from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import deploy
from sensetrail.chain.devnet import devnet_account
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.rules import INDOOR
from sensetrail.errors import InputError, SensetrailError


def main(rpc: str) -> None:
    """Deploy and print the deployment."""
    chain = Chain(rpc)
    if not chain.is_devnet:
        raise InputError(f"chain {chain.chain_id} is no devnet", "use `sensetrail deploy --account KEYSTORE`")
    admin = devnet_account(0)
    deployment = deploy(chain, admin)
    SensorRegistry(chain, deployment.sensor_registry).add_profile(admin, INDOOR)
    print(json.dumps(deployment.to_json(), indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rpc", nargs="?", default="http://127.0.0.1:8545", help="URL of the devnet's JSON-RPC")
    try:
        main(**vars(parser.parse_args()))
    except SensetrailError as error:
        sys.exit(f"{error.what}\n{error.to_do}")
