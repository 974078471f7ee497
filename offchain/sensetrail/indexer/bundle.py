"""Writing bundles (docs/bundle.md): everything that proves a model, collected from a node while there is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import rlp

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.bundle import Place, dataset_csv, new_bundle
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
        InputError: The disk does not take the bundle, or it is larger than bundles can be.
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
    with closing(Wire(evidence.chain.url)) as wire, new_bundle(path) as archive:
        archive.add("bundle.json", [place.encode()])
        for name in (SENSOR_REGISTRY, MODEL_REGISTRY):
            archive.add(f"{name}.abi.json", [canonical_json(load_artifact(name).abi)])
        wanted: list[FullHeader] = []
        archive.add("headers", _headers(wire, place, wanted, on_progress))
        archive.add("receipts", _proven_receipts(wire, wanted, on_progress))
        archive.add("proofs", [_proofs(wire, place, anchor, history, manifest)])
        archive.add("transactions", [rlp.encode(list(_transactions(evidence)))])
        archive.add("dataset.csv", [dataset_csv(rows)])
        archive.add("manifest.json", [canonical_json(manifest.to_json())])
        archive.add("model", [model_file.encode()])


def _headers(wire: Wire, place: Place, wanted: list[FullHeader], on_progress: Step) -> Iterator[bytes]:
    """Give every header, proven once more as it passes.

    Args:
        wire: To the node.
        place: Which blocks.
        wanted: Takes the headers whose blocks may hold events.
        on_progress: As of `write_bundle`.
    """
    contracts = [address_bytes(place.sensor_registry), address_bytes(place.model_registry)]
    last = b""
    for headers in read_headers(wire, place.first_block, place.anchor_number, None):
        for full in headers:
            yield full.header.rlp
            last = full.header.hash
            if any(may_contain(full.header.logs_bloom, contract) for contract in contracts):
                wanted.append(full)
        on_progress("headers", headers[-1].header.number, place.anchor_number)
    if last != place.anchor_hash:
        raise ReorganisedError


def _proven_receipts(wire: Wire, wanted: Sequence[FullHeader], on_progress: Step) -> Iterator[bytes]:
    """Give the receipts of every block that may hold events, proven once more as they pass."""
    for i, (full, answers) in enumerate(_receipts(wire, wanted), start=1):
        encoded = [receipt.encode() for receipt in read_receipts(full.header.number, answers)]
        if receipts_root(encoded) != full.header.receipts_root:
            if not encoded:
                raise lacks(f"the receipts of block {full.header.number}")
            raise ProofError("receipts", f"the receipts of block {full.header.number} are not its own")
        yield bytes(rlp.encode(encoded))
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
