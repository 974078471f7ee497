"""Junk in place of a node's answers: each command ends with one sentence, or does without; never with a traceback."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from command import INDOOR_START, Terminal, anchor_without_training, readings_csv, terminal_at, write_keystore
from conftest import Site, make_site, throw_away_key
from junk import BODIES, JUNK, Spoiler, described, mutations
from proxy import Call, Change, Proxy, Response, error, running_proxy
from sensetrail.chain.client import Chain

DONE, CHAIN, EVIDENCE = 0, 4, 5
NOT_FOUND, NO_ACCOUNT = 2, 3
COMMANDS: dict[str, tuple[str, ...]] = {
    "profile list": ("profile", "list"),
    "device list": ("device", "list"),
    "device fund": ("device", "fund", "A"),
    "deploy": ("deploy", "--workspace", "other"),
    "post": ("post", "next.csv", "--devnet-clock"),
    "anchor": ("anchor", "m"),
    "decode": ("decode", "TRANSACTION"),
}

Run = Callable[[str, Spoiler | Change | None], tuple[int, str, Proxy]]
"""Runs a command through what spoils or changes answers; gives its exit code, what it said, and the proxy."""


@pytest.fixture
def site(fresh_devnet: Chain) -> Site:
    """A site on a chain of the test's own: its states are put back."""
    return make_site(fresh_devnet)


@pytest.fixture
def run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command on a copy of one workspace, and on one state of the chain, through a spoiler."""
    monkeypatch.setattr("sensetrail.chain.client.RECEIPT_TIMEOUT", 0.05)
    monkeypatch.setattr("sensetrail.chain.rpc.FIRST_PAUSE", 0.001)
    original = tmp_path / "original"
    original.mkdir()
    terminal = terminal_at(site, original, "A")
    write_keystore(terminal.workspace.key("new"), throw_away_key("new"))
    readings_csv(original / "first.csv", ["A"], 3)
    readings_csv(original / "next.csv", ["A"], 2, start=INDOOR_START + 3600)
    terminal.done("post", "first.csv", "--devnet-clock")
    posted = site.chain.request("eth_getBlockByNumber", "latest", False)["transactions"][0]
    before = site.chain.request("evm_snapshot")
    anchor_without_training(site, terminal.workspace.model("m"))
    assert site.chain.request("evm_revert", before)
    with running_proxy(site.chain.url) as proxy:

        def run_once(name: str, changing: Spoiler | Change | None) -> tuple[int, str, Proxy]:
            proxy.reset()
            if isinstance(changing, Spoiler):
                proxy.change, proxy.on_request = changing.change, changing.reply
            elif changing is not None:
                proxy.change = changing
            state = site.chain.request("evm_snapshot")
            copy = shutil.copytree(original, tmp_path / "copy")
            try:
                arguments = [posted if each == "TRANSACTION" else each for each in COMMANDS[name]]
                result = Terminal(copy, {"SENSETRAIL_RPC": proxy.url}, in_process=True).run(*arguments)
            finally:
                shutil.rmtree(copy)
                assert site.chain.request("evm_revert", state)
            return result.code, result.out + result.err, proxy

        yield run_once


@pytest.mark.parametrize("name", COMMANDS)
def test_junk_in_place_of_any_answer_is_one_sentence(run: Run, name: str) -> None:
    code, said, proxy = run(name, None)
    assert code == DONE, said
    # Each command gets all of it for its first questions, and each other question a part.
    parts = cycle(JUNK[i::3] for i in range(3))
    for i, method in enumerate(dict.fromkeys(proxy.calls)):
        for junk in JUNK if i < 1 else next(parts):
            code, said, _ = run(name, Spoiler(method, junk))
            check(name, method, junk, code, said)
    # How an answer as a whole may be wrong doesn't depend on the question.
    for what, body in BODIES.items():
        code, said, _ = run(name, Spoiler("eth_getBlockByNumber", body=body))
        assert code == CHAIN, (what, code, said)
        check(name, what, body, code, said)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("deploy", "eth_getBlockByNumber"),
        ("post", "eth_getTransactionReceipt"),
        ("decode", "eth_getTransactionByHash"),
    ],
)
def test_junk_in_a_field_of_an_answer_is_one_sentence(run: Run, name: str, method: str) -> None:
    honest = Spoiler(method)
    run(name, honest)
    for changed in mutations(honest.honest[0]):
        code, said, _ = run(name, Spoiler(method, changed))
        check(name, method, changed, code, said)


def check(name: str, method: str, junk: object, code: int, said: str) -> None:
    """Hold what a command left against what junk may lead to."""
    allowed = {DONE, CHAIN, EVIDENCE}
    if method == "eth_chainId":
        allowed |= {NO_ACCOUNT}  # the number of some chain that is no devnet
    if method in ("eth_getTransactionByHash", "eth_call"):
        allowed |= {NOT_FOUND}  # null, and a state of zeros: the node has none
    context = f"{name}: {method} answers {described(junk)}: exit {code}, {said}"
    assert code in allowed, context
    assert "Traceback" not in said, context
    assert "\x1b" not in said, context
    assert "\u202e" not in said, context
    if code:
        assert said.count("error: ") == said.count("to do: ") == 1, context


@pytest.mark.parametrize("name", ["deploy", "post"])
def test_blocks_of_proof_of_authority_chains_are_no_junk(run: Run, name: str) -> None:
    def seal(call: Call, response: Response) -> Response:
        if call["method"].startswith("eth_getBlock"):
            response["result"]["extraData"] = "0x" + "ab" * 97
        return response

    assert run(name, seal)[0] == DONE


def test_a_receipt_that_the_node_no_longer_has_is_no_lie(run: Run) -> None:
    code, said, proxy = run("decode", Spoiler("eth_getTransactionReceipt", None))
    assert code == CHAIN
    assert re.search(rf"{proxy.url} has transaction 0x\w{{64}} in block \d+, but not its receipt\n", said)
    assert "keeps the whole history" in said


@pytest.mark.parametrize(
    "message",
    [
        "missing trie node 5f1c (path ) state 0x5f1c is not available, not found",
        "historical state 0x5f1c is not available",
        "state at block #2 is pruned",
        "distance to target block exceeds maximum proof window: no historical proofs",
        "Archive data is only for paying users",
    ],
)
def test_a_node_without_the_past_is_told_apart(run: Run, message: str) -> None:
    def prune(call: Call, response: Response) -> Response:
        return error(call, message) if call["method"] == "eth_call" else response

    code, said, _ = run("profile list", prune)
    assert code == CHAIN
    assert said == (
        f"error: the node no longer has what was asked for ({message})\n"
        "to do: use a node that keeps the whole history\n"
    )
