"""The devices' histories, replayed from the registry's events.

Nothing that the contract claims is believed: verdicts and heads are recomputed, and stand beside the contract's.

Readings are judged in runs: all that a device sent in one stretch of the chain, however many events brought it, is one
call of the judge. What changes who may send, and under which rules (profiles, registrations, revocations), divides the
chain into such stretches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import sha3
from numpy.typing import NDArray

from sensetrail.core.batch import MAX_SEQUENCE
from sensetrail.core.columns import AcceptedColumns
from sensetrail.core.events import (
    BATCH_ACCEPTED,
    READING_POSTED,
    DeviceRegistered,
    DeviceRevoked,
    ProfileAdded,
    Rejected,
    decode_log,
)
from sensetrail.core.logs import BlockLogs, Log, LogTable, portions
from sensetrail.core.primitives import Address, address_bytes
from sensetrail.core.reading import Measurements
from sensetrail.core.rules import DeviceState, Profile, judge
from sensetrail.errors import MalformedEventError

BLOCKS_AT_ONCE = 2000
BYTES_AT_ONCE = 8_000_000
"""How many blocks, and bytes of their logs, are held in columns at once."""


@dataclass(slots=True)
class Device:
    """A device, as its events left it.

    Attributes:
        profile: The profile it was registered with; `state.profile` is 0 once it is revoked.
        identity_digest: Digest of make, model, serial number and calibration.
        state: Recomputed, to be compared with the storage slot.
        untrusted_since: Unix seconds; None while not revoked.
        registered_at: Block time of its registration, Unix seconds.
        revoked_at: Block time of its revocation, Unix seconds; 0 while not revoked.
        gap: The first event whose sequence number does not follow from the event before, if any: something is missing.
    """

    profile: int
    identity_digest: bytes
    state: DeviceState
    untrusted_since: int | None = None
    registered_at: int = 0
    revoked_at: int = 0
    gap: Log | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Accepted readings of one device, `n` of them in `m` events, with their judgement.

    Attributes:
        device: Whose.
        sequence: Each reading's number in the device's history, shape `(n,)`.
        measurements: The readings.
        verdicts: As the twin judges them, uint8, shape `(n,)`.
        claimed: As the contract judged them, uint8, shape `(n,)`.
        event: The event that brought each reading, as an index into the next three, shape `(n,)`.
        block_number: Each event's block, shape `(m,)`.
        block_time: That block's timestamp, Unix seconds, shape `(m,)`.
        log_index: Each event's place in its block, shape `(m,)`.
        proven: Whether each event was proven when it was read, shape `(m,)`.
    """

    device: Address
    sequence: NDArray[np.int64]
    measurements: Measurements
    verdicts: NDArray[np.uint8]
    claimed: NDArray[np.uint8]
    event: NDArray[np.int64]
    block_number: NDArray[np.int64]
    block_time: NDArray[np.int64]
    log_index: NDArray[np.int64]
    proven: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.verdicts)


@dataclass(slots=True)
class History:
    """All that the registry's events say, in the order of the chain."""

    profiles: dict[int, Profile] = field(default_factory=dict)
    devices: dict[Address, Device] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    rejections: list[tuple[Log, Rejected]] = field(default_factory=list)

    @property
    def reading_count(self) -> int:
        """How many readings were accepted."""
        return sum(len(run) for run in self.runs)

    @property
    def legal_count(self) -> int:
        """How many of them are legal."""
        return sum(int((run.verdicts == 0).sum()) for run in self.runs)


def replay(blocks: Iterable[BlockLogs], registry: Address) -> History:
    """Replay a registry's logs.

    Args:
        blocks: In the order of the chain; other contracts' logs among them are left out.
        registry: The sensor registry.

    Returns:
        The history. A missing event does not stop the replay: it shows as a device's `gap` and as a wrong head.

    Raises:
        MalformedEventError: Events that no honest node can have served.
    """
    history = History()
    replayer = Replayer(registry, history.profiles, history.devices)
    for runs, rejections in replayer.feed(blocks):
        history.runs += runs
        history.rejections += rejections
    return history


@dataclass(slots=True)
class Replayer:
    """A replay that goes on from where it stands and keeps no readings.

    Attributes:
        registry: The sensor registry.
        profiles: Rules by number, so far.
        devices: The devices, so far.
    """

    registry: Address
    profiles: dict[int, Profile] = field(default_factory=dict)
    devices: dict[Address, Device] = field(default_factory=dict)

    def feed(self, blocks: Iterable[BlockLogs]) -> Iterator[tuple[list[Run], list[tuple[Log, Rejected]]]]:
        """Replay more blocks.

        Args:
            blocks: Those that follow on what was fed before, in the order of the chain.

        Yields:
            Runs and rejections, stretch by stretch.

        Raises:
            MalformedEventError: Events that no honest node can have served.
        """
        for chunk in portions(blocks, BLOCKS_AT_ONCE, BYTES_AT_ONCE):
            yield self._replay(_Chunk.of(LogTable.of(chunk), self.registry))

    def _replay(self, chunk: _Chunk) -> tuple[list[Run], list[tuple[Log, Rejected]]]:
        runs: list[Run] = []
        rejections: list[tuple[Log, Rejected]] = []
        start = 0
        for i in chunk.others.tolist():
            log = chunk.table.log(i)
            event = decode_log(log)
            if isinstance(event, Rejected):
                rejections.append((log, event))
            elif event is not None:
                runs += self._judge(chunk, start, i)
                start = i
                self._register(event, log, int(chunk.timestamps[chunk.table.block[i]]))
        return [*runs, *self._judge(chunk, start, len(chunk.table))], rejections

    def _register(self, event: object, log: Log, block_time: int) -> None:
        match event:
            case ProfileAdded(number, rules):
                if number in self.profiles:
                    raise _impossible(f"profile {number} was added twice", log)
                self.profiles[number] = rules
            case DeviceRegistered(device, profile, digest):
                if device in self.devices:
                    raise _impossible(f"device {device} was registered twice", log)
                if profile not in self.profiles:
                    raise _impossible(f"device {device} has profile {profile}, which was never added", log)
                self.devices[device] = Device(profile, digest, DeviceState(profile), registered_at=block_time)
            case DeviceRevoked(device, since):
                known = self._active(device, log)
                known.state = replace(known.state, profile=0)
                known.untrusted_since = since
                known.revoked_at = block_time
            case _:
                pass

    def _judge(self, chunk: _Chunk, start: int, end: int) -> Iterator[Run]:
        """Judge all readings between two logs, device by device."""
        low, high = np.searchsorted(chunk.accepted.at, (start, end))
        codes = chunk.accepted.device[low:high]
        by_device = low + np.argsort(codes, kind="stable")
        changes = 1 + np.flatnonzero(np.diff(chunk.accepted.device[by_device]))
        for events in np.split(by_device, changes) if high > low else ():
            yield self._judge_device(chunk, chunk.accepted.names[chunk.accepted.device[events[0]]], events)

    def _judge_device(self, chunk: _Chunk, name: Address, events: NDArray[np.int64]) -> Run:
        accepted, logs = chunk.accepted, chunk.accepted.at[events]
        device = self._active(name, chunk.table.log(int(logs[0])))
        counts, first = accepted.count[events], accepted.first_sequence[events]
        end = np.cumsum(counts)
        if device.state.sequence + int(end[-1]) > MAX_SEQUENCE:
            raise _impossible(f"device {name} has more readings than sequence numbers", chunk.table.log(int(logs[-1])))
        begin = end - counts
        missing = np.flatnonzero(first != device.state.sequence + begin)
        if len(missing) and device.gap is None:
            device.gap = chunk.table.log(int(logs[missing[0]]))
        data = accepted.data_of(events)
        measurements = accepted.measurements_of(events, data)
        block = chunk.table.block[logs]
        block_time = chunk.timestamps[block]
        rules = self.profiles[device.profile]
        verdicts, state = judge(measurements, device.state, rules, np.repeat(block_time, counts))
        device.state = replace(state, head=_extend(device.state.head, accepted.headers_of(events), data))
        return Run(
            name,
            np.repeat(first - begin, counts) + np.arange(end[-1]),
            measurements,
            verdicts,
            accepted.verdicts_of(events),
            np.repeat(np.arange(len(events)), counts),
            chunk.numbers[block],
            block_time,
            chunk.table.entries["log_index"][logs].astype(np.int64),
            chunk.proven[block],
        )

    def _active(self, device: Address, log: Log) -> Device:
        if device not in self.devices:
            raise _impossible(f"device {device} was never registered", log)
        if self.devices[device].untrusted_since is not None:
            raise _impossible(f"device {device} was revoked before", log)
        return self.devices[device]


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Some blocks' logs: `accepted` readings, and the registry's `others`, as indices into the table."""

    table: LogTable
    others: NDArray[np.int64]
    accepted: AcceptedColumns
    numbers: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    proven: NDArray[np.bool_]

    @classmethod
    def of(cls, table: LogTable, registry: Address) -> _Chunk:
        wanted = np.frombuffer(address_bytes(registry), np.uint8)
        mine = np.flatnonzero((table.entries["address"] == wanted).all(axis=1) & (table.entries["topic_count"] > 0))
        topics = table.topics[table.topic_start[mine]]
        is_own, is_batch = ((topics == list(topic)).all(axis=1) for topic in (READING_POSTED, BATCH_ACCEPTED))
        return cls(
            table,
            mine[~(is_own | is_batch)],
            AcceptedColumns.of(table, mine[is_own], mine[is_batch]),
            np.array([block.number for block in table.blocks], np.int64),
            np.array([block.timestamp for block in table.blocks], np.int64),
            np.array([block.proven for block in table.blocks], bool),
        )


def _extend(head: bytes, headers: Sequence[bytes], data: Sequence[bytes]) -> bytes:
    """Extend a device's head by some events, as `Batch.commit` does by one."""
    hashed = sha3.keccak_256
    for header, each in zip(headers, data, strict=True):
        head = hashed(head + header + hashed(each).digest()).digest()[:20]
    return head


def _impossible(what: str, log: Log) -> MalformedEventError:
    return MalformedEventError(f"block {log.block_number}, log {log.log_index}: {what}", "read from another node")
