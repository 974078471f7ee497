"""The store keeps no more hashes than it says, also where the chain never says what is final."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensetrail.core.primitives import Address
from sensetrail.indexer import store as store_module
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.store import Cursor

CONTRACTS = (Address("0x" + "11" * 20), Address("0x" + "22" * 20))


def of(number: int) -> bytes:
    return number.to_bytes(32)


def test_where_nothing_is_final_only_the_newest_hashes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RECENT_LIMIT", 10)
    with open_sqlite(tmp_path / "index.sqlite", bytes(32), CONTRACTS) as store:
        for first in range(0, 40, 8):
            hashes = [(number, of(number)) for number in range(first, first + 8)]
            store.append([], hashes, Cursor(first + 7, of(first + 7)))
        assert [number for number, _ in store.recent()] == list(range(39, 28, -1))
        store.move(Cursor(39, of(39), final_number=35, final_hash=of(35)))
        assert [number for number, _ in store.recent()] == list(range(39, 34, -1))
