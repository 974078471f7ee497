"""The index: resumes where it stood, notices another chain and a reorganisation, and gives the same dataset always."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.dataset import Selection, describe, select
from sensetrail.core.events import Log
from sensetrail.core.history import History, replay
from sensetrail.core.primitives import Address
from sensetrail.dataset.folder import Dataset, read_dataset, write_dataset
from sensetrail.errors import ReorganisedError, VerificationError, WorkspaceError, WrongChainError
from sensetrail.indexer import sync
from sensetrail.indexer.store import SqliteStore
from sensetrail.indexer.sync import synchronise


def contracts_of(site: Site) -> tuple[Address, Address]:
    return site.deployment.sensor_registry, site.deployment.model_registry


def open_store(site: Site, path: Path) -> SqliteStore:
    return SqliteStore(path, site.deployment.genesis_hash, contracts_of(site))


def index(site: Site, store: SqliteStore) -> sync.Progress:
    return synchronise(site.chain, store, contracts_of(site), site.deployment.block_number)


def history(site: Site, store: SqliteStore) -> History:
    cursor = store.cursor()
    assert cursor is not None
    return replay(store.logs(site.deployment.sensor_registry, cursor.number), store.block_times())


def stored(site: Site, store: SqliteStore) -> list[Log]:
    return list(store.logs(site.deployment.sensor_registry, 2**40))


def test_it_resumes_and_equals_an_index_built_in_one_go(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BLOCKS_A_REQUEST", 3)
    for part in range(3):
        site.submit(*site.batch(site.measurements(4, start=site.now - 100 + part * 20)))
        with open_store(site, tmp_path / "grown.sqlite") as grown:
            assert index(site, grown).logs > 0
    with open_store(site, tmp_path / "grown.sqlite") as grown, open_store(site, tmp_path / "new.sqlite") as new:
        assert index(site, grown).logs == 0
        index(site, new)
        assert stored(site, grown) == stored(site, new)
        assert grown.cursor() == new.cursor()
        assert grown.block_times() == new.block_times()
        assert history(site, new).reading_count == 12


def test_a_run_that_dies_in_the_middle_leaves_what_it_had(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BLOCKS_A_REQUEST", 1)
    for _ in range(3):
        site.submit(*site.batch(site.measurements(2, start=site.now - 20)))
    contracts = (site.deployment.sensor_registry,)

    def die(progress: sync.Progress) -> None:
        if progress.logs == 4:
            raise KeyboardInterrupt

    with open_store(site, tmp_path / "index.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            synchronise(site.chain, store, contracts, site.deployment.block_number, die)
        assert len(stored(site, store)) == 4
        index(site, store)
        assert history(site, store).reading_count == 6


def test_another_chain_s_index_is_refused(site: Site, tmp_path: Path) -> None:
    with open_store(site, tmp_path / "index.sqlite") as store:
        index(site, store)
    with running_devnet(timestamp=1) as other, pytest.raises(WrongChainError):
        SqliteStore(tmp_path / "index.sqlite", other.genesis_hash(), contracts_of(site))


def test_another_deployment_s_index_is_refused(site: Site, tmp_path: Path) -> None:
    open_store(site, tmp_path / "index.sqlite")
    with pytest.raises(WrongChainError, match="another deployment"):
        open_store(make_site(site.chain), tmp_path / "index.sqlite")


def test_of_two_indexers_at_once_the_second_says_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.submit(*site.batch(site.measurements(4)))
    with open_store(site, tmp_path / "index.sqlite") as one, open_store(site, tmp_path / "index.sqlite") as two:
        logs = site.chain.logs

        def overtaken(addresses: Sequence[Address], from_block: int, to_block: int) -> list[Log]:
            found = logs(addresses, from_block, to_block)
            monkeypatch.setattr(site.chain, "logs", logs)
            index(site, two)
            return found

        monkeypatch.setattr(site.chain, "logs", overtaken)
        with pytest.raises(WorkspaceError, match="another command"):
            index(site, one)
        assert index(site, one).logs == 0
        assert history(site, one).reading_count == 4


def test_a_reorganisation_is_noticed(fresh_devnet: Chain, tmp_path: Path) -> None:
    site = make_site(fresh_devnet)
    site.submit(*site.batch(site.measurements(2)))
    with open_store(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        fresh_devnet.request("anvil_reorg", 1, [])
        with pytest.raises(ReorganisedError) as caught:
            index(site, store)
        assert "--rebuild" in caught.value.to_do
        store.clear()
        index(site, store)
        assert history(site, store).reading_count == 0


def test_the_same_selection_gives_the_same_root_and_file_always(site: Site, tmp_path: Path) -> None:
    other = site.register("other")
    for _ in range(2):
        site.submit(*site.batch(site.measurements(5, start=site.now - 20)))
        site.submit(*site.batch(site.measurements(5, start=site.now - 20), other))
    roots, files = set(), set()
    for run in ("first", "second"):
        with open_store(site, tmp_path / f"{run}.sqlite") as store:
            index(site, store)
            found = history(site, store)
            cursor = store.cursor()
            assert cursor is not None
        rows = select(found, Selection())
        dataset = Dataset(rows, Selection(), describe(rows, Selection(), cursor.number, cursor.hash))
        write_dataset(tmp_path / run, dataset)
        assert read_dataset(tmp_path / run).record == dataset.record
        roots.add(dataset.record.root)
        files.add((tmp_path / run / "dataset.parquet").read_bytes())
    assert len(roots) == len(files) == 1


def test_a_dataset_folder_with_a_changed_row_is_refused(site: Site, tmp_path: Path) -> None:
    site.submit(*site.batch(site.measurements(5)))
    with open_store(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        rows = select(history(site, store), Selection())
    record = describe(rows, Selection(), 7, bytes(32))
    rows.humidity[2] += 1
    write_dataset(tmp_path / "changed", Dataset(rows, Selection(), record))
    with pytest.raises(VerificationError, match="a row was changed"):
        read_dataset(tmp_path / "changed")
