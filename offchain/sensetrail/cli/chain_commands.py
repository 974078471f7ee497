"""Commands for the chain and what is registered on it: devnet, deploy, profile, device."""

from __future__ import annotations

import contextlib
import signal
from functools import partial
from math import isfinite
from typing import Annotated, Any

import typer

from sensetrail.cli.output import note, print_json, print_table, say, warn
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    AccountFile,
    Folder,
    Json,
    Rpc,
    connect,
    connect_deployment,
    device_address,
    parse_range,
    parse_time,
    password,
    paying_account,
)
from sensetrail.core.canonical import json_digest
from sensetrail.core.names import new_device_name, plain_text
from sensetrail.core.primitives import hex_word
from sensetrail.core.reading import HUMIDITY_LIMITS, TEMPERATURE_LIMITS, quantise
from sensetrail.core.rules import INDOOR, Profile
from sensetrail.core.text import printable
from sensetrail.errors import InputError, KeystoreError
from sensetrail.report.section import Table
from sensetrail.workspace import Workspace

device = typer.Typer(help="Device keys, and devices on the chain.", no_args_is_help=True)
profile = typer.Typer(help="Profiles: the rules for one kind of device.", no_args_is_help=True)

DEVICE_NAME = Annotated[str, typer.Argument(metavar="NAME", help="The device's name in this workspace.")]


def devnet(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens, on loopback.")] = 8545,
    timestamp: Annotated[
        str | None, typer.Option(help="The first block's time: ISO 8601 or Unix seconds (default: now).")
    ] = None,
) -> None:
    """Run a local throw-away chain (Anvil) until Ctrl-C. Its accounts' keys are known to everyone.

    Example: sensetrail devnet --port 8545
    """
    from sensetrail.chain.devnet import running_devnet

    with running_devnet(port, None if timestamp is None else parse_time(timestamp)) as chain:
        where = f"chain {chain.chain_id} at {chain.endpoint.name}"
        note(f"devnet: {where}; Ctrl-C ends it, and everything on it is gone then")
        wait_for_signal()


def deploy(
    rpc: Rpc = DEFAULT_RPC, workspace: Folder = DEFAULT_FOLDER, account: AccountFile = None, as_json: Json = False
) -> None:
    """Deploy both registries and note in the workspace where they are.

    Interrupted, it goes on where it was when run again, and pays nothing twice.

    Example: sensetrail deploy --rpc http://127.0.0.1:8545
    """
    from sensetrail.chain.deployment import deploy as deploy_registries
    from sensetrail.cli.node import open_node, remember

    place = Workspace(workspace)
    chain, node = open_node(rpc, place)
    payer = paying_account(chain, account)
    with place.deploying() as journal:
        deployment = deploy_registries(chain, payer, journal, note)
        journal.release()
        try:
            place.write_deployment(deployment)
        finally:
            # Whatever becomes of the file: these are paid for.
            if as_json:
                print_json(deployment.to_json())
            else:
                say(f"SensorRegistry {deployment.sensor_registry}\nModelRegistry  {deployment.model_registry}")
    remember(node, place)


@profile.command("add")
def profile_add(
    temperature: Annotated[str, typer.Option(metavar="LEAST:GREATEST", help="Legal range, degC.")] = "0:50",
    temperature_step: Annotated[float, typer.Option(help="Largest legal step, degC.")] = 1.0,
    humidity: Annotated[str, typer.Option(metavar="LEAST:GREATEST", help="Legal range, %RH.")] = "5:98",
    humidity_step: Annotated[float, typer.Option(help="Largest legal step, %RH.")] = 5.0,
    future_tolerance: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="How far ahead of the chain's clock a time may lie, s.")
    ] = INDOOR.future_tolerance,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Add a profile, for good: a rule change is a new profile.

    Example: sensetrail profile add --temperature 0:50 --temperature-step 1 --humidity 5:98 --humidity-step 5
    """
    low, high = parse_range(temperature, "temperature")
    driest, dampest = parse_range(humidity, "humidity")
    rules = Profile(
        quantise(low, TEMPERATURE_LIMITS, "temperature"),
        quantise(high, TEMPERATURE_LIMITS, "temperature"),
        quantise(temperature_step, HUMIDITY_LIMITS, "temperature step"),
        quantise(driest, HUMIDITY_LIMITS, "humidity"),
        quantise(dampest, HUMIDITY_LIMITS, "humidity"),
        quantise(humidity_step, HUMIDITY_LIMITS, "humidity step"),
        future_tolerance,
    )
    from sensetrail.chain.sensor_registry import SensorRegistry

    chain, deployment = connect_deployment(rpc, Workspace(workspace))
    number = SensorRegistry(chain, deployment.sensor_registry).add_profile(paying_account(chain, account), rules)
    print_json({"profile": number}) if as_json else say(f"profile {number}")


@profile.command("list")
def profile_list(rpc: Rpc = DEFAULT_RPC, workspace: Folder = DEFAULT_FOLDER, as_json: Json = False) -> None:
    """List the profiles on the chain.

    Example: sensetrail profile list
    """
    from dataclasses import asdict

    from sensetrail.chain.sensor_registry import SensorRegistry

    chain, deployment = connect_deployment(rpc, Workspace(workspace))
    registry = SensorRegistry(chain, deployment.sensor_registry)
    found = {number: registry.profile(number) for number in range(1, registry.profile_count() + 1)}
    if as_json:
        print_json([{"profile": number, **asdict(rules)} for number, rules in found.items()])
        return
    columns = ("profile", "temperature, degC", "step", "humidity, %RH", "step", "ahead, s")
    rows = [
        (
            str(number),
            f"{rules.temperature_min / 100:.2f} to {rules.temperature_max / 100:.2f}",
            f"{rules.temperature_step / 100:.2f}",
            f"{rules.humidity_min / 100:.2f} to {rules.humidity_max / 100:.2f}",
            f"{rules.humidity_step / 100:.2f}",
            str(rules.future_tolerance),
        )
        for number, rules in found.items()
    ]
    print_table(Table(columns, rows, frozenset({1, 2, 3, 4, 5})))


@device.command("new")
def device_new(
    name: DEVICE_NAME,
    p256: Annotated[
        bool, typer.Option("--p256", help="A P-256 key, as secure elements have (default: secp256k1).")
    ] = False,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Make a device's key, encrypted with a password (asked for, or from SENSETRAIL_PASSWORD).

    Example: sensetrail device new kitchen
    """
    from sensetrail.sensor.keystore import Curve, create_key

    name = new_device_name(name)
    path = Workspace(workspace).key(name)
    if path.is_file():
        raise InputError(f"there is a key at {path} already", "choose another name: keys are never overwritten")
    curve = Curve.P256 if p256 else Curve.SECP256K1
    address = create_key(path, password(f"New password for {name}", confirm=True), curve)
    print_json({"device": address, "keystore": str(path)}) if as_json else say(f"{name} is {address}, key in {path}")


@device.command("register")
def device_register(
    name: DEVICE_NAME,
    profile_number: Annotated[int, typer.Option("--profile", min=1, max=255, help="The profile's number.")] = 1,
    make: Annotated[str, typer.Option(help="Who made it.")] = "",
    model: Annotated[str, typer.Option(help="What it is.")] = "",
    serial: Annotated[str, typer.Option(help="Its serial number.")] = "",
    calibration: Annotated[str, typer.Option(help="Its calibration: certificate or date.")] = "",
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Register a device on the chain, with the digest of what it is.

    Example: sensetrail device register kitchen --profile 1 --make Sensirion --model SHT45 --serial 1234
    """
    from sensetrail.chain.sensor_registry import SensorRegistry

    place = Workspace(workspace)
    given = {"make": make, "model": model, "serial": serial, "calibration": calibration}
    identity = json_digest({field: plain_text(value, f"--{field}") for field, value in given.items()})
    address = device_address(place, name)
    chain, deployment = connect_deployment(rpc, place)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    registry.register_device(paying_account(chain, account), address, profile_number, identity)
    result = {"device": address, "profile": profile_number, "identity_digest": hex_word(identity)}
    print_json(result) if as_json else say(f"{name} ({address}) is registered with profile {profile_number}")


@device.command("fund")
def device_fund(
    name: DEVICE_NAME,
    ether: Annotated[float, typer.Option(min=0, help="How much.")] = 1.0,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Send a device ether, which it needs to post by its own transactions.

    Example: sensetrail device fund kitchen --ether 1
    """
    place = Workspace(workspace)
    address = device_address(place, name)
    if not isfinite(ether):
        raise InputError(f"{ether} ether is no amount", "give a number, such as --ether 1")
    chain = connect(rpc, place)
    chain.wait(chain.send(paying_account(chain, account), address, value=int(ether * 10**18)))
    balance = chain.balance(address)
    result = {"device": address, "balance_wei": balance}
    print_json(result) if as_json else say(f"{name} ({address}) has {balance / 10**18} ether")


@device.command("revoke")
def device_revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's name, or its address.")],
    since: Annotated[str, typer.Option(help="Nothing measured at or after this is to be trusted (time).")],
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Revoke a device for good.

    Example: sensetrail device revoke kitchen --since 2026-01-31T06:00
    """
    from sensetrail.chain.sensor_registry import SensorRegistry

    place = Workspace(workspace)
    address = device_address(place, name)
    chain, deployment = connect_deployment(rpc, place)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    moment = parse_time(since)
    registry.revoke_device(paying_account(chain, account), address, moment)
    result = {"device": address, "untrusted_since": moment}
    print_json(result) if as_json else say(
        f"{name} ({address}) is revoked; its readings from {since} on are not trusted"
    )


@device.command("list")
def device_list(rpc: Rpc = DEFAULT_RPC, workspace: Folder = DEFAULT_FOLDER, as_json: Json = False) -> None:
    """List this workspace's devices and their state on the chain.

    Example: sensetrail device list --json
    """
    from sensetrail.chain.sensor_registry import SensorRegistry
    from sensetrail.sensor.keystore import key_address

    place = Workspace(workspace)
    chain, deployment = connect_deployment(rpc, place)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    found: list[dict[str, Any]] = []
    for stem, path in place.keys().items():
        name = printable(stem)
        try:
            address = key_address(path, partial(password, f"Password of {name}"))
        except KeystoreError as error:
            # One file must not hide the others.
            warn(f"{name}: {error.what}")
            note(f"to do: {error.to_do}")
            found.append({"name": name, "device": None, "status": "unreadable", "readings": None, "wrong": error.what})
            continue
        record, state = registry.record(address), registry.state(address)
        status = "revoked" if record.revoked_at else "active" if record.registered_at else "not registered"
        found.append({"name": name, "device": address, "status": status, "readings": state.sequence})
    if as_json:
        print_json(found)
        return
    columns = ("name", "device", "status", "readings")
    rows = [["-" if entry[column] is None else str(entry[column]) for column in columns] for entry in found]
    print_table(Table(columns, rows, frozenset({3})))


def wait_for_signal() -> None:
    """Wait for Ctrl-C or a termination signal."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    # Raised, not sent on: a shell's background job ignores SIGINT, and must end by SIGTERM all the same.
    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
