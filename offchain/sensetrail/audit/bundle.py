"""A bundle's members as evidence: verified against one block hash, without node or network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.core.bundle import Place, dataset_csv
from sensetrail.core.canonical import canonical_json, parse_json
from sensetrail.core.dataset import Rows
from sensetrail.core.header import BlockHeader, may_contain, parse_header
from sensetrail.core.logs import BlockLogs
from sensetrail.core.manifest import Manifest, parse_manifest
from sensetrail.core.model_file import ModelFile, parse_model
from sensetrail.core.primitives import Address, address_bytes, hex_word
from sensetrail.core.receipt import decode_receipt, logs_of
from sensetrail.core.storage import DATASET_WORDS
from sensetrail.core.strict_rlp import RlpItem, decode_rlp, decode_strings, split_rlp
from sensetrail.core.transaction import Transaction, decode_transaction
from sensetrail.core.trie import Account, ordered_root, verify_account, verify_storage
from sensetrail.errors import AuditError, BundleError

_PROOFS_DEPTH = 5
"""How deep the member `proofs` nests: contracts, contract, slots, slot, nodes."""


@dataclass(slots=True)
class BundleEvidence:
    """What a bundle holds; see `core.evidence.Evidence`.

    Attributes:
        members: The bundle's.
        given_hash: The anchor's hash as the auditor knows it, 32 bytes.
        registry: The sensor registry that the auditor means; None for whichever the bundle is of.
        place: Where the evidence is from, by its own account.
    """

    members: Mapping[str, bytes]
    given_hash: bytes
    registry: Address | None = None
    place: Place = field(init=False)
    _headers: list[BlockHeader] = field(default_factory=list)
    _blocks: list[BlockLogs] | None = None
    _proofs: dict[Address, tuple[Account, dict[bytes, list[bytes]]]] | None = None

    def __post_init__(self) -> None:
        self.place = Place.decode(self.members["bundle.json"])
        for name in (SENSOR_REGISTRY, MODEL_REGISTRY):
            member = f"{name}.abi.json"
            if canonical_json(parse_json(self.members[member], member)) != self.members[member]:
                raise BundleError(f"not a sound bundle: {member} is not canonical", "ask for it again")

    @property
    def chain_id(self) -> int:
        """EIP-155."""
        return self.place.chain_id

    @property
    def sensor_registry(self) -> Address:
        """Its address."""
        return self.place.sensor_registry

    @property
    def model_registry(self) -> Address:
        """Its address."""
        return self.place.model_registry

    @property
    def word(self) -> str:
        """On whose word the anchor stands."""
        return "a block hash that the user gave"

    @property
    def proven(self) -> bool:
        """Whether everything is verified against the anchor."""
        return True

    def anchor(self) -> BlockHeader:
        """Give the last block's header."""
        if not self._headers:
            headers = [parse_header(item) for item in split_rlp(self.members["headers"])]
            place = self.place
            if not headers or (headers[-1].hash, headers[-1].number) != (place.anchor_hash, place.anchor_number):
                raise _failed("the last header is not that of the block that the bundle names")
            if headers[-1].hash != self.given_hash:
                raise AuditError(
                    f"the bundle goes to block {hex_word(headers[-1].hash)}, you gave {hex_word(self.given_hash)}",
                    "give the hash of the bundle's last block, from someone whom you trust",
                )
            if self.registry not in (None, place.sensor_registry):
                raise AuditError(
                    f"the bundle is of the registry {place.sensor_registry}, you gave {self.registry}",
                    "ask for a bundle of the registry that you mean",
                )
            self._headers = headers
        return self._headers[-1]

    def code_hash(self, contract: Address) -> bytes:
        """Give the keccak256 of a contract's code at the anchor, 32 bytes."""
        name = SENSOR_REGISTRY if contract == self.sensor_registry else MODEL_REGISTRY
        if self.members[f"{name}.abi.json"] != canonical_json(load_artifact(name).abi):
            raise _failed(f"the ABI is not that of {name}")
        return self._account(contract)[0].code_hash

    def blocks(self) -> Sequence[BlockLogs]:
        """Give all blocks from the first to the anchor that have logs of the registries."""
        if self._blocks is None:
            self.anchor()
            self._verify_links()
            self._blocks = self._prove_blocks()
        return self._blocks

    def words(self, contract: Address, slots: Sequence[bytes]) -> Sequence[bytes]:
        """Give what storage slots hold at the anchor, 32 bytes each."""
        account, proofs = self._account(contract)
        listed = list(proofs)
        if contract == self.model_registry:
            # The dataset's words come first, then the model's; they are asked for one after the other.
            listed = listed[:DATASET_WORDS] if listed[:DATASET_WORDS] == list(slots) else listed[DATASET_WORDS:]
        if listed != list(slots):
            raise _failed(f"the proofs of {contract}'s storage are not of the slots that its events give")
        return [verify_storage(account.storage_root, slot, proofs[slot]) for slot in slots]

    def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block up to the anchor, 32 bytes; None where there is none."""
        self.blocks()
        place = number - self.place.first_block
        return self._headers[place].hash if 0 <= place < len(self._headers) else None

    def transactions(self, places: Sequence[tuple[BlockLogs, int]]) -> Sequence[Transaction | None]:
        """Give the signed transactions of all own readings; their signatures are for the caller to verify."""
        listed = decode_strings(self.members["transactions"], len(places) + 2)
        if len(listed) != len(places):
            raise _failed(f"there are {len(listed)} transactions for {len(places)} own readings")
        return [decode_transaction(encoded) for encoded in listed]

    def manifest(self) -> Manifest:
        """Give the model's manifest.

        Raises:
            BundleError: It is none, or not in its one form.
        """
        data = self.members["manifest.json"]
        manifest = parse_manifest(data)
        if canonical_json(manifest.to_json()) != data:
            raise BundleError("not a sound bundle: manifest.json is not canonical", "ask for it again")
        return manifest

    def model_file(self) -> ModelFile:
        """Give the model."""
        return parse_model(self.members["model"])

    def verify_rows(self, rows: Rows) -> None:
        """Verify that the bundle's dataset has these rows.

        Raises:
            AuditError: It has others.
        """
        if dataset_csv(rows) != self.members["dataset.csv"]:
            raise _failed("dataset.csv does not hold the rows that the events give")

    def _verify_links(self) -> None:
        number, parent = self.place.first_block, None
        for header in self._headers:
            if header.number != number or parent not in (None, header.parent_hash):
                raise _failed(f"header {header.number} does not follow on the one before")
            number, parent = number + 1, header.hash

    def _prove_blocks(self) -> list[BlockLogs]:
        contracts = [address_bytes(self.sensor_registry), address_bytes(self.model_registry)]
        lists = split_rlp(self.members["receipts"])
        blocks = []
        for header in self._headers:
            if not any(may_contain(header.logs_bloom, contract) for contract in contracts):
                continue
            encoded = next(lists, None)
            if encoded is None:
                raise _failed(f"there are no receipts of block {header.number}")
            block = _prove_block(header, decode_strings(encoded), contracts)
            if len(block):
                blocks.append(block)
        if next(lists, None) is not None:
            raise _failed("there are receipts of more blocks than may hold events")
        return blocks

    def _account(self, contract: Address) -> tuple[Account, dict[bytes, list[bytes]]]:
        if self._proofs is None:
            self._proofs = self._read_proofs()
        return self._proofs[contract]

    def _read_proofs(self) -> dict[Address, tuple[Account, dict[bytes, list[bytes]]]]:
        state_root = self.anchor().state_root
        contracts = (self.sensor_registry, self.model_registry)
        listed = _items(decode_rlp(self.members["proofs"], _PROOFS_DEPTH), 2)
        found = {}
        for contract, entry in zip(contracts, listed, strict=True):
            where, account_proof, slots = _items(entry, 3)
            account = verify_account(state_root, contract, _strings(account_proof))
            if where != address_bytes(contract) or account is None:
                raise _failed(f"there is no proof of the contract {contract}")
            pairs = [_items(slot, 2) for slot in _items(slots)]
            proofs = {_string(slot): _strings(nodes) for slot, nodes in pairs}
            if len(proofs) != len(pairs):
                raise _failed(f"a slot of {contract} is proven twice")
            found[contract] = (account, proofs)
        return found


def _prove_block(header: BlockHeader, encoded: Sequence[bytes], contracts: Sequence[bytes]) -> BlockLogs:
    root = ordered_root(encoded)
    if root != header.receipts_root:
        raise _failed(f"the receipts of block {header.number} are not its own")
    return logs_of(header, [decode_receipt(receipt) for receipt in encoded], contracts)


def _items(item: RlpItem, count: int | None = None) -> list[RlpItem]:
    if not isinstance(item, list) or count not in (None, len(item)):
        raise _failed("the member proofs is not laid out as it should be")
    return item


def _strings(item: RlpItem) -> list[bytes]:
    return [_string(each) for each in _items(item)]


def _string(item: RlpItem) -> bytes:
    if isinstance(item, list):
        raise _failed("the member proofs is not laid out as it should be")
    return item


def _failed(what: str) -> AuditError:
    return AuditError(what, "the bundle was altered: ask for it again, from someone else")
