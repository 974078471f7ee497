"""The index: resumes where it stood, notices another chain and a reorganisation, and gives the same dataset always."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from conftest import Site, make_site
from indexes import dump, history, honest, index, open_index, stored
from sensetrail.chain import wire
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.dataset import Selection, describe, select
from sensetrail.dataset.folder import Dataset, read_dataset, write_dataset
from sensetrail.errors import StoreHeldError, VerificationError, WrongChainError
from sensetrail.indexer import read
from sensetrail.indexer.sync import Progress

HOLD = """
import sys
from pathlib import Path
from sensetrail.indexer.sqlite import open_sqlite
with open_sqlite(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3:]) as store:
    store.hold()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_resumes_and_equals_an_index_built_in_one_go(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TARGET_BYTES", 3000)  # a block or two at once
    for part in range(3):
        site.submit(*site.batch(site.measurements(4, start=site.now - 100 + part * 20)))
        with open_index(site, tmp_path / "grown.sqlite") as grown:
            assert index(site, grown).stored > 0
    with open_index(site, tmp_path / "grown.sqlite") as grown, open_index(site, tmp_path / "new.sqlite") as new:
        again = index(site, grown)
        assert (again.stored, again.heads_proven) == (0, 0)
        assert index(site, new).heads_proven == 1
        assert stored(grown) == stored(new)
        assert history(site, new).reading_count == 12
    assert dump(tmp_path / "grown.sqlite") == dump(tmp_path / "new.sqlite")


def test_a_run_that_dies_in_the_middle_leaves_what_it_had(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "BLOCKS_AT_ONCE", 20)
    for _ in range(3):
        site.submit(*site.batch(site.measurements(2, start=site.now - 20)))
    site.chain.request("anvil_mine", hex(60))

    def die(progress: Progress) -> None:
        raise KeyboardInterrupt

    with open_index(site, tmp_path / "index.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            index(site, store, on_progress=die)
        assert len(stored(store)) > 0
        cursor = store.cursor()
        assert cursor is not None
        assert cursor.number < site.chain.latest_block().number
        assert cursor.anchor_number is None
        index(site, store)
        assert history(site, store).reading_count == 6
    assert dump(tmp_path / "index.sqlite") == honest(site, tmp_path / "new.sqlite")


def test_another_chain_s_index_is_refused(site: Site, tmp_path: Path) -> None:
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store)
    with running_devnet(timestamp=1) as other, pytest.raises(WrongChainError):
        open_index(make_site(Chain(other.url)), tmp_path / "index.sqlite")


def test_another_deployment_s_index_is_refused(site: Site, tmp_path: Path) -> None:
    with open_index(site, tmp_path / "index.sqlite"):
        pass
    with pytest.raises(WrongChainError, match="another deployment"):
        open_index(make_site(site.chain), tmp_path / "index.sqlite")


def test_of_two_indexers_at_once_the_second_says_who_is_first(site: Site, tmp_path: Path) -> None:
    site.submit(*site.batch(site.measurements(4)))
    arguments = [str(tmp_path / "index.sqlite"), site.deployment.genesis_hash.hex()]
    arguments += [site.deployment.sensor_registry, site.deployment.model_registry]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with open_index(site, tmp_path / "index.sqlite") as second:
            with pytest.raises(StoreHeldError, match=rf"process {first.pid}, since \d{{4}}-"):
                index(site, second)
            assert second.cursor() is None  # reading needs no waiting
            # However the first ends, it lets go.
            first.kill()
            first.wait()
            index(site, second)
            assert history(site, second).reading_count == 4
            lock = json.loads((tmp_path / "index.sqlite.lock").read_text())
            assert lock["pid"] == os.getpid()
        assert (tmp_path / "index.sqlite.lock").read_text() == ""


def test_who_has_just_taken_the_store_is_waited_for_until_it_says_its_name(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with open_index(site, path) as store, (tmp_path / "index.sqlite.lock").open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)

        def name() -> None:
            taken.write('{"pid": 4711, "since": 0}')
            taken.flush()

        timer = Timer(0.1, name)
        timer.start()
        with pytest.raises(StoreHeldError, match="process 4711"):
            store.hold()
        timer.join()


def test_with_trust_the_logs_are_the_same_and_every_row_says_unproven(site: Site, tmp_path: Path) -> None:
    for _ in range(3):
        site.submit(*site.batch(site.measurements(2, start=site.now - 20)))
    site.chain.request("anvil_mine", hex(200))
    with open_index(site, tmp_path / "proven.sqlite") as proven, open_index(site, tmp_path / "trusted.sqlite") as other:
        index(site, proven)
        indexed = index(site, other, trust_node=True)
        assert stored(proven) == stored(other)
        assert indexed.heads_proven is None
        assert indexed.cursor.unproven_through == indexed.cursor.number == site.chain.latest_block().number
        assert not any(block.proven for block in other.blocks(2**62))
        assert not any(run.proven.any() for run in history(site, other).runs)
        assert all(run.proven.all() for run in history(site, proven).runs)
        # Proven from here on: what was taken on trust stays marked.
        site.submit(*site.batch(site.measurements(2, start=site.now - 20)))
        assert index(site, other).cursor.unproven_through == indexed.cursor.number
        assert [block.proven for block in other.blocks(2**62)][-1]


def test_the_same_selection_gives_the_same_root_and_file_always(site: Site, tmp_path: Path) -> None:
    other = site.register("other")
    for _ in range(2):
        site.submit(*site.batch(site.measurements(5, start=site.now - 20)))
        site.submit(*site.batch(site.measurements(5, start=site.now - 20), other))
    roots, files = set(), set()
    for run in ("first", "second"):
        with open_index(site, tmp_path / f"{run}.sqlite") as store:
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
    with open_index(site, tmp_path / "index.sqlite") as store:
        index(site, store)
        rows = select(history(site, store), Selection())
    record = describe(rows, Selection(), 7, bytes(32))
    rows.humidity[2] += 1
    write_dataset(tmp_path / "changed", Dataset(rows, Selection(), record))
    with pytest.raises(VerificationError, match="a row was changed"):
        read_dataset(tmp_path / "changed")
