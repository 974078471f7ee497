"""Whatever a node answers: one sentence and exit code 4, or 5 for a proven lie, and nothing false is stored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from command import anchor_without_training, terminal_at
from conftest import START, Site, make_site
from indexes import dump, honest, index, open_index
from proxy import Call, Proxy, Response, running_proxy
from sensetrail.audit.steps import Audit, Status
from sensetrail.chain import wire
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import read_model_file
from sensetrail.core.primitives import hex_word
from sensetrail.errors import AuditError, SensetrailError
from sensetrail.indexer import answers, sync
from sensetrail.indexer.bundle import write_bundle
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.sync import Terms
from spoiled import some, spoiled

NUMBER = int(os.environ.get("JUNK_CASES", "30"))
"""How many cases of each kind a test takes, besides junk in place of whole answers."""
BLOCK, BY_HASH = "eth_getBlockByNumber", "eth_getBlockByHash"
RECEIPTS, RECEIPT = "eth_getBlockReceipts", "eth_getTransactionReceipt"
LOGS, PROOF = "eth_getLogs", "eth_getProof"
TRANSACTION = "eth_getTransactionByBlockHashAndIndex"


@dataclass
class Told:
    """A chain with a batch, an own reading and an anchored model."""

    site: Site
    folder: Path
    manifest: Manifest
    true: list[str]
    believed: list[str]
    full: int
    newest: int

    @property
    def terms(self) -> Terms:
        deployment = self.site.deployment
        return Terms((deployment.sensor_registry, deployment.model_registry), deployment.block_number)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    with running_devnet(timestamp=START, finality=4) as chain:
        site = make_site(chain)
        chain.request("anvil_mine", hex(2))
        site.submit(*site.batch(site.measurements(3)))
        full = chain.latest_block().number
        site.post(3, site.now, 25_00, 60_00)
        manifest, _ = anchor_without_training(site, folder / "model")
        chain.request("anvil_mine", hex(3))
        true, believed = (honest(site, folder / f"{trust}.sqlite", trust_node=trust) for trust in (False, True))
        yield Told(site, folder, manifest, true, believed, full, chain.latest_block().number)


@pytest.fixture
def proxy(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(sync, "PAUSE", 0.0)
    monkeypatch.setattr(answers, "PAUSE", 0.0)
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.0)
    with running_proxy(told.site.chain.url) as running:
        yield running


def serve(proxy: Proxy, method: str, junk: Any, when: Callable[[Call], bool] = lambda _: True) -> None:
    """Put junk in place of a method's result, where a call is one of those meant."""

    def change(call: Call, response: Response) -> Response:
        if call["method"] == method and when(call):
            return {"jsonrpc": "2.0", "id": call["id"], "result": junk}
        return response

    proxy.change = change


def outcome(case: str, work: Callable[[], object]) -> int:
    """Give the exit code of some work; any other error than one of ours is a bug."""
    try:
        work()
    except SensetrailError as error:
        assert error.exit_code in (4, 5), (case, error.what)
        assert error.what, case
        assert error.to_do, case
        assert not any(ord(character) < 32 or ord(character) == 127 for character in error.what), (case, error.what)
        return error.exit_code
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise AssertionError(f"{case}: {error!r}") from error
    return 0


INDEXED: dict[str, tuple[str, bool, Callable[[Told], str]]] = {
    "a block": (BLOCK, False, lambda told: hex(told.full)),
    "the newest block": (BLOCK, False, lambda _: "latest"),
    "the final block": (BLOCK, False, lambda _: "finalized"),
    "receipts": (RECEIPTS, False, lambda told: hex(told.full)),
    "the newest block, believed": (BLOCK, True, lambda _: "latest"),
}


@pytest.mark.parametrize("what", INDEXED)
def test_index(told: Told, proxy: Proxy, tmp_path: Path, what: str) -> None:
    method, trust, which = INDEXED[what]
    number = which(told)
    chain = told.site.chain
    genuine = chain.request(method, number, False) if method == BLOCK else chain.request(method, number)
    codes = set()
    for case, junk in some(list(spoiled(genuine)), NUMBER):
        serve(proxy, method, junk, lambda call: call["params"][0] == number)
        codes.add(index_through(told, proxy, tmp_path / "index.sqlite", case, trust_node=trust))
    assert 4 in codes


def index_through(told: Told, proxy: Proxy, path: Path, case: str, **options: Any) -> int:
    path.unlink(missing_ok=True)
    true = told.believed if options.get("trust_node") else told.true
    with open_index(told.site, path) as store:
        code = outcome(case, lambda: index(told.site, store, proxy.url, **options))
    rows = dump(path)
    stored = {line for line in rows if 'INTO "blocks"' in line}
    assert stored <= set(true), case
    if code == 0:
        assert stored == {line for line in true if 'INTO "blocks"' in line}, case
    return code


def test_index_one_by_one(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    genuine = told.site.chain.request(RECEIPTS, hex(told.full))[0]
    codes = set()
    for case, junk in some(list(spoiled(genuine)), NUMBER):

        def change(call: Call, response: Response, junk: Any = junk) -> Response:
            if call["method"] == RECEIPTS:
                return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": "no such method"}}
            if call["method"] == RECEIPT and call["params"] == [genuine["transactionHash"]]:
                return {**response, "result": junk}
            return response

        proxy.change = change
        codes.add(index_through(told, proxy, tmp_path / "index.sqlite", case))
    assert codes == {0, 4, 5}  # junk in a member that nobody reads; junk; a lie


def test_index_by_hash(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    given = told.site.chain.block(told.newest)
    assert given is not None
    genuine = told.site.chain.request(BY_HASH, hex_word(given.hash), False)
    for case, junk in some(list(spoiled(genuine)), NUMBER):
        serve(proxy, BY_HASH, junk)
        index_through(told, proxy, tmp_path / "index.sqlite", case, block_hash=given.hash)


def test_index_on_the_node_s_word(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    addresses = list(told.terms.contracts)
    wanted = {"address": addresses, "fromBlock": hex(told.site.deployment.block_number), "toBlock": hex(told.newest)}
    genuine = told.site.chain.request(LOGS, wanted)
    for case, junk in some(list(spoiled(genuine)), 4 * NUMBER):
        serve(proxy, LOGS, junk)
        path = tmp_path / "index.sqlite"
        path.unlink(missing_ok=True)
        with open_index(told.site, path) as store:
            outcome(case, lambda: index(told.site, store, proxy.url, trust_node=True))


def test_the_blocks_of_logs_without_times(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    """What is stored is the node's word, and says so: another time than the chain's is believed."""
    genuine = told.site.chain.request(BLOCK, hex(told.full), False)
    codes = set()
    for case, junk in some(list(spoiled(genuine)), NUMBER):

        def change(call: Call, response: Response, junk: Any = junk) -> Response:
            for log in response["result"] if call["method"] == LOGS else ():
                del log["blockTimestamp"]
            is_meant = call["method"] == BLOCK and call["params"][0] == hex(told.full)
            return {**response, "result": junk} if is_meant else response

        proxy.change = change
        path = tmp_path / "index.sqlite"
        path.unlink(missing_ok=True)
        with open_index(told.site, path) as store:
            codes.add(outcome(case, partial(index, told.site, store, proxy.url, trust_node=True)))
            assert not any(block.proven for block in store.blocks(2**62)), case
    assert {0, 4} <= codes


def test_heads(told: Told, proxy: Proxy, tmp_path: Path) -> None:
    seen: list[Any] = []

    def see(call: Call, response: Response) -> Response:
        if call["method"] == PROOF:
            seen.append(response["result"])
        return response

    proxy.change = see
    index_through(told, proxy, tmp_path / "index.sqlite", "none")
    codes = set()
    for case, junk in some(list(spoiled(seen[0])), 2 * NUMBER):
        serve(proxy, PROOF, junk)
        codes.add(index_through(told, proxy, tmp_path / "index.sqlite", case))
    assert codes == {0, 4, 5}


AUDITED = {
    PROOF: lambda told: told.site.chain.request(PROOF, told.site.registry.address, [], hex(told.newest)),
    TRANSACTION: lambda told: told.site.chain.request(
        TRANSACTION, told.site.chain.request(BLOCK, hex(told.full + 1), False)["hash"], "0x0"
    ),
    BLOCK: lambda told: told.site.chain.request(BLOCK, hex(told.full), False),
    RECEIPTS: lambda told: told.site.chain.request(RECEIPTS, hex(told.full)),
}


@pytest.mark.parametrize("method", AUDITED)
def test_audit(told: Told, proxy: Proxy, method: str) -> None:
    for case, junk in some(list(spoiled(AUDITED[method](told))), NUMBER // 3):
        serve(proxy, method, junk, lambda call: method not in (BLOCK, RECEIPTS) or call["params"][0] == hex(told.full))
        outcome(case, audit_at(told, proxy.url).pass_all)


@pytest.mark.parametrize("method", AUDITED)
def test_bundle(told: Told, proxy: Proxy, tmp_path: Path, method: str) -> None:
    """The node turns to junk between the audit and the writing of the bundle."""
    audited = audit_at(told, proxy.url)
    audited.pass_all()
    path = tmp_path / "model.bundle"
    codes = set()
    for case, junk in some(list(spoiled(AUDITED[method](told))), NUMBER):
        serve(proxy, method, junk, lambda call: method not in (BLOCK, RECEIPTS) or call["params"][0] == hex(told.full))
        codes.add(code := outcome(case, partial(audited.bundle, path)))
        assert path.exists() == (code == 0), case
        assert [each for each in tmp_path.iterdir() if each != path] == []
        path.unlink(missing_ok=True)
    assert 4 in codes


@dataclass
class Audited:
    """An audit of the model, by one node."""

    audit: Audit
    evidence: NodeEvidence

    def pass_all(self) -> None:
        """Run all steps; a step that fails is an error with exit code 5, as the command makes it."""
        for finding in self.audit.run():
            if finding.status is Status.FAILED:
                # A step that fails accuses: that takes more than junk.
                assert "makes no sense" not in finding.detail, finding
                assert "does not have" not in finding.detail, finding
                raise AuditError(finding.detail, finding.to_do)

    def bundle(self, path: Path) -> None:
        audit = self.audit
        write_bundle(path, self.evidence, audit.history, audit.rows, audit.manifest, audit.model_file)


def audit_at(told: Told, url: str) -> Audited:
    evidence = NodeEvidence(Chain(url), told.site.deployment, told.terms)
    model_file = read_model_file((told.folder / "model" / "model.keras").read_bytes())
    return Audited(Audit(evidence, told.manifest, model_file, None), evidence)


@pytest.mark.parametrize("junk", [None, True, -1, 1.5, "", "0xzz", [], [None], {}, {"hash": None}, "\x1b[31m", [[]]])
@pytest.mark.parametrize("method", [BLOCK, RECEIPTS, PROOF])
def test_the_commands_say_one_sentence(told: Told, proxy: Proxy, tmp_path: Path, method: str, junk: Any) -> None:
    """Junk in place of every answer of a method; another method's answers are the node's."""
    terminal = terminal_at(told.site, tmp_path)
    shutil.copytree(told.folder / "model", terminal.workspace.model("model"))
    # The connection itself reads block 0 by another client, which is not what is tried here.
    serve(proxy, method, junk, lambda call: call["params"][0] not in ("0x0", "latest"))
    for command in ("index", "audit model --no-retrain", f"bundle model --out {tmp_path}/b"):
        result = terminal.run(*command.split(), SENSETRAIL_RPC=proxy.url)
        assert "Traceback" not in result.err, (command, result)
        assert result.code in (0, 4), (command, result)
        if result.code:
            assert result.err.count("error: ") == result.err.count("to do: ") == 1, (command, result)
            assert "\x1b" not in result.err, (command, result)
