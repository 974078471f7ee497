#!/usr/bin/env python3
"""What others do with a chain's events; each case is a process of its own.

    peers.py fetch CHAIN_JSON FOLDER       eth_getLogs over one kept connection, bodies read and thrown away
    peers.py fetch-2 CHAIN_JSON FOLDER     the same over two connections at once
    peers.py web3py CHAIN_JSON FOLDER      web3.py: get_logs, ABI decoding, rows in SQLite
    peers.py cryo CHAIN_JSON FOLDER        cryo: decoded events in Parquet
    peers.py cryo-raw CHAIN_JSON FOLDER    cryo: logs as they come, in Parquet

CHAIN_JSON is what `bench.chains` wrote, FOLDER takes the output. None of them takes readings out of batches. Each
prints {"seconds": of the work} and what it can say of its own yield: {"count": ...} or {"bytes": ...}. web3, cryo and
pyarrow are imported where they are needed: cryo's environment has nothing else.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

Case = Callable[[dict[str, Any], Path], dict[str, float]]

BLOCKS = {"S": 50, "M": 10, "R": 20}
"""How many blocks a request asks for: where one connection got most out of Anvil 1.7.1, about 1 MB an answer."""
CHUNK = 5
"""How many such requests make one of cryo's files."""


def ranges(chain: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Cut the chain into ranges of blocks, both ends included, one for each request."""
    blocks = BLOCKS[chain["chain"]]
    for first in range(chain["first_block"], chain["last_block"] + 1, blocks):
        yield first, min(first + blocks - 1, chain["last_block"])


def get_logs_body(chain: dict[str, Any], first: int, last: int) -> bytes:
    """Give the request for the registry's logs of some blocks."""
    wanted = {"address": chain["registry"], "fromBlock": hex(first), "toBlock": hex(last)}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}).encode()


def fetch(connections: int, chain: dict[str, Any], folder: Path) -> dict[str, float]:
    """Read all logs of the registry and throw them away: what the node can give."""
    del folder
    bodies = [get_logs_body(chain, first, last) for first, last in ranges(chain)]
    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        lengths = list(pool.map(partial(_read, chain["url"]), (bodies[i::connections] for i in range(connections))))
    return {"seconds": time.perf_counter() - started, "bytes": sum(lengths)}


def _read(url: str, bodies: list[bytes]) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    buffer = memoryview(bytearray(2**20))
    length = 0
    for body in bodies:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        while read := response.readinto(buffer):
            length += read
    connection.close()
    return length


def count_answers(chain: dict[str, Any]) -> dict[str, int]:
    """Read the same answers as `fetch`, and count what is in them."""
    connection = http.client.HTTPConnection(chain["url"].removeprefix("http://"))
    count = length = 0
    for first, last in ranges(chain):
        connection.request("POST", "/", get_logs_body(chain, first, last), {"Content-Type": "application/json"})
        body = connection.getresponse().read()
        length += len(body)
        for log in json.loads(body)["result"]:
            if log["topics"][0] == chain["topic"]:
                count += _weight(chain, int(log["data"][2:66], 16))
    connection.close()
    return {"count": count, "bytes": length}


def _weight(chain: dict[str, Any], header: int) -> int:
    """Give what an event counts: one, or on R the readings that its header word tells of."""
    return header >> 8 & 0xFFFF if chain["chain"] == "R" else 1


def web3py(chain: dict[str, Any], folder: Path) -> dict[str, float]:
    """Do what web3.py's documentation shows: the event's `get_logs`, a row each."""
    from web3 import HTTPProvider, Web3

    from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact

    started = time.perf_counter()
    web3 = Web3(HTTPProvider(chain["url"], request_kwargs={"timeout": 60}))
    contract = web3.eth.contract(
        address=Web3.to_checksum_address(chain["registry"]), abi=load_artifact(SENSOR_REGISTRY).abi
    )
    event = contract.events["ReadingPosted" if chain["chain"] == "S" else "BatchAccepted"]()
    names = [argument["name"] for argument in event.abi["inputs"]]
    database = sqlite3.connect(folder / "events.sqlite")
    columns = ["block_number", "block_hash", "transaction_hash", "log_index", *names]
    database.execute(f"CREATE TABLE event ({', '.join(columns)}, PRIMARY KEY (block_number, log_index))")
    insert = f"INSERT INTO event VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - the ABI's names
    count = 0
    for first, last in ranges(chain):
        logs = event.get_logs(from_block=first, to_block=last)
        database.executemany(insert, [_row(log, names) for log in logs])
        database.commit()
        count += sum(_weight(chain, log["args"].get("header", 0)) for log in logs)
    database.close()
    return {"seconds": time.perf_counter() - started, "count": count}


def _row(log: Any, names: list[str]) -> list[object]:
    values = [log["args"][name] for name in names]
    place = [log["blockNumber"], log["blockHash"], log["transactionHash"], log["logIndex"]]
    # SQLite's integers have 64 bits, a header word 256.
    return [*place, *(hex(value) if isinstance(value, int) and value >> 63 else value for value in values)]


def cryo(decoded: bool, chain: dict[str, Any], folder: Path) -> dict[str, float]:
    """Freeze logs with the options that made it fastest, among them no compression, statistics or report."""
    import cryo as package

    blocks = BLOCKS[chain["chain"]]
    event = {"topic0": [chain["topic"]], "event_signature": chain["event"]} if decoded else {}
    started = time.perf_counter()
    outcome = package.freeze(
        "logs",
        blocks=[f"{chain['first_block']}:{chain['last_block'] + 1}"],
        rpc=chain["url"],
        contract=[chain["registry"]],
        output_dir=str(folder),
        inner_request_size=blocks,
        chunk_size=CHUNK * blocks,
        compression=["uncompressed"],
        no_stats=True,
        no_report=True,
        verbose=False,
        **event,
    )
    seconds = time.perf_counter() - started
    if outcome["n_errored"]:
        raise AssertionError(f"cryo failed: {outcome}")
    return {"seconds": seconds}


def count_parquet(chain: dict[str, Any], folder: Path) -> int:
    """Count what cryo wrote."""
    from pyarrow import parquet

    table = parquet.read_table(folder)
    if "event__device" in table.column_names:
        if chain["chain"] != "R":
            return int(table.num_rows)
        headers = table["event__header_binary"].to_pylist()
    else:
        rows = zip(table["topic0"].to_pylist(), table["data"].to_pylist(), strict=True)
        headers = [data[:32] for topic, data in rows if "0x" + topic.hex() == chain["topic"]]
    return sum(_weight(chain, int.from_bytes(header, "big")) for header in headers)


CASES: dict[str, Case] = {
    "fetch": partial(fetch, 1),
    "fetch-2": partial(fetch, 2),
    "web3py": web3py,
    "cryo": partial(cryo, True),
    "cryo-raw": partial(cryo, False),
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))))
