"""Whatever the line, the node and the machine do meanwhile: the index ends as one that was built in one go."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import START, Site, make_site
from indexes import contracts_of, dump, honest, index, open_index, stored
from proxy import Call, Proxy, Reply, Response, error, refusal, running_proxy
from sensetrail.chain import wire
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.errors import ChainError, NodeUnreachableError, RefusedError, SensetrailError

KILLS = int(os.environ.get("ENDURANCE_KILLS", "25"))
SEED = int(os.environ.get("ENDURANCE_SEED", "0"))
RUNNER = """
import sys
from pathlib import Path
from sensetrail.chain import wire
from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.indexer import read
from sensetrail.indexer.index import index
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.sync import Terms
wire.TARGET_BYTES, read.BLOCKS_AT_ONCE = 6000, 7  # many small steps
url, path, genesis, first, *contracts = sys.argv[1:]
layout = load_artifact(SENSOR_REGISTRY).storage
print("go", flush=True)
with open_sqlite(Path(path), bytes.fromhex(genesis), contracts) as store:
    index(url, store, Terms(contracts, int(first)), contracts[0], layout)
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_devnet(timestamp=START, finality=64) as chain:
        made = make_site(chain)
        grow(made, 50)
        yield made


@pytest.fixture
def proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(wire, "LONGEST_PAUSE", 0.05)
    with running_proxy(site.chain.url) as running:
        yield running


def grow(site: Site, batches: int) -> None:
    # A connection of its own: another's nonces are ahead after a reorganisation.
    chain = Chain(site.chain.url)
    registry = SensorRegistry(chain, site.registry.address)
    now = Site(chain, site.deployment, registry, site.models, site.admin, site.relayer, site.device)
    for _ in range(batches):
        chain.request("anvil_mine", hex(1))
        now.submit(*now.batch(now.measurements(2, start=now.now - 20)))


def through(site: Site, proxy: Proxy, folder: Path, **options: object) -> list[str]:
    """Index through a proxy; give what was told. The index is as it would be without it."""
    said: list[str] = []
    with open_index(site, folder / "index.sqlite") as store:
        index(site, store, proxy.url, tell=said.append, **options)
    assert dump(folder / "index.sqlite") == honest(site, folder / "honest.sqlite")
    return said


class NowAndThen:
    """Picks some requests in a row of every six."""

    def __init__(self, in_a_row: int = 2, at_least: int = 1) -> None:
        self.asked = 0
        self.in_a_row = in_a_row
        self.at_least = at_least

    def __call__(self, calls: list[Call]) -> bool:
        if calls[0]["method"] == "eth_getProof" or len(calls) < self.at_least:
            return False
        self.asked += 1
        return self.asked % 6 < self.in_a_row


REPLIES: dict[str, Callable[[Reply], Reply | None]] = {
    "busy": lambda reply: Reply(b"", 429, {"Retry-After": "0"}),
    "busy, says why": lambda reply: Reply(json.dumps({"error": {"code": 429, "message": "slow down"}}).encode()),
    "rate limit": lambda reply: Reply(json.dumps({"error": {"code": -32005, "message": "rate limit"}}).encode()),
    "unavailable": lambda reply: Reply(b"<html>", 503),
    "bad gateway": lambda reply: Reply(b"<html>", 502),
    "timed out behind": lambda reply: Reply(b"<html>", 504),
    "too large for it": lambda reply: Reply(b"", 413),
    "internal error": lambda reply: Reply(b"", 500),
    "hangs up": lambda reply: None,
    "half an answer": lambda reply: Reply(reply.body, sent=len(reply.body) // 2),
    "half that says it is whole": lambda reply: Reply(
        reply.body, sent=len(reply.body) // 2, claimed=len(reply.body) // 2
    ),
    "half without a length": lambda reply: Reply(reply.body, sent=len(reply.body) // 2, claimed=-1),
    "half, in chunks": lambda reply: Reply(reply.body, sent=len(reply.body) // 2, chunked=True),
    "cut off behind a brace": lambda reply: cut(reply, reply.body.rindex(b"}", 0, len(reply.body) - 2) + 1),
    "cut off behind a bracket": lambda reply: cut(reply, reply.body.rindex(b"]", 0, len(reply.body) - 1) + 1),
    "nothing": lambda reply: Reply(b""),
}


def cut(reply: Reply, length: int) -> Reply:
    return Reply(reply.body, sent=length, claimed=length)


@pytest.mark.parametrize("trouble", REPLIES)
def test_trouble_now_and_then_is_waited_for_and_told(site: Site, proxy: Proxy, tmp_path: Path, trouble: str) -> None:
    now_and_then = NowAndThen(at_least=2 if trouble == "too large for it" else 1)
    proxy.on_reply = lambda calls, reply: REPLIES[trouble](reply) if now_and_then(calls) else reply
    said = through(site, proxy, tmp_path, patience=20)
    assert said
    assert all(line.startswith(proxy.url) for line in said)


@pytest.mark.parametrize("reply", [{"chunked": True}, {"claimed": -1}], ids=["in chunks", "without a length"])
def test_whole_answers_are_taken_in_every_form(
    site: Site, proxy: Proxy, tmp_path: Path, reply: dict[str, object]
) -> None:
    proxy.on_reply = lambda _, whole: Reply(whole.body, **reply)  # type: ignore[arg-type]
    assert through(site, proxy, tmp_path) == []


def test_an_answer_in_another_order_and_with_spaces_is_the_same(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    def other(calls: list[Call], reply: Reply) -> Reply:
        parsed = json.loads(reply.body)
        if isinstance(parsed, list):
            parsed.reverse()
        return Reply(json.dumps(parsed, indent=1).encode())

    proxy.on_reply = other
    assert through(site, proxy, tmp_path) == []


def test_a_connection_that_was_closed_while_idle_is_opened_again_and_not_told(
    site: Site, proxy: Proxy, tmp_path: Path
) -> None:
    kept = {"seen": 0}

    def third(calls: list[Call], reply: Reply) -> Reply | None:
        kept["seen"] += 1
        return None if kept["seen"] == 3 else reply

    proxy.on_reply = third
    assert through(site, proxy, tmp_path) == []


@pytest.mark.parametrize(
    ("message", "code", "status"),
    [
        ("query returned more than 10000 results", -32005, 200),
        ("response size exceeded", -32008, 200),
        ("batch limit exceeded", -32600, 200),
        ("Log response size exceeded. this block range should work", -32602, 400),
        ("request timed out", -32000, 200),
        ("something of its own", -32000, 200),
    ],
)
def test_what_is_too_much_at_once_is_asked_for_in_parts(
    site: Site, proxy: Proxy, tmp_path: Path, message: str, code: int, status: int
) -> None:
    proxy.on_request = lambda calls: refusal(calls, message, code, status) if len(calls) > 6 else None
    said = through(site, proxy, tmp_path)
    assert any("asking for 25 blocks at once, not 50" in line for line in said)
    assert any(message in line for line in said)


def test_a_trusted_node_that_limits_ranges_is_asked_for_less_and_later_for_more(
    site: Site, proxy: Proxy, tmp_path: Path
) -> None:
    def limited(calls: list[Call]) -> Reply | None:
        wanted = (
            calls[0]["params"][0] if calls[0]["method"] == "eth_getLogs" else {"fromBlock": "0x0", "toBlock": "0x0"}
        )
        width = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
        widths.append(width)
        return refusal(calls, "block range is too wide", -32000) if width > 2 else None

    widths: list[int] = []
    proxy.on_request = limited
    said: list[str] = []
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store, proxy.url, trust_node=True, tell=said.append)
        with open_index(site, tmp_path / "proven.sqlite") as proven:
            index(site, proven)
            assert stored(proven) == stored(store)
    assert any("asking for 25 blocks at once, not 50" in line for line in said)
    assert any("asking for up to 2 blocks at once again" in line for line in said)
    assert any("asking for up to 4 blocks at once again" in line for line in said)
    assert len(said) < 20


def test_one_bad_answer_in_a_batch_does_not_stop_the_others(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    bad, left = site.deployment.block_number + 30, 6

    def change(call: Call, response: Response) -> Response:
        nonlocal left
        if left and call["params"][0] == hex(bad) and call["method"] == "eth_getBlockReceipts":
            left -= 1
            return error(call, "an internal trouble", -32603)
        return response

    proxy.change = change
    said = through(site, proxy, tmp_path)
    assert left == 0
    assert any("an internal trouble" in line for line in said)


def test_a_block_that_stays_bad_is_named_and_all_before_it_is_kept(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    bad = site.deployment.block_number + 30

    def change(call: Call, response: Response) -> Response:
        if call["params"][0] == hex(bad) and call["method"] == "eth_getBlockReceipts":
            return error(call, "an internal trouble", -32603)
        return response

    proxy.change = change
    with open_index(site, tmp_path / "index.sqlite") as store:
        with pytest.raises(RefusedError, match="an internal trouble"):
            index(site, store, proxy.url)
        cursor = store.cursor()
        assert cursor is not None
        assert bad - 2 <= cursor.number < bad
    proxy.reset()
    through(site, proxy, tmp_path)


def test_a_node_that_answers_slowly_is_asked_for_less(
    site: Site, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", 0.3)

    def slow(calls: list[Call]) -> None:
        if calls[0]["method"] == "eth_getBlockReceipts":
            time.sleep(0.04 * len(calls))

    proxy.on_request = slow
    said = through(site, proxy, tmp_path)
    assert any("does not answer in time: asking for" in line for line in said)


def test_a_node_that_went_away_is_given_up_in_time_and_the_rest_is_for_the_next_run(
    site: Site, proxy: Proxy, tmp_path: Path
) -> None:
    asked = 0

    def gone(calls: list[Call], reply: Reply) -> Reply | None:
        nonlocal asked
        asked += calls[0]["method"] == "eth_getBlockReceipts"
        # Some are answered twice on a busy machine: what was asked for ahead is asked for again.
        return None if asked > 3 else reply

    proxy.on_reply = gone
    with open_index(site, tmp_path / "index.sqlite") as store:
        began = time.monotonic()
        with pytest.raises(NodeUnreachableError, match="breaks off"):
            index(site, store, proxy.url, patience=0.5)
        assert time.monotonic() - began < 10
        assert stored(store)
    proxy.reset()
    through(site, proxy, tmp_path)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"id": 1}', b'{"result": 7}', b'[{"id": []}]', b'["x"]'])
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
    site: Site, proxy: Proxy, tmp_path: Path, answer: bytes
) -> None:
    now_and_then = NowAndThen(3)
    proxy.on_reply = lambda calls, reply: Reply(answer) if now_and_then(calls) else reply
    with open_index(site, tmp_path / "index.sqlite") as store:
        with pytest.raises(SensetrailError) as raised:
            index(site, store, proxy.url, patience=0.2)
        assert isinstance(raised.value, ChainError) or "step" in raised.value.what


def run(site: Site, url: str, path: Path) -> subprocess.Popen[str]:
    arguments = [url, str(path), site.deployment.genesis_hash.hex(), str(site.deployment.block_number)]
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, *arguments, *contracts_of(site)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n", process.communicate()
    return process


def test_killed_at_any_moment_it_equals_an_index_built_in_one_go(proxy: Proxy, site: Site, tmp_path: Path) -> None:
    """Slowed down, so that kills hit the middle; now and then the chain grows, and is reorganised."""
    chance = random.Random(SEED)  # noqa: S311
    proxy.on_request = lambda calls: time.sleep(0.015)
    path = tmp_path / "index.sqlite"
    killed = built = inside = 0
    longest = 0.6
    while killed < KILLS:
        process = run(site, proxy.url, path)
        began = time.monotonic()
        try:
            process.communicate(timeout=chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            with open_index(site, path) as store:
                cursor = store.cursor()
                inside += cursor is not None and cursor.number < site.chain.latest_block().number
        else:
            assert process.returncode == 0
            longest = 1.2 * (time.monotonic() - began)
            built += 1
            assert dump(path) == honest(site, tmp_path / f"honest-{built}.sqlite")
            for each in tmp_path.glob("index.sqlite*"):
                each.unlink()
        if chance.random() < 0.1:
            site.chain.request("anvil_reorg", chance.randint(1, 20), [])
        if chance.random() < 0.1:
            grow(site, 1)
    process = run(site, site.chain.url, path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert dump(path) == honest(site, tmp_path / "honest.sqlite")
    print(  # noqa: T201 - what `make endurance` shows
        f"killed {killed} times, {inside} of them in the middle of the chain; built {built + 1} times, the same"
    )
    assert inside
