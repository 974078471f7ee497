"""Honest nodes that lack something: it is named in one sentence, with exit code 4, and nobody is called a liar."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import Terminal, anchor_without_training, terminal_at
from conftest import START, Site, make_site
from indexes import dump, honest, index, open_index, stored
from proxy import Call, Proxy, Reply, Response, error, running_proxy
from sensetrail.chain import wire
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.logs import Log
from sensetrail.errors import AnswerError, ChainError, LimitedNodeError, ProofError, RefusedError
from sensetrail.indexer import answers, sync

BLOCK, PROOF = "eth_getBlockByNumber", "eth_getProof"
RECEIPTS, RECEIPT = "eth_getBlockReceipts", "eth_getTransactionReceipt"
TRANSACTION = "eth_getTransactionByBlockHashAndIndex"
PRUNED = ("pruned history unavailable", 4444)


@dataclass
class Told:
    """A chain with a batch in block `full`, an own reading in the next, and an anchored model."""

    site: Site
    model: Path
    true: list[str]
    logs: list[Log]
    full: int
    newest: int

    @property
    def transaction(self) -> str:
        return str(self.site.chain.request(BLOCK, hex(self.full), False)["transactions"][0])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    with running_devnet(timestamp=START, finality=4) as chain:
        site = make_site(chain)
        chain.request("anvil_mine", hex(2))
        site.submit(*site.batch(site.measurements(3)))
        full = chain.latest_block().number
        site.post(3, site.now, 25_00, 60_00)
        anchor_without_training(site, folder / "model")
        chain.request("anvil_mine", hex(3))
        true = honest(site, folder / "true.sqlite")
        with open_index(site, folder / "true.sqlite") as store:
            logs = stored(store)
        yield Told(site, folder / "model", true, logs, full, chain.latest_block().number)


@pytest.fixture
def proxy(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for module, name in ((sync, "PAUSE"), (answers, "PAUSE"), (wire, "FIRST_PAUSE")):
        monkeypatch.setattr(module, name, 0.0)
    with running_proxy(told.site.chain.url) as running:
        yield running


@pytest.fixture
def terminal(told: Told, proxy: Proxy, tmp_path: Path) -> Terminal:
    """Give a terminal whose workspace has the model, and whose node is the proxy's."""
    made = terminal_at(told.site, tmp_path)
    shutil.copytree(told.model, made.workspace.model("model"))
    made.environment["SENSETRAIL_RPC"] = proxy.url
    return made


def answering(method: str, parameter: object, result: object) -> Callable[[Call, Response], Response]:
    """Answer a method's calls with this first parameter by a result, or by an error: message and code."""

    def change(call: Call, response: Response) -> Response:
        if call["method"] != method or call["params"][0] != parameter:
            return response
        if isinstance(result, tuple):
            return error(call, *result)
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    return change


def refused(told: Told, proxy: Proxy, path: Path, kind: type[ChainError], **options: Any) -> ChainError:
    """Index through the proxy, which fails; then through the node itself, which has to go on from what is stored."""
    with open_index(told.site, path) as store:
        with pytest.raises(kind) as raised:
            index(told.site, store, proxy.url, **options)
        assert raised.value.exit_code == 4
        if not options.get("trust_node"):
            index(told.site, store)
            assert dump(path) == told.true
    return raised.value


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (None, "the node does not have block {full}, below its newest"),
        (PRUNED, "block {full}: the node refused: pruned history unavailable"),
        (("header not found", -32000), "block {full}: the node refused: header not found"),
        (("Unknown block", -39001), "block {full}: the node refused: Unknown block"),
    ],
)
def test_a_block_that_the_node_does_not_have(
    told: Told, proxy: Proxy, tmp_path: Path, result: object, what: str
) -> None:
    proxy.change = answering(BLOCK, hex(told.full), result)
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert said.what == what.format(full=told.full)
    assert "whole history" in said.to_do


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (None, "the node does not have the receipts of block {full}"),
        ([], "the node does not have the receipts of block {full}"),
        (PRUNED, "receipts of block {full}: the node refused: pruned history unavailable"),
        (("missing trie node 0x12", -32000), "receipts of block {full}: the node refused: missing trie node 0x12"),
    ],
)
def test_receipts_that_the_node_does_not_have(
    told: Told, proxy: Proxy, tmp_path: Path, result: object, what: str
) -> None:
    proxy.change = answering(RECEIPTS, hex(told.full), result)
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert said.what == what.format(full=told.full)
    assert "whole history" in said.to_do


@pytest.mark.parametrize("result", [None, PRUNED])
def test_one_receipt_that_the_node_does_not_have(told: Told, proxy: Proxy, tmp_path: Path, result: object) -> None:
    meant = answering(RECEIPT, told.transaction, result)
    proxy.change = lambda call, response: (
        error(call, "the method does not exist", -32601) if call["method"] == RECEIPTS else meant(call, response)
    )
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert f"receipt 0 of block {told.full}" in said.what


@pytest.mark.parametrize("body", [None, []])
def test_a_block_whose_body_the_node_does_not_have(told: Told, proxy: Proxy, tmp_path: Path, body: object) -> None:
    def change(call: Call, response: Response) -> Response:
        if call["method"] == RECEIPTS:
            return error(call, "the method does not exist", -32601)
        if call["method"] == BLOCK and call["params"][0] == hex(told.full):
            response["result"]["transactions"] = body
        return response

    proxy.change = change
    said = refused(told, proxy, tmp_path / "index.sqlite", LimitedNodeError)
    assert said.what == f"the node does not have the receipts of block {told.full}"


def test_a_node_that_answers_null_for_receipts_is_asked_one_by_one(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    proxy.change = lambda call, response: {**response, "result": None} if call["method"] == RECEIPTS else response
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url)
    assert RECEIPT in proxy.calls
    assert dump(tmp_path / "index.sqlite") == told.true


def test_transactions_that_come_whole_are_asked_for_by_their_hashes(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    def change(call: Call, response: Response) -> Response:
        if call["method"] == RECEIPTS:
            return error(call, "the method does not exist", -32601)
        if call["method"] == BLOCK and response["result"]:
            response["result"]["transactions"] = [{"hash": each} for each in response["result"]["transactions"]]
        return response

    proxy.change = change
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url)
    assert dump(tmp_path / "index.sqlite") == told.true


@pytest.mark.parametrize("method", [BLOCK, RECEIPTS])
def test_one_machine_of_several_that_is_behind_is_asked_again(
    told: Told, proxy: Proxy, tmp_path: Path, method: str
) -> None:
    left = [None, None, None]

    def change(call: Call, response: Response) -> Response:
        if call["method"] == method and call["params"][0] == hex(told.full) and left:
            return {**response, "result": left.pop()}
        return response

    proxy.change = change
    said: list[str] = []
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url, tell=said.append)
    assert len(said) == 3
    assert all(line.endswith(": asking again") for line in said)
    assert dump(tmp_path / "index.sqlite") == told.true


def test_a_null_for_a_stored_block_takes_nothing_back(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with open_index(told.site, path) as store:
        index(told.site, store)
        proxy.change = lambda call, response: (
            {**response, "result": None} if call["method"] == BLOCK and call["params"][0] != "latest" else response
        )
        with pytest.raises(LimitedNodeError, match=f"does not have block {told.newest}, below its newest"):
            index(told.site, store, proxy.url)
    assert dump(path) == told.true


@pytest.mark.parametrize(
    "result",
    [None, ("the method eth_getProof does not exist", -32601), ("missing trie node 0x12", -32000), PRUNED],
)
def test_a_node_without_proofs(told: Told, proxy: Proxy, terminal: Terminal, tmp_path: Path, result: object) -> None:
    """The index goes on and says so; an audit needs them, and says what to do."""
    proxy.change = lambda call, response: (
        answering(PROOF, call["params"][0], result)(call, response) if call["method"] == PROOF else response
    )
    said: list[str] = []
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        assert index(told.site, store, proxy.url, tell=said.append).heads_proven is None
    assert said[-1].startswith("the node gives no storage proofs of the last block")
    for command in (("audit", "model", "--no-retrain"), ("bundle", "model", "--out", tmp_path / "b")):
        wrong, to_do = terminal.fails(4, *command)
        assert wrong.startswith(f"step 1, code: the node gives no proof of storage at block {told.newest}")
        assert "eth_getProof" in to_do
        assert "--trust-node" in to_do
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("result", [None, PRUNED, {}, "0xzz"])
def test_an_audit_that_lacks_a_transaction(told: Told, proxy: Proxy, terminal: Terminal, result: object) -> None:
    proxy.change = lambda call, response: (
        answering(TRANSACTION, call["params"][0], result)(call, response) if call["method"] == TRANSACTION else response
    )
    wrong, to_do = terminal.fails(4, "audit", "model", "--no-retrain")
    assert wrong.startswith("step 5, signatures: ")
    assert f"transaction 0 of block {told.full + 1}" in wrong
    assert ("whole history" in to_do) == (result in (None, PRUNED))


def test_an_audit_whose_events_are_pruned(told: Told, proxy: Proxy, terminal: Terminal) -> None:
    proxy.change = answering(RECEIPTS, hex(told.full), None)
    wrong, _ = terminal.fails(4, "audit", "model", "--no-retrain")
    assert wrong == f"step 2, events: the node does not have the receipts of block {told.full}"


def test_an_audit_of_a_transaction_that_was_altered_names_the_node(
    told: Told, proxy: Proxy, terminal: Terminal
) -> None:
    """A nonce that does not hash to the transaction's hash is the node's lie, not the device's."""

    def change(call: Call, response: Response) -> Response:
        if call["method"] == TRANSACTION:
            response["result"]["nonce"] = "0x7777"
        return response

    proxy.change = change
    result = terminal.run("audit", "model", "--no-retrain", "--json")
    assert result.code == 5
    finding = json.loads(result.out)["steps"][4]
    assert finding["status"] == "failed"
    assert f"transaction 0 of block {told.full + 1} hashes to 0x" in finding["detail"]


def test_a_transaction_of_a_type_that_ethereum_does_not_have(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    receipts = told.site.chain.request(RECEIPTS, hex(told.full))
    proxy.change = answering(RECEIPTS, hex(told.full), [{**receipts[0], "type": "0x7e"}])
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert said.what.startswith(f"block {told.full} has a transaction of type 126")
    assert "--trust-node" in said.to_do


OWN_RULES = {
    "a member that Ethereum does not have": {"extDataHash": "0x" + "12" * 32},
    "seals in extraData": {"mixHash": "0x" + b"ctical byzantine fault tolerance".hex()},
}


@pytest.mark.parametrize("change", OWN_RULES)
def test_a_chain_that_hashes_its_headers_by_rules_of_its_own(
    told: Told, proxy: Proxy, tmp_path: Path, change: str
) -> None:
    def strange(call: Call, response: Response) -> Response:
        if call["method"] == BLOCK and response["result"]:
            response["result"] |= {"gasUsed": "0x1", **OWN_RULES[change]}
        return response

    proxy.change = strange
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert not isinstance(said, AnswerError | LimitedNodeError | RefusedError)
    assert "by rules of its own" in said.what
    assert "--trust-node" in said.to_do
    # On the node's word it works, and says so.
    with open_index(told.site, tmp_path / "believed.sqlite") as store:
        cursor = index(told.site, store, proxy.url, trust_node=True).cursor
        assert cursor.unproven_through == told.newest
        assert stored(store) == told.logs
        assert not any(block.proven for block in store.blocks(2**62))


def test_a_header_of_an_ethereum_chain_that_does_not_hash_to_its_hash_is_a_lie(
    told: Told, proxy: Proxy, tmp_path: Path
) -> None:
    def lie(call: Call, response: Response) -> Response:
        if call["method"] == BLOCK and response["result"]:
            response["result"]["gasUsed"] = "0x1"
        return response

    proxy.change = lie
    with open_index(told.site, tmp_path / "index.sqlite") as store, pytest.raises(ProofError, match="hashes to 0x"):
        index(told.site, store, proxy.url)


def batches(alter: Callable[[list[Response]], object]) -> Callable[[list[Call], Reply], Reply]:
    """Alter the responses of each batch, as a whole."""

    def on_reply(_: list[Call], reply: Reply) -> Reply:
        responses = json.loads(reply.body)
        if not isinstance(responses, list) or len(responses) < 2:
            return reply
        changed = alter(responses)
        return Reply(json.dumps(responses if changed is None else changed).encode())

    return on_reply


def test_a_batch_in_another_order_with_ids_that_are_text(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    def alter(responses: list[Response]) -> None:
        responses.reverse()
        for each in responses:
            each["id"] = str(each["id"])

    proxy.on_reply = batches(alter)
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url)
    assert dump(tmp_path / "index.sqlite") == told.true
    assert proxy.largest > 1


BATCHES: dict[str, Callable[[list[Response]], object]] = {
    "an id missing": lambda responses: responses.__setitem__(0, {"result": responses[0]["result"]}),
    "an id that is null": lambda responses: responses[0].update(id=None),
    "an id that is true": lambda responses: responses[1].update(id=True),
    "an id that is a list": lambda responses: responses[0].update(id=[1]),
    "an id twice": lambda responses: responses[0].update(id=responses[1]["id"]),
    "an entry that is null": lambda responses: responses.__setitem__(0, None),  # type: ignore[call-overload]
    "an entry less": lambda responses: responses[1:],
    "an entry more": lambda responses: responses.append(responses[0]),
    "an entry without a result": lambda responses: responses.__setitem__(0, {"id": responses[0]["id"]}),
    "a result alone": lambda responses: responses[0],
    "an empty list": lambda _: [],
}


@pytest.mark.parametrize("change", BATCHES)
def test_a_batch_that_makes_no_sense(told: Told, proxy: Proxy, tmp_path: Path, change: str) -> None:
    proxy.on_reply = batches(BATCHES[change])
    said = refused(told, proxy, tmp_path / "index.sqlite", ChainError)
    assert "makes no sense" in said.what


def test_one_error_for_a_whole_batch_is_asked_for_in_parts(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    proxy.on_reply = batches(lambda _: {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no"}})
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url)
    assert dump(tmp_path / "index.sqlite") == told.true


@pytest.mark.parametrize("junk", ["0x12", None, 7])
def test_junk_in_what_no_one_reads_does_not_matter(told: Told, proxy: Proxy, tmp_path: Path, junk: object) -> None:
    def change(call: Call, response: Response) -> Response:
        for receipt in response["result"] if call["method"] == RECEIPTS else ():
            receipt |= {"effectiveGasPrice": junk, "contractAddress": junk, "gasUsed": junk}
        return response

    proxy.change = change
    with open_index(told.site, tmp_path / "index.sqlite") as store:
        index(told.site, store, proxy.url)
    assert dump(tmp_path / "index.sqlite") == told.true
