"""Two verifiers that share no code pass the same bundles, and refuse the same bad ones at the same step.

Each bad bundle has one fault, and everything else in it is made to fit the fault as far as anyone could who has no
device's key: altered events come with receipts roots, headers and an anchor of their own, as if the auditor had been
given that anchor's hash.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, cast

import h5py
import pytest
import rlp
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode

import verify_bundle
from bundles.archives import DEFLATED, STORED, Archive
from bundles.oddities import ODDITIES, ONCE_DISPUTED, SOUND
from command import Terminal
from conftest import START, Site, device_key, make_site, throw_away_key
from sensetrail.audit.bundle import BundleEvidence
from sensetrail.audit.steps import Audit, Status
from sensetrail.chain.devnet import running_devnet
from sensetrail.core.batch import Format, encode
from sensetrail.core.bundle import MEMBERS, read_bundle
from sensetrail.core.canonical import canonical_json
from sensetrail.core.dataset import DatasetRecord, Selection, describe, select
from sensetrail.core.events import BATCH_ACCEPTED, READING_POSTED, TOPICS, Accepted, Rejected
from sensetrail.core.header import may_contain
from sensetrail.core.history import replay
from sensetrail.core.manifest import Manifest
from sensetrail.core.model_file import ModelFile, read_model_file
from sensetrail.core.primitives import address, address_bytes, hex_word, keccak256
from sensetrail.core.receipt import ReceiptLog, bloom, decode_receipt
from sensetrail.core.rules import INDOOR
from sensetrail.core.signature import SECP256K1_ORDER, DeviceKey, P256Key
from sensetrail.core.strict_rlp import split_rlp
from sensetrail.core.trie import ordered_root
from sensetrail.errors import SensetrailError
from sensetrail.indexer.bundle import write_bundle
from sensetrail.indexer.evidence import NodeEvidence
from sensetrail.indexer.sync import Terms
from unit.test_model_file import keras_file, plain_weights


@dataclass(frozen=True)
class Bundled:
    """A bundle, and the hash of the block that it goes to."""

    path: Path
    block_hash: bytes


Anchored = tuple[Manifest, ModelFile]
ALL = Selection()


class Story:
    """A registry with all that a history can have, another beside it, and models."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.chain = site.chain
        self.folder = folder
        self.noise = make_site(site.chain)
        self.p256 = P256Key(bytes(31) + b"\x07")

    def tell(self) -> None:
        site = self.site
        site.registry.add_profile(site.admin, INDOOR)
        site.registry.register_device(site.admin, self.p256.address, 2, bytes(32))
        revoked = site.register("revoked")
        for key in (device_key(site.device), self.p256):
            for kind in (Format.TIMED, Format.REGULAR, Format.DELTA):
                self.submit(key, kind)
        site.submit(*site.batch(site.measurements(9, temperature=90_00)))  # accepted, and illegal
        batch, signature = site.batch(site.measurements(3))
        rejected = site.submit(batch, signature[32:] + signature[:32])
        assert isinstance(rejected, Rejected)
        self.post_beside_noise()
        self.post_with_more_behind_it()
        self.chain.request("anvil_mine", hex(20))
        site.submit(*site.batch(site.measurements(6), revoked))
        site.registry.revoke_device(site.admin, device_key(revoked).address, site.now - 90)

    def submit(self, key: DeviceKey, kind: Format, count: int = 7) -> None:
        """Submit the device's next readings, later than all before."""
        site = self.site
        state = site.registry.state(key.address)
        start = max(state.last_time + 30, site.now - 30 * count)
        batch = encode(key.address, state.sequence, site.measurements(count, start=start), kind)
        assert batch.header.format == kind
        self.chain.set_next_block_time(start + 30 * count)
        assert isinstance(site.submit(batch, site.sign(batch, key)), Accepted)

    def next_reading(self) -> tuple[int, int, int, int]:
        state = self.site.registry.state(self.site.device_address)
        return state.sequence, max(state.last_time + 1, self.site.now), 25_00, 60_00

    def post_beside_noise(self) -> None:
        """Post an own reading in a block that has another registry's events, too."""
        site, noise = self.site, self.noise
        batch, signature = noise.batch(noise.measurements(3))
        self.chain.request("evm_setAutomine", False)
        sent = [
            noise.registry.submit_batch(noise.relayer, batch, signature),
            site.registry.post(site.device, *self.next_reading()),
        ]
        self.chain.request("evm_mine")
        self.chain.request("evm_setAutomine", True)
        assert len({self.chain.wait(each).block_number for each in sent}) == 1

    def post_with_more_behind_it(self) -> None:
        """Post an own reading in a transaction of type 0 whose call data go on behind the arguments."""
        site = self.site
        signed = site.device.sign_transaction(
            cast(
                Any,
                {
                    "chainId": self.chain.chain_id,
                    "nonce": int(self.chain.request("eth_getTransactionCount", site.device.address, "latest"), 16),
                    "gas": 500_000,
                    "gasPrice": 10**10,
                    "to": site.registry.address,
                    "value": 0,
                    "data": site.registry.encode("post", *self.next_reading()) + b"more",
                },
            )
        )
        sent = self.chain.request("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
        assert isinstance(site.registry.outcome(self.chain.wait(bytes.fromhex(sent[2:]))), Accepted)

    def evidence(self) -> NodeEvidence:
        deployment = self.site.deployment
        contracts = (deployment.sensor_registry, deployment.model_registry)
        return NodeEvidence(self.chain, deployment, Terms(contracts, deployment.block_number))

    def anchor(self, number: int, selection: Selection = ALL, record: DatasetRecord | None = None) -> Anchored:
        """Anchor a model that nobody trained, on this dataset or on a new one."""

        def weights(file: h5py.File) -> None:
            plain_weights(file)
            file["layers/dense/vars/0"][0] += number

        model = read_model_file(keras_file(write=weights))
        if record is None:
            evidence = self.evidence()
            rows = select(replay(evidence.blocks(), evidence.sensor_registry), selection)
            record = describe(rows, selection, evidence.anchor().number, evidence.anchor().hash)
        manifest = Manifest(
            weights_digest=model.digest,
            task="humidity-from-temperature",
            dataset=record,
            selection=selection,
            configuration={"seed": number},
            labels=(),
            environment={"python": "3"},
            metrics={"validation_mae": 0.5},
        )
        self.site.models.anchor(self.site.admin, manifest)
        return manifest, model

    def bundle(self, name: str, manifest: Manifest, model: ModelFile) -> Bundled:
        """Write a bundle, whether the model stands or not."""
        evidence = self.evidence()
        audited = Audit(evidence, manifest, model, None)
        list(audited.run())
        path = self.folder / f"{name}.bundle"
        # An audit that fails before it selects has no rows; any do.
        rows = audited.rows if hasattr(audited, "rows") else select(audited.history, ALL)
        write_bundle(path, evidence, audited.history, rows, manifest, model)
        return Bundled(path, evidence.anchor().hash)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bundled]]:
    """Write the good bundles, and bad ones that a chain can hold."""
    with running_devnet(timestamp=START) as chain:
        story = Story(make_site(chain), tmp_path_factory.mktemp("bundles"))
        story.tell()
        first = story.anchor(1)
        record = first[0].dataset
        made = {"all": story.bundle("all", *first)}
        # Another model of the same dataset; a bundle that goes on behind its dataset; one of a narrow selection.
        second = story.anchor(2, record=first[0].dataset)
        story.submit(story.p256, Format.REGULAR)
        made["later"] = story.bundle("later", *first)
        made["second"] = story.bundle("second", *second)
        site = story.site
        narrow = Selection((site.device_address, story.p256.address), since=site.now - 600, until=site.now - 60)
        made["narrow"] = story.bundle("narrow", *story.anchor(3, narrow))
        # What a publisher can anchor, though it is not what the chain holds; of old blocks nobody checks the hash.
        others = Selection(devices=(address(b"\7" * 20),))
        lies = {
            "of another root": (5, ALL, replace(record, root=keccak256(record.root))),
            "of another count": (6, ALL, replace(record, row_count=record.row_count - 1)),
            "of nothing": (7, others, replace(record, selection_digest=others.digest)),
        }
        made |= {name: story.bundle(name, *story.anchor(*lie)) for name, lie in lies.items()}
        chain.request("anvil_mine", hex(300))
        made["of another block"] = story.bundle(
            "of another block", *story.anchor(8, ALL, replace(record, block_hash=keccak256(record.block_hash)))
        )
        quiet = Story(story.noise, story.folder)
        made["without own readings"] = quiet.bundle("quiet", *quiet.anchor(4))
        site.models.recall_model(site.admin, second[0].weights_digest, "trained in the wrong room")
        made["recalled"] = story.bundle("recalled", *second)
        site.registry.revoke_device(site.admin, story.p256.address, START)
        made["tainted"] = story.bundle("tainted", *first)
        yield made


GOOD = ("all", "later", "second", "narrow", "without own readings")


def by_package(bundled: Bundled) -> int | None:
    """Give the step at which the package refuses a bundle; None if it passes."""
    try:
        evidence = BundleEvidence(read_bundle(bundled.path), bundled.block_hash)
        audit = Audit(evidence, evidence.manifest(), evidence.model_file(), None, evidence.verify_rows)
    except SensetrailError:
        return 0
    return next((finding.number for finding in audit.run() if finding.status is Status.FAILED), None)


def by_script(bundled: Bundled) -> int | None:
    """Give the step at which the script refuses a bundle; None if it passes."""
    out = StringIO()
    with redirect_stdout(out):
        code = verify_bundle.main([str(bundled.path), "--block-hash", hex_word(bundled.block_hash), "--json"])
    said = json.loads(out.getvalue())
    failed: int | None = said["failed_step"]
    assert (code, said["passed"]) == ((0, True) if failed is None else (1, False))
    assert [step["step"] for step in said["steps"]] == list(range(11))
    results = [step["result"] for step in said["steps"]]
    reached = 11 if failed is None else failed
    assert set(results[:reached]) <= {"ok", "skipped"}
    assert set(results[reached + 1 :]) <= {"not reached"}
    return failed


class Parts:
    """A bundle taken apart, to be changed."""

    def __init__(self, bundled: Bundled) -> None:
        self.members = dict(read_bundle(bundled.path))
        self.block_hash = bundled.block_hash

    def json(self, name: str) -> Any:
        return json.loads(self.members[name])

    def set_json(self, name: str, value: Any) -> None:
        self.members[name] = canonical_json(value)

    @property
    def headers(self) -> list[bytes]:
        return list(split_rlp(self.members["headers"]))

    @headers.setter
    def headers(self, headers: list[bytes]) -> None:
        self.members["headers"] = b"".join(headers)

    @property
    def receipts(self) -> list[list[bytes]]:
        return [rlp.decode(item) for item in split_rlp(self.members["receipts"])]

    @receipts.setter
    def receipts(self, receipts: list[list[bytes]]) -> None:
        self.members["receipts"] = b"".join(rlp.encode(each) for each in receipts)

    @property
    def proofs(self) -> list[Any]:
        return cast(list[Any], rlp.decode(self.members["proofs"]))

    @proofs.setter
    def proofs(self, proofs: list[Any]) -> None:
        self.members["proofs"] = rlp.encode(proofs)

    @property
    def transactions(self) -> list[bytes]:
        return cast(list[bytes], rlp.decode(self.members["transactions"]))

    @transactions.setter
    def transactions(self, transactions: list[bytes]) -> None:
        self.members["transactions"] = rlp.encode(transactions)

    @property
    def registries(self) -> list[bytes]:
        place = self.json("bundle.json")
        return [address_bytes(place["sensor_registry"]), address_bytes(place["model_registry"])]

    def with_receipts(self) -> list[int]:
        """Give the indices of the headers whose blocks' receipts are in the bundle."""
        return [
            i
            for i, header in enumerate(self.headers)
            if any(may_contain(rlp.decode(header)[6], registry) for registry in self.registries)
        ]

    def rechain(self, headers: list[list[bytes]]) -> None:
        """Link altered headers, and go to the last of them as if it were the chain's."""
        linked: list[bytes] = []
        for i, fields in enumerate(headers):
            parent = fields[0] if i == 0 else keccak256(linked[-1])
            linked.append(rlp.encode([parent, *fields[1:]]))
        self.headers = linked
        self.block_hash = keccak256(linked[-1])
        place = self.json("bundle.json")
        self.set_json("bundle.json", {**place, "anchor": {**place["anchor"], "hash": hex_word(self.block_hash)}})

    def change_logs(self, topic: bytes, change: Callable[[ReceiptLog], list[ReceiptLog]], which: int = 0) -> None:
        """Put others in the place of one of the logs of a kind, in a chain of its own."""
        headers, receipts, found = [rlp.decode(header) for header in self.headers], self.receipts, 0
        for place, encoded in zip(self.with_receipts(), receipts, strict=True):
            for i, each in enumerate(encoded):
                receipt = decode_receipt(each)
                logs: list[ReceiptLog] = []
                for log in receipt.logs:
                    is_ours = log.address == self.registries[0] and log.topics[0] == topic
                    logs += change(log) if is_ours and found == which else [log]
                    found += is_ours
                encoded[i] = replace(receipt, logs=tuple(logs)).encode()
            headers[place][5] = ordered_root(encoded)
            # The filter stays set for what was taken out: a block that may hold a log of ours need not.
            filters = [headers[place][6], *(bloom(decode_receipt(each).logs) for each in encoded)]
            bits = 0
            for each in filters:
                bits |= int.from_bytes(each)
            headers[place][6] = bits.to_bytes(256)
        assert found > which
        self.receipts = receipts
        self.rechain(headers)

    def file(self, method: int = DEFLATED) -> bytes:
        """Put it together again."""
        return Archive.of(self.members, method).build()


Fault = Callable[[Parts], "bytes | None"]
"""Changes a bundle's parts, or gives the bytes of a bundle made of them."""
FAULTS: list[Any] = []


def fault(name: str, step: int, of: str = "all") -> Callable[[Fault], Fault]:
    """Add a bad bundle, and the step at which both verifiers refuse it.

    Args:
        name: What is wrong with it.
        step: That step.
        of: The bundle it is made of.
    """

    def add(make: Fault) -> Fault:
        FAULTS.append(pytest.param(of, make, step, id=name))
        return make

    return add


# --- step 0: the file


for name in ONCE_DISPUTED:
    fault(name, 0)(partial(lambda parts, name: ODDITIES[name](parts.members), name=name))


def json_of(parts: Parts, name: str, change: Callable[[bytes], bytes]) -> None:
    before = parts.members[name]
    parts.members[name] = change(before)
    assert parts.members[name] != before


for name in ("bundle.json", "manifest.json"):
    for what, change in {
        "with white space": lambda data: data.replace(b":", b": ", 1),
        "with its keys out of order": lambda data: json.dumps(
            dict(reversed(json.loads(data).items())), separators=(",", ":")
        ).encode(),
        "with a key twice": lambda data: data[:-1] + data[data.rindex(b',"') :],
        "with a key too many": lambda data: data[:-1] + b',"zzz":1}',
        "with a key missing": lambda data: b"{" + data[data.index(b',"') + 1 :],
        "with NaN": lambda data: data[:-1] + b',"zzz":NaN}',
        "with an infinite number": lambda data: data[:-1] + b',"zzz":1e999}',
        "nested deep": lambda data: b"[" * 30_000 + b"]" * 30_000,
        "of half a surrogate": lambda data: data[:-1] + b',"zzz":"\\ud800"}',
        "in UTF-16": lambda data: data.decode().encode("utf-16"),
        "that is empty": lambda data: b"",
        "that is no object": lambda data: b"[]",
        "with its version changed": lambda data: data.replace(b"-v1", b"-v2"),
        "with an escape that need not be": lambda data: data.replace(b"sensetrail", b"\\u0073ensetrail", 1),
    }.items():
        fault(f"{name} {what}", 0)(partial(json_of, name=name, change=change))
fault("bundle.json with an address in lower case", 0)(
    lambda parts: parts.set_json(
        "bundle.json",
        {**parts.json("bundle.json"), "sensor_registry": parts.json("bundle.json")["sensor_registry"].lower()},
    )
)
fault("bundle.json with True for 1", 0)(
    lambda parts: parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": True})
)
fault("bundle.json with 1.0 for 1", 0)(
    lambda parts: parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": 1.0})
)
fault("bundle.json with a number below 0", 0)(
    lambda parts: parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": -1})
)
fault("manifest whose dataset is not its id's", 0)(
    lambda parts: json_of(parts, "manifest.json", lambda data: data.replace(b'"row_count":', b'"row_count":1'))
)
fault("ABI with white space", 0)(
    lambda parts: json_of(parts, "SensorRegistry.abi.json", lambda data: data.replace(b":", b": ", 1))
)


# --- step 1: the anchor, and the code


@fault("other block hash", 1)
def _other_block_hash(parts: Parts) -> None:
    parts.block_hash = keccak256(parts.block_hash)


@fault("hash of the block before", 1)
def _hash_of_the_block_before(parts: Parts) -> None:
    parts.block_hash = keccak256(parts.headers[-2])


@fault("bundle.json with another anchor", 1)
def _bundle_json_with_another_anchor(parts: Parts) -> None:
    place = parts.json("bundle.json")
    parts.set_json("bundle.json", {**place, "anchor": {**place["anchor"], "hash": "0x" + "11" * 32}})


@fault("bundle.json with another anchor's number", 1)
def _bundle_json_with_another_anchor_s_number(parts: Parts) -> None:
    place = parts.json("bundle.json")
    parts.set_json("bundle.json", {**place, "anchor": {**place["anchor"], "number": place["anchor"]["number"] + 1}})


@fault("no headers", 1)
def _no_headers(parts: Parts) -> None:
    parts.headers = []


@fault("last header altered", 1)
def _last_header_altered(parts: Parts) -> None:
    *rest, last = parts.headers
    parts.headers = [*rest, last[:-1] + bytes([last[-1] ^ 1])]


@fault("headers that end early, with that block's hash", 1)
def _headers_that_end_early_with_that_block_s_hash(parts: Parts) -> None:
    # The registries were there then: it is the proofs that are of another state.
    parts.rechain([rlp.decode(header) for header in parts.headers[:-2]])
    place = parts.json("bundle.json")
    number = int.from_bytes(rlp.decode(parts.headers[-1])[8])
    parts.set_json("bundle.json", {**place, "anchor": {**place["anchor"], "number": number}})


@fault("headers cut off", 1)
def _headers_cut_off(parts: Parts) -> None:
    parts.members["headers"] = parts.members["headers"][:-1]


@fault("state root altered", 1)
def _state_root_altered(parts: Parts) -> None:
    headers = [rlp.decode(header) for header in parts.headers]
    headers[-1][3] = bytes(32)
    parts.rechain(headers)


def change_proofs(parts: Parts, change: Callable[[list[Any]], None]) -> None:
    proofs = parts.proofs
    change(proofs)
    parts.proofs = proofs


def flip(nodes: list[bytes], place: int) -> None:
    nodes[place] = nodes[place][:-1] + bytes([nodes[place][-1] ^ 1])


def account_fault(name: str, change: Callable[[list[Any]], None]) -> None:
    fault(name, 1)(partial(change_proofs, change=change))


account_fault("account's first node altered", lambda proofs: flip(proofs[0][1], 0))
account_fault("account's last node altered", lambda proofs: flip(proofs[1][1], -1))
account_fault("account's last node missing", lambda proofs: proofs[0][1].pop())
account_fault("account with a node too many", lambda proofs: proofs[0][1].append(proofs[0][1][0]))
account_fault("account without a proof", lambda proofs: proofs[1][1].clear())
account_fault("accounts the other way round", lambda proofs: proofs.reverse())
account_fault("one account", lambda proofs: proofs.pop())
account_fault("three accounts", lambda proofs: proofs.append(proofs[0]))
account_fault("account of another address", lambda proofs: proofs[0].__setitem__(0, proofs[1][0]))
account_fault("account with a field too many", lambda proofs: proofs[0].append(b""))


@fault("proofs that are garbage", 1)
def _proofs_that_are_garbage(parts: Parts) -> None:
    parts.members["proofs"] = b"\xff" * 100


@fault("proofs with something behind them", 1)
def _proofs_with_something_behind_them(parts: Parts) -> None:
    parts.members["proofs"] += b"\x80"


@fault("code of another contract", 1)
def _code_of_another_contract(parts: Parts) -> None:
    # Both proofs are true; the registries' places are swapped.
    place = parts.json("bundle.json")
    names = ("sensor_registry", "model_registry")
    parts.set_json("bundle.json", {**place, **dict(zip(names, (place[name] for name in reversed(names)), strict=True))})
    change_proofs(parts, lambda proofs: proofs.reverse())


@fault("ABI altered", 1)
def _abi_altered(parts: Parts) -> None:
    abi = parts.json("SensorRegistry.abi.json")
    parts.set_json("SensorRegistry.abi.json", abi[:-1])


@fault("ABI of the other contract", 1)
def _abi_of_the_other_contract(parts: Parts) -> None:
    parts.members["ModelRegistry.abi.json"] = parts.members["SensorRegistry.abi.json"]


# --- step 2: headers, receipts, logs


@fault("header altered", 2)
def _header_altered(parts: Parts) -> None:
    headers = parts.headers
    fields = rlp.decode(headers[7])
    fields[12] = b"another"
    headers[7] = rlp.encode(fields)
    parts.headers = headers


@fault("header missing", 2)
def _header_missing(parts: Parts) -> None:
    empty = next(i for i in range(5, 99) if i not in parts.with_receipts())
    parts.headers = [header for i, header in enumerate(parts.headers) if i != empty]


@fault("header twice", 2)
def _header_twice(parts: Parts) -> None:
    parts.headers = [parts.headers[0], *parts.headers]


@fault("headers with a gap, linked", 2)
def _headers_with_a_gap_linked(parts: Parts) -> None:
    empty = next(i for i in range(5, 99) if i not in parts.with_receipts())
    parts.rechain([rlp.decode(header) for i, header in enumerate(parts.headers) if i != empty])


@fault("first block said to be another", 2)
def _first_block_said_to_be_another(parts: Parts) -> None:
    parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": 0})


@fault("another header before the first", 2)
def _another_header_before_the_first(parts: Parts) -> None:
    fields = rlp.decode(parts.headers[0])
    fields[8] = b""  # number 0; its bloom filter asks for receipts
    fields[6] = bytes(256)
    parts.headers = [rlp.encode(fields), *parts.headers]
    parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": 0})


def receipts_fault(name: str, change: Callable[[list[list[bytes]]], object]) -> None:
    def make(parts: Parts) -> None:
        receipts = parts.receipts
        change(receipts)
        parts.receipts = receipts

    fault(name, 2)(make)


def longest(receipts: list[list[bytes]]) -> list[bytes]:
    return max(receipts, key=len)


receipts_fault("receipt altered", lambda receipts: flip(receipts[-1], 0))
receipts_fault("receipt dropped", lambda receipts: longest(receipts).pop())
receipts_fault("receipt twice", lambda receipts: receipts[-1].append(receipts[-1][0]))
receipts_fault("receipts of a block the other way round", lambda receipts: longest(receipts).reverse())
receipts_fault("receipts of a block missing", lambda receipts: receipts.pop(4))
receipts_fault("receipts of the last block missing", lambda receipts: receipts.pop())
receipts_fault("receipts of a block too many", lambda receipts: receipts.append([]))
receipts_fault("receipts of a block twice", lambda receipts: receipts.insert(4, receipts[4]))
receipts_fault("receipts of two blocks swapped", lambda receipts: receipts.insert(3, receipts.pop(4)))
receipts_fault("receipts of a block empty", lambda receipts: receipts[3].clear())
receipts_fault("receipt that is empty", lambda receipts: receipts[3].__setitem__(0, b""))


@fault("receipts cut off", 2)
def _receipts_cut_off(parts: Parts) -> None:
    parts.members["receipts"] = parts.members["receipts"][:-1]


@fault("receipts that are strings", 2)
def _receipts_that_are_strings(parts: Parts) -> None:
    parts.members["receipts"] = bytes(1000)


@fault("block hidden by its bloom filter", 2)
def _block_hidden_by_its_bloom_filter(parts: Parts) -> None:
    # Its header says, against the hash chain, that it has no log of ours.
    place, headers = parts.with_receipts()[5], parts.headers
    fields = rlp.decode(headers[place])
    fields[6] = bytes(256)
    headers[place] = rlp.encode(fields)
    parts.headers = headers
    parts.receipts = [each for i, each in enumerate(parts.receipts) if i != 5]


def topic(name: str) -> bytes:
    return next(topic for topic, signature in TOPICS.items() if signature.startswith(name + "("))


def with_fields(log: ReceiptLog, change: Callable[[Any], Any]) -> ReceiptLog:
    types = ["uint256", "bytes", "bytes"] if log.topics[0] == BATCH_ACCEPTED else ["uint256"] * (len(log.data) // 32)
    return replace(log, data=abi_encode(types, change(abi_decode(types, log.data))))


@fault("event with something behind its fields", 2)
def _event_with_something_behind_its_fields(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [replace(log, data=log.data + bytes(32))])


@fault("event cut off", 2)
def _event_cut_off(parts: Parts) -> None:
    parts.change_logs(READING_POSTED, lambda log: [replace(log, data=log.data[:-32])])


@fault("event with a field beyond its type", 2)
def _event_with_a_field_beyond_its_type(parts: Parts) -> None:
    parts.change_logs(READING_POSTED, lambda log: [with_fields(log, lambda f: (f[0] | 1 << 24, *f[1:]))])


@fault("event with a padding that is not zero", 2)
def _event_with_a_padding_that_is_not_zero(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [replace(log, data=log.data[:-1] + b"\1")])


@fault("event with a topic missing", 2)
def _event_with_a_topic_missing(parts: Parts) -> None:
    parts.change_logs(topic("Rejected"), lambda log: [replace(log, topics=log.topics[:2])])


@fault("batch in another device's name", 2)
def _batch_in_another_device_s_name(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (f[0] ^ 1 << 200, *f[1:]))])


@fault("batch with a payload of another length", 2)
def _batch_with_a_payload_of_another_length(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (f[0], f[1] + b"\0", f[2]))])


@fault("exceptions beyond the batch", 2)
def _exceptions_beyond_the_batch(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (f[0], f[1], b"\x00\x63\x04"))])


@fault("exceptions cut off", 2)
def _exceptions_cut_off(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (f[0], f[1], b"\x00\x01"))])


@fault("exceptions out of order", 2)
def _exceptions_out_of_order(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (*f[:2], b"\0\2\4\0\1\4"))])


@fault("exception that is none", 2)
def _exception_that_is_none(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (*f[:2], b"\0\1\0"))])


@fault("batch of no readings", 2)
def _batch_of_no_readings(parts: Parts) -> None:
    def empty(fields: Any) -> Any:
        return fields[0] & ~(0xFFFF << 8), fields[1][-64:], b""

    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, empty)])


@fault("batch of an unknown format", 2)
def _batch_of_an_unknown_format(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (f[0] | 0xFF, *f[1:]))])


@fault("rejection for no reason", 2)
def _rejection_for_no_reason(parts: Parts) -> None:
    parts.change_logs(topic("Rejected"), lambda log: [replace(log, topics=(*log.topics[:2], bytes(32)))])


@fault("batch after the revocation", 2)
def _batch_after_the_revocation(parts: Parts) -> None:
    seen: list[ReceiptLog] = []

    def move(log: ReceiptLog) -> list[ReceiptLog]:
        seen.append(log)
        return []

    parts.change_logs(BATCH_ACCEPTED, move, which=7)
    parts.change_logs(topic("DeviceRevoked"), lambda log: [log, seen[0]])


@fault("registration hidden", 2)
def _registration_hidden(parts: Parts) -> None:
    parts.change_logs(topic("DeviceRegistered"), lambda _: [])


@fault("device registered twice", 2)
def _device_registered_twice(parts: Parts) -> None:
    parts.change_logs(topic("DeviceRegistered"), lambda log: [log, log])


# --- step 3: storage


def storage_fault(name: str, change: Callable[[list[Any]], object], step: int) -> None:
    fault(name, step)(partial(change_proofs, change=cast(Any, change)))


COUNTS, PROFILES, DEVICES = 0, (1, 2), 3
"""Where the sensor registry's slots begin: of three devices' state and two words of record."""
storage_fault("state's node altered", lambda proofs: flip(proofs[0][2][DEVICES][1], -1), 3)
storage_fault("state's node missing", lambda proofs: proofs[0][2][DEVICES][1].pop(), 3)
storage_fault("counts' node altered", lambda proofs: flip(proofs[0][2][COUNTS][1], 0), 3)
storage_fault("proof missing of a device's state", lambda proofs: proofs[0][2].pop(DEVICES), 3)
storage_fault("proof missing of the last device's record", lambda proofs: proofs[0][2].pop(), 3)
storage_fault("proof missing of a profile", lambda proofs: proofs[0][2].pop(PROFILES[1]), 3)
storage_fault("no storage proofs", lambda proofs: proofs[0][2].clear(), 3)
storage_fault("proof of another slot", lambda proofs: proofs[0][2][DEVICES].__setitem__(0, bytes(31) + b"\7"), 3)
storage_fault(
    "proofs of two slots swapped",
    lambda proofs: proofs[0][2][DEVICES].__setitem__(1, proofs[0][2][DEVICES + 3][1]),
    3,
)
storage_fault("slots out of order", lambda proofs: proofs[0][2].reverse(), 3)
storage_fault("a slot too many", lambda proofs: proofs[0][2].append([bytes(32), []]), 3)


@fault("reading altered", 3)
def _reading_altered(parts: Parts) -> None:
    def change(fields: Any) -> Any:
        return fields[0], bytes([*fields[1][:5], fields[1][5] ^ 1, *fields[1][6:]]), fields[2]

    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, change)])


@fault("batch hidden", 3)
def _batch_hidden(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda _: [], which=3)


@fault("last own reading hidden", 3)
def _last_own_reading_hidden(parts: Parts) -> None:
    parts.change_logs(READING_POSTED, lambda _: [], which=1)


@fault("batch twice", 3)
def _batch_twice(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [log, log], which=1)


@fault("device that never was", 3)
def _device_that_never_was(parts: Parts) -> None:
    def another(log: ReceiptLog) -> ReceiptLog:
        return replace(log, topics=(log.topics[0], bytes(31) + b"\7", log.topics[2]))

    parts.change_logs(topic("DeviceRegistered"), lambda log: [log, another(log)])


@fault("revocation hidden", 3)
def _revocation_hidden(parts: Parts) -> None:
    parts.change_logs(topic("DeviceRevoked"), lambda _: [])


@fault("revocation for another time", 3)
def _revocation_for_another_time(parts: Parts) -> None:
    parts.change_logs(topic("DeviceRevoked"), lambda log: [with_fields(log, lambda f: (f[0] + 1,))])


@fault("identity altered", 3)
def _identity_altered(parts: Parts) -> None:
    parts.change_logs(topic("DeviceRegistered"), lambda log: [with_fields(log, lambda f: (f[0] ^ 1,))])


@fault("profile altered", 3)
def _profile_altered(parts: Parts) -> None:
    parts.change_logs(topic("ProfileAdded"), lambda log: [with_fields(log, lambda f: (*f[:-1], f[-1] + 1))], which=1)


def at_another_time(parts: Parts, name: str, which: int) -> None:
    """Give a block that emitted a registration or a revocation another time."""
    places: list[int] = []
    for place, encoded in zip(parts.with_receipts(), parts.receipts, strict=True):
        logs = [log for each in encoded for log in decode_receipt(each).logs]
        places += [place for log in logs if log.topics[0] == topic(name) and log.address == parts.registries[0]]
    headers = [rlp.decode(header) for header in parts.headers]
    fields = headers[places[which]]
    fields[11] = (int.from_bytes(fields[11]) + 1).to_bytes(4)
    parts.rechain(headers)


fault("registration at another time", 3)(partial(at_another_time, name="DeviceRegistered", which=0))
fault("revocation at another time", 3)(partial(at_another_time, name="DeviceRevoked", which=0))


# --- step 4: verdicts


@fault("illegal reading made legal", 4)
def _illegal_reading_made_legal(parts: Parts) -> None:
    # The batch of the illegal readings: all of its exceptions taken out.
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (*f[:2], b""))], which=6)


@fault("legal reading made illegal", 4)
def _legal_reading_made_illegal(parts: Parts) -> None:
    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, lambda f: (*f[:2], b"\0\1\4"))])


@fault("own reading's verdict altered", 4)
def _own_reading_s_verdict_altered(parts: Parts) -> None:
    parts.change_logs(READING_POSTED, lambda log: [with_fields(log, lambda f: (*f[:-1], f[-1] ^ 4))])


# --- step 5: signatures


def with_signature(parts: Parts, which: int, change: Callable[[bytes], bytes], length: int) -> None:
    def edit(fields: Any) -> Any:
        return fields[0], fields[1][:-length] + change(fields[1][-length:]), fields[2]

    parts.change_logs(BATCH_ACCEPTED, lambda log: [with_fields(log, edit)], which)


SECP256K1, P256 = (0, 64), (3, 128)
"""Which batch is under which curve, and how long its signature is."""


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


for what, at in {"r": 31, "s": 63, "parity": 32}.items():
    change = (
        partial(flipped, place=at)
        if what != "parity"
        else (lambda data: data[:32] + bytes([data[32] ^ 128]) + data[33:])
    )
    fault(f"secp256k1: {what} altered", 5)(partial(with_signature, which=0, change=change, length=64))
for what, at in {"r": 31, "s": 63, "x": 95, "y": 127}.items():
    fault(f"P-256: {what} altered", 5)(partial(with_signature, which=3, change=partial(flipped, place=at), length=128))


@fault("P-256: the higher s", 5)
def _p_256_the_higher_s(parts: Parts) -> None:
    def higher(data: bytes) -> bytes:
        return data[:32] + (verify_bundle.P256.n - int.from_bytes(data[32:64])).to_bytes(32) + data[64:]

    with_signature(parts, 3, higher, 128)


@fault("P-256: zeros", 5)
def _p_256_zeros(parts: Parts) -> None:
    with_signature(parts, 3, lambda data: bytes(64) + data[64:], 128)


@fault("secp256k1: zeros", 5)
def _secp256k1_zeros(parts: Parts) -> None:
    with_signature(parts, 0, lambda _: bytes(64), 64)


@fault("chain id altered", 5)
def _chain_id_altered(parts: Parts) -> None:
    parts.set_json("bundle.json", {**parts.json("bundle.json"), "chain_id": 1})


def resigned(parts: Parts, **changes: Any) -> list[bytes]:
    """Sign the first own reading's transaction, of type 2, again, changed; by the device's key unless one is given."""
    first, *rest = parts.transactions
    fields = rlp.decode(first[1:])
    names = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
    found: dict[str, Any] = {"type": 2}
    for name, field in zip(names, fields, strict=False):
        found[name] = {"to": address, "data": bytes}.get(name, int.from_bytes)(field)  # type: ignore[operator]
    signer = changes.pop("by", throw_away_key("device"))
    return [bytes(signer.sign_transaction({**found, **changes}).raw_transaction), *rest]


def transaction_fault(name: str, change: Callable[[Parts], list[bytes]], of: str = "all", **more: Any) -> None:
    def make(parts: Parts) -> None:
        before = parts.members["transactions"]
        parts.transactions = change(parts)
        assert parts.members["transactions"] != before

    fault(name, 5, of, **more)(make)


def call(parts: Parts) -> bytes:
    return bytes(rlp.decode(parts.transactions[0][1:])[7])


def in_its_other_form(parts: Parts) -> list[bytes]:
    """Give the same transaction under the other s, which no chain takes (EIP-2)."""
    first, *rest = parts.transactions
    *body, parity, r, s = rlp.decode(first[1:])
    other = (SECP256K1_ORDER - int.from_bytes(s)).to_bytes(32)
    return [b"\2" + rlp.encode([*body, b"" if parity else b"\1", r, other]), *rest]


STRANGER = throw_away_key("a stranger")
transaction_fault("transaction of another sender", lambda parts: resigned(parts, by=STRANGER))
transaction_fault("transaction on another chain", lambda parts: resigned(parts, chainId=1))
transaction_fault("transaction to another contract", lambda parts: resigned(parts, to=address(b"\7" * 20)))
transaction_fault(
    "transaction that posts another reading", lambda parts: resigned(parts, data=flipped(call(parts), -1))
)
transaction_fault(
    "transaction that calls another function", lambda parts: resigned(parts, data=flipped(call(parts), 0))
)
transaction_fault("transaction that posts too little", lambda parts: resigned(parts, data=call(parts)[:-1]))
transaction_fault("transaction altered", lambda parts: [flipped(parts.transactions[0], 40), *parts.transactions[1:]])
transaction_fault(
    "transaction of type 0 altered", lambda parts: [parts.transactions[0], flipped(parts.transactions[1], 7)]
)
transaction_fault(
    "transaction of an unknown type", lambda parts: [b"\5" + parts.transactions[0][1:], parts.transactions[1]]
)
transaction_fault("transaction without a signature", lambda parts: [parts.transactions[0][:-66], parts.transactions[1]])
transaction_fault(
    "transaction with a longer length", lambda parts: [b"\2\xfa\0" + parts.transactions[0][2:], parts.transactions[1]]
)
transaction_fault("transaction in its other form", in_its_other_form)
transaction_fault("transaction missing", lambda parts: parts.transactions[:-1])
transaction_fault("transactions missing", lambda parts: [])
transaction_fault("transaction too many", lambda parts: [*parts.transactions, parts.transactions[0]])
transaction_fault("transactions swapped", lambda parts: parts.transactions[::-1])
transaction_fault("empty transaction", lambda parts: [b"", parts.transactions[1]])
transaction_fault("transactions that are lists", lambda parts: cast(list[bytes], [[], []]))
transaction_fault("transactions where there are no own readings", lambda _: [b"more"], of="without own readings")


# --- step 6: the dataset


def rows_fault(name: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    def make(parts: Parts) -> None:
        before = parts.members["dataset.csv"]
        parts.members["dataset.csv"] = b"".join(change(before.splitlines(keepends=True)))
        assert parts.members["dataset.csv"] != before

    fault(name, 6)(make)


rows_fault("row altered", lambda lines: [*lines[:9], lines[9][:-2] + b"7\n", *lines[10:]])
rows_fault("row dropped", lambda lines: [*lines[:9], *lines[10:]])
rows_fault("last row dropped", lambda lines: lines[:-1])
rows_fault("all rows dropped", lambda lines: lines[:1])
rows_fault("row added", lambda lines: [*lines, lines[-1].replace(b",6", b",7", 1)])
rows_fault("rows reordered", lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]])
rows_fault("dataset without a heading", lambda lines: lines[1:])
rows_fault("dataset with Windows' line ends", lambda lines: [line.replace(b"\n", b"\r\n") for line in lines])
rows_fault("dataset without its last line end", lambda lines: [*lines[:-1], lines[-1][:-1]])
rows_fault("device in lower case", lambda lines: [lines[0], *(line.lower() for line in lines[1:])])
rows_fault("dataset that is empty", lambda _: [])
rows_fault("dataset with something behind it", lambda lines: [*lines, b"\n"])


def with_dataset(parts: Parts, **changes: Any) -> None:
    """Give the manifest another dataset, and that dataset its id."""
    value = parts.json("manifest.json")
    dataset = {**value["dataset"], **changes}
    selection = Selection.from_json(dataset["selection"])
    words = (bytes.fromhex(dataset[name][2:]) for name in ("root", "block_hash"))
    record = DatasetRecord(next(words), dataset["row_count"], selection.digest, dataset["through_block"], next(words))
    parts.set_json("manifest.json", {**value, "dataset": {**dataset, "id": hex_word(record.dataset_id)}})


def dataset_fault(name: str, **changes: Any) -> None:
    fault(name, 6)(partial(with_dataset, **changes))


dataset_fault("dataset through a block that is not there", through_block=10**6)
dataset_fault("dataset through a block before the first", through_block=0)
dataset_fault("dataset through another block", through_block=7)
dataset_fault("dataset with another block's hash", block_hash="0x" + "11" * 32)
dataset_fault("dataset with another root", root="0x" + "11" * 32)
dataset_fault("dataset with another count", row_count=1)
dataset_fault("dataset of another selection", selection=Selection(since=START).to_json())
dataset_fault("dataset of no devices", selection=Selection(devices=()).to_json())
dataset_fault("dataset of no time", selection=Selection(since=10**30).to_json())


@fault("dataset through the block before, which gives the same rows", 6)
def _through_the_block_before(parts: Parts) -> None:
    # All of it is true, but it is not what was anchored.
    through = parts.json("manifest.json")["dataset"]["through_block"] - 1
    first = parts.json("bundle.json")["first_block"]
    with_dataset(parts, through_block=through, block_hash=hex_word(keccak256(parts.headers[through - first])))


storage_fault("dataset's node altered", lambda proofs: flip(proofs[1][2][0][1], -1), 6)
storage_fault("proof missing of the dataset", lambda proofs: proofs[1][2].pop(2), 6)
storage_fault("dataset's slots out of order", lambda proofs: proofs[1][2].insert(0, proofs[1][2].pop(1)), 6)


for name in ("of another root", "of another count", "of nothing", "of another block"):
    fault(f"anchored dataset {name}", 6, of=name)(lambda _: None)


# --- step 7: the manifest


def manifest_fault(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    def make(parts: Parts) -> None:
        value = parts.json("manifest.json")
        parts.set_json("manifest.json", {**value, **change(value)})

    fault(name, 7)(make)


manifest_fault("manifest with other metrics", lambda _: {"metrics": {"validation_mae": 0.0}})
manifest_fault("manifest with another configuration", lambda _: {"configuration": {"seed": 7}})
manifest_fault("manifest of another task", lambda _: {"task": "device-from-readings"})
manifest_fault("manifest with another parent", lambda _: {"parent": "0x" + "11" * 32})
manifest_fault("manifest of other weights", lambda value: {"weights_digest": value["weights_digest"][:-64] + "11" * 32})
storage_fault("model's node altered", lambda proofs: flip(proofs[1][2][6][1], -1), 7)
storage_fault("proof missing of the model", lambda proofs: proofs[1][2].pop(), 7)
storage_fault("a slot too many of the model", lambda proofs: proofs[1][2].append([bytes(32), []]), 7)


# --- steps 8 and 10: the model


@fault("weight altered", 8)
def _weight_altered(parts: Parts) -> None:
    parts.members["model"] = flipped(parts.members["model"], -1)


@fault("architecture altered", 8)
def _architecture_altered(parts: Parts) -> None:
    json_of(parts, "model", lambda data: data.replace(b"relu", b"tanh"))


fault("model recalled", 10, of="recalled")(lambda _: None)
fault("device revoked since", 10, of="tainted")(lambda _: None)


# --- the tests


def written(parts: Parts, content: bytes | None, folder: Path) -> Bundled:
    path = folder / "bad.bundle"
    path.write_bytes(parts.file() if content is None else content)
    return Bundled(path, parts.block_hash)


@pytest.mark.parametrize("name", GOOD)
def test_both_pass_a_good_bundle(bundles: dict[str, Bundled], name: str) -> None:
    assert (by_package(bundles[name]), by_script(bundles[name])) == (None, None)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_both_pass_a_bundle_that_was_only_taken_apart(bundles: dict[str, Bundled], tmp_path: Path, method: int) -> None:
    # Neither taking apart nor linking headers anew is what the bad bundles are refused for.
    parts = Parts(bundles["all"])
    parts.headers, parts.receipts, parts.proofs = parts.headers, parts.receipts, parts.proofs
    parts.transactions = parts.transactions
    parts.rechain([rlp.decode(header) for header in parts.headers])
    bundled = written(parts, parts.file(method=method), tmp_path)
    assert bundled.block_hash == bundles["all"].block_hash
    assert (by_package(bundled), by_script(bundled)) == (None, None)


def test_both_pass_a_bundle_that_begins_behind_the_deployment(bundles: dict[str, Bundled], tmp_path: Path) -> None:
    parts = Parts(bundles["all"])
    assert parts.with_receipts()[0] == 0
    parts.headers, parts.receipts = parts.headers[1:], parts.receipts[1:]
    parts.set_json("bundle.json", {**parts.json("bundle.json"), "first_block": 2})
    bundled = written(parts, None, tmp_path)
    assert (by_package(bundled), by_script(bundled)) == (None, None)


@pytest.mark.parametrize(("of", "make", "step"), FAULTS)
def test_both_refuse_a_bad_bundle_at_the_same_step(
    bundles: dict[str, Bundled], tmp_path: Path, of: str, make: Fault, step: int
) -> None:
    parts = Parts(bundles[of])
    bundled = written(parts, make(parts), tmp_path)
    assert (by_package(bundled), by_script(bundled)) == (step, step)


def test_neither_passes_or_fails_otherwise_on_random_damage(bundles: dict[str, Bundled], tmp_path: Path) -> None:
    chance = random.Random(1)  # noqa: S311 - the same damage each time
    for _ in range(100):
        parts = Parts(bundles["all"])
        name = chance.choice(list(MEMBERS))
        data = bytearray(parts.members[name])
        place = chance.randrange(len(data))
        data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(1, 3))
        if data == parts.members[name]:
            continue
        parts.members[name] = bytes(data)
        bundled = written(parts, None, tmp_path)
        assert None not in (by_package(bundled), by_script(bundled)), (name, place)


def test_both_refuse_a_bundle_in_any_odd_archive(bundles: dict[str, Bundled], tmp_path: Path) -> None:
    parts = Parts(bundles["all"])
    for name, make in ODDITIES.items():
        bundled = written(parts, make(parts.members), tmp_path)
        assert (by_package(bundled), by_script(bundled)) == (0, 0), name


@pytest.mark.parametrize("name", SOUND)
def test_both_pass_a_bundle_in_another_sound_archive(bundles: dict[str, Bundled], tmp_path: Path, name: str) -> None:
    parts = Parts(bundles["all"])
    bundled = written(parts, SOUND[name](parts.members), tmp_path)
    assert (by_package(bundled), by_script(bundled)) == (None, None)


def test_both_refuse_a_damaged_file_or_its_members_are_the_same(bundles: dict[str, Bundled], tmp_path: Path) -> None:
    chance = random.Random(2)  # noqa: S311
    good = bundles["all"].path.read_bytes()
    members = read_bundle(bundles["all"].path)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            place = chance.choice([chance.randrange(len(data)), len(data) - 1 - chance.randrange(800)])
            data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        path = tmp_path / "file"
        path.write_bytes(data)
        damaged = Bundled(path, bundles["all"].block_hash)
        steps = (by_package(damaged), by_script(damaged))
        # Deflated data may be altered so that they unpack to the same bytes.
        assert steps == (0, 0) or (steps == (None, None) and read_bundle(path) == members)


UNREADABLE = Path("/proc/sys/vm/compact_memory")
"""A regular file that nobody may read, not even the superuser."""


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script as an auditor does, who has not the package."""
    command = [sys.executable, "-I", verify_bundle.__file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def test_the_commands_exit_codes(bundles: dict[str, Bundled], tmp_path: Path) -> None:
    good = bundles["all"]
    given = ("--block-hash", hex_word(good.block_hash))
    registry = Parts(good).json("bundle.json")["sensor_registry"]
    terminal = Terminal(tmp_path, in_process=True)
    done = run_script(good.path, *given, "--registry", registry)
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()][8:10] == [
        ["8", "weights", "ok:"],
        ["9", "retraining", "skipped"],
    ]
    assert terminal.run("audit", good.path, *given, "--no-retrain").code == 0
    done = run_script(good.path, *given, "--registry", "0x" + "11" * 20)
    assert (done.returncode, "1 code       FAILED" in done.stdout, "not reached" in done.stdout) == (1, True, True)
    tainted = bundles["tainted"]
    since = ("--block-hash", hex_word(tainted.block_hash))
    assert run_script(tainted.path, *since).returncode == 1
    assert terminal.run("audit", tainted.path, *since, "--no-retrain").code == 5
    (tmp_path / "empty").write_bytes(b"")
    assert run_script(tmp_path / "empty", *given).returncode == 1
    terminal.fails(5, "audit", tmp_path / "empty", *given, "--no-retrain")
    assert run_script(good.path, *given, "--limit", 1000).returncode == 2
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "not a regular file"), (UNREADABLE, "Permission denied")):
        assert run_script(path, *given).returncode == 2
        wrong, _ = terminal.fails(2, "audit", path, *given, "--no-retrain")
        assert said in wrong
    for usage in ((good.path,), (tmp_path / "none", *given), (tmp_path, *given), (good.path, "--block-hash", "0x12")):
        assert run_script(*usage).returncode == 2
