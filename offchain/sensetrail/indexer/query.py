"""What the index says, as columns: readings, rejections, devices, models; streamed, in the order of the chain.

Readings are judged again by the twin on the way, as everywhere: the verdicts are not the contract's word. Memory holds
a portion of the chain and what is made of it, however long the chain is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensetrail.core.events import TOPICS, ModelRecalled, ModelRegistered, Rejected, Rejection, decode_log
from sensetrail.core.history import Replayer, Run
from sensetrail.core.logs import BlockLogs, Log, LogTable, portions
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.reading import HUNDREDTHS
from sensetrail.core.rules import Verdict
from sensetrail.core.storage import read_device_state
from sensetrail.errors import InputError
from sensetrail.indexer.derive import derive
from sensetrail.indexer.store import Cursor, Store

ROWS_AT_ONCE = 1 << 16
BLOCKS_AT_ONCE = 2000
BYTES_AT_ONCE = 1_000_000
"""How much of the chain is one portion: its readings, two bytes each at the least, are all in memory at once."""

LEGAL, ILLEGAL = "legal", "illegal"
STANDING, RECALLED = "standing", "recalled"
FLAGS = {(flag.name or "").lower(): flag for flag in Verdict if flag}
REASONS = {reason.name.lower(): reason for reason in Rejection if reason}

MOMENT = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, unit: str | None = None, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"unit": unit} if unit else None)


def _text(name: str, *, nullable: bool = False) -> pa.Field:
    return _column(name, pa.string(), nullable=nullable)


READINGS = pa.schema(
    [
        _text("device"),
        _text("name", nullable=True),
        _column("sequence", pa.uint32()),
        _column("measured_at", MOMENT),
        _column("temperature", pa.float64(), "degC"),
        _column("humidity", pa.float64(), "%RH"),
        _column("verdict", pa.uint8()),
        _text("flags"),
        _column("block_number", pa.int64()),
        _column("block_time", MOMENT),
        _column("log_index", pa.uint32()),
        _column("proven", pa.bool_()),
    ]
)
REJECTIONS = pa.schema(
    [
        _column("block_number", pa.int64()),
        _column("block_time", MOMENT),
        _column("log_index", pa.uint32()),
        _text("device"),
        _text("name", nullable=True),
        _text("reason"),
        _text("sender"),
        _column("count", pa.uint32()),
        _text("data_digest"),
        _column("proven", pa.bool_()),
    ]
)
DEVICES = pa.schema(
    [
        _text("address"),
        _text("name", nullable=True),
        _column("profile", pa.uint8()),
        _text("identity_digest"),
        _column("readings", pa.int64()),
        _column("legal", pa.int64()),
        _column("untrusted_since", MOMENT, nullable=True),
        _column("sequence", pa.uint32()),
        _column("last_time", MOMENT, nullable=True),
        _text("head"),
        _column("proven", pa.bool_()),
    ]
)
MODELS = pa.schema(
    [
        _text("weights_digest"),
        _text("task"),
        _text("dataset_id"),
        _text("parent", nullable=True),
        _text("manifest_digest"),
        _column("block_number", pa.int64()),
        _column("block_time", MOMENT),
        _column("log_index", pa.uint32()),
        _column("recalled", pa.bool_()),
        _column("recalled_at", MOMENT, nullable=True),
        _text("reason", nullable=True),
        _column("proven", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for.

    Attributes:
        devices: Only of these; None for all.
        since: Only at or after this, Unix seconds: a reading's own time, else the block's.
        until: Only before this.
        verdicts: Only with one of these, in words; see `verdict_mask`, `reasons`, `standings`.
        names: What devices are called here.
    """

    devices: frozenset[Address] | None = None
    since: int | None = None
    until: int | None = None
    verdicts: Sequence[str] = ()
    names: Mapping[Address, str] = field(default_factory=dict)

    def device(self, device: Address) -> bool:
        """Whether this device's rows are asked for."""
        return self.devices is None or device in self.devices

    def time(self, moment: int) -> bool:
        """Whether a row of this moment is asked for."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def verdict_mask(words: Sequence[str]) -> NDArray[np.bool_]:
    """Say of each verdict whether it is asked for, shape `(256,)`.

    Args:
        words: legal, illegal, or flags' names; none for all.

    Raises:
        InputError: There is no such verdict.
    """
    verdicts = np.arange(256)
    if not words:
        return np.ones(256, bool)
    known = {
        LEGAL: verdicts == 0,
        ILLEGAL: verdicts != 0,
        **{name: verdicts & flag != 0 for name, flag in FLAGS.items()},
    }
    return reduce(or_, [known[word] for word in _known(words, known)])


def reasons(words: Sequence[str]) -> frozenset[Rejection]:
    """Give the reasons asked for, by their names; none for all.

    Raises:
        InputError: There is no such reason.
    """
    return frozenset(REASONS[word] for word in _known(words or list(REASONS), REASONS))


def standings(words: Sequence[str]) -> frozenset[bool]:
    """Say whether recalled models are asked for, standing ones, or both.

    Raises:
        InputError: A model cannot be that.
    """
    known = {STANDING: False, RECALLED: True}
    return frozenset(known[word] for word in _known(words or list(known), known))


def readings(blocks: Iterable[BlockLogs], registry: Address, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Give accepted readings, judged by the twin, in the order of the chain.

    Args:
        blocks: From the first one on: a verdict rests on all before it.
        registry: The sensor registry.
        wanted: Which.

    Yields:
        Rows as `READINGS` says, `ROWS_AT_ONCE` at the most.

    Raises:
        MalformedEventError: Events that the registry cannot have emitted.
    """
    mask = verdict_mask(wanted.verdicts)
    replayer = Replayer(registry)
    for portion in portions(blocks, BLOCKS_AT_ONCE, BYTES_AT_ONCE):
        for runs, _ in replayer.feed(portion):
            picked = [(run, rows) for run in runs if len(rows := _pick(run, mask, wanted))]
            if picked:
                yield from _sliced(_reading_rows(picked, wanted.names))


def rejections(blocks: Iterable[BlockLogs], registry: Address, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Give rejected attempts in the order of the chain, rows as `REJECTIONS` says; see `readings`."""
    asked = reasons(wanted.verdicts)
    for found in _events(blocks, registry, "Rejected"):
        rows = []
        for block, log in found:
            event = decode_log(log)
            if not isinstance(event, Rejected):
                raise AssertionError("decode_log() gives this for its topic")
            if event.reason in asked and wanted.device(event.device) and wanted.time(block.timestamp):
                rows.append(
                    {
                        **_place(block, log),
                        "device": event.device,
                        "name": wanted.names.get(event.device),
                        "reason": event.reason.name.lower(),
                        "sender": event.sender,
                        "count": event.header.count,
                        "data_digest": hex_word(event.data_digest),
                        "proven": block.proven,
                    }
                )
        yield from _of_rows(REJECTIONS, rows)


def devices(store: Store, registry: Address, cursor: Cursor, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Give the devices as they stand at the cursor, rows as `DEVICES` says, by address.

    What was derived is brought up to the cursor without being written: an indexer may be in the middle of its run.
    """
    derived, _ = derive(store, registry, cursor.number)
    states = {row.address: read_device_state(row.state) for row in derived.devices}
    rows = [
        {
            "address": row.address,
            "name": wanted.names.get(row.address),
            "profile": row.profile,
            "identity_digest": hex_word(row.identity_digest),
            "readings": row.readings,
            "legal": row.legal,
            "untrusted_since": _moment(row.untrusted_since),
            "sequence": states[row.address].sequence,
            "last_time": _moment(states[row.address].last_time or None),
            "head": hex_word(states[row.address].head),
            "proven": cursor.unproven_through is None,
        }
        for row in derived.devices
        if wanted.device(row.address)
    ]
    yield from _of_rows(DEVICES, rows)


def models(blocks: Iterable[BlockLogs], registry: Address, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Give the anchored models in the order of the chain, rows as `MODELS` says; `registry` is the model registry."""
    asked = standings(wanted.verdicts)
    rows: dict[bytes, dict[str, Any]] = {}
    for found in _events(blocks, registry, "ModelRegistered", "ModelRecalled"):
        for block, log in found:
            match decode_log(log):
                case ModelRegistered(weights_digest, dataset_id, parent, manifest_digest, task):
                    rows[weights_digest] = {
                        "weights_digest": hex_word(weights_digest),
                        "task": task,
                        "dataset_id": hex_word(dataset_id),
                        "parent": hex_word(parent) if any(parent) else None,
                        "manifest_digest": hex_word(manifest_digest),
                        **_place(block, log),
                        "recalled": False,
                        "recalled_at": None,
                        "reason": None,
                        "proven": block.proven,
                    }
                case ModelRecalled(weights_digest, reason) if weights_digest in rows:
                    row = rows[weights_digest]
                    row |= {"recalled": True, "recalled_at": _moment(block.timestamp), "reason": reason}
                    row["proven"] = row["proven"] and block.proven
                case _:
                    pass
    chosen = [r for r in rows.values() if r["recalled"] in asked and wanted.time(r["block_time"] // 10**6)]
    yield from _of_rows(MODELS, chosen)


def limited(batches: Iterable[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """Give the first rows, `limit` at the most; no more of the chain is read than they need."""
    left = limit
    for batch in batches if left != 0 else ():
        if left is not None and len(batch) >= left:
            yield batch.slice(0, left)
            return
        left = None if left is None else left - len(batch)
        yield batch


def _known(words: Sequence[str], known: Mapping[str, object]) -> list[str]:
    plain = [word.strip().lower().replace("-", "_").replace(" ", "_") for word in words]
    for word in plain:
        if word not in known:
            raise InputError(f"there is no verdict {word!r} here", f"give one of: {', '.join(known)}")
    return plain


def _events(blocks: Iterable[BlockLogs], contract: Address, *names: str) -> Iterator[list[tuple[BlockLogs, Log]]]:
    """Give a contract's events of some kinds, portion by portion."""
    wanted = np.frombuffer(address_bytes(contract), np.uint8)
    topics = [np.frombuffer(topic, np.uint8) for topic, text in TOPICS.items() if text.partition("(")[0] in names]
    for portion in portions(blocks, BLOCKS_AT_ONCE, BYTES_AT_ONCE):
        table = LogTable.of(portion)
        mine = (table.entries["address"] == wanted).all(axis=1) & (table.entries["topic_count"] > 0)
        logs = np.flatnonzero(mine)
        first = table.topics[table.topic_start[logs]]
        of_these = reduce(or_, [(first == topic).all(axis=1) for topic in topics])
        yield [(table.blocks[int(table.block[i])], table.log(i)) for i in logs[of_these].tolist()]


def _pick(run: Run, mask: NDArray[np.bool_], wanted: Wanted) -> NDArray[np.int64]:
    """Give which of a run's readings are asked for, as indices."""
    if not wanted.device(run.device):
        return np.zeros(0, np.int64)
    times = run.measurements.measured_at
    chosen = mask[run.verdicts]
    if wanted.since is not None:
        chosen &= times >= wanted.since
    if wanted.until is not None:
        chosen &= times < wanted.until
    return np.flatnonzero(chosen)


_FLAG_TEXTS = pa.array(
    [
        " ".join(name for name, flag in FLAGS.items() if verdict & flag) or (ILLEGAL if verdict else LEGAL)
        for verdict in range(256)
    ]
)


def _reading_rows(picked: Sequence[tuple[Run, NDArray[np.int64]]], names: Mapping[Address, str]) -> pa.RecordBatch:
    def of_event(values: Callable[[Run], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([values(run)[run.event[rows]] for run, rows in picked])

    # Runs are device by device. Sorting is stable and by event, so that an event's readings keep their order.
    order = np.argsort(of_event(lambda run: run.block_number << 32 | run.log_index), kind="stable")

    def by_event(values: Callable[[Run], NDArray[Any]]) -> NDArray[Any]:
        return of_event(values)[order]

    def by_reading(values: Callable[[Run], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([values(run)[rows] for run, rows in picked])[order]

    device = pa.array(np.repeat(np.arange(len(picked)), [len(rows) for _, rows in picked])[order])
    verdicts = by_reading(lambda run: run.verdicts)
    columns = {
        "device": pa.array([run.device for run, _ in picked], pa.string()).take(device),
        "name": pa.array([names.get(run.device) for run, _ in picked], pa.string()).take(device),
        "sequence": pa.array(by_reading(lambda run: run.sequence).astype(np.uint32)),
        "measured_at": _moments(by_reading(lambda run: run.measurements.measured_at)),
        "temperature": pa.array(by_reading(lambda run: run.measurements.temperature) / HUNDREDTHS),
        "humidity": pa.array(by_reading(lambda run: run.measurements.humidity) / HUNDREDTHS),
        "verdict": pa.array(verdicts),
        "flags": _FLAG_TEXTS.take(pa.array(verdicts)),
        "block_number": pa.array(by_event(lambda run: run.block_number)),
        "block_time": _moments(by_event(lambda run: run.block_time)),
        "log_index": pa.array(by_event(lambda run: run.log_index).astype(np.uint32)),
        "proven": pa.array(by_event(lambda run: run.proven)),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in READINGS.names], schema=READINGS)


def _of_rows(schema: pa.Schema, rows: Sequence[Mapping[str, object]]) -> Iterator[pa.RecordBatch]:
    if rows:
        yield from _sliced(pa.RecordBatch.from_pylist(rows, schema=schema))


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(batch), ROWS_AT_ONCE):
        yield batch.slice(start, ROWS_AT_ONCE)


def _place(block: BlockLogs, log: Log) -> dict[str, object]:
    return {"block_number": block.number, "block_time": _moment(block.timestamp), "log_index": log.log_index}


def _moment(seconds: int | None) -> int | None:
    """Give a moment as a `MOMENT` column takes it, microseconds."""
    return None if seconds is None else seconds * 10**6


def _moments(seconds: NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 10**6).cast(MOMENT)
