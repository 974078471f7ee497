"""Reorganisations roll back exactly, down to the final block and no further; no orphaned row is ever taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from command import terminal_at
from conftest import START, Site, make_site
from indexes import dump, history, honest, index, open_index
from proxy import Call, Response, running_proxy
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.chain.sensor_registry import SensorRegistry
from sensetrail.chain.wire import Wire
from sensetrail.core.dataset import Selection, select
from sensetrail.errors import ChainError, FinalityError
from sensetrail.indexer import read, sync

FINALITY = 64


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Registries on a chain whose finalized block is 64 below its newest; readings in one block of two."""
    monkeypatch.setattr(sync, "PAUSE", 0.0)
    with running_devnet(timestamp=START, finality=FINALITY) as chain:
        made = make_site(chain)
        yield made


def grow(site: Site, batches: int) -> None:
    """Add two blocks a batch, the second with it."""
    # A connection of its own: another's nonces are ahead after a reorganisation.
    chain = Chain(site.chain.url)
    now = replace(site, chain=chain, registry=SensorRegistry(chain, site.registry.address))
    for _ in range(batches):
        chain.request("anvil_mine", hex(1))
        now.submit(*now.batch(now.measurements(2, start=now.now - 20)))


def hashes(site: Site) -> list[bytes]:
    return [block.hash for number in range(newest(site) + 1) if (block := site.chain.block(number))]


def newest(site: Site) -> int:
    return site.chain.latest_block().number


@pytest.mark.parametrize("depth", [1, 2, 7, 64])
def test_it_is_rolled_back_exactly(site: Site, tmp_path: Path, depth: int) -> None:
    site.chain.request("anvil_mine", hex(FINALITY))
    grow(site, 40)
    said: list[str] = []
    path = tmp_path / "index.sqlite"
    with open_index(site, path) as store:
        before = index(site, store).cursor
        readings = history(site, store).reading_count
        old = hashes(site)
        # At the same height: as many blocks again, without their transactions.
        site.chain.request("anvil_reorg", depth, [])
        new = hashes(site)
        assert len(new) == len(old)
        # An empty block that comes again is the same block.
        parted = next(n for n, (one, other) in enumerate(zip(old, new, strict=True)) if one != other)
        assert len(old) - parted in (depth, depth - 1)
        after = index(site, store, tell=said.append).cursor
        assert (after.number, after.hash) == (before.number, new[-1])
        rolled_back = before.number - parted + 1
        assert said[:1] == [f"the chain was reorganised: {rolled_back} blocks are rolled back, to {parted - 1}"]
        assert history(site, store).reading_count == readings - 2 * ((depth + 1) // 2)
        assert dump(path) == honest(site, tmp_path / "new.sqlite")
        # And it goes on from there.
        grow(site, 2)
        index(site, store)
    assert dump(path) == honest(site, tmp_path / "newer.sqlite")


@pytest.mark.parametrize("depth", [65, 80])
def test_one_below_the_final_block_is_reported_and_not_followed(site: Site, tmp_path: Path, depth: int) -> None:
    site.chain.request("anvil_mine", hex(FINALITY))
    grow(site, 40)
    path = tmp_path / "index.sqlite"
    with open_index(site, path) as store:
        final = index(site, store).cursor.final_number
    before = dump(path)
    site.chain.request("anvil_reorg", depth, [])
    with open_index(site, path) as store:
        for _ in range(2):
            with pytest.raises(
                FinalityError, match=f"block {final} was final, and the node no longer has it"
            ) as raised:
                index(site, store)
            assert "--rebuild" in raised.value.to_do
    assert dump(path) == before
    terminal = terminal_at(site, tmp_path / "terminal")
    (tmp_path / "terminal").mkdir(exist_ok=True)
    terminal.workspace.index.parent.mkdir(parents=True, exist_ok=True)
    terminal.workspace.index.write_bytes(path.read_bytes())
    wrong, to_do = terminal.fails(4, "index")
    assert f"block {final} was final" in wrong
    assert "--rebuild" in to_do
    assert terminal.json("index", "--rebuild")["final_block"] == final


def test_of_a_chain_that_became_shorter_what_is_left_is_kept(site: Site, tmp_path: Path) -> None:
    site.chain.request("anvil_mine", hex(FINALITY))
    grow(site, 5)
    path = tmp_path / "index.sqlite"
    with open_index(site, path) as store:
        index(site, store)
        site.chain.request("anvil_rollback", 3)
        assert index(site, store).cursor.number == newest(site)
        site.chain.request("anvil_rollback", 70)
        with pytest.raises(FinalityError, match="its newest block is at"):
            index(site, store)


def test_one_below_the_first_block_read_reads_everything_again(site: Site, tmp_path: Path) -> None:
    grow(site, 3)
    path = tmp_path / "index.sqlite"
    said: list[str] = []
    with open_index(site, path) as store:
        cursor = index(site, store).cursor
        assert cursor.final_number == 0
        site.chain.request("anvil_reorg", cursor.number, [])
        index(site, store, tell=said.append)
        assert any("everything is read again" in line for line in said)
        assert not history(site, store).devices
    assert dump(path) == honest(site, tmp_path / "new.sqlite")


def test_a_node_that_has_not_the_first_block_yet_costs_nothing(site: Site, tmp_path: Path) -> None:
    grow(site, 3)
    path = tmp_path / "index.sqlite"
    with open_index(site, path) as store:
        index(site, store)
        before = dump(path)
        site.chain.request("anvil_rollback", newest(site) - site.deployment.block_number + 1)
        with pytest.raises(ChainError, match="before this deployment's first block"):
            index(site, store)
    assert dump(path) == before


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getProof"])
@pytest.mark.parametrize("depth", [1, 7, 64])
def test_one_in_the_middle_of_a_batch_is_followed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, depth: int
) -> None:
    """The chain changes after the node was asked and before it answers: what comes is partly of the new chain."""
    site.chain.request("anvil_mine", hex(FINALITY))
    grow(site, 40)
    monkeypatch.setattr(read, "BLOCKS_AT_ONCE", 20)
    path = tmp_path / "index.sqlite"
    with running_proxy(site.chain.url) as proxy, open_index(site, path) as store:
        asked = 0

        def on_request(calls: list[Call]) -> None:
            nonlocal asked
            asked += calls[0]["method"] == method
            if asked == (4 if method == "eth_getBlockByNumber" else 3 if method == "eth_getBlockReceipts" else 1):
                asked += 1
                site.chain.request("anvil_reorg", depth, [])

        proxy.on_request = on_request
        index(site, store, proxy.url)
        assert asked > 1
        index(site, store, proxy.url)
    assert dump(path) == honest(site, tmp_path / "new.sqlite")


def test_one_after_another_while_it_reads_ends_all_the_same(site: Site, tmp_path: Path) -> None:
    site.chain.request("anvil_mine", hex(FINALITY))
    grow(site, 30)
    path = tmp_path / "index.sqlite"
    with running_proxy(site.chain.url) as proxy, open_index(site, path) as store:
        left = [3, 1, 20]

        def change(call: Call, response: Response) -> Response:
            if left and call["method"] == "eth_getBlockReceipts" and call["params"] == [hex(newest(site) - 1)]:
                site.chain.request("anvil_reorg", left.pop(), [])
            return response

        proxy.change = change
        index(site, store, proxy.url)
    assert dump(path) == honest(site, tmp_path / "new.sqlite")


def test_no_row_of_an_orphaned_block_is_ever_taken(site: Site, tmp_path: Path) -> None:
    """Datasets take final blocks: the same before a reorganisation as after it."""
    site.chain.request("anvil_mine", hex(20))
    grow(site, 40)
    with open_index(site, tmp_path / "index.sqlite") as store:
        rows = []
        for _ in range(2):
            cursor = index(site, store).cursor
            assert cursor.final_number == newest(site) - FINALITY
            found = history(site, store)
            assert found.runs[-1].block_number[-1] > cursor.final_number or found.reading_count < 80
            rows.append(select_through(site, store, cursor.final_number))
            site.chain.request("anvil_reorg", FINALITY, [])
    assert len(rows[0]) > 0
    assert rows[0] == rows[1]


def select_through(site: Site, store: object, through_block: int) -> list[bytes]:
    from sensetrail.core.history import replay
    from sensetrail.indexer.store import Store

    assert isinstance(store, Store)
    rows = select(replay(store.blocks(through_block), site.registry.address), Selection())
    return [rows.leaf(i) for i in range(len(rows))]


def test_a_stated_depth_stands_in_where_the_chain_names_no_final_block(site: Site, tmp_path: Path) -> None:
    grow(site, 10)

    def no_finality(call: Call, response: Response) -> Response:
        if call["params"][:1] == ["finalized"]:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": "unknown block"}}
        return response

    with running_proxy(site.chain.url) as proxy, open_index(site, tmp_path / "index.sqlite") as store:
        proxy.change = no_finality
        assert index(site, store, proxy.url).cursor.final_number is None
        site.chain.request("anvil_reorg", 9, [])
        index(site, store, proxy.url)
        cursor = index(site, store, proxy.url, depth=5).cursor
        assert cursor.final_number == cursor.number - 5
        site.chain.request("anvil_reorg", 5, [])
        index(site, store, proxy.url, depth=5)
        site.chain.request("anvil_reorg", 6, [])
        with pytest.raises(FinalityError):
            index(site, store, proxy.url, depth=5)


def test_a_second_node_that_is_behind_takes_nothing_back(site: Site, tmp_path: Path) -> None:
    grow(site, 6)
    behind = site.chain.request("eth_getBlockByNumber", hex(newest(site) - 3), False)

    def late(call: Call, response: Response) -> Response:
        return {**response, "result": behind} if call["params"][:1] == ["latest"] else response

    with running_proxy(site.chain.url) as proxy, open_index(site, tmp_path / "index.sqlite") as store:
        proxy.change = late
        cursor = index(site, store).cursor
        with closing(Wire(proxy.url)) as second:
            again = index(site, store, second=second).cursor
        assert (again.number, again.anchor_number) == (cursor.number, cursor.number - 3)
        assert index(site, store, proxy.url).cursor.number == cursor.number
