"""Writing bundles (docs/bundle.md): everything that proves a model, collected from a node while there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import rlp

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.wire import Pace, Wire, call, result_of
from sensetrail.core.bundle import Place, dataset_csv, new_bundle
from sensetrail.core.canonical import canonical_json
from sensetrail.core.dataset import Rows
from sensetrail.core.events import READING_POSTED
from sensetrail.core.evidence import model_registry_slots, sensor_slots
from sensetrail.core.header import json_bytes, may_contain
from sensetrail.core.history import History
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import ModelFile
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.receipt import receipt_from_rpc
from sensetrail.errors import AuditError, ProofError
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.heads import SLOTS_AT_ONCE
from sensetrail.indexer.prove import receipts_root
from sensetrail.indexer.read import FullHeader, has_block_receipts, read_headers, responses, spans

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
        archive.add("proofs", [_proofs(wire, place, history, manifest)])
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
        raise ProofError("headers", f"the headers do not lead to {hex_word(place.anchor_hash)} any more")


def _proven_receipts(wire: Wire, wanted: Sequence[FullHeader], on_progress: Step) -> Iterator[bytes]:
    """Give the receipts of every block that may hold events, proven once more as they pass."""
    for i, (full, answers) in enumerate(_receipts(wire, wanted), start=1):
        encoded = [receipt_from_rpc(answer).encode() for answer in answers]
        if receipts_root(encoded) != full.header.receipts_root:
            raise ProofError("receipts", f"the receipts of block {full.header.number} are not its own")
        yield bytes(rlp.encode(encoded))
        on_progress("receipts", i, len(wanted))


def _receipts(wire: Wire, wanted: Sequence[FullHeader]) -> Iterator[tuple[FullHeader, Iterable[Any]]]:
    pace = Pace(size=10)
    if not wanted or has_block_receipts(wire, wanted[0].header.number):

        def blocks(span: Sequence[int]) -> bytes:
            return json.dumps([call(i, "eth_getBlockReceipts", hex(wanted[i].header.number)) for i in span]).encode()

        for span, answer in wire.stream(blocks, spans(0, len(wanted) - 1, pace), pace):
            for i, response in zip(span, responses(answer, span, "receipts"), strict=True):
                yield wanted[i], result_of(response) or ()
        return
    for full in wanted:

        def each(span: Sequence[int], full: FullHeader = full) -> bytes:
            calls = [call(i, "eth_getTransactionReceipt", full.transactions[i]) for i in span]
            return json.dumps(calls).encode()

        found: list[Any] = []
        for span, answer in wire.stream(each, spans(0, len(full.transactions) - 1, pace), pace):
            found += [result_of(response) for response in responses(answer, span, "receipts")]
        yield full, found


def _proofs(wire: Wire, place: Place, history: History, manifest: Manifest) -> bytes:
    sensor = sensor_slots(load_artifact(SENSOR_REGISTRY).storage, history)
    model = model_registry_slots(load_artifact(MODEL_REGISTRY).storage, manifest)
    return bytes(
        rlp.encode(
            [
                _contract_proof(wire, contract, slots, place.anchor_number)
                for contract, slots in ((place.sensor_registry, sensor), (place.model_registry, model))
            ]
        )
    )


def _contract_proof(wire: Wire, contract: Address, slots: Sequence[bytes], block_number: int) -> list[object]:
    account: list[bytes] = []
    listed: list[list[object]] = []
    for start in range(0, len(slots), SLOTS_AT_ONCE):
        some = slots[start : start + SLOTS_AT_ONCE]
        answer = wire.ask("eth_getProof", contract, [hex_word(slot) for slot in some], hex(block_number))
        try:
            account = [json_bytes(node, "node") for node in answer["accountProof"]]
            by_key = {json_bytes(each["key"], "key").rjust(32, b"\0"): each["proof"] for each in answer["storageProof"]}
            listed += [[slot, [json_bytes(node, "node") for node in by_key[slot]]] for slot in some]
        except (KeyError, TypeError) as error:
            raise ProofError("heads", f"an answer to eth_getProof that lacks {error}") from error
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
