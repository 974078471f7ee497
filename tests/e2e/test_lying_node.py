"""A node that does not tell the truth is caught, the step is named, and nothing false is stored."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import terminal_at
from conftest import START, Site, make_site
from indexes import LAYOUT, dump, history, honest, index, open_index, stored
from proxy import Call, Change, Proxy, Response, error, running_proxy
from sensetrail.chain import wire
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.chain.wire import Wire
from sensetrail.core.header import header_rlp
from sensetrail.core.primitives import hex_word, keccak256
from sensetrail.core.receipt import receipt_from_rpc
from sensetrail.core.storage import device_state_slot
from sensetrail.core.trie import ordered_root
from sensetrail.errors import AnswerError, LimitedNodeError, ProofError, SensetrailError
from sensetrail.indexer import headers, read, sync
from sensetrail.indexer.headers import get_header
from sensetrail.indexer.heads import prove_states
from sensetrail.indexer.store import Cursor, Store

HEADERS = "eth_getBlockByNumber"
RECEIPTS = "eth_getBlockReceipts"
ONE_RECEIPT = "eth_getTransactionReceipt"


@dataclass
class Told:
    """A chain on which things happened, and where.

    Attributes:
        site: The registries.
        other: Another chain, of the same height.
        full: A block with several receipts, each with logs.
        prefix: An index that ends before that block.
        true: What an index holds that an honest node filled.
        hashes: Each block's, from block 0.
    """

    site: Site
    other: Chain
    full: int
    prefix: Path
    true: list[str]
    hashes: list[bytes]

    @property
    def newest(self) -> int:
        return len(self.hashes) - 1

    def header(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.site.chain.request(HEADERS, hex(number), False)
        return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    with running_devnet(timestamp=START, finality=4) as chain, running_devnet(timestamp=START + 9) as other:
        site = make_site(chain)
        device = site.register("other")
        site.submit(*site.batch(site.measurements(3)))
        chain.request("anvil_mine", hex(4))
        with open_index(site, folder / "prefix.sqlite") as store:
            index(site, store)
        first = site.batch(site.measurements(3, start=site.now - 30)), site.batch(site.measurements(2), device)
        chain.request("evm_setAutomine", False)
        sent = [site.registry.submit_batch(site.relayer, *each) for each in first]
        chain.request("evm_mine")
        chain.request("evm_setAutomine", True)
        full = chain.wait(sent[0]).block_number
        chain.request("anvil_mine", hex(3))
        site.submit(*site.batch(site.measurements(4, start=site.now - 20)))
        chain.request("anvil_mine", hex(3))
        newest = chain.latest_block().number
        other.request("anvil_mine", hex(newest))
        true = honest(site, folder / "true.sqlite")
        hashes = [block.hash for n in range(newest + 1) if (block := chain.block(n))]
        yield Told(site, other, full, folder / "prefix.sqlite", true, hashes)


@pytest.fixture
def proxy(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(sync, "PAUSE", 0.0)
    with running_proxy(told.site.chain.url) as running:
        yield running


def caught(told: Told, proxy: Proxy, folder: Path, step: str, **options: Any) -> list[SensetrailError]:
    """Index through a proxy, from the beginning and from a prefix; give what was said of the lie."""
    errors = refused(told, proxy, folder, ProofError, **options)
    for said in errors:
        assert isinstance(said, ProofError)
        assert said.step == step, said
        assert f"step {step}: " in said.what
    return errors


def refused(
    told: Told, proxy: Proxy, folder: Path, kind: type[SensetrailError], **options: Any
) -> list[SensetrailError]:
    """Index through a proxy, from the beginning and from a prefix; give what was said, once for each."""
    errors: list[SensetrailError] = []
    for start in ("empty", "prefix"):
        path = folder / f"{start}.sqlite"
        path.unlink(missing_ok=True)
        if start == "prefix":
            shutil.copy(told.prefix, path)
        with open_index(told.site, path) as store:
            with pytest.raises(kind) as raised:
                index(told.site, store, proxy.url, **options)
            assert (raised.value.exit_code == 5) == (kind is ProofError)
            errors.append(raised.value)
            cursor = store.cursor()
            assert cursor is None or cursor.hash == told.hashes[cursor.number]
            assert all(told.hashes[number] == block_hash for number, block_hash in store.recent())
            assert all(told.hashes[block.number] == block.hash for block in store.blocks(2**62))
        assert {line for line in dump(path) if 'INTO "blocks"' in line} <= set(told.true)
        # What is left is a prefix of the truth: the rest can be put behind it.
        with open_index(told.site, path) as store:
            index(told.site, store)
        assert dump(path) == told.true
    return errors


def of(method: str, number: int, alter: Callable[[Any], Any]) -> Change:
    """Alter what is said of one block: by its height, by a tag that means it, or by its hash."""

    def change(call: Call, response: Response) -> Response | None:
        result = response.get("result")
        block = result[0] if isinstance(result, list) and result else result
        at = block.get("number") or block.get("blockNumber") if isinstance(block, dict) else None
        if call["method"] == method and at is not None and int(at, 16) == number:
            response["result"] = alter(copy.deepcopy(result))
        return response

    return change


def with_its_hash(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "hash": hex_word(keccak256(header_rlp(block)))}


def flipped(digits: str) -> str:
    """Alter hexadecimal digits, and leave it the same length."""
    return digits[:-1] + ("1" if digits[-1] == "0" else "0")


def places(told: Told) -> list[int]:
    """Give blocks to lie about: behind the prefix, in the middle, the one with the most in it, the last."""
    return [told.full - 1, told.full, told.full + 2, told.newest]


@pytest.mark.parametrize(
    "field",
    ["hash", "parentHash", "stateRoot", "receiptsRoot", "logsBloom", "timestamp", "number", "gasUsed", "mixHash"],
)
def test_a_header_that_is_altered_does_not_hash_to_its_hash(
    told: Told, proxy: Proxy, tmp_path: Path, field: str
) -> None:
    for number in places(told):
        proxy.change = of(HEADERS, number, lambda block: {**block, field: flipped(block[field])})
        caught(told, proxy, tmp_path, "headers")


@pytest.mark.parametrize("field", ["parentHash", "stateRoot", "receiptsRoot", "timestamp"])
def test_a_header_that_is_altered_with_its_hash_has_no_child(
    told: Told, proxy: Proxy, tmp_path: Path, field: str
) -> None:
    for number in places(told)[:-1]:
        proxy.change = of(HEADERS, number, lambda block: with_its_hash({**block, field: flipped(block[field])}))
        caught(told, proxy, tmp_path, "headers")


def test_logs_hidden_by_an_empty_bloom_filter_are_missed_by_the_child(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    empty = "0x" + "00" * 256
    proxy.change = of(HEADERS, told.full, lambda block: {**block, "logsBloom": empty})
    caught(told, proxy, tmp_path, "headers")
    proxy.change = of(HEADERS, told.full, lambda block: with_its_hash({**block, "logsBloom": empty}))
    caught(told, proxy, tmp_path, "headers")


def test_a_forged_block_that_was_stored_already_goes_again(
    told: Told, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One header at a time, so that a forged one is stored before its child is seen."""
    forged = Forger(told)
    proxy.change = forged
    monkeypatch.setattr(read, "BLOCKS_AT_ONCE", 1)
    monkeypatch.setattr(wire, "TARGET_BYTES", 1)
    monkeypatch.setattr(wire.Pace, "grow", lambda *_: setattr(_[0], "size", 1))
    caught(told, proxy, tmp_path, "headers")
    assert forged.lied


@pytest.mark.parametrize(("junk", "kind"), [(None, LimitedNodeError), ({}, AnswerError)])
def test_forged_blocks_go_again_where_the_next_one_is_withheld(
    told: Told, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, junk: object, kind: type[SensetrailError]
) -> None:
    """No child contradicts them then: what does not lead to the anchor is not kept, whatever ends the run."""
    forged = Forger(told)
    first = forged({"method": HEADERS, "params": [hex(told.full)]}, {"result": told.header(told.full)})
    children = {hex(told.full): first["result"]}
    for number in range(told.full + 1, told.full + 4):
        parent = children[hex(number - 1)]["hash"]
        children[hex(number)] = with_its_hash({**told.header(number), "parentHash": parent})
    children[hex(told.full + 4)] = junk

    def change(call: Call, response: Response) -> Response:
        if call["method"] == HEADERS and call["params"][0] in children:
            return {**response, "result": children[call["params"][0]]}
        return forged(call, response)

    proxy.change = change
    monkeypatch.setattr(read, "BLOCKS_AT_ONCE", 1)
    for module in (headers, read):
        monkeypatch.setattr(module, "Pace", lambda size: wire.Pace(size=1, ceiling=1))
    appended: list[int] = []
    append = Store.append

    def spy(store: Store, blocks: Any, recent: Any, cursor: Cursor) -> None:
        appended.append(cursor.number)
        append(store, blocks, recent, cursor)

    monkeypatch.setattr(Store, "append", spy)
    refused(told, proxy, tmp_path, kind)
    assert forged.lied
    assert told.full in appended


class Forger:
    """Serves a block without its last receipt, header and receipts in accord with each other."""

    def __init__(self, told: Told) -> None:
        self.number = hex(told.full)
        self.receipts = told.site.chain.request(RECEIPTS, self.number)[:-1]
        self.root = ordered_root([receipt_from_rpc(each).encode() for each in self.receipts])
        self.lied = False

    def __call__(self, call: Call, response: Response) -> Response:
        if call["method"] == RECEIPTS and call["params"] == [self.number]:
            self.lied = True
            response["result"] = self.receipts
        if call["method"] == HEADERS and call["params"][0] == self.number:
            response["result"] = with_its_hash({**response["result"], "receiptsRoot": hex_word(self.root)})
        return response


def test_another_block_than_asked_for_is_named(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    elsewhere = {n: told.other.request(HEADERS, hex(n), False) for n in places(told)}
    before = told.site.chain.request(HEADERS, hex(told.full - 1), False)
    for number in places(told):
        proxy.change = of(HEADERS, number, lambda _, number=number: elsewhere[number])  # type: ignore[misc]
        if number != told.newest:
            caught(told, proxy, tmp_path, "headers")
    proxy.change = of(HEADERS, told.full, lambda _: before)
    assert "asked for block" in caught(told, proxy, tmp_path, "headers")[0].what
    # No block, or no object, accuses nobody.
    proxy.change = of(HEADERS, told.full, lambda _: None)
    said = refused(told, proxy, tmp_path, LimitedNodeError)
    assert said[0].what == f"the node does not have block {told.full}, below its newest"
    proxy.change = of(HEADERS, told.full, lambda block: [block])
    refused(told, proxy, tmp_path, AnswerError)


def test_a_head_that_changes_between_two_calls_is_not_followed(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    lie = of(HEADERS, told.newest, lambda block: with_its_hash({**block, "timestamp": flipped(block["timestamp"])}))
    proxy.change = lambda call, response: response if call["params"][:1] == ["latest"] else lie(call, response)
    assert "5 times" in caught(told, proxy, tmp_path, "headers")[0].what


def test_a_head_that_changes_once_is_followed(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    lie = of(HEADERS, told.newest, lambda block: with_its_hash({**block, "timestamp": flipped(block["timestamp"])}))
    lies = iter([True, False])
    proxy.change = lambda call, response: lie(call, response) if next(lies, False) else response
    said: list[str] = []
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url, tell=said.append)
    assert any("changed while it was read" in line for line in said)
    assert dump(tmp_path / "index.sqlite") == told.true


def log_lies() -> dict[str, Callable[[list[Any]], object]]:
    """Give lies about a block's receipts, as what they do to the list of them."""

    def first_log(receipts: list[Any]) -> dict[str, Any]:
        log: dict[str, Any] = receipts[0]["logs"][0]
        return log

    return {
        "data altered": lambda r: first_log(r).update(data=flipped(first_log(r)["data"])),
        "data shortened": lambda r: first_log(r).update(data=first_log(r)["data"][:-64]),
        "topic altered": lambda r: first_log(r)["topics"].append(flipped(first_log(r)["topics"].pop())),
        "topic dropped": lambda r: first_log(r)["topics"].pop(),
        "address altered": lambda r: first_log(r).update(address=flipped(first_log(r)["address"])),
        "log dropped": lambda r: r[0]["logs"].pop(),
        "all logs dropped": lambda r: [receipt["logs"].clear() for receipt in r],
        "log repeated": lambda r: r[0]["logs"].append(first_log(r)),
        "logs reordered": lambda r: r.__setitem__(
            slice(0, 2), [{**r[0], "logs": r[1]["logs"]}, {**r[1], "logs": r[0]["logs"]}]
        ),
        "log added": lambda r: r[-1]["logs"].append({**first_log(r), "data": "0x"}),
        "receipt dropped": lambda r: r.pop(),
        "receipt repeated": lambda r: r.append(r[-1]),
        "receipts reordered": lambda r: r.reverse(),
        "status flipped": lambda r: r[0].update(status="0x0"),
        "bloom altered": lambda r: r[0].update(logsBloom=flipped(r[0]["logsBloom"])),
        "gas altered": lambda r: r[-1].update(cumulativeGasUsed=flipped(r[-1]["cumulativeGasUsed"])),
        "type altered": lambda r: r[0].update(type="0x1"),
    }


def log_nonsense() -> dict[str, Callable[[list[Any]], object]]:
    """Give changes after which a list of receipts makes no sense, and proves nothing about the node."""
    return {
        "type impossible": lambda r: r[0].update(type="0x1ff"),
        "status impossible": lambda r: r[0].update(status="0x2"),
        "status missing": lambda r: r[0].pop("status"),
        "a number for data": lambda r: r[0]["logs"][0].update(data=7),
        "logs that are none": lambda r: r[0].update(logs="0x"),
        "a receipt that is none": lambda r: r.append({"type": "0x0"}),
    }


@pytest.mark.parametrize("one_by_one", [False, True], ids=["by block", "one by one"])
@pytest.mark.parametrize("lie", log_lies())
def test_receipts_that_are_altered_do_not_hash_to_the_header_s_root(
    told: Told, proxy: Proxy, tmp_path: Path, lie: str, one_by_one: bool
) -> None:
    serve_receipts(told, proxy, log_lies()[lie], one_by_one)
    assert f"block {told.full}" in caught(told, proxy, tmp_path, "receipts")[0].what


@pytest.mark.parametrize("one_by_one", [False, True], ids=["by block", "one by one"])
@pytest.mark.parametrize("change", log_nonsense())
def test_receipts_that_make_no_sense_are_no_proven_lie(
    told: Told, proxy: Proxy, tmp_path: Path, change: str, one_by_one: bool
) -> None:
    serve_receipts(told, proxy, log_nonsense()[change], one_by_one)
    said = refused(told, proxy, tmp_path, AnswerError)[0].what
    assert said.startswith(f"the node's answer for the receipts of block {told.full} makes no sense: ")


@pytest.mark.parametrize("one_by_one", [False, True], ids=["by block", "one by one"])
def test_a_block_whose_receipts_are_pruned_is_no_proven_lie(
    told: Told, proxy: Proxy, tmp_path: Path, one_by_one: bool
) -> None:
    serve_receipts(told, proxy, lambda receipts: receipts.clear(), one_by_one)
    said = refused(told, proxy, tmp_path, LimitedNodeError)[0]
    assert said.what == f"the node does not have the receipts of block {told.full}"
    assert "whole history" in said.to_do


def serve_receipts(told: Told, proxy: Proxy, alter: Callable[[list[Any]], object], one_by_one: bool) -> None:
    """Serve a block's receipts altered, as a list or one by one."""
    lied = copy.deepcopy(told.site.chain.request(RECEIPTS, hex(told.full)))
    assert len(lied) == 2
    alter(lied)

    def change(call: Call, response: Response) -> Response | None:
        if call["method"] == RECEIPTS and one_by_one:
            return error(call, "Method not found", -32601)
        if call["method"] == RECEIPTS and call["params"] == [hex(told.full)]:
            return {**response, "result": lied}
        if call["method"] == HEADERS and one_by_one and call["params"][0] == hex(told.full):
            response["result"]["transactions"] = [hex(i) for i in range(len(lied))]
        if call["method"] == ONE_RECEIPT and len(call["params"][0]) < 10:
            return {**response, "result": lied[int(call["params"][0], 16)]}
        return response

    proxy.change = patched_upstream(change, lied) if one_by_one else change


def patched_upstream(change: Change, lied: list[Any]) -> Change:
    """Anvil refuses what is no transaction's hash: the answer is put in the error's place."""

    def instead(call: Call, response: Response) -> Response | None:
        if call["method"] == ONE_RECEIPT and len(call["params"][0]) < 10:
            return {"jsonrpc": "2.0", "id": call["id"], "result": lied[int(call["params"][0], 16)]}
        return change(call, response)

    return instead


def test_another_block_s_receipts_are_not_this_one_s(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    other = told.site.chain.request(RECEIPTS, hex(told.full + 4))
    assert other[0]["logs"]
    proxy.change = of(RECEIPTS, told.full, lambda _: other)
    caught(told, proxy, tmp_path, "receipts")


def test_an_answer_that_is_left_out_is_named(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    for method, what in ((HEADERS, "headers"), (RECEIPTS, "receipts")):
        proxy.change = lambda call, response, method=method: (  # type: ignore[misc]
            None
            if call["method"] == method and isinstance(call["id"], int) and call["id"] > told.full - 1
            else response
        )
        assert f"questions for {what}" in refused(told, proxy, tmp_path, AnswerError)[0].what


def proof_lies() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Give lies about storage, as what they do to the answer of `eth_getProof`."""
    return {
        "word altered": lambda a: a["storageProof"][0]["proof"].append(flipped(a["storageProof"][0]["proof"].pop())),
        "node dropped": lambda a: a["storageProof"][0]["proof"].pop(),
        "node repeated": lambda a: a["storageProof"][0]["proof"].append(a["storageProof"][0]["proof"][-1]),
        "nothing there": lambda a: a["storageProof"][0].update(proof=[]),
        "account altered": lambda a: a["accountProof"].append(flipped(a["accountProof"].pop())),
        "account's root altered": lambda a: a["accountProof"].insert(0, flipped(a["accountProof"].pop(0))),
    }


def proof_nonsense() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Give changes after which the answer of `eth_getProof` makes no sense."""
    return {
        "another slot": lambda a: a["storageProof"][0].update(key="0x" + "11" * 32),
        "no proof": lambda a: a.clear(),
        "no nodes": lambda a: a.update(accountProof="0x"),
    }


@pytest.mark.parametrize("lie", [*proof_lies(), *proof_nonsense()])
def test_storage_proofs_that_are_altered_prove_nothing(told: Told, proxy: Proxy, tmp_path: Path, lie: str) -> None:
    def change(call: Call, response: Response) -> Response | None:
        if call["method"] == "eth_getProof":
            (proof_lies() | proof_nonsense())[lie](response["result"])
        return response

    proxy.change = change
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        for _ in range(2):  # the same again: it is not forgotten
            with pytest.raises(ProofError if lie in proof_lies() else AnswerError) as raised:
                index(told.site, store, proxy.url)
            assert getattr(raised.value, "step", "heads") == "heads"
            assert store.derived() is None
        assert index(told.site, store).heads_proven == 2
    assert dump(tmp_path / "index.sqlite") == told.true


def test_a_head_that_the_logs_do_not_leave_is_named(told: Told) -> None:
    with closing(Wire(told.site.chain.url)) as wire:
        header = get_header(wire, told.newest)
        assert header is not None
        slot = device_state_slot(LAYOUT, told.site.device_address)
        word = told.site.registry.state_slot(told.site.device_address)
        assert prove_states(wire, header, told.site.registry.address, {slot: word})
        with pytest.raises(ProofError, match="step heads: the logs leave 0x") as raised:
            prove_states(wire, header, told.site.registry.address, {slot: bytes(31) + b"\1"})
        assert (raised.value.expected, raised.value.actual) == (bytes(31) + b"\1", word)


def test_a_node_without_storage_proofs_is_said_to_have_none(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    proxy.change = lambda call, response: (
        error(call, "Method not found", -32601) if call["method"] == "eth_getProof" else response
    )
    said: list[str] = []
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        assert index(told.site, store, proxy.url, tell=said.append).heads_proven is None
    assert said == ["the node gives no storage proofs of the last block: heads are proven by receipts alone"]
    assert dump(tmp_path / "index.sqlite") == told.true


def test_a_final_block_that_is_not_of_the_chain_is_named(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    def finalized(alter: Callable[[Any], Any]) -> Change:
        def change(call: Call, response: Response) -> Response | None:
            if call["params"][:1] == ["finalized"]:
                response["result"] = alter(response["result"])
            return response

        return change

    proxy.change = finalized(lambda block: with_its_hash({**block, "timestamp": flipped(block["timestamp"])}))
    caught(told, proxy, tmp_path, "finality")
    proxy.change = finalized(lambda block: {**block, "timestamp": flipped(block["timestamp"])})
    caught(told, proxy, tmp_path, "finality")
    # One that is of the chain but not final cannot be told by one node; two tell.
    newest = told.site.chain.request(HEADERS, hex(told.newest), False)
    proxy.change = finalized(lambda _: newest)
    with open_index(told.site, tmp_path / "one.sqlite") as store:
        assert index(told.site, store, proxy.url).cursor.final_number == told.newest
    with closing(Wire(told.site.chain.url)) as second, open_index(told.site, tmp_path / "two.sqlite") as store:
        assert index(told.site, store, proxy.url, second=second).cursor.final_number == told.newest - 4


def test_a_block_hash_that_the_user_gives_holds_the_node(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    given = told.hashes[told.newest - 1]
    true = tmp_path / "given.sqlite"
    with open_index(told.site, true) as store:
        cursor = index(told.site, store, block_hash=given).cursor
        assert (cursor.anchor_hash, cursor.final_hash, cursor.number) == (given, given, told.newest - 1)
        assert cursor.anchor_source == "a block hash that the user gave"
    by_hash: Change = lambda call, response: (  # noqa: E731
        {**response, "result": told.site.chain.request(HEADERS, hex(told.full), False)}
        if call["method"] == "eth_getBlockByHash"
        else response
    )
    nothing: Change = lambda call, response: (  # noqa: E731
        {**response, "result": None} if call["method"] == "eth_getBlockByHash" else response
    )
    forged = of(HEADERS, told.newest - 1, lambda block: with_its_hash({**block, "timestamp": "0x77777777"}))
    for lie in (by_hash, forged):
        proxy.change = lie
        caught(told, proxy, tmp_path, "anchor", block_hash=given)
    proxy.change = nothing
    refused(told, proxy, tmp_path, LimitedNodeError, block_hash=given)
    proxy.reset()
    said = refused(told, proxy, tmp_path, LimitedNodeError, block_hash=bytes(32))[0]
    assert "check --block-hash" in said.to_do


def test_a_block_hash_below_what_is_stored_is_followed_up_to_it(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    shutil.copy(told.prefix, path)
    with open_index(told.site, path) as store:
        index(told.site, store)
        for given in (told.hashes[told.full - 2], told.hashes[1], told.hashes[told.newest]):
            cursor = index(told.site, store, block_hash=given).cursor
            assert (cursor.number, cursor.anchor_hash) == (told.newest, given)


def test_a_second_node_holds_the_first(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    forged = of(HEADERS, told.newest, lambda block: with_its_hash({**block, "timestamp": "0x77777777"}))
    elsewhere = told.other.request(HEADERS, hex(told.newest), False)
    for lie in (forged, of(HEADERS, told.newest, lambda _: elsewhere)):
        proxy.change = lie
        with closing(Wire(told.site.chain.url)) as second:
            caught(told, proxy, tmp_path, "anchor", second=second)
    proxy.change = forged
    with closing(Wire(proxy.url)) as second, open_index(told.site, tmp_path / "index.sqlite") as store:
        with pytest.raises(ProofError, match="step anchor"):  # whichever of the two it is that lies
            index(told.site, store, second=second)
        assert store.cursor() is None
    proxy.reset()
    with closing(Wire(proxy.url)) as second, open_index(told.site, tmp_path / "index.sqlite") as store:
        assert index(told.site, store, second=second).cursor.anchor_source == "a second node"


def test_a_lie_about_the_newest_block_is_the_node_s_own_word_and_goes_with_it(
    told: Told, proxy: Proxy, tmp_path: Path
) -> None:
    """Nobody else vouches for it: the index says so, and rolls it back when the chain turns out to be another."""
    forged = with_its_hash({**told.site.chain.request(HEADERS, hex(told.newest), False), "timestamp": "0x77777777"})
    proxy.change = of(HEADERS, told.newest, lambda _: forged)
    path = tmp_path / "index.sqlite"
    with open_index(told.site, path) as store:
        cursor = index(told.site, store, proxy.url).cursor
        assert cursor.anchor_source == "the indexed node's own word"
        assert hex_word(cursor.hash) == forged["hash"]
        index(told.site, store)
    assert dump(path) == told.true


def test_what_a_trusted_node_hides_is_believed_and_every_row_says_unproven(
    told: Told, proxy: Proxy, tmp_path: Path
) -> None:
    def change(call: Call, response: Response) -> Response | None:
        if call["method"] == "eth_getLogs":
            response["result"] = [log for log in response["result"] if int(log["blockNumber"], 16) != told.full + 4]
        return response

    proxy.change = change
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        indexed = index(told.site, store, proxy.url, trust_node=True)
        assert indexed.cursor.unproven_through == told.newest
        found = history(told.site, store)
        assert found.reading_count == 8  # of 12
        assert not any(run.proven.any() for run in found.runs)


TRUSTED: dict[str, tuple[Callable[[list[Any]], object], type[SensetrailError]]] = {
    "a log twice": (lambda logs: logs.append(logs[-1]), ProofError),
    "a log of a block not asked for": (lambda logs: logs.append({**logs[-1], "blockNumber": "0xffffff"}), ProofError),
    "a place too large": (lambda logs: logs.append({**logs[-1], "logIndex": "0x1ffffffff"}), AnswerError),
    "a short topic": (lambda logs: logs[0].update(topics=["0x12"]), AnswerError),
    "a short hash": (lambda logs: logs[0].update(blockHash="0x12"), AnswerError),
    "an entry that lacks fields": (lambda logs: logs.append({"address": "0x12"}), AnswerError),
    "a short address": (lambda logs: logs[0].update(address="0x12"), AnswerError),
    "an entry that is no object": (lambda logs: logs.append(None), AnswerError),
}


@pytest.mark.parametrize("lie", TRUSTED)
def test_logs_of_a_trusted_node_that_do_not_fit_together_are_refused(
    told: Told, proxy: Proxy, tmp_path: Path, lie: str
) -> None:
    alter, kind = TRUSTED[lie]

    def change(call: Call, response: Response) -> Response | None:
        if call["method"] == "eth_getLogs" and response["result"]:
            alter(response["result"])
        return response

    proxy.change = change
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        with pytest.raises(kind) as raised:
            index(told.site, store, proxy.url, trust_node=True)
        assert getattr(raised.value, "step", "logs") == "logs"
        assert not stored(store)


def test_the_command_names_the_step_and_ends_with_code_5(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    terminal = terminal_at(told.site, tmp_path)
    terminal.environment["SENSETRAIL_RPC"] = proxy.url
    proxy.change = of(RECEIPTS, told.full, lambda receipts: receipts[:-1])
    result = terminal.run("index")
    assert result.code == 5, result
    assert "error: step receipts: " in result.err
    assert "nothing false was stored" in result.err
    proxy.reset()
    assert terminal.json("index")["readings"] == 12
