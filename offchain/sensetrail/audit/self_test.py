"""The audit of the audit: for each step one change to what it looks at, after which that very step must fail.

A verifier that cannot fail proves nothing. Each change is the smallest that its step is there for, and leaves the steps
before it content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eth_abi.abi import decode, encode

from sensetrail.audit.steps import Audit, Retrain, Status
from sensetrail.chain.artifact import MODEL_REGISTRY, load_artifact
from sensetrail.core.dataset import Rows
from sensetrail.core.events import BATCH_ACCEPTED, READING_POSTED
from sensetrail.core.evidence import Evidence
from sensetrail.core.header import BlockHeader
from sensetrail.core.logs import BlockLogs, Log
from sensetrail.core.manifest import Manifest, Retrained
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import Address
from sensetrail.core.storage import model_slots
from sensetrail.core.transaction import Transaction
from sensetrail.errors import AuditError

ChangeLog = Callable[[Log], Log | None]

_BATCH = ["uint256", "bytes", "bytes"]
"""What a `BatchAccepted` event has behind its topics: header word, payload, exceptions."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one change.

    Attributes:
        number: The step that was to fail, 1 to 10.
        name: Its name.
        change: What was changed.
        failed_step: The step that failed; None for none.
        detail: What that step said.
    """

    number: int
    name: str
    change: str
    failed_step: int | None
    detail: str

    @property
    def caught(self) -> bool:
        """Whether the right step failed."""
        return self.failed_step == self.number


@dataclass(slots=True)
class ChangedEvidence:
    """Evidence but for one change; see `core.evidence.Evidence`.

    Attributes:
        honest: What is changed.
        code: Whether a contract's code is another.
        logs: Changes the first log that it does not leave as it is; None to leave all.
        recalled_slot: The word of the model registry that is to say that the model is recalled.
        forged: Whether own readings' transactions are signed otherwise.
    """

    honest: Evidence
    code: bool = False
    logs: ChangeLog | None = None
    recalled_slot: bytes | None = None
    forged: bool = False

    @property
    def chain_id(self) -> int:
        """EIP-155."""
        return self.honest.chain_id

    @property
    def sensor_registry(self) -> Address:
        """Its address."""
        return self.honest.sensor_registry

    @property
    def model_registry(self) -> Address:
        """Its address."""
        return self.honest.model_registry

    @property
    def word(self) -> str:
        """On whose word the anchor stands."""
        return self.honest.word

    @property
    def proven(self) -> bool:
        """Whether everything is verified against the anchor."""
        return self.honest.proven

    def anchor(self) -> BlockHeader:
        """Give the last block's header."""
        return self.honest.anchor()

    def code_hash(self, contract: Address) -> bytes:
        """Give the keccak256 of a contract's code at the anchor, 32 bytes."""
        found = self.honest.code_hash(contract)
        return _flipped(found) if self.code else found

    def blocks(self) -> Sequence[BlockLogs]:
        """Give all blocks from the first to the anchor that have logs of the registries."""
        blocks = list(self.honest.blocks())
        if self.logs is None:
            return blocks
        for i in reversed(range(len(blocks))):
            logs = list(blocks[i].logs())
            for k in reversed(range(len(logs))):
                changed = self.logs(logs[k])
                if changed is not logs[k]:
                    logs[k : k + 1] = [] if changed is None else [changed]
                    block = blocks[i]
                    blocks[i] = BlockLogs.of(block.number, block.hash, block.timestamp, block.header, logs)
                    return blocks
        raise AuditError("there is nothing that could be changed", "audit a model of a chain with readings")

    def words(self, contract: Address, slots: Sequence[bytes]) -> Sequence[bytes]:
        """Give what storage slots hold at the anchor, 32 bytes each."""
        found = list(self.honest.words(contract, slots))
        if contract == self.model_registry:
            for i, slot in enumerate(slots):
                if slot == self.recalled_slot:
                    # The time of the recall stands above the time of the registration.
                    found[i] = (int.from_bytes(found[i]) | 1 << 32).to_bytes(32)
        return found

    def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block up to the anchor, 32 bytes; None where there is none."""
        return self.honest.block_hash(number)

    def transactions(self, places: Sequence[tuple[BlockLogs, int]]) -> Sequence[Transaction | None]:
        """Give the signed transactions of all own readings."""
        found = self.honest.transactions(places)
        return [replace(each, parity=1 - each.parity) if self.forged and each else each for each in found]


def self_test(
    evidence: Evidence, manifest: Manifest, model_file: ModelFile, retrain: Retrain | None
) -> Iterator[Trial]:
    """Change one thing for each step, and see that this step fails.

    Args:
        evidence: The chain; it holds.
        manifest: The model's; it is the anchored one.
        model_file: The model's.
        retrain: Trains again; None leaves the step that does out.

    Yields:
        A trial for each step.
    """
    layout = load_artifact(MODEL_REGISTRY).storage
    recalled_slot = model_slots(layout, manifest.weights_digest)[3]
    unsigned = _has_no_batch(evidence)

    def changed(**changes: Any) -> Audit:
        return Audit(ChangedEvidence(evidence, **changes), manifest, model_file, None)

    other_root = replace(manifest, dataset=replace(manifest.dataset, root=_flipped(manifest.dataset.root)))
    other_maker = replace(manifest, environment={**manifest.environment, "changed": "yes"})
    forgery = changed(forged=True) if unsigned else changed(logs=_forge)
    trials = [
        (1, "the code at an address is another", changed(code=True)),
        (2, "an event has a word more than the contract writes", changed(logs=_lengthen)),
        (3, "the last accepted event is left out", changed(logs=_leave_out)),
        (4, "an event claims another verdict", changed(logs=_judge_otherwise)),
        (5, "a signature is another", forgery),
        (6, "the manifest names another Merkle root", Audit(evidence, other_root, model_file, None)),
        (7, "the manifest says another environment", Audit(evidence, other_maker, model_file, None)),
        (8, "one weight is another", Audit(evidence, manifest, _with_other_weight(model_file), None)),
        (10, "the model is recalled", changed(recalled_slot=recalled_slot)),
    ]
    if retrain is not None:
        other = _retrain_on_other_rows(retrain)
        trials.insert(8, (9, "the rows are a hundredth of %RH off", Audit(evidence, manifest, model_file, other)))
    for number, change, audit in trials:
        yield _trial(number, change, audit)


def _trial(number: int, change: str, audit: Audit) -> Trial:
    failed, detail, name = None, "no step failed", ""
    for finding in audit.run():
        if finding.number == number:
            name = finding.name
        if finding.status is Status.FAILED:
            failed, detail = finding.number, finding.detail
    return Trial(number, name, change, failed, detail)


def _is_accepted(log: Log) -> bool:
    return log.topics[:1] in ((READING_POSTED,), (BATCH_ACCEPTED,))


def _has_no_batch(evidence: Evidence) -> bool:
    return not any(log.topics[:1] == (BATCH_ACCEPTED,) for block in evidence.blocks() for log in block.logs())


def _lengthen(log: Log) -> Log | None:
    return replace(log, data=log.data + bytes(32)) if _is_accepted(log) else log


def _leave_out(log: Log) -> Log | None:
    return None if _is_accepted(log) else log


def _judge_otherwise(log: Log) -> Log | None:
    if log.topics[:1] == (READING_POSTED,):
        return replace(log, data=log.data[:-1] + bytes([log.data[-1] ^ 1]))
    if log.topics[:1] != (BATCH_ACCEPTED,):
        return log
    header, payload, exceptions = decode(_BATCH, log.data)
    return replace(log, data=encode(_BATCH, [header, payload, b"" if exceptions else b"\0\0\1"]))


def _forge(log: Log) -> Log | None:
    if log.topics[:1] != (BATCH_ACCEPTED,):
        return log
    header, payload, exceptions = decode(_BATCH, log.data)
    return replace(log, data=encode(_BATCH, [header, _flipped(payload), exceptions]))


def _with_other_weight(model_file: ModelFile) -> ModelFile:
    path, array = next(iter(model_file.arrays.items()))
    other = array.copy()
    other.flat[0] += 1
    return replace(model_file, arrays={**model_file.arrays, path: other})


def _retrain_on_other_rows(retrain: Retrain) -> Retrain:
    def again(rows: Rows, manifest: Manifest) -> Retrained:
        return retrain(replace(rows, humidity=rows.humidity + 1), manifest)

    return again


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])
