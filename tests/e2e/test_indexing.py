"""The index: resumes where it stood, notices another chain and a reorganisation, and gives the same dataset always."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.dataset import Selection, describe, select
from sensetrail.core.events import Log
from sensetrail.core.history import History, replay
from sensetrail.dataset.folder import Dataset, read_dataset, write_dataset
from sensetrail.errors import ReorganisedError, VerificationError, WrongChainError
from sensetrail.indexer import sync
from sensetrail.indexer.store import SqliteStore
from sensetrail.indexer.sync import synchronise


def index(site: Site, store: SqliteStore) -> sync.Progress:
    contracts = (site.deployment.sensor_registry, site.deployment.model_registry)
    return synchronise(site.chain, store, contracts, site.deployment.block_number)


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
    genesis = site.deployment.genesis_hash
    for part in range(3):
        site.submit(*site.batch(site.measurements(4, start=site.now - 100 + part * 20)))
        with SqliteStore(tmp_path / "grown.sqlite", genesis) as grown:
            assert index(site, grown).logs > 0
    with SqliteStore(tmp_path / "grown.sqlite", genesis) as grown, SqliteStore(tmp_path / "new.sqlite", genesis) as new:
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

    with SqliteStore(tmp_path / "index.sqlite", site.deployment.genesis_hash) as store:
        with pytest.raises(KeyboardInterrupt):
            synchronise(site.chain, store, contracts, site.deployment.block_number, die)
        assert len(stored(site, store)) == 4
        index(site, store)
        assert history(site, store).reading_count == 6


def test_another_chain_s_index_is_refused(site: Site, tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "index.sqlite", site.deployment.genesis_hash) as store:
        index(site, store)
    with running_devnet(timestamp=1) as other, pytest.raises(WrongChainError):
        SqliteStore(tmp_path / "index.sqlite", other.genesis_hash())


def test_a_reorganisation_is_noticed(fresh_devnet: Chain, tmp_path: Path) -> None:
    site = make_site(fresh_devnet)
    site.submit(*site.batch(site.measurements(2)))
    with SqliteStore(tmp_path / "index.sqlite", site.deployment.genesis_hash) as store:
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
        with SqliteStore(tmp_path / f"{run}.sqlite", site.deployment.genesis_hash) as store:
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
    with SqliteStore(tmp_path / "index.sqlite", site.deployment.genesis_hash) as store:
        index(site, store)
        rows = select(history(site, store), Selection())
    record = describe(rows, Selection(), 7, bytes(32))
    rows.humidity[2] += 1
    write_dataset(tmp_path / "changed", Dataset(rows, Selection(), record))
    with pytest.raises(VerificationError, match="a row was changed"):
        read_dataset(tmp_path / "changed")
