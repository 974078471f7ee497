"""What follows from the stored logs: profiles, devices, their heads. Made again from them at any time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple

from sensetrail.core.history import Device, Replayer
from sensetrail.core.primitives import Address
from sensetrail.core.rules import Profile
from sensetrail.core.storage import read_device_state
from sensetrail.indexer.store import Derived, DeviceRow, Store


def derive(
    store: Store, registry: Address, through_block: int, on_progress: Callable[[int], None] = lambda _: None
) -> tuple[Derived, frozenset[Address]]:
    """Work out what follows from the logs through a block, from what was derived before; nothing is written.

    Args:
        store: The store.
        registry: The sensor registry.
        through_block: The cursor's block.
        on_progress: Told the block through which it is derived.

    Returns:
        What is derived now, and the devices whose state that changed.

    Raises:
        MalformedEventError: Events that the registry cannot have emitted.
    """
    before = store.derived() or Derived(-1, {}, (), 0)
    replayer = Replayer(
        registry,
        {number: Profile(*json.loads(rules)) for number, rules in before.profiles.items()},
        {row.address: _device(row) for row in before.devices},
    )
    readings = Counter({row.address: row.readings for row in before.devices})
    legal = Counter({row.address: row.legal for row in before.devices})
    rejections = before.rejections
    states = {name: device.state for name, device in replayer.devices.items()}
    for runs, rejected in replayer.feed(store.blocks(through_block, before.through)):
        rejections += len(rejected)
        for run in runs:
            readings[run.device] += len(run)
            legal[run.device] += int((run.verdicts == 0).sum())
            on_progress(int(run.block_number[-1]))
    derived = Derived(
        through_block,
        {number: json.dumps(astuple(rules)) for number, rules in replayer.profiles.items()},
        [_row(name, device, readings[name], legal[name]) for name, device in sorted(replayer.devices.items())],
        rejections,
    )
    changed = frozenset(name for name, device in replayer.devices.items() if states.get(name) != device.state)
    return derived, changed


def _row(name: Address, device: Device, readings: int, legal: int) -> DeviceRow:
    state = device.state.pack()
    return DeviceRow(name, device.profile, device.identity_digest, state, device.untrusted_since, readings, legal)


def _device(row: DeviceRow) -> Device:
    return Device(row.profile, row.identity_digest, read_device_state(row.state), row.untrusted_since)
