"""Writing bundles (docs/bundle.md): everything that proves a model, collected from a node while there is one."""

from __future__ import annotations

import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import rlp

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.bundle import Place, dataset_csv, member_info, write_member
from sensetrail.core.canonical import canonical_json
from sensetrail.core.dataset import Rows
from sensetrail.core.events import READING_POSTED
from sensetrail.core.evidence import model_registry_slots, sensor_slots
from sensetrail.core.header import BlockHeader, may_contain
from sensetrail.core.history import History
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import Address, address_bytes
from sensetrail.errors import AuditError, ProofError
from sensetrail.indexer.answers import asking, batch, lacks, responses, spans
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.headers import FullHeader, ReorganisedError, read_headers
from sensetrail.indexer.heads import SLOTS_AT_ONCE, ask_proof, proven_account, proven_words
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.read import has_block_receipts, read_receipts, receipts_one_by_one

Step = Callable[[str, int, int], None]


def write_bundle(
    path: Path,
    evidence: NodeEvidence,
    history: History,
    rows: Rows,
    manifest: Manifest,
    model_file: ModelFile,
    on_progress: Step = lambda *_: None,
) -> None:
    """Write a model's bundle.

    Args:
        path: The file; written under another name first, so that no half of it is ever there.
        evidence: Proven, and audited.
        history: The registry's, through the anchor, of that audit.
        rows: The dataset's, of that audit.
        manifest: The model's.
        model_file: The model's.
        on_progress: Told what is being collected, how much of it is, and how much there is.

    Raises:
        ChainError: The node does not have what is asked for any more, or its answer makes no sense.
        ProofError: The node does not tell the truth any more.
    """
    anchor = evidence.anchor()
    place = Place(
        evidence.chain_id,
        evidence.sensor_registry,
        evidence.model_registry,
        evidence.deployment.block_number,
        anchor.number,
        anchor.hash,
    )
    half = path.with_name(path.name + ".part")
    try:
        with closing(Wire(evidence.chain.url)) as wire, zipfile.ZipFile(half, "w") as archive:
            write_member(archive, "bundle.json", place.encode())
            for name in (SENSOR_REGISTRY, MODEL_REGISTRY):
                write_member(archive, f"{name}.abi.json", canonical_json(load_artifact(name).abi))
            _write_chain(archive, wire, place, on_progress)
            write_member(archive, "proofs", _proofs(wire, place, anchor, history, manifest))
            write_member(archive, "transactions", rlp.encode(list(_transactions(evidence))))
            write_member(archive, "dataset.csv", dataset_csv(rows))
            write_member(archive, "manifest.json", canonical_json(manifest.to_json()))
            write_member(archive, "model", model_file.encode())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _write_chain(archive: zipfile.ZipFile, wire: Wire, place: Place, on_progress: Step) -> None:
    """Write the members `headers` and `receipts`, proven once more as they pass."""
    contracts = [address_bytes(place.sensor_registry), address_bytes(place.model_registry)]
    wanted: list[FullHeader] = []
    last = b""
    with archive.open(member_info("headers"), "w") as member:
        for headers in read_headers(wire, place.first_block, place.anchor_number, None):
            for full in headers:
                member.write(full.header.rlp)
                last = full.header.hash
                if any(may_contain(full.header.logs_bloom, contract) for contract in contracts):
                    wanted.append(full)
            on_progress("headers", headers[-1].header.number, place.anchor_number)
    if last != place.anchor_hash:
        raise ReorganisedError
    with archive.open(member_info("receipts"), "w") as member:
        for i, (full, answers) in enumerate(_receipts(wire, wanted), start=1):
            encoded = [receipt.encode() for receipt in read_receipts(full.header.number, answers)]
            if receipts_root(encoded) != full.header.receipts_root:
                if not encoded:
                    raise lacks(f"the receipts of block {full.header.number}")
                raise ProofError("receipts", f"the receipts of block {full.header.number} are not its own")
            member.write(rlp.encode(encoded))
            on_progress("receipts", i, len(wanted))


def _receipts(wire: Wire, wanted: Sequence[FullHeader]) -> Iterator[tuple[FullHeader, object]]:
    pace = Pace(size=10)
    if not wanted or has_block_receipts(wire, wanted[0].header.number):
        given = 0

        def blocks(span: Sequence[int]) -> bytes:
            return batch([call(i, "eth_getBlockReceipts", hex(wanted[i].header.number)) for i in span])

        with asking(lambda: f"receipts of block {wanted[given].header.number}"):
            for span, answer in wire.stream(blocks, spans(0, len(wanted) - 1, pace), pace):
                for i, response in zip(span, responses(answer, span, "receipts"), strict=True):
                    listed = result_of(response)
                    yield wanted[i], [] if listed is None else listed
                given = span[-1] + 1
        return
    for full in wanted:
        yield full, receipts_one_by_one(wire, full)


def _proofs(wire: Wire, place: Place, anchor: BlockHeader, history: History, manifest: Manifest) -> bytes:
    sensor = sensor_slots(load_artifact(SENSOR_REGISTRY).storage, history)
    model = model_registry_slots(load_artifact(MODEL_REGISTRY).storage, manifest)
    return bytes(
        rlp.encode(
            [
                _contract_proof(wire, contract, slots, anchor)
                for contract, slots in ((place.sensor_registry, sensor), (place.model_registry, model))
            ]
        )
    )


def _contract_proof(wire: Wire, contract: Address, slots: Sequence[bytes], anchor: BlockHeader) -> list[object]:
    """Give the proofs of a contract's account and slots, verified once more as they pass."""
    account: list[bytes] = []
    listed: list[list[object]] = []
    for start in range(0, len(slots), SLOTS_AT_ONCE):
        proof = ask_proof(wire, contract, slots[start : start + SLOTS_AT_ONCE], anchor.number)
        proven = proven_account(anchor, contract, proof)
        if proven is None:
            raise ProofError("heads", f"there is no contract at {contract} at block {anchor.number}")
        deque(proven_words(proven, proof), maxlen=0)
        account = proof.account
        listed += [[slot, nodes] for slot, nodes in proof.slots.items()]
    return [address_bytes(contract), account, listed]


def _transactions(evidence: NodeEvidence) -> Iterator[bytes]:
    places = [
        (block, log.transaction_index)
        for block in evidence.blocks()
        for log in block.logs()
        if log.address == evidence.sensor_registry and log.topics[:1] == (READING_POSTED,)
    ]
    for (block, _), transaction in zip(places, evidence.transactions(places), strict=True):
        if transaction is None:
            raise AuditError(f"block {block.number} has lost a transaction", "read from another node")
        yield transaction.encoded
