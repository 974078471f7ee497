#!/usr/bin/env python3
"""What Sensetrail does with a chain's events; each case is a process of its own, with a fresh store.

    ours.py proofs CHAIN_JSON FOLDER       `sensetrail index`: headers, receipts and logs proven and stored verbatim,
                                           verdicts and heads recomputed, heads proven against storage
    ours.py trust-node CHAIN_JSON FOLDER   logs stored verbatim on the node's word, as cryo's raw logs are, with the
                                           hashes and times of their blocks; what is derived of them is made when it
                                           is asked for, and is not in this time

CHAIN_JSON is what `bench.chains` wrote, FOLDER takes the store. Each prints {"seconds": of the work}. Imports are not
in the time, as they are not in the others'.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.chain.deployment import Deployment
from sensetrail.chain.wire import Wire
from sensetrail.core.batch import Header
from sensetrail.core.logs import BlockLogs, LogTable
from sensetrail.indexer.index import index
from sensetrail.indexer.sqlite import open_sqlite
from sensetrail.indexer.store import Store
from sensetrail.indexer.sync import Indexer, Terms

STORE = "index.sqlite"


def proofs(chain: dict[str, Any], store: Store, terms: Terms) -> None:
    """Do all that the indexer does.

    Raises:
        AssertionError: Not every device's head was proven.
    """
    layout = load_artifact(SENSOR_REGISTRY).storage
    indexed = index(chain["url"], store, terms, chain["registry"], layout, tell=_fail)
    derived = indexed.derived
    if indexed.heads_proven != len(derived.devices):
        raise AssertionError(f"{indexed.heads_proven} heads proven of {len(derived.devices)}")
    if sum(row.readings for row in derived.devices) != chain["readings"]:
        raise AssertionError("readings are missing from what was derived")


def trust_node(chain: dict[str, Any], store: Store, terms: Terms) -> None:
    """Store what the node says."""
    store.hold()
    with closing(Wire(chain["url"], tell=_fail)) as wire, closing(Wire(chain["url"], tell=_fail)) as headers_wire:
        Indexer(wire, headers_wire, store, terms, _fail).run()


def run(case: str, chain: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run a case, from opening the store to closing it."""
    started = time.perf_counter()
    deployment = Deployment.parse(Path(chain["deployment"]).read_bytes())
    contracts = (deployment.sensor_registry, deployment.model_registry)
    terms = Terms(contracts, deployment.block_number, trust_node=case == "trust-node")
    with open_sqlite(folder / STORE, deployment.genesis_hash, contracts) as store:
        (trust_node if terms.trust_node else proofs)(chain, store, terms)
    return {"seconds": time.perf_counter() - started}


def count_stored(chain: dict[str, Any], folder: Path) -> int:
    """Count the chain's events, on R its readings, in what a case stored."""
    topic = list(bytes.fromhex(chain["topic"][2:]))
    count = 0
    with closing(sqlite3.connect(folder / STORE)) as database:
        for columns in database.execute("SELECT number, hash, timestamp, header, entries, topics, data FROM blocks"):
            table = LogTable.of([BlockLogs(*columns)])
            found = (table.topics[table.topic_start] == topic).all(axis=1).nonzero()[0].tolist()
            if chain["chain"] == "R":
                count += sum(Header.unpack(int.from_bytes(table.log(i).data[:32])).count for i in found)
            else:
                count += len(found)
    return count


def _fail(what: str) -> None:
    """Nothing but the chain is to be measured: no waiting, no asking again."""
    raise AssertionError(what)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))))
