"""What a node says, as evidence for an audit: read from the beginning, into a store of its own, and proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from sensetrail.chain.client import Chain
from sensetrail.chain.deployment import Deployment
from sensetrail.chain.wire import Pace, Tell, Wire, call, result_of
from sensetrail.core.header import BlockHeader, json_bytes
from sensetrail.core.logs import BlockLogs
from sensetrail.core.primitives import Address, hex_word, keccak256
from sensetrail.core.transaction import Transaction, transaction_from_rpc
from sensetrail.disk import temporary_folder
from sensetrail.errors import AnswerError, AuditError, LimitedNodeError, ProofError, RefusedError, VerificationError
from sensetrail.indexer.answers import asking, batch, insist, reading, responses, spans
from sensetrail.indexer.headers import get_header, read_headers
from sensetrail.indexer.heads import ask_proof, proven_account, storage
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.sync import Indexer, Progress, Terms, find_target


@dataclass(slots=True)
class NodeEvidence:
    """A node's word about one deployment, proven unless `terms` say otherwise; see `core.evidence.Evidence`.

    Attributes:
        chain: The node.
        deployment: Where the registries are.
        terms: What to believe.
        tell: Told what happens on the way, one line each.
        on_progress: Told after every step of reading.
    """

    chain: Chain
    deployment: Deployment
    terms: Terms
    tell: Tell = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    word: str = ""
    _anchor: BlockHeader | None = None
    _blocks: list[BlockLogs] | None = None
    _hashes: dict[int, bytes] = field(default_factory=dict)

    @property
    def chain_id(self) -> int:
        """EIP-155."""
        return self.deployment.chain_id

    @property
    def sensor_registry(self) -> Address:
        """Its address."""
        return self.deployment.sensor_registry

    @property
    def model_registry(self) -> Address:
        """Its address."""
        return self.deployment.model_registry

    @property
    def proven(self) -> bool:
        """Whether everything is verified against the anchor."""
        return not self.terms.trust_node

    def anchor(self) -> BlockHeader:
        """Give the last block's header: the one vouched for, or the node's newest."""
        if self._anchor is None:
            with self._wire() as wire:
                self._anchor, word = find_target(wire, self.terms)
            self.word = str(word)
        return self._anchor

    def code_hash(self, contract: Address) -> bytes:
        """Give the keccak256 of a contract's code at the anchor, 32 bytes."""
        anchor = self.anchor()
        if self.proven:
            with self._wire() as wire:
                try:
                    proof = ask_proof(wire, contract, [], anchor.number)
                except RefusedError as error:
                    raise _no_proofs(error, anchor) from error
            account = proven_account(anchor, contract, proof)
            return bytes(32) if account is None else account.code_hash
        return keccak256(self.chain.code(contract, anchor.number))

    def blocks(self) -> Sequence[BlockLogs]:
        """Give all blocks from the first to the anchor that have logs of the registries."""
        if self._blocks is None:
            anchor = self.anchor()
            contracts = (self.sensor_registry, self.model_registry)
            terms = replace(self.terms, block_hash=anchor.hash, second=None)
            with (
                temporary_folder() as folder,
                self._wire() as wire,
                self._wire() as headers_wire,
                open_sqlite(folder / "audit.sqlite", self.deployment.genesis_hash, contracts) as store,
            ):
                Indexer(wire, headers_wire, store, terms, self.tell, self.on_progress).run()
                self._blocks = list(store.blocks(anchor.number))
            self._hashes = {block.number: block.hash for block in self._blocks} | {anchor.number: anchor.hash}
        return self._blocks

    def words(self, contract: Address, slots: Sequence[bytes]) -> Sequence[bytes]:
        """Give what storage slots hold at the anchor, 32 bytes each."""
        anchor = self.anchor()
        if self.proven:
            with self._wire() as wire:
                try:
                    return list(storage(wire, anchor, contract, slots))
                except RefusedError as error:
                    raise _no_proofs(error, anchor) from error
        words = [self.chain.storage(contract, int.from_bytes(slot), anchor.number) for slot in slots]
        if any(len(word) != 32 for word in words):
            raise AnswerError("the node's answer to eth_getStorageAt makes no sense: it is not a word of 32 bytes")
        return words

    def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block up to the anchor, 32 bytes; None where there is none."""
        anchor = self.anchor()
        if number in self._hashes:
            return self._hashes[number]
        if not 0 <= number <= anchor.number:
            return None
        with self._wire() as wire:
            header = insist(
                lambda: get_header(wire, number, believed=not self.proven), f"block {number}, below its newest"
            )
            if self.proven:
                # Proven by the headers that follow, up to one that is proven already.
                known = min(above for above in self._hashes if above > number)
                for headers in read_headers(wire, number + 1, known, header.hash):
                    last = headers[-1].header
                if last.hash != self._hashes[known]:
                    raise AuditError(
                        f"the chain from block {number} does not lead to block {known} {hex_word(self._hashes[known])}",
                        "read from another node",
                    )
        return header.hash

    def transactions(self, places: Sequence[tuple[BlockLogs, int]]) -> Sequence[Transaction | None]:
        """Give the signed transactions of all own readings; their signatures are for the caller to verify.

        Raises:
            AnswerError: The node's answer makes no sense.
            LimitedNodeError: The node does not have one of them.
            ProofError: One's fields do not hash to its hash.
        """

        def question(i: int) -> tuple[str, str, str]:
            block, index = places[i]
            return "eth_getTransactionByBlockHashAndIndex", hex_word(block.hash), hex(index)

        def name(i: int) -> str:
            return f"transaction {places[i][1]} of block {places[i][0].number}"

        listed: list[object] = []
        pace = Pace(size=100)
        with self._wire() as wire:
            with asking(lambda: name(len(listed))):
                for span, answer in wire.stream(
                    lambda span: batch([call(i, *question(i)) for i in span]), spans(0, len(places) - 1, pace), pace
                ):
                    listed += [result_of(response) for response in responses(answer, span, "transactions")]
            for i, fields in enumerate(listed):
                if fields is None:
                    listed[i] = insist(lambda i=i: wire.ask(*question(i)), name(i))  # type: ignore[misc]
        return [_transaction(fields, name(i)) for i, fields in enumerate(listed)]

    def _wire(self) -> closing[Wire]:
        return closing(Wire(self.chain.url, tell=self.tell))


def _transaction(fields: object, name: str) -> Transaction:
    """Read a transaction, whose fields have to hash to its hash.

    Raises:
        AnswerError: It is malformed.
        ProofError: Its fields are not those of its hash.
    """
    with reading(lambda: name):
        if not isinstance(fields, Mapping):
            raise VerificationError("it is not an object", "use another node")
        claimed, transaction = json_bytes(fields.get("hash"), "hash"), transaction_from_rpc(fields)
    if transaction.hash != claimed:
        raise ProofError(
            "transactions",
            f"{name} hashes to {hex_word(transaction.hash)}, not to {hex_word(claimed)}",
            expected=claimed,
            actual=transaction.hash,
        )
    return transaction


def _no_proofs(error: RefusedError, anchor: BlockHeader) -> LimitedNodeError:
    return LimitedNodeError(
        f"the node gives no proof of storage at block {anchor.number} ({error.what})",
        "audit from a node with eth_getProof and that block's state, or take the node's word: --trust-node",
    )
