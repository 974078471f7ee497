"""Commands for readings: post, index."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain as chained
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.indexed import Believed, standing, synchronised
from sensetrail.cli.output import print_json, progress_bar, say
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    AccountFile,
    BlockHash,
    Depth,
    Folder,
    Json,
    Rpc,
    SecondNode,
    StoreUrl,
    TrustNode,
    connect_deployment,
    device_keystore,
    parse_time,
    password,
    paying_account,
)
from sensetrail.core.primitives import hex_word
from sensetrail.errors import InputError, UnknownDeviceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain
    from sensetrail.chain.sensor_registry import SensorRegistry
    from sensetrail.core.reading import Measurements
    from sensetrail.gateway.sender import Sent


def post(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="CSV or Parquet with columns device, time, temperature, humidity."),
    ] = None,
    simulate: Annotated[
        str | None,
        typer.Option(help="Instead of FILE: a simulated night of devices A and B, starting at this time."),
    ] = None,
    own: Annotated[
        bool, typer.Option("--own", help="One by one, by each device's own transactions (each pays).")
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch", min=1, max=10000, help="The most readings of a device a transaction.")
    ] = 120,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Leave out rows that hold no reading.")] = False,
    devnet_clock: Annotated[
        bool, typer.Option("--devnet-clock", help="Set a local devnet's clock by the readings' times, to replay them.")
    ] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Send readings to the registry: as signed batches through a relayer's account, or one by one.

    Interrupted, it loses nothing: what was sent is known, and running it again sends only the rest. Device keys are
    opened with one password for all (asked for, or from SENSETRAIL_PASSWORD).

    Example: sensetrail post readings.csv --batch 120
    """
    from sensetrail.chain.sensor_registry import SensorRegistry
    from sensetrail.gateway.outbox import Outbox
    from sensetrail.gateway.sender import send_batches, send_own, settle
    from sensetrail.sensor.keystore import key_address, open_account, open_key

    place = Workspace(workspace)
    measurements, skipped = _measurements(file, simulate, skip_invalid)
    keystores = {name: device_keystore(place, name) for name in measurements}
    chain, deployment = connect_deployment(rpc, place)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    _require_registered(registry, keystores)
    if not devnet_clock:
        _require_past(registry, keystores, measurements)
    relayer = None if own else paying_account(chain, account)
    secret = password("Password of the device keys")
    # All keys are opened and all readings queued before the first is sent: an error here has sent nothing.
    accounts = [open_account(path, secret) for path in keystores.values()] if own else []
    keys = [] if own else [open_key(path, secret) for path in keystores.values()]
    sent: list[Sent] = []
    before_sending = _follow(chain) if devnet_clock else lambda _: None
    with Outbox(place.outbox) as outbox, progress_bar(quiet=as_json) as progress:
        tasks = {}
        for name, readings in measurements.items():
            device = key_address(keystores[name])
            outbox.queue(device, readings, registry.state(device))
            pending = settle(registry, outbox, device)
            tasks[device] = progress.add_task(name, total=0 if pending is None else len(pending.measurements))
        sending = (
            chained.from_iterable(send_own(registry, outbox, one, before_sending) for one in accounts)
            if relayer is None
            else send_batches(registry, outbox, keys, relayer, batch_size, before_sending)
        )
        for transaction in sending:
            sent.append(transaction)
            for delivery in transaction.deliveries:
                progress.advance(tasks[delivery.device], len(delivery.verdicts))
    _report(sent, skipped, as_json)


def _follow(chain: Chain) -> Callable[[int], None]:
    """Let a devnet's clock follow the readings, so that recorded data is judged by its own time.

    Raises:
        InputError: The chain is no devnet.
    """
    if not chain.is_devnet:
        raise InputError(f"chain {chain.chain_id} is no local devnet: its clock cannot be set", "omit --devnet-clock")
    now = chain.latest_block().timestamp

    def before_sending(measured_at: int) -> None:
        nonlocal now
        now = max(now + 1, measured_at)
        chain.set_next_block_time(now)

    return before_sending


def _report(sent: list[Sent], skipped: int, as_json: bool) -> None:
    import numpy as np

    from sensetrail.core.rules import Verdict

    verdicts = np.concatenate([np.zeros(0, np.uint8), *(transaction.verdicts for transaction in sent)])
    flags = {(flag.name or "").lower(): int((verdicts & flag != 0).sum()) for flag in Verdict if flag}
    gas_used = sum(transaction.gas_used for transaction in sent)
    formats = _formats(sent)
    result = {
        "readings": len(verdicts),
        "transactions": len(sent),
        "gas_used": gas_used,
        "gas_per_reading": round(gas_used / len(verdicts), 2) if len(verdicts) else None,
        "formats": formats,
        "illegal": int((verdicts != 0).sum()),
        "flags": {name: count for name, count in flags.items() if count},
        "skipped_rows": skipped,
    }
    if as_json:
        print_json(result)
        return
    why = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in flags.items() if count)
    say(
        f"{result['readings']} readings sent in {result['transactions']} transactions for {gas_used} gas; "
        f"{result['illegal']} judged illegal{f' ({why})' if why else ''}, {skipped} rows skipped"
    )
    if formats:
        chosen = ", ".join(
            f"{entry['readings']} as {name} in {entry['batches']} batch{'es' * (entry['batches'] > 1)}"
            for name, entry in formats.items()
        )
        say(f"chosen for the least gas: {chosen}; {result['gas_per_reading']} gas a reading")


def _formats(sent: list[Sent]) -> dict[str, dict[str, int]]:
    """Count batches and readings by format; own transactions, which have no choice, are left out."""
    from sensetrail.core.batch import Format

    counts: dict[str, dict[str, int]] = {}
    for delivery in (delivery for transaction in sent for delivery in transaction.deliveries):
        if delivery.kind is not Format.OWN:
            entry = counts.setdefault(delivery.kind.name.lower(), {"batches": 0, "readings": 0})
            entry["batches"] += 1
            entry["readings"] += len(delivery.verdicts)
    return counts


def _measurements(file: Path | None, simulate: str | None, skip_invalid: bool) -> tuple[dict[str, Measurements], int]:
    from sensetrail.sensor.room import simulate as simulate_room
    from sensetrail.sensor.source import read_source

    if (file is None) == (simulate is None):
        raise InputError("post takes either FILE or --simulate", "name a file, such as: sensetrail post readings.csv")
    if file is not None:
        source = read_source(file, skip_invalid=skip_invalid)
        return source.measurements, source.skipped
    return simulate_room(parse_time(simulate or ""), seed=0), 0


def _require_registered(registry: SensorRegistry, keystores: dict[str, Path]) -> None:
    from sensetrail.sensor.keystore import key_address

    for name, path in keystores.items():
        record = registry.record(key_address(path))
        if not record.registered_at or record.revoked_at:
            state = "revoked" if record.revoked_at else "not registered"
            raise UnknownDeviceError(
                f"device {name!r} is {state} on the chain",
                "give it a new key" if record.revoked_at else f"register it: sensetrail device register {name!r}",
            )


def _require_past(registry: SensorRegistry, keystores: dict[str, Path], measurements: dict[str, Measurements]) -> None:
    """Refuse readings that the contract would judge to be of the future: once sent, they are illegal for good."""
    from sensetrail.sensor.keystore import key_address

    now = registry.chain.clock()
    for name, readings in measurements.items():
        tolerance = registry.profile(registry.state(key_address(keystores[name])).profile).future_tolerance
        ahead = int(readings.measured_at.max()) - now
        if ahead > tolerance:
            raise InputError(
                f"device {name!r} has readings {ahead} s ahead of the chain's clock: they would be judged illegal",
                "wait until their time has come; on a local devnet, replay them with --devnet-clock",
            )


def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Forget the index and read everything again.")] = False,
    derive: Annotated[
        bool, typer.Option("--derive", help="Derive profiles, devices and counts again from what is stored verbatim.")
    ] = False,
    trust_node: TrustNode = False,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    depth: Depth = None,
    store: StoreUrl = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Read the registries' events into the index, from where it stands, and prove every one of them.

    Interrupted, it goes on from there when run again. Exit code 5 if the node does not tell the truth.

    Example: sensetrail index
    """
    place = Workspace(workspace)
    chain, deployment = connect_deployment(rpc, place)
    believed = Believed(trust_node, block_hash, second_node, depth)
    with synchronised(place, chain, deployment, believed, store, rebuild=rebuild, derive=derive, quiet=as_json) as (
        _,
        indexed,
    ):
        cursor, derived = indexed.cursor, indexed.derived
    readings, legal = (
        (sum(column) for column in zip(*((d.readings, d.legal) for d in derived.devices), strict=True))
        if (derived.devices)
        else (0, 0)
    )
    result = {
        "block_number": cursor.number,
        "block_hash": hex_word(cursor.hash),
        "readings": readings,
        "legal": legal,
        "rejected": derived.rejections,
        "devices": len(derived.devices),
        "proven": cursor.unproven_through is None,
        "unproven_through": cursor.unproven_through,
        "heads_proven": indexed.heads_proven,
        "anchor": {
            "block_number": cursor.anchor_number,
            "block_hash": hex_word(cursor.anchor_hash or b""),
            "word": cursor.anchor_source,
        },
        "final_block": cursor.final_number,
    }
    if as_json:
        print_json(result)
        return
    say(f"through block {cursor.number}: {readings} readings, {legal} legal; {derived.rejections} attempts rejected")
    say(standing(cursor))
    final = (
        "the chain does not say which block is final"
        if cursor.final_number is None
        else (f"blocks through {cursor.final_number} are final: datasets take these")
    )
    say(final)
