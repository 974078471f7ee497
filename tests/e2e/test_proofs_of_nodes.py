"""What nodes say of a chain, held to its blocks' hashes alone: headers, receipts, accounts and storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any

import pytest
import rlp

from conftest import Site, make_site, throw_away_key
from nodes import GANACHE, NODES, START, Lack, Node
from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.header import BlockHeader, header_rlp, may_contain, parse_header
from sensetrail.core.primitives import ZERO_WORD, Address, address, address_bytes, hex_word, keccak256
from sensetrail.core.receipt import TransactionReceipt, decode_receipt, receipt_from_rpc
from sensetrail.core.rules import Profile
from sensetrail.core.storage import (
    Counts,
    counts_slot,
    dataset_slots,
    device_record_slots,
    device_state_slot,
    model_slots,
    profile_slot,
    read_counts,
    read_dataset,
    read_device_record,
    read_device_state,
    read_model,
    read_profile,
)
from sensetrail.core.trie import (
    Account,
    ordered_root,
    verify_account,
    verify_proof,
    verify_storage,
)
from sensetrail.errors import VerificationError
from tries import indexed

WEIGHTS_DIGEST, MANIFEST_DIGEST = bytes([1]) * 32, bytes([2]) * 32
NOBODY = address("0x" + "12" * 20)
COLD = Profile(-40_96, -1, 3_00, 0, 100_00, 2_00, 30)
SENSORS, MODELS = load_artifact(SENSOR_REGISTRY).storage, load_artifact(MODEL_REGISTRY).storage
TRANSACTIONS = 4
"""How many the full block has."""
HARDFORKS = {"berlin": 15, "london": 16, "shanghai": 17, "cancun": 20, "prague": 21, "osaka": 21}
"""Anvil's name of a fork, and how many fields a header has by its rules."""


@dataclass
class Told:
    """A chain on which much happened: registries with something in every place, and a block of several transactions."""

    node: Node
    site: Site
    revoked: Address
    dataset_id: bytes
    full_block: int
    failed_block: int


@pytest.fixture(scope="module", params=NODES, ids=[node.name for node in NODES])
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    node: Node = request.param
    with ExitStack() as stack:
        yield tell(node, make_site(Chain(stack.enter_context(node.running()).url)))


def tell(node: Node, site: Site) -> Told:
    site.submit(*site.batch(site.measurements(5)))
    cold = site.measurements(2, start=site.now, temperature=-10_00)
    site.submit(*site.batch(cold))
    assert site.registry.add_profile(site.admin, COLD) == 2
    revoked = throw_away_key("revoked")
    site.registry.register_device(site.admin, address(revoked.address), 2, b"\x07" * 32)
    site.registry.revoke_device(site.admin, address(revoked.address), 1_700_000_000)
    through = site.chain.latest_block()
    record = DatasetRecord(b"\x03" * 32, 9, b"\x04" * 32, through.number, through.hash)
    site.models.register_dataset(site.admin, record)
    site.models.register_model(site.admin, WEIGHTS_DIGEST, record.dataset_id, MANIFEST_DIGEST, "task")
    site.models.recall_model(site.admin, WEIGHTS_DIGEST, "reason")
    return Told(
        node, site, address(revoked.address), record.dataset_id, mine_several(node, site), mine_a_failure(node, site)
    )


def mine_several(node: Node, site: Site) -> int:
    """Put transactions with two logs, one and none into one block; give its height."""
    first, signature = site.batch(site.measurements(2, start=site.now))
    after = replace(first, header=replace(first.header, first_sequence=first.header.first_sequence + 2))
    with one_block(node, site.chain):
        sent = [
            site.registry.submit_batches(site.relayer, [(first, signature), (after, site.sign(after))]),
            site.chain.send(site.admin, NOBODY, value=1),
            site.registry.submit_batch(site.relayer, *site.batch(site.measurements(2), throw_away_key("stranger"))),
            site.chain.send(site.admin, NOBODY, value=2),
        ]
    (height,) = {site.chain.wait(each).block_number for each in sent}
    assert len(block_json(site.chain, height)["transactions"]) == TRANSACTIONS
    return height


def mine_a_failure(node: Node, site: Site) -> int:
    """Put a transaction that succeeds and one that fails after it into one block; give its height."""
    other = address(site.register("other").address)
    with one_block(node, site.chain):
        sent = [site.registry.send(site.admin, "revokeDevice", other, 1_700_000_000) for _ in range(2)]
    receipts = [site.chain.receipt(each) for each in sent]
    assert [receipt is not None and receipt.succeeded for receipt in receipts] == [True, False]
    return site.chain.wait(sent[0]).block_number


@contextmanager
def one_block(node: Node, chain: Chain) -> Iterator[None]:
    """Mine what is sent in here together."""
    has_flag = Lack.AUTOMINE not in node.lacks
    chain.request(*(("evm_setAutomine", False) if has_flag else ("miner_stop",)))
    yield
    if has_flag:
        chain.request("evm_mine")
        chain.request("evm_setAutomine", True)
    else:
        chain.request("miner_start")


def block_json(chain: Chain, number: int) -> dict[str, Any]:
    found: dict[str, Any] = chain.request("eth_getBlockByNumber", hex(number), False)
    return found


def header_of(chain: Chain, number: int) -> BlockHeader:
    """Give a block's header, by its hash."""
    block = block_json(chain, number)
    header = parse_header(header_rlp(block))
    assert hex_word(header.hash) == block["hash"]
    assert (header.number, header.timestamp) == (number, int(block["timestamp"], 16))
    return header


def receipts_of(chain: Chain, number: int) -> list[TransactionReceipt]:
    hashes = block_json(chain, number)["transactions"]
    return [receipt_from_rpc(chain.request("eth_getTransactionReceipt", each)) for each in hashes]


def most_logs(receipts: list[TransactionReceipt]) -> int:
    return max(range(len(receipts)), key=lambda i: len(receipts[i].logs))


def from_hex(nodes: list[str]) -> list[bytes]:
    return [bytes.fromhex(node[2:]) for node in nodes]


def proof_of(site: Site, where: Address, slots: list[bytes], number: int) -> tuple[list[bytes], list[list[bytes]]]:
    """Ask for an account's proof and those of its slots at a height."""
    said = site.chain.request("eth_getProof", where, [hex_word(slot) for slot in slots], hex(number))
    return from_hex(said["accountProof"]), [from_hex(entry["proof"]) for entry in said["storageProof"]]


def proven_words(site: Site, where: Address, slots: list[bytes]) -> list[bytes]:
    """Give a contract's words as the newest block's hash proves them."""
    header = header_of(site.chain, site.chain.latest_block().number)
    account_proof, proofs = proof_of(site, where, slots, header.number)
    account = verify_account(header.state_root, where, account_proof)
    assert account is not None
    return [verify_storage(account.storage_root, slot, proof) for slot, proof in zip(slots, proofs, strict=True)]


def each_change(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Give a proof with each of its bytes changed, one at a time, and cut, grown and disordered."""
    for place, node in enumerate(proof):
        for i in range(len(node)):
            yield [*proof[:place], node[:i] + bytes([node[i] ^ 1]) + node[i + 1 :], *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], node, *proof[place:]]
        yield [*proof[:place], node[:-1], *proof[place + 1 :]]
        yield [*proof[:place], node + b"\0", *proof[place + 1 :]]
    yield [*proof, b"\x80"]
    if len(proof) > 1:
        yield proof[::-1]


def test_every_header_has_its_blocks_hash(told: Told) -> None:
    chain = told.site.chain
    parent = ZERO_WORD
    for number in range(chain.latest_block().number + 1):
        header = header_of(chain, number)
        assert header.parent_hash == parent
        parent = header.hash


def test_each_changed_field_changes_the_hash(told: Told) -> None:
    block = block_json(told.site.chain, told.full_block)
    encoded = header_rlp(block)
    assert keccak256(encoded) == bytes.fromhex(block["hash"][2:])
    changed_fields = 0
    for name, value in block.items():
        if not isinstance(value, str) or name in ("hash", "totalDifficulty", "size") or value == "0x":
            continue
        changed = parse_header(header_rlp({**block, name: value[:-1] + ("1" if value[-1] == "0" else "0")}))
        assert hex_word(changed.hash) != block["hash"], name
        changed_fields += 1
    assert changed_fields >= len(rlp.decode(encoded)) - 1
    for i in range(len(encoded)):
        try:
            other = parse_header(encoded[:i] + bytes([encoded[i] ^ 1]) + encoded[i + 1 :])
        except VerificationError:
            continue
        assert hex_word(other.hash) != block["hash"]


def test_every_receipts_root_is_of_the_receipts_served(told: Told) -> None:
    chain = told.site.chain
    counts = set()
    for number in range(chain.latest_block().number + 1):
        header, receipts = header_of(chain, number), receipts_of(chain, number)
        if (told.node, number) == (GANACHE, told.failed_block):
            continue
        assert ordered_root([receipt.encode() for receipt in receipts]) == header.receipts_root
        counts.add(len(receipts))
        for receipt in receipts:
            assert decode_receipt(receipt.encode()) == receipt
            for log in receipt.logs:
                assert all(may_contain(header.logs_bloom, value) for value in (log.address, *log.topics))
    assert counts == {0, 1, TRANSACTIONS} | (set() if told.node == GANACHE else {2})


def test_ganache_writes_a_failure_as_a_zero_byte(told: Told) -> None:
    chain = told.site.chain
    header, receipts = header_of(chain, told.failed_block), receipts_of(chain, told.failed_block)
    encoded = [receipt.encode() for receipt in receipts]
    assert [receipt.succeeded for receipt in receipts] == [True, False]
    assert (ordered_root(encoded) == header.receipts_root) == (told.node != GANACHE)
    # Behind the type and the list's prefix of three bytes stands the status: 0x80 is RLP's zero (EIP-658), 0x00 none.
    assert encoded[1][4] == 0x80
    ganaches = encoded[1][:4] + b"\0" + encoded[1][5:]
    assert (ordered_root([encoded[0], ganaches]) == header.receipts_root) == (told.node == GANACHE)
    with pytest.raises(VerificationError):
        decode_receipt(ganaches)


def test_a_header_s_bloom_filter_is_its_receipts(told: Told) -> None:
    chain = told.site.chain
    header, receipts = header_of(chain, told.full_block), receipts_of(chain, told.full_block)
    registry = address_bytes(told.site.registry.address)
    assert sum(log.address == registry for receipt in receipts for log in receipt.logs) == 3
    assert may_contain(header.logs_bloom, registry)
    assert not may_contain(header.logs_bloom, address_bytes(told.site.models.address))


def test_receipts_swapped_dropped_or_edited_have_another_root(told: Told) -> None:
    root = header_of(told.site.chain, told.full_block).receipts_root
    receipts = receipts_of(told.site.chain, told.full_block)
    at = most_logs(receipts)
    receipt, log = receipts[at], receipts[at].logs[0]
    edited = replace(log, data=log.data[:-1] + bytes([log.data[-1] ^ 1]))
    edits = [
        replace(receipt, logs=receipt.logs[1:]),
        replace(receipt, logs=receipt.logs[::-1]),
        replace(receipt, logs=(edited, *receipt.logs[1:])),
        replace(receipt, succeeded=False),
        replace(receipt, type=1),
        replace(receipt, cumulative_gas_used=receipt.cumulative_gas_used + 1),
    ]
    wrong = [[*receipts[:at], edit, *receipts[at + 1 :]] for edit in edits]
    wrong += [[receipts[1], receipts[0], *receipts[2:]], receipts[1:], receipts[:-1], [*receipts, receipts[-1]]]
    for each in wrong:
        assert ordered_root([receipt.encode() for receipt in each]) != root


def test_one_receipt_is_proven_and_each_change_refused(told: Told) -> None:
    root = header_of(told.site.chain, told.full_block).receipts_root
    encoded = [receipt.encode() for receipt in receipts_of(told.site.chain, told.full_block)]
    for index, value in enumerate(encoded):
        proof = indexed(encoded).proof(rlp.encode(index))
        assert verify_proof(root, rlp.encode(index), proof) == value
        for wrong in each_change(proof):
            with pytest.raises(VerificationError):
                verify_proof(root, rlp.encode(index), wrong)
    proof = indexed(encoded).proof(rlp.encode(0))
    # Another place: its nodes are not there, or show that nothing stands under it.
    for other in range(1, TRANSACTIONS):
        with pytest.raises(VerificationError):
            verify_proof(root, rlp.encode(other), proof)


def test_json_with_a_log_dropped_or_edited_is_refused(told: Told) -> None:
    chain = told.site.chain
    at = most_logs(receipts_of(chain, told.full_block))
    served = chain.request("eth_getTransactionReceipt", block_json(chain, told.full_block)["transactions"][at])
    for wrong in (
        {**served, "logs": []},
        {**served, "logs": [{**log, "address": NOBODY} for log in served["logs"]]},
        {**served, "logs": [{**log, "topics": [hex_word(b"\x09" * 32)]} for log in served["logs"]]},
    ):
        with pytest.raises(VerificationError):
            receipt_from_rpc(wrong)


def test_accounts_are_proven(told: Told) -> None:
    site = told.site
    header = header_of(site.chain, site.chain.latest_block().number)
    for contract, name in ((site.registry.address, SENSOR_REGISTRY), (site.models.address, MODEL_REGISTRY)):
        proof, _ = proof_of(site, contract, [], header.number)
        account = verify_account(header.state_root, contract, proof)
        assert isinstance(account, Account)
        assert account.code_hash == load_artifact(name).code_digest
    relayer = address(site.relayer.address)
    proof, _ = proof_of(site, relayer, [], header.number)
    account = verify_account(header.state_root, relayer, proof)
    assert account is not None
    assert account.balance == site.chain.balance(relayer)
    assert account.nonce == int(site.chain.request("eth_getTransactionCount", relayer, hex(header.number)), 16)
    unused = address("0x" + "ab" * 20)
    proof, _ = proof_of(site, unused, [], header.number)
    assert verify_account(header.state_root, unused, proof) is None


def test_each_change_of_an_account_s_proof_is_refused(told: Told) -> None:
    site = told.site
    header = header_of(site.chain, site.chain.latest_block().number)
    registry = site.registry.address
    proof, _ = proof_of(site, registry, [], header.number)
    for wrong in each_change(proof):
        with pytest.raises(VerificationError):
            verify_account(header.state_root, registry, wrong)
    with pytest.raises(VerificationError):
        verify_account(header_of(site.chain, header.number - 1).state_root, registry, proof)
    for other in (site.models.address, address(site.relayer.address), address(site.admin.address)):
        # Refused, or proven absent from where it would branch off: never another's account.
        assert refused_or_absent(header.state_root, other, proof)


def refused_or_absent(root: bytes, other: Address, proof: list[bytes]) -> bool:
    try:
        return verify_account(root, other, proof) is None
    except VerificationError:
        return True


def test_each_change_of_a_slot_s_proof_is_refused(told: Told) -> None:
    site = told.site
    header = header_of(site.chain, site.chain.latest_block().number)
    slots = [device_state_slot(SENSORS, site.device_address), profile_slot(SENSORS, 1), profile_slot(SENSORS, 9)]
    account_proof, proofs = proof_of(site, site.registry.address, slots, header.number)
    account = verify_account(header.state_root, site.registry.address, account_proof)
    assert account is not None
    for slot, proof in zip(slots, proofs, strict=True):
        for wrong in each_change(proof):
            with pytest.raises(VerificationError):
                verify_storage(account.storage_root, slot, wrong)
    for slot, proof in ((slots[0], proofs[1]), (slots[1], proofs[0])):
        with pytest.raises(VerificationError):
            verify_storage(account.storage_root, slot, proof)
    with pytest.raises(VerificationError):
        verify_storage(keccak256(account.storage_root), slots[0], proofs[0])


def test_proven_words_say_what_the_sensor_registry_says(told: Told) -> None:
    site, where = told.site, told.site.registry.address
    for device in (site.device_address, told.revoked, NOBODY):
        (state,) = proven_words(site, where, [device_state_slot(SENSORS, device)])
        assert state == site.registry.state_slot(device)
        assert read_device_state(state) == site.registry.state(device)
        record = read_device_record(proven_words(site, where, device_record_slots(SENSORS, device)))
        assert astuple(record) == astuple(site.registry.record(device))
    assert site.registry.state(site.device_address).sequence == 11
    assert site.registry.record(told.revoked).revoked_at > 0
    for number in (1, 2, 3):
        (word,) = proven_words(site, where, [profile_slot(SENSORS, number)])
        assert read_profile(word) == site.registry.profile(number)
    assert site.registry.profile(2) == COLD
    (counts,) = proven_words(site, where, [counts_slot(SENSORS)])
    assert read_counts(counts) == Counts(site.registry.profile_count(), site.registry.device_count()) == Counts(2, 3)


def test_proven_words_say_what_the_model_registry_says(told: Told) -> None:
    site, where = told.site, told.site.models.address
    for dataset_id in (told.dataset_id, ZERO_WORD):
        dataset = read_dataset(proven_words(site, where, dataset_slots(MODELS, dataset_id)))
        assert dataset == site.models.dataset(dataset_id)
    for digest in (WEIGHTS_DIGEST, MANIFEST_DIGEST):
        model = read_model(proven_words(site, where, model_slots(MODELS, digest)))
        assert astuple(model) == astuple(site.models.model(digest))
    assert site.models.model(WEIGHTS_DIGEST).recalled_at > 0


@pytest.mark.parametrize("hardfork", HARDFORKS)
def test_headers_of_each_fork(hardfork: str) -> None:
    with running_devnet(timestamp=START, hardfork=hardfork) as chain:
        chain.request("evm_mine")
        header = header_of(chain, 1)
        assert len(rlp.decode(header.rlp)) == HARDFORKS[hardfork]
        if HARDFORKS[hardfork] >= 20:
            assert header_of(chain, 0).hash == header.parent_hash
        else:
            # Anvil's block 0 has Cancun's two gas fields by the rules of before: no fork has such a header.
            with pytest.raises(VerificationError):
                header_of(chain, 0)
