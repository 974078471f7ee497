"""The audit's steps, in order. Each proves one thing, given the steps before it.

    1   code        the contracts at both addresses are the ones this package ships, byte for byte
    2   events      the registries' events decode, and the node's blocks agree with each other
    3   heads       every device's hash chain over its events equals its storage slot, and profiles and the number of
                    devices are the registry's: nothing left out or altered
    4   verdicts    the twin judges every reading as the contract did
    5   signatures  every reading was signed by its device
    6   dataset     the legal readings, selected again, have the Merkle root that is anchored
    7   manifest    the manifest is the anchored one, for that dataset
    8   weights     the model file's architecture and weights have the digest that is anchored
    9   retraining  training again on the rebuilt dataset gives the same weights, bit for bit
    10  recall      the model is not recalled

What is not proven: that a sensor measured rightly, that its key was not stolen before it was revoked, that the node
serves the chain that everyone else sees. The node's word is taken for block timestamps, rejections and
recalls, and for the time since which a revoked device is not trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from sensetrail.audit.anchored import verify_manifest, verify_not_recalled, verify_weights
from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment, verify_code
from sensetrail.chain.model_registry import ModelRegistry
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.core.batch import decode
from sensetrail.core.dataset import Rows, describe, select
from sensetrail.core.events import Accepted, Block, Log, ModelRecalled, decode_log
from sensetrail.core.history import History, replay
from sensetrail.core.manifest import Manifest, Retrained
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import hex_word
from sensetrail.core.signature import verify
from sensetrail.core.transaction import verify_sender
from sensetrail.core.typed_data import batch_digest, domain_separator
from sensetrail.errors import AuditError, SensetrailError

BLOCKS_A_REQUEST = 2000


COLUMNS = ("step", "name", "result", "what it proves")
"""Headings of a table of findings."""

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
    """An audit of one model on one chain.

    Attributes:
        chain: The node that is asked; nothing it says is believed but what no step can check.
        deployment: Where the registries are.
        manifest: The model's.
        model_file: The model's.
        retrain: Trains again; None to skip that step.
        dataset_rows: A dataset file's rows to hold against the rebuilt ones; None where there is no file.
        through: The block up to which the chain is read; the newest by default.
    """

    chain: Chain
    deployment: Deployment
    manifest: Manifest
    model_file: ModelFile
    retrain: Retrain | None
    dataset_rows: Rows | None = None
    through: Block = field(init=False)
    logs: list[Log] = field(init=False)
    block_times: dict[int, int] = field(init=False)
    history: History = field(init=False)
    rows: Rows = field(init=False)

    def run(self) -> Iterator[Finding]:
        """Run the steps in order, to the first that fails.

        Yields:
            Each step's finding as soon as it is there; the steps after a failure are not reached.
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
                except SensetrailError as error:
                    failed = True
                    yield Finding(number, name, Status.FAILED, error.what, error.to_do)

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
            self._recall,
        )

    def _code(self) -> str:
        verify_code(self.chain, self.deployment)
        return "the code at both addresses is this package's, byte for byte"

    def _events(self) -> str:
        self.through = self.chain.latest_block()
        self.logs = list(self._read_logs())
        self.block_times = self._read_block_times()
        registry = [log for log in self.logs if log.address == self.deployment.sensor_registry]
        for log in self.logs:
            decode_log(log)
        self.history = replay(registry, self.block_times)
        return (
            f"{len(self.logs)} events through block {self.through.number} ({hex_word(self.through.hash)[:18]}...): "
            f"{self.history.reading_count} readings accepted, {len(self.history.rejections)} attempts rejected"
        )

    def _heads(self) -> str:
        registry = SensorRegistry(self.chain, self.deployment.sensor_registry)
        self._verify_profiles(registry)
        self._verify_device_count(registry)
        for address, device in self.history.devices.items():
            expected = registry.state_slot(address, self.through.number)
            if device.state.pack() != expected:
                at = device.gap
                gap = f"; the first gap is before log {at.log_index} of block {at.block_number}" if at else ""
                raise _failed(
                    f"device {address}: its events give slot {hex_word(device.state.pack())}, storage holds "
                    f"{hex_word(expected)}{gap}",
                    "an event was left out or altered: read from another node",
                )
            record = registry.record(address, self.through.number)
            if (record.identity_digest, record.untrusted_since) != (
                device.identity_digest,
                device.untrusted_since or 0,
            ):
                raise _failed(
                    f"device {address}: its events and the registry's record of it differ",
                    "the event of its registration or revocation was altered: read from another node",
                )
        count = len(self.history.devices)
        return f"{count} devices' hash chains equal their storage slots: no accepted reading is missing or altered"

    def _verify_profiles(self, registry: SensorRegistry) -> None:
        expected, added = registry.profile_count(self.through.number), self.history.profiles
        if sorted(added) != list(range(1, expected + 1)):
            raise _failed(
                f"the events add the profiles {sorted(added)}, the registry has {expected} profiles",
                "an event was left out or added: read from another node",
            )
        for number, rules in added.items():
            if registry.profile(number, self.through.number) != rules:
                raise _failed(
                    f"profile {number}: its event has other rules than the registry",
                    "the event was altered: read from another node",
                )

    def _verify_device_count(self, registry: SensorRegistry) -> None:
        expected, registered = registry.device_count(self.through.number), len(self.history.devices)
        if registered != expected:
            raise _failed(
                f"the events register {registered} devices, the registry has {expected}",
                "a device was left out or added: read from another node",
            )

    def _verdicts(self) -> str:
        for entry in self.history.entries:
            if (entry.verdicts != entry.event.verdicts).any():
                raise _failed(
                    f"block {entry.log.block_number}, log {entry.log.log_index}: verdicts that the rules do not give",
                    "the event was altered, or the code is not ours: read from another node",
                )
        total, legal = self.history.reading_count, self.history.legal_count
        return f"{total} readings judged again, {legal} legal, {total - legal} not: every verdict is the contract's"

    def _signatures(self) -> str:
        separator = domain_separator(self.deployment.chain_id, self.deployment.sensor_registry)
        own = 0
        for entry in self.history.entries:
            if entry.event.signature is None:
                self._verify_own(entry.event, entry.log)
                own += 1
            elif not verify(batch_digest(entry.event.batch, separator), entry.event.signature, entry.event.device):
                raise _failed(
                    f"block {entry.log.block_number}, log {entry.log.log_index}: the batch is not signed by its device",
                    "the event was altered: read from another node",
                )
        batches = len(self.history.entries) - own
        return f"{batches} batches and {own} own transactions are signed by their devices' keys"

    def _dataset(self) -> str:
        record = self.manifest.dataset
        block = self.chain.block(record.through_block)
        if block is None or block.hash != record.block_hash:
            raise _failed(
                f"the chain has no block {record.through_block} {hex_word(record.block_hash)}",
                "the dataset is of another chain, or the chain was reorganised: rebuild it",
            )
        registry = [log for log in self.logs if log.address == self.deployment.sensor_registry]
        past = replay((log for log in registry if log.block_number <= record.through_block), self.block_times)
        self.rows = select(past, self.manifest.selection)
        rebuilt = describe(self.rows, self.manifest.selection, record.through_block, record.block_hash)
        if self.dataset_rows is not None:
            _compare_rows(self.dataset_rows, self.rows)
        if rebuilt != record:
            raise _failed(
                f"rebuilt: {rebuilt.row_count} rows, root {hex_word(rebuilt.root)}; the manifest says "
                f"{record.row_count} rows, root {hex_word(record.root)}",
                "the model's dataset is not what the chain holds: do not use the model",
            )
        if self._models().dataset(record.dataset_id) != record:
            raise _failed(
                f"dataset {hex_word(record.dataset_id)} is not anchored", "anchor it: sensetrail anchor MODEL"
            )
        return (
            f"{record.row_count} legal rows rebuilt from events have the anchored root {hex_word(record.root)[:18]}..."
        )

    def _manifest(self) -> str:
        verify_manifest(self._models(), self.manifest)
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

    def _recall(self) -> str:
        reasons = [
            event.reason
            for event in map(decode_log, self.logs)
            if isinstance(event, ModelRecalled) and event.weights_digest == self.manifest.weights_digest
        ]
        if reasons:
            raise _failed(f"the model is recalled: {reasons[0]}", "use its successor")
        verify_not_recalled(self._models(), self.manifest)
        return "the model is not recalled"

    def _models(self) -> ModelRegistry:
        return ModelRegistry(self.chain, self.deployment.model_registry)

    def _read_logs(self) -> Iterator[Log]:
        contracts = (self.deployment.sensor_registry, self.deployment.model_registry)
        start = self.deployment.block_number
        while start <= self.through.number:
            end = min(start + BLOCKS_A_REQUEST - 1, self.through.number)
            yield from self.chain.logs(contracts, start, end)
            start = end + 1

    def _read_block_times(self) -> dict[int, int]:
        times = {}
        for number, block_hash in sorted({(log.block_number, log.block_hash) for log in self.logs}):
            block = self.chain.block(number)
            if block is None or block.hash != block_hash:
                raise _failed(f"the logs of block {number} and its header disagree", "read from another node")
            times[number] = block.timestamp
        return times

    def _verify_own(self, event: Accepted, log: Log) -> None:
        transaction = self.chain.transaction(log.transaction_hash)
        if transaction is None:
            raise _failed(f"the node has no transaction {hex_word(log.transaction_hash)}", "read from another node")
        verify_sender(transaction, log.transaction_hash, event.device)
        header, readings = event.batch.header, decode(event.batch)
        registry = SensorRegistry(self.chain, self.deployment.sensor_registry)
        values = (header.first_sequence, header.start, int(readings.temperature[0]), int(readings.humidity[0]))
        if transaction.to != registry.address or transaction.data != registry.encode("post", *values):
            raise _failed(
                f"transaction {hex_word(log.transaction_hash)} does not post what its event says",
                "the event was altered: read from another node",
            )


def _compare_rows(given: Rows, rebuilt: Rows) -> None:
    """Name the first row in which a dataset file and the chain differ."""
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
