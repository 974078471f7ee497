"""The command `post`: readings to the registry, after saying what is understood of them and what they would become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain as chained
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensetrail.cli.output import err, print_json, progress_bar
from sensetrail.cli.post_report import check_json, print_forecast, print_understood, report, say_briefly
from sensetrail.cli.reading_options import (
    AnyTime,
    ColumnNames,
    DecimalSign,
    DelimiterName,
    EncodingName,
    LastLineName,
    OneDevice,
    SkipInvalid,
    TimeForm,
    TimeUnitName,
    UnitNames,
    ZoneName,
    read_file,
    read_options,
)
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    AccountFile,
    Folder,
    Json,
    Rpc,
    connect_deployment,
    device_address,
    device_keystore,
    parse_time,
    password,
    paying_account,
)
from sensetrail.core.text import printable
from sensetrail.errors import ChainError, InputError, UnknownDeviceError
from sensetrail.workspace import Workspace

if TYPE_CHECKING:
    from sensetrail.chain.client import Chain
    from sensetrail.chain.sensor_registry import SensorRegistry
    from sensetrail.core.primitives import Address
    from sensetrail.core.reading import Measurements
    from sensetrail.gateway.forecast import Forecast
    from sensetrail.gateway.sender import Sent
    from sensetrail.sensor.source import ReadOptions, Source


def post(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="CSV or Parquet, a folder of Parquet files, or - for standard input."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only say what is understood, what the registry would judge, and what it would cost."
        ),
    ] = False,
    simulate: Annotated[
        str | None,
        typer.Option(help="Instead of FILE: a simulated night of devices A and B, starting at this time."),
    ] = None,
    columns: ColumnNames = None,
    units: UnitNames = None,
    device: OneDevice = None,
    zone: ZoneName = None,
    time_unit: TimeUnitName = None,
    time_format: TimeForm = None,
    any_time: AnyTime = False,
    delimiter: DelimiterName = None,
    decimal: DecimalSign = None,
    encoding: EncodingName = None,
    last_line: LastLineName = None,
    skip_invalid: SkipInvalid = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Send readings even if more than half of them would be illegal for good.")
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="One by one, by each device's own transactions (each pays).")
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch", min=1, max=10000, help="The most readings of a device a transaction.")
    ] = 120,
    devnet_clock: Annotated[
        bool, typer.Option("--devnet-clock", help="Set a local devnet's clock by the readings' times, to replay them.")
    ] = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    account: AccountFile = None,
    as_json: Json = False,
) -> None:
    """Send readings to the registry: as signed batches through a relayer's account, or one by one.

    A file has the columns device, time, temperature (degC) and humidity (%RH); docs/readings.md says what else is
    understood. Try --check first: what is sent stays on the chain. Interrupted, it loses nothing: what was sent is
    known, and running it again sends only the rest. Device keys are opened with one password for all (asked for, or
    from SENSETRAIL_PASSWORD).

    Example: sensetrail post readings.csv --check
    """
    from sensetrail.chain.sensor_registry import SensorRegistry
    from sensetrail.gateway.forecast import forecast
    from sensetrail.sensor.keystore import Curve, key_curve, require_account

    place = Workspace(workspace)
    options = read_options(
        columns,
        units,
        device,
        zone,
        time_unit,
        time_format,
        any_time,
        delimiter,
        decimal,
        encoding,
        last_line,
        skip_invalid,
    )
    source = _source(file, simulate, options)
    if check and not as_json:
        print_understood(source)
    keystores = {name: _keystore(place, name) for name in source.measurements}
    for path in keystores.values() if own else ():
        require_account(path)
    chain, deployment = connect_deployment(rpc, place)
    registry = SensorRegistry(chain, deployment.sensor_registry)
    if devnet_clock:
        _require_devnet(chain)
    ask = cache(lambda: password("Password of the device keys"))
    devices = _registered(registry, keystores, ask)
    given = {name: (devices[name], readings) for name, readings in source.measurements.items()}
    with err.status("judging"):
        ahead = forecast(
            registry,
            place.outbox,
            given,
            size=batch_size,
            own=own,
            now=None if devnet_clock else chain.clock(),
            p256=[devices[name] for name, path in keystores.items() if key_curve(path) is Curve.P256],
        )
    if check:
        price = _gas_price(chain)
        print_json(check_json(source, ahead, price)) if as_json else print_forecast(ahead, price)
        return
    if not as_json:
        say_briefly(source, ahead)
    if not devnet_clock:
        _require_past(registry, devices, source.measurements)
    _require_mostly_legal(ahead, anyway)
    sent = _send(place, registry, keystores, given, ask, account, own, batch_size, devnet_clock, as_json)
    report(sent, source, as_json)


def _source(file: Path | None, simulate: str | None, options: ReadOptions) -> Source:
    """Give the readings, from a file or simulated."""
    from sensetrail.sensor.room import simulate as simulate_room
    from sensetrail.sensor.source import Source
    from sensetrail.sensor.understood import Understood

    if (file is None) == (simulate is None):
        raise InputError("post takes either FILE or --simulate", "name a file, such as: sensetrail post readings.csv")
    if file is not None:
        return read_file(file, options)
    understood = Understood("the simulated room", "SIMULATED: no sensor measured these readings")
    return Source(simulate_room(parse_time(simulate or ""), seed=0), understood)


def _keystore(place: Workspace, name: str) -> Path:
    """Find a device's keystore by its name, or by its address: exports of `query` name devices by that."""
    from sensetrail.sensor.keystore import names_of

    known = names_of(place.keys()) if name.startswith("0x") else {}
    return device_keystore(place, known.get(device_address(place, name), name) if known else name)


def _registered(registry: SensorRegistry, keystores: Mapping[str, Path], ask: Callable[[], str]) -> dict[str, Address]:
    """Give each device's address; a keystore that does not say it is opened with the password.

    Raises:
        UnknownDeviceError: One is not registered, or is revoked.
    """
    from sensetrail.sensor.keystore import key_address

    devices = {name: key_address(path, ask) for name, path in keystores.items()}
    names = {device: name for name, device in devices.items()}
    for name, device in devices.items():
        if names[device] != name:
            raise InputError(
                f"{printable(name)!r} and {printable(names[device])!r} are the same device", "call it by one name"
            )
    for name, device in devices.items():
        record = registry.record(device)
        if not record.registered_at or record.revoked_at:
            state = "revoked" if record.revoked_at else "not registered"
            raise UnknownDeviceError(
                f"device {name!r} is {state} on the chain",
                "give it a new key" if record.revoked_at else f"register it: sensetrail device register {name!r}",
            )
    return devices


def _require_mostly_legal(ahead: Forecast, anyway: bool) -> None:
    """Refuse readings of which more than half would be illegal: they stay on the chain, and are paid for."""
    if anyway or 2 * ahead.illegal <= ahead.readings:
        return
    hints = [hint for each in ahead.devices.values() if (hint := each.unit_hint()) is not None]
    also = f"; {hints[0]}" if hints else ""
    raise InputError(
        f"{ahead.illegal} of {ahead.readings} readings would be illegal, for good: nothing was sent{also}",
        "see why with --check; send them all the same with --anyway",
    )


def _require_past(
    registry: SensorRegistry, devices: Mapping[str, Address], measurements: Mapping[str, Measurements]
) -> None:
    """Refuse readings that the contract would judge to be of the future: once sent, they are illegal for good."""
    now = registry.chain.clock()
    for name, readings in measurements.items():
        tolerance = registry.profile(registry.state(devices[name]).profile).future_tolerance
        ahead = int(readings.measured_at.max()) - now
        if ahead > tolerance:
            raise InputError(
                f"device {name!r} has readings {ahead} s ahead of the chain's clock: they would be judged illegal",
                "wait until their time has come; on a local devnet, replay them with --devnet-clock",
            )


def _send(
    place: Workspace,
    registry: SensorRegistry,
    keystores: Mapping[str, Path],
    given: Mapping[str, tuple[Address, Measurements]],
    ask: Callable[[], str],
    account: Path | None,
    own: bool,
    batch_size: int,
    devnet_clock: bool,
    quiet: bool,
) -> list[Sent]:
    from sensetrail.gateway.outbox import Outbox
    from sensetrail.gateway.sender import send_batches, send_own, settle
    from sensetrail.sensor.keystore import open_account, open_key

    chain = registry.chain
    relayer = None if own else paying_account(chain, account)
    secret = ask()
    # All keys are opened and all readings queued before the first is sent: an error here has sent nothing.
    accounts = [open_account(path, secret) for path in keystores.values()] if own else []
    keys = [] if own else [open_key(path, secret) for path in keystores.values()]
    before_sending = _follow(chain) if devnet_clock else lambda _: None
    sent: list[Sent] = []
    with Outbox(place.outbox) as outbox, progress_bar(quiet) as progress:
        tasks = {}
        for name, (device, readings) in given.items():
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
    return sent


def _require_devnet(chain: Chain) -> None:
    if not chain.is_devnet:
        raise InputError(f"chain {chain.chain_id} is no local devnet: its clock cannot be set", "omit --devnet-clock")


def _follow(chain: Chain) -> Callable[[int], None]:
    """Let a devnet's clock follow the readings, so that recorded data is judged by its own time."""
    now = chain.latest_block().timestamp

    def before_sending(measured_at: int) -> None:
        nonlocal now
        now = max(now + 1, measured_at)
        chain.set_next_block_time(now)

    return before_sending


def _gas_price(chain: Chain) -> int | None:
    """Give what gas costs now, wei; None where the node does not say."""
    try:
        return int(chain.request("eth_gasPrice"), 16)
    except (ChainError, TypeError, ValueError):
        return None
