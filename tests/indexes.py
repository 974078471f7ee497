"""Indexes of a site: shorthands to open, fill and compare them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from conftest import Site
from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.core.history import History, replay
from sensetrail.core.logs import Log
from sensetrail.core.primitives import Address
from sensetrail.indexer.index import Indexed
from sensetrail.indexer.index import index as index_once
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.store import Store
from sensetrail.indexer.sync import Terms

LAYOUT = load_artifact(SENSOR_REGISTRY).storage


def contracts_of(site: Site) -> tuple[Address, Address]:
    return site.deployment.sensor_registry, site.deployment.model_registry


def open_index(site: Site, path: Path) -> Store:
    return open_sqlite(path, site.deployment.genesis_hash, contracts_of(site))


def index(site: Site, store: Store, url: str | None = None, **options: Any) -> Indexed:
    """Bring a store up to the chain; options are those of `Terms` and of `index`."""
    believed = {name: options.pop(name) for name in ("trust_node", "block_hash", "second", "depth") if name in options}
    terms = Terms(contracts_of(site), site.deployment.block_number, **believed)
    return index_once(url or site.chain.url, store, terms, site.registry.address, LAYOUT, **options)


def history(site: Site, store: Store) -> History:
    cursor = store.cursor()
    assert cursor is not None
    return replay(store.blocks(cursor.number), site.registry.address)


def stored(store: Store) -> list[Log]:
    return [log for block in store.blocks(2**62) for log in block.logs()]


def dump(path: Path) -> list[str]:
    """Give all that an index holds, as the statements that make it again."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def honest(site: Site, path: Path, **options: Any) -> list[str]:
    """Give what an index of the chain holds that is built in one go from the honest node."""
    with open_index(site, path) as store:
        index(site, store, **options)
    return dump(path)
