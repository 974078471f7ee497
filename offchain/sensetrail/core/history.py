"""The devices' histories, replayed from the registry's events.

Nothing that the contract claims is believed: verdicts and heads are recomputed, and stand beside the contract's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.batch import MAX_SEQUENCE, decode
from sensetrail.core.events import (
    Accepted,
    Block,
    DeviceRegistered,
    DeviceRevoked,
    Log,
    ProfileAdded,
    Rejected,
    decode_log,
)
from sensetrail.core.primitives import Address
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState, Profile, judge
from sensetrail.errors import MalformedEventError


@dataclass(slots=True)
class Device:
    """A device, as its events left it.

    Attributes:
        profile: The profile it was registered with; `state.profile` is 0 once it is revoked.
        identity_digest: Digest of make, model, serial number and calibration.
        state: Recomputed, to be compared with the storage slot.
        untrusted_since: Unix seconds; None while not revoked.
        gap: The first event whose sequence number does not follow from the event before, if any: something is missing.
    """

    profile: int
    identity_digest: bytes
    state: DeviceState
    untrusted_since: int | None = None
    gap: Log | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Accepted readings with their judgement.

    Attributes:
        log: Where it stands on the chain.
        block_time: That block's timestamp, Unix seconds.
        event: What the contract said, its verdicts among it.
        measurements: The readings.
        verdicts: As the twin judges them, uint8, shape `(count,)`.
    """

    log: Log
    block_time: int
    event: Accepted
    measurements: Measurements
    verdicts: NDArray[np.uint8]


@dataclass(slots=True)
class History:
    """All that the registry's events say, in the order of the chain."""

    profiles: dict[int, Profile] = field(default_factory=dict)
    devices: dict[Address, Device] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    rejections: list[tuple[Log, Rejected]] = field(default_factory=list)

    @property
    def reading_count(self) -> int:
        """How many readings were accepted."""
        return sum(len(entry.measurements) for entry in self.entries)

    @property
    def legal_count(self) -> int:
        """How many of them are legal."""
        return sum(int((entry.verdicts == 0).sum()) for entry in self.entries)


def replay(logs: Iterable[Log], block_times: Mapping[int, int]) -> History:
    """Replay a registry's logs.

    Args:
        logs: The sensor registry's, in the order of the chain.
        block_times: Each log's block number to that block's timestamp, Unix seconds.

    Returns:
        The history. A missing event does not stop the replay: it shows as a device's `gap` and as a wrong head.

    Raises:
        MalformedEventError: Events that no honest node can have served.
    """
    history = History()
    for log in logs:
        match decode_log(log):
            case ProfileAdded(number, rules):
                if number in history.profiles:
                    raise _impossible(f"profile {number} was added twice", log)
                history.profiles[number] = rules
            case DeviceRegistered(device, profile, digest):
                if device in history.devices:
                    raise _impossible(f"device {device} was registered twice", log)
                if profile not in history.profiles:
                    raise _impossible(f"device {device} has profile {profile}, which was never added", log)
                history.devices[device] = Device(profile, digest, DeviceState(profile))
            case DeviceRevoked(device, since):
                known = _active(history, device, log)
                known.state = replace(known.state, profile=0)
                known.untrusted_since = since
            case Accepted() as event:
                _accept(history, event, log, block_times[log.block_number])
            case Rejected() as event:
                history.rejections.append((log, event))
            case _:
                pass
    return history


def block_times(blocks: Iterable[Block]) -> dict[int, int]:
    """Give each block's timestamp by its number."""
    return {block.number: block.timestamp for block in blocks}


def _accept(history: History, event: Accepted, log: Log, block_time: int) -> None:
    device = _active(history, event.device, log)
    profile = history.profiles[device.profile]
    if device.state.sequence + event.batch.header.count > MAX_SEQUENCE:
        raise _impossible(f"device {event.device} has more readings than sequence numbers", log)
    if event.batch.header.first_sequence != device.state.sequence and device.gap is None:
        device.gap = log
    measurements = decode(event.batch)
    verdicts, state = judge(measurements, device.state, profile, block_time)
    device.state = replace(state, head=event.batch.commit(state.head))
    history.entries.append(Entry(log, block_time, event, measurements, verdicts))


def _active(history: History, device: Address, log: Log) -> Device:
    if device not in history.devices:
        raise _impossible(f"device {device} was never registered", log)
    if history.devices[device].untrusted_since is not None:
        raise _impossible(f"device {device} was revoked before", log)
    return history.devices[device]


def _impossible(what: str, log: Log) -> MalformedEventError:
    return MalformedEventError(f"block {log.block_number}, log {log.log_index}: {what}", "read from another node")
