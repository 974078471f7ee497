"""The audit's steps, in order. Each proves one thing, given the steps before it.

    1   code        the contracts at both addresses are the ones this package ships, byte for byte
    2   events      the registries' events are the chain's up to the anchor: headers, receipts, logs; and they decode
    3   heads       every device's hash chain over its events equals its storage slot, and profiles, records and counts
                    are the registry's: nothing left out or altered
    4   verdicts    the twin judges every reading as the contract did
    5   signatures  every reading was signed by its device
    6   dataset     the legal readings, selected again, have the Merkle root that is anchored
    7   manifest    the manifest is the anchored one, for that dataset
    8   weights     the model's architecture and weights have the digest that is anchored
    9   retraining  training again on the rebuilt dataset gives the same weights, bit for bit
    10  standing    the model is not recalled, and none of its rows is of a device that was not to be trusted any more

All of it holds for the chain that has the anchor: the audit says on whose word that block stands. What is not proven:
that a sensor measured rightly, that its key was not stolen before it was revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from sensetrail.audit.anchored import verify_manifest, verify_not_recalled, verify_weights
from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.core.batch import decode
from sensetrail.core.calls import Post, decode_call
from sensetrail.core.dataset import Rows, describe, select
from sensetrail.core.events import Accepted, ModelRecalled, decode_log
from sensetrail.core.evidence import Evidence, sensor_slots
from sensetrail.core.header import BlockHeader
from sensetrail.core.history import Device, History, replay
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.manifest import Manifest, Retrained
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import Address, hex_word
from sensetrail.core.signature import verify
from sensetrail.core.storage import (
    DeviceRecord,
    ModelRecord,
    dataset_slots,
    model_slots,
    read_counts,
    read_dataset,
    read_device_record,
    read_model,
    read_profile,
)
from sensetrail.core.taint import verify_untainted
from sensetrail.core.text import printable
from sensetrail.core.transaction import Transaction
from sensetrail.core.typed_data import batch_digest, domain_separator
from sensetrail.errors import AuditError, ChainError, DiskError, MissingExtraError, SensetrailError

COLUMNS = ("step", "name", "result", "what it proves")
"""Headings of a table of findings."""
LONGEST_REASON = 500
"""How much of a recall's reason a finding repeats, characters: anyone with the role may write megabytes."""

Retrain = Callable[[Rows, Manifest], Retrained]


class Status(Enum):
    """What became of a step."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Finding:
    """A step's outcome.

    Attributes:
        number: 1 to 10.
        name: The step's name.
        status: What became of it.
        detail: What was checked and what it proves; of a failure, what is wrong.
        to_do: Of a failure, what to do.
    """

    number: int
    name: str
    status: Status
    detail: str
    to_do: str = ""

    def row(self) -> tuple[str, str, str, str]:
        """Give the finding as a row under `COLUMNS`."""
        remedy = f"; {self.to_do}" if self.to_do else ""
        return str(self.number), self.name, self.status.value, self.detail + remedy


@dataclass(slots=True)
class Audit:
    """An audit of one model.

    Attributes:
        evidence: The chain, as a node or a bundle gives it.
        manifest: The model's.
        model_file: The model's.
        retrain: Trains again; None to skip that step.
        check_rows: Holds a dataset that came from elsewhere against the rebuilt rows; None where there is none.
    """

    evidence: Evidence
    manifest: Manifest
    model_file: ModelFile
    retrain: Retrain | None
    check_rows: Callable[[Rows], None] | None = None
    anchor: BlockHeader = field(init=False)
    blocks: Sequence[BlockLogs] = field(init=False)
    history: History = field(init=False)
    rows: Rows = field(init=False)
    anchored: ModelRecord = field(init=False)

    def run(self) -> Iterator[Finding]:
        """Run the steps in order, to the first that fails.

        Yields:
            Each step's finding as soon as it is there; the steps after a failure are not reached.

        Raises:
            ChainError: The node does not give the evidence: that proves nothing against it, or the model.
            MissingExtraError: Training again takes a part of the package that is not installed.
        """
        failed = False
        for number, step in enumerate(self._steps(), start=1):
            name = step.__name__.removeprefix("_")
            if failed:
                yield Finding(number, name, Status.NOT_REACHED, "not reached: an earlier step failed")
            elif step == self._retraining and self.retrain is None:
                yield Finding(
                    number, name, Status.SKIPPED, "skipped: that the weights come from this data is not proven"
                )
            else:
                try:
                    yield Finding(number, name, Status.PASSED, step())
                except DiskError:
                    # No step failed: there was no room to take it.
                    raise
                except (ChainError, MissingExtraError) as error:
                    # No step failed: the evidence could not be looked at.
                    error.what = f"step {number}, {name}: {error.what}"
                    raise
                except SensetrailError as error:
                    failed = True
                    yield Finding(number, name, Status.FAILED, printable(error.what), printable(error.to_do))

    def _steps(self) -> tuple[Callable[[], str], ...]:
        return (
            self._code,
            self._events,
            self._heads,
            self._verdicts,
            self._signatures,
            self._dataset,
            self._manifest,
            self._weights,
            self._retraining,
            self._standing,
        )

    def _code(self) -> str:
        evidence = self.evidence
        self.anchor = evidence.anchor()
        for name, where in ((SENSOR_REGISTRY, evidence.sensor_registry), (MODEL_REGISTRY, evidence.model_registry)):
            expected, actual = load_artifact(name).code_digest, evidence.code_hash(where)
            if expected != actual:
                raise _failed(
                    f"the code at {where} is not {name}: keccak256 {hex_word(actual)}, expected {hex_word(expected)}",
                    "do not trust this deployment; check the addresses and the package's version",
                )
        return (
            f"SensorRegistry {evidence.sensor_registry} and ModelRegistry {evidence.model_registry} have the code that "
            "this package ships, byte for byte"
        )

    def _events(self) -> str:
        self.blocks = self.evidence.blocks()
        count = 0
        for log in self._logs():
            decode_log(log)
            count += 1
        self.history = replay(self.blocks, self.evidence.sensor_registry)
        where = f"through block {self.anchor.number} ({hex_word(self.anchor.hash)[:18]}...)"
        if self.evidence.proven:
            said = f"{count} events proven {where}, which stands on {self.evidence.word}"
        else:
            said = f"UNPROVEN: {count} events {where} on the node's word"
        return (
            f"{said}: {self.history.reading_count} readings accepted, {len(self.history.rejections)} attempts rejected"
        )

    def _heads(self) -> str:
        layout, history = load_artifact(SENSOR_REGISTRY).storage, self.history
        words = iter(self.evidence.words(self.evidence.sensor_registry, sensor_slots(layout, history)))
        counts = read_counts(next(words))
        if sorted(history.profiles) != list(range(1, counts.profiles + 1)):
            raise _failed(
                f"the events add the profiles {sorted(history.profiles)}, the registry has {counts.profiles} profiles",
                "an event was left out or added: read from another node",
            )
        if len(history.devices) != counts.devices:
            raise _failed(
                f"the events register {len(history.devices)} devices, the registry has {counts.devices}",
                "a device was left out or added: read from another node",
            )
        for number in sorted(history.profiles):
            if read_profile(next(words)) != history.profiles[number]:
                raise _failed(
                    f"profile {number}: its event has other rules than the registry",
                    "the event was altered: read from another node",
                )
        for address, device in history.devices.items():
            _verify_state(address, device, next(words))
            _verify_record(address, device, (next(words), next(words)))
        count = len(history.devices)
        return f"{count} devices' hash chains equal their storage slots: no accepted reading is missing or altered"

    def _verdicts(self) -> str:
        for run in self.history.runs:
            wrong = np.flatnonzero(run.verdicts != run.claimed)
            if len(wrong):
                event = run.event[wrong[0]]
                raise _failed(
                    f"block {run.block_number[event]}, log {run.log_index[event]}: verdicts that the rules do not give",
                    "the event was altered, or the code is not ours: read from another node",
                )
        total, legal = self.history.reading_count, self.history.legal_count
        return f"{total} readings judged again, {legal} legal, {total - legal} not: every verdict is the contract's"

    def _signatures(self) -> str:
        separator = domain_separator(self.evidence.chain_id, self.evidence.sensor_registry)
        batches = 0
        own: list[tuple[BlockLogs, int]] = []
        posted: list[Accepted] = []
        for block in self.blocks:
            for log in block.logs():
                event = decode_log(log) if log.address == self.evidence.sensor_registry else None
                if not isinstance(event, Accepted):
                    continue
                if event.signature is None:
                    own.append((block, log.transaction_index))
                    posted.append(event)
                    continue
                batches += 1
                if not verify(batch_digest(event.batch, separator), event.signature, event.device):
                    raise _failed(
                        f"block {log.block_number}, log {log.log_index}: the batch is not signed by its device",
                        "the event was altered: read from another node",
                    )
        found = self.evidence.transactions(own)
        for (block, index), event, transaction in zip(own, posted, found, strict=True):
            self._verify_own(f"transaction {index} of block {block.number}", event, transaction)
        return f"{batches} batches and {len(own)} own transactions are signed by their devices' keys"

    def _verify_own(self, where: str, event: Accepted, transaction: Transaction | None) -> None:
        """Verify that a device's own transaction posts what its event says, and that the device signed it."""
        if transaction is None:
            raise _failed(f"there is no {where}", "read from another node")
        if transaction.sender != event.device:
            raise _failed(
                f"{where} is signed by {transaction.sender}, not by {event.device}",
                "the reading is not the device's: revoke what posted it",
            )
        header, readings = event.batch.header, decode(event.batch)
        values = (header.first_sequence, header.start, int(readings.temperature[0]), int(readings.humidity[0]))
        call = decode_call(transaction.data) if transaction.to == self.evidence.sensor_registry else None
        its_chain = transaction.chain_id in (None, self.evidence.chain_id)
        if not its_chain or call is None or call.sent != (Post(*values),):
            raise _failed(f"{where} does not post what its event says", "the event was altered: read from another node")

    def _dataset(self) -> str:
        record = self.manifest.dataset
        if self.evidence.block_hash(record.through_block) != record.block_hash:
            raise _failed(
                f"the chain has no block {record.through_block} {hex_word(record.block_hash)}",
                "the dataset is of another chain, or the chain was reorganised: rebuild it",
            )
        past = replay(
            (block for block in self.blocks if block.number <= record.through_block), self.evidence.sensor_registry
        )
        self.rows = select(past, self.manifest.selection)
        rebuilt = describe(self.rows, self.manifest.selection, record.through_block, record.block_hash)
        if self.check_rows is not None:
            self.check_rows(self.rows)
        if rebuilt != record:
            raise _failed(
                f"rebuilt: {rebuilt.row_count} rows, root {hex_word(rebuilt.root)}; the manifest says "
                f"{record.row_count} rows, root {hex_word(record.root)}",
                "the model's dataset is not what the chain holds: do not use the model",
            )
        slots = dataset_slots(load_artifact(MODEL_REGISTRY).storage, record.dataset_id)
        if read_dataset(self.evidence.words(self.evidence.model_registry, slots)) != record:
            raise _failed(
                f"dataset {hex_word(record.dataset_id)} is not anchored", "anchor it: sensetrail anchor MODEL"
            )
        return (
            f"{record.row_count} legal rows rebuilt from events have the anchored root {hex_word(record.root)[:18]}..."
        )

    def _manifest(self) -> str:
        slots = model_slots(load_artifact(MODEL_REGISTRY).storage, self.manifest.weights_digest)
        self.anchored = read_model(self.evidence.words(self.evidence.model_registry, slots))
        verify_manifest(self.anchored, self.manifest)
        return f"manifest {hex_word(self.manifest.digest)[:18]}... is anchored, for this dataset and task"

    def _weights(self) -> str:
        verify_weights(self.manifest, self.model_file)
        digest = hex_word(self.manifest.weights_digest)
        return f"architecture and weights have the anchored digest {digest[:18]}..."

    def _retraining(self) -> str:
        if self.retrain is None:
            raise AssertionError("run() skips this step")
        retrained = self.retrain(self.rows, self.manifest)
        if retrained.weights_digest != self.manifest.weights_digest:
            raise _failed(
                f"training again on the rebuilt dataset gives other weights ({hex_word(retrained.weights_digest)})",
                "the model was not trained on this dataset with this configuration: do not use it"
                if retrained.same_environment
                else "this is not the manifest's environment, where floating point may round otherwise: audit there",
            )
        if retrained.metrics != self.manifest.metrics:
            raise _failed(
                f"the weights are right, but not the manifest's metrics: measured {retrained.metrics}",
                "do not believe what the manifest says of the model",
            )
        return "training again on the rebuilt dataset gives the same weights, bit for bit, and the same metrics"

    def _standing(self) -> str:
        reasons = [
            event.reason
            for log in self._logs()
            if log.address == self.evidence.model_registry
            for event in [decode_log(log)]
            if isinstance(event, ModelRecalled) and event.weights_digest == self.manifest.weights_digest
        ]
        if reasons:
            raise _failed(f"the model is recalled: {printable(reasons[0], LONGEST_REASON)}", "use its successor")
        verify_not_recalled(self.anchored)
        verify_untainted(self.history, self.rows)
        return "the model is not recalled, and no device of its rows is revoked for a time that they cover"

    def _logs(self) -> Iterator[Log]:
        for block in self.blocks:
            yield from block.logs()


def _verify_state(address: Address, device: Device, word: bytes) -> None:
    if device.state.pack() != word:
        at = device.gap
        gap = f"; the first gap is before log {at.log_index} of block {at.block_number}" if at else ""
        raise _failed(
            f"device {address}: its events give slot {hex_word(device.state.pack())}, storage holds "
            f"{hex_word(word)}{gap}",
            "an event was left out or altered: read from another node",
        )


def _verify_record(address: Address, device: Device, words: Sequence[bytes]) -> None:
    since = device.untrusted_since or 0
    expected = DeviceRecord(device.identity_digest, device.registered_at, device.revoked_at, since)
    if read_device_record(words) != expected:
        raise _failed(
            f"device {address}: its events and the registry's record of it differ",
            "the event of its registration or revocation was altered: read from another node",
        )


def compare_rows(given: Rows, rebuilt: Rows) -> None:
    """Name the first row in which a dataset file and the chain differ.

    Raises:
        AuditError: They differ.
    """
    if len(given) != len(rebuilt):
        raise _failed(
            f"the dataset file has {len(given)} rows, the chain gives {len(rebuilt)}: rows were left out or added",
            "build the dataset again from the chain",
        )
    for row in range(len(given)):
        if given.leaf(row) != rebuilt.leaf(row):
            raise _failed(
                f"row {row} of the dataset file (reading {rebuilt.sequence[row]} of {rebuilt.device[row]}) was changed",
                "build the dataset again from the chain",
            )


def _failed(what: str, to_do: str) -> AuditError:
    return AuditError(what, to_do)
