"""The second verifier's parts, held against the package's: neither shares code with the other."""

from __future__ import annotations

import ast
import sys
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp
import sha3
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

import verify_bundle as script
from property.strategies import devices, judgements, measurements, measurements_of, profiles, states
from property.test_trie_properties import ITEMS
from reference_judge import Reading
from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.core import canonical, rules, storage, strict_rlp, trie, typed_data
from sensetrail.core.batch import Batch, encode, encode_own, formats
from sensetrail.core.canonical import canonical_json
from sensetrail.core.dataset import Rows, Selection
from sensetrail.core.events import TOPICS, Accepted, decode_log
from sensetrail.core.header import bloom_bits, header_rlp, parse_header
from sensetrail.core.manifest import parse_manifest
from sensetrail.core.merkle import MerkleTree
from sensetrail.core.nesting import MAX_DEPTH
from sensetrail.core.primitives import Address, address, address_bytes, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.receipt import TransactionReceipt, decode_receipt
from sensetrail.core.rules import INDOOR, DeviceState, Profile
from sensetrail.core.signature import P256Key, Secp256k1Key, verify
from sensetrail.errors import ManifestError, SensetrailError, VerificationError
from story import REGISTRY, Story
from tries import trie_of
from unit.test_header import FORKS, block_of
from unit.test_manifest import MANIFEST, paths, with_value
from unit.test_receipt import RECEIPTS
from unit.test_transaction import CASES, SENDER, signed

DEVICE = address("0x" + "5e" * 20)
HEADER = script.Header(bytes(32), bytes(32), bytes(32), bytes(32), 0, 7, 1_790_000_000)
WORDS = st.binary(min_size=32, max_size=32)


def refused(question: Any, *arguments: Any) -> bool:
    """Tell whether either verifier refuses; any other exception is a bug."""
    try:
        question(*arguments)
    except (script.Refused, SensetrailError):
        return True
    return False


def test_it_imports_nothing_but_the_standard_library_and_a_keccak() -> None:
    tree = ast.parse(Path(script.__file__).read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).split(".")[0])
    assert names - {"__future__", "sha3"} <= sys.stdlib_module_names


def test_the_contracts_are_the_artifacts() -> None:
    for name, code, abi in (
        (SENSOR_REGISTRY, script.SENSOR_CODE, script.SENSOR_ABI),
        (MODEL_REGISTRY, script.MODEL_CODE, script.MODEL_ABI),
    ):
        artifact = load_artifact(name)
        assert (artifact.code_digest, keccak256(canonical_json(artifact.abi))) == (code, abi)
    layout = load_artifact(SENSOR_REGISTRY).storage
    assert (layout["_states"], layout["_records"], layout["_profiles"], layout["profileCount"]) == (3, 4, 5, 6)
    layout = load_artifact(MODEL_REGISTRY).storage
    assert (layout["_datasets"], layout["_models"]) == (3, 4)


@given(st.binary(max_size=500))
@example(bytes(135))
@example(bytes(136))
@example(bytes(137))
@example(bytes(271))
@settings(max_examples=40)
def test_plain_keccak(data: bytes) -> None:
    assert script.PlainKeccak(data).digest() == sha3.keccak_256(data).digest()
    pieces = script.PlainKeccak()
    for at in range(0, len(data), 100):
        pieces.update(data[at : at + 100])
    assert pieces.digest() == script.keccak256(data)


def test_the_contracts_events_are_all_known() -> None:
    assert set(script.SENSOR_EVENTS) | set(script.MODEL_EVENTS) == set(TOPICS)


# --- JSON


@given(devices())
def test_addresses(device: Address) -> None:
    assert script.checksummed(address_bytes(device)) == device
    assert script.parse_address(device) == address_bytes(device)
    if device.lower() != device:
        assert refused(script.parse_address, device.lower())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_is_read(value: Any) -> None:
    data = canonical_json(value)
    assert script.canonical_json(value) == data
    assert script.parse_json(data, "it") == value
    assert refused(script.parse_json, data + b" ", "it")


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"1e999",
            b"-1e999",
            b'{"a":1,"a":1}',
            b'{"b":1,"a":1}',
            b"[1, 2]",
            b"1.50",
        ),
        *(
            b"",
            b"\xff",
            b"\xef\xbb\xbf1",
            b'"\\ud800"',
            b'"\\u0041"',
            b"01",
            b"-0",
            b"1E2",
            b'"',
            b"[" * 70 + b"]" * 70,
        ),
        *(b"[" * 500_000, b'{"a":' * 100_000, b'"' + b'\\"' * 500_000, b"9" * 10_000, b"1]", b"[}", b"nul"),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_other_json_is_refused_and_soon(data: bytes) -> None:
    assert refused(script.parse_json, data, "it")


def test_json_as_deep_as_the_package_takes() -> None:
    for depth in (MAX_DEPTH, MAX_DEPTH + 1):
        data = b"[" * depth + b"]" * depth
        assert refused(script.parse_json, data, "it") == refused(canonical.parse_json, data, "it")


def test_a_manifest() -> None:
    ours, theirs = script.parse_manifest(canonical_json(MANIFEST.to_json())), MANIFEST
    assert (ours.digest, ours.weights_digest, ours.task) == (theirs.digest, theirs.weights_digest, theirs.task)
    assert (ours.parent, ours.dataset_id, ours.root) == (theirs.parent, theirs.dataset.dataset_id, theirs.dataset.root)
    assert (ours.row_count, ours.through_block) == (theirs.dataset.row_count, theirs.dataset.through_block)
    assert (ours.block_hash, ours.selection.digest) == (theirs.dataset.block_hash, theirs.selection.digest)


NAMES = ("sensetrail-manifest-v2", "sensetrail-legal-v2", "keccak256:0x" + "11" * 32, "0x" + "AA" * 32)


@pytest.mark.parametrize("value", [None, True, 1, -1, 1.5, 2**64, "a", [], {}, ["a"], {"a": 1}, *NAMES], ids=repr)
def test_a_manifest_with_another_value_is_refused_by_both_or_by_neither(value: Any) -> None:
    for path in paths(MANIFEST.to_json()):
        data = canonical_json(with_value(path, value))

        def by_package(data: bytes = data) -> None:
            if canonical_json(parse_manifest(data).to_json()) != data:
                raise ManifestError("not canonical", "restore it")

        assert refused(by_package) == refused(script.parse_manifest, data), path


@pytest.mark.parametrize("selection", [Selection(), Selection((DEVICE,), 1, 2), Selection((), -5)])
def test_a_selection(selection: Selection) -> None:
    assert script.parse_selection(selection.to_json()).digest == selection.digest


@pytest.mark.parametrize(
    "change",
    [{"since": True}, {"until": 1.5}, {"since": "1"}, {"selection": "another"}, {"more": 1}, {"devices": DEVICE}],
    ids=repr,
)
def test_what_is_no_selection_is_refused(change: dict[str, Any]) -> None:
    value = {**Selection((DEVICE,), 1, 2).to_json(), **change}
    assert refused(Selection.from_json, value)
    assert refused(script.parse_selection, value)


@pytest.mark.parametrize("devices", [[DEVICE, DEVICE], [DEVICE, address("0x" + "11" * 20)], [DEVICE.lower()], [1]])
def test_a_selections_devices_stand_in_order(devices: list[Any]) -> None:
    value = {**Selection().to_json(), "devices": devices}
    assert refused(Selection.from_json, value)
    assert refused(script.parse_selection, value)


# --- RLP and tries


def rlp_of(item: Any) -> bytes:
    if isinstance(item, bytes):
        return script.rlp_string(item)
    return script.rlp_list(map(rlp_of, item))


def read_rlp(data: bytes) -> Any:
    """Read one item with the script's reader, as deep as it goes."""
    reader = script.Rlp((data[i : i + 3] for i in range(0, len(data), 3)), len(data))

    def item() -> Any:
        if reader._peek() < 0xC0:
            return reader.string(len(data))
        reader.enter()
        found = []
        while reader.more():
            found.append(item())
        reader.leave()
        return found

    found = item()
    reader.end()
    return found


@given(ITEMS)
def test_rlp_is_read_as_it_is_written(item: Any) -> None:
    assert read_rlp(rlp_of(item)) == item
    assert strict_rlp.decode_rlp(rlp_of(item), 99) == item


@given(ITEMS.map(rlp_of) | st.binary(max_size=70), st.data())
def test_damaged_rlp_is_refused_by_both_or_by_neither(encoded: bytes, data: st.DataObject) -> None:
    changed = bytearray(encoded)
    if changed:
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0x81, 0xB8, 0xC0, 0xF8])
        )
    try:
        theirs = strict_rlp.decode_rlp(bytes(changed), 99)
    except VerificationError:
        assert refused(read_rlp, bytes(changed))
    else:
        assert read_rlp(bytes(changed)) == theirs


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=150))
@settings(max_examples=50)
def test_ordered_root(values: list[bytes]) -> None:
    assert script.ordered_root(values) == trie.ordered_root(values)


@given(
    st.dictionaries(WORDS.map(keccak256), st.binary(min_size=1, max_size=40), min_size=1, max_size=30), WORDS, st.data()
)
@settings(max_examples=50)
def test_proofs(pairs: dict[bytes, bytes], other: bytes, data: st.DataObject) -> None:
    root = trie_of(pairs).root()
    for key in [*pairs, other]:
        proof = trie_of(pairs).proof(key)
        assert script.prove(root, key, proof) == pairs.get(key, b"")
    changed = [bytearray(node) for node in proof]
    node = changed[data.draw(st.integers(0, len(changed) - 1))]
    node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong in ([bytes(each) for each in changed], proof[:-1], [*proof, proof[0]], []):
        assert refused(script.prove, root, other, wrong)


@given(
    st.dictionaries(
        st.integers(0, 40).map(lambda i: bytes([i // 16, i % 16])), st.binary(min_size=1, max_size=3), min_size=1
    )
)
def test_proofs_of_nodes_that_others_hold(pairs: dict[bytes, bytes]) -> None:
    for key in [bytes([i // 16, i % 16]) for i in range(41)]:
        proof = trie_of(pairs).proof(key)
        assert script.prove(trie_of(pairs).root(), key, proof) == pairs.get(key, b"")


@given(st.dictionaries(WORDS, st.integers(0, 2**256 - 1), min_size=1, max_size=8), WORDS)
@settings(max_examples=40)
def test_storage(words: dict[bytes, int], other: bytes) -> None:
    # Anvil leaves slots of zero where they were: as an empty string.
    built = trie_of({keccak256(slot): script.rlp_integer(word) for slot, word in words.items()})
    for slot in [*words, other]:
        proof = built.proof(keccak256(slot))
        word = script.prove_word(built.root(), slot, proof)
        assert word == words.get(slot, 0).to_bytes(32) == trie.verify_storage(built.root(), slot, proof)


def test_an_account() -> None:
    value = rlp_of([b"\7", b"", b"\1" * 32, b"\2" * 32])
    built = trie_of({keccak256(address_bytes(DEVICE)): value})
    proof = built.proof(keccak256(address_bytes(DEVICE)))
    ours = script.prove_account(built.root(), address_bytes(DEVICE), proof)
    theirs = trie.verify_account(built.root(), DEVICE, proof)
    assert theirs is not None
    assert (ours.storage_root, ours.code_hash) == (theirs.storage_root, theirs.code_hash)
    assert refused(script.prove_account, built.root(), bytes(20), proof)


@pytest.mark.parametrize("path", [b"", b"\x40", b"\x80\x11", b"\x01", b"\x2f\x11", b"\xf0"])
def test_a_path_that_is_none_is_refused(path: bytes) -> None:
    node = rlp_of([path, b"value" * 9])
    for key in (b"\x11", b"\x01\x11", b""):
        assert refused(script.prove, keccak256(node), key, [node])
        assert refused(trie.verify_proof, keccak256(node), key, [node])


def test_a_small_node_stands_in_the_one_before() -> None:
    leaf = rlp_of([b"\x31", b"v"])
    held = rlp_of([b"", [b"\x31", b"v"], *[b""] * 14, b"a value of more than thirty-two bytes in all"])
    assert script.prove(keccak256(held), b"\x11", [held]) == b"v"
    by_hash = rlp_of([b"", keccak256(leaf), *[b""] * 14, b"a value of more than thirty-two bytes in all"])
    for root, proof in ((by_hash, [by_hash, leaf]), (held, [held, leaf])):
        assert refused(script.prove, keccak256(root), b"\x11", proof)
        assert refused(trie.verify_proof, keccak256(root), b"\x11", proof)


def test_an_extension_leads_to_a_branch() -> None:
    leaf = rlp_of([b"\x31", b"a value of more than thirty-two bytes in all"])
    inner = rlp_of([b"\x11", keccak256(leaf)])
    outer = rlp_of([b"\x11", keccak256(inner)])
    for proof in ([outer, inner, leaf], [inner, leaf]):
        assert refused(script.prove, keccak256(proof[0]), b"\x11\x10"[: len(proof) - 1], proof)


def test_the_empty_trie() -> None:
    for proof in ([], [b"\x80"]):
        assert script.prove_word(script.EMPTY_ROOT, bytes(32), proof) == bytes(32)


# --- headers, receipts, events


@pytest.mark.parametrize("count", FORKS)
def test_headers_of_all_forks(count: int) -> None:
    data = header_rlp(block_of(FORKS[count]))
    ours, theirs = script.parse_header(data), parse_header(data)
    assert (ours.hash, ours.parent, ours.number, ours.time) == (
        *(theirs.hash, theirs.parent_hash, theirs.number, theirs.timestamp),
    )
    assert (ours.state_root, ours.receipts_root, ours.bloom.to_bytes(256)) == (
        *(theirs.state_root, theirs.receipts_root, theirs.logs_bloom),
    )


def test_headers_of_no_fork() -> None:
    fields = rlp.decode(header_rlp(block_of(8)))
    for count in range(1, 25):
        data = rlp_of([*fields, b"\1"][:count])
        assert refused(script.parse_header, data) == refused(parse_header, data) == (count not in FORKS)


@given(st.sampled_from(sorted(FORKS)), st.data())
def test_a_damaged_header_is_refused_by_both_or_by_neither(count: int, data: st.DataObject) -> None:
    changed = bytearray(header_rlp(block_of(FORKS[count])))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert refused(script.parse_header, bytes(changed)) == refused(parse_header, bytes(changed))


@given(st.binary(max_size=40))
def test_bloom(value: bytes) -> None:
    assert script.bloom_bits(value) == bloom_bits(value)


@given(RECEIPTS, st.data())
def test_receipts(receipt: TransactionReceipt, data: st.DataObject) -> None:
    encoded = bytearray(receipt.encode())
    found = script.parse_receipt(bytes(encoded))
    assert [(log.address, tuple(log.topics), log.data) for log in found] == [astuple(log) for log in receipt.logs]
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    assert refused(script.parse_receipt, bytes(encoded)) == refused(decode_receipt, bytes(encoded))


def told(judged: tuple[list[Reading], DeviceState, Profile, int]) -> Story:
    """Tell a story of all kinds of events."""
    readings, _, profile, now = judged
    story = Story(now)
    story.add_profile(profile)
    story.register(DEVICE, 1, b"\7" * 32)
    for reading in readings:
        story.post(DEVICE, min(reading[0], 2**32 - 1), *reading[1:])
    story.revoke(DEVICE, now)
    return story


@given(judgements(), st.data())
def test_damaged_events_are_refused_by_both_or_by_neither(judged: Any, data: st.DataObject) -> None:
    log = data.draw(st.sampled_from(told(judged).logs))
    topics, rest = [bytearray(topic) for topic in log.topics], bytearray(log.data)
    target = data.draw(st.sampled_from([*topics[1:], rest]))
    target[data.draw(st.integers(0, len(target) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    ours = script.Log(address_bytes(REGISTRY), [bytes(topic) for topic in topics], bytes(rest))
    theirs = replace(log, topics=tuple(bytes(topic) for topic in topics), data=bytes(rest))
    assert refused(script.decode_event, ours, script.SENSOR_EVENTS, HEADER) == refused(decode_log, theirs)


@given(measurements(), st.data())
def test_damaged_batches_are_refused_by_both_or_by_neither(readings: Measurements, data: st.DataObject) -> None:
    story = Story(2**31)
    story.add_profile(INDOOR)
    story.register(DEVICE)
    log = story.submit(DEVICE, readings)
    rest = bytearray(log.data)
    rest[data.draw(st.integers(0, len(rest) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    ours = script.Log(address_bytes(REGISTRY), list(log.topics), bytes(rest))
    theirs = replace(log, data=bytes(rest))

    def by_script() -> script.Accepted:
        event = script.decode_event(ours, script.SENSOR_EVENTS, HEADER)
        assert event is not None
        return script.accepted(event)

    assert refused(by_script) == refused(decode_log, theirs)
    if not refused(by_script):
        event = decode_log(theirs)
        assert isinstance(event, Accepted)
        found = by_script()
        assert (found.header, found.data, found.signature) == (
            *(event.batch.header.pack(), event.batch.data, event.signature),
        )
        assert [found.verdicts.get(i, 0) for i in range(len(event.verdicts))] == event.verdicts.tolist()


# --- readings and their judge


def of(batch: Batch) -> list[Reading]:
    return [
        (reading.measured_at, reading.temperature, reading.humidity)
        for reading in script.readings_of(batch.header.pack(), batch.data)
    ]


def listed(readings: Measurements) -> list[Reading]:
    columns = (readings.measured_at, readings.temperature, readings.humidity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@given(measurements())
def test_batches_of_all_formats(readings: Measurements) -> None:
    for kind in formats(readings):
        assert of(encode(DEVICE, 5, readings, kind)) == listed(readings)


def test_an_own_reading() -> None:
    assert of(encode_own(DEVICE, 5, 7, -300, 60_00)) == [(7, -300, 60_00)]


def device_of(state: DeviceState, profile: Profile) -> script.Device:
    return script.Device(
        *(1, bytes(32), 7, script.Profile(*profile.as_tuple()), state.profile),
        head=state.head,
        last_time=state.last_time,
        sequence=state.sequence,
        before=script.Reading(0, state.temperature, state.humidity),
    )


@given(judgements())
@settings(max_examples=200)
def test_the_judge(judged: tuple[list[Reading], DeviceState, Profile, int]) -> None:
    readings, state, profile, block_time = judged
    device = device_of(state, profile)
    assert device.word() == state.pack()
    verdicts, after = rules.judge(measurements_of(readings), state, profile, block_time)
    assert [device.judge(script.Reading(*reading), block_time) for reading in readings] == verdicts.tolist()
    assert device.word() == after.pack()


@given(states())
def test_a_device_s_word(state: DeviceState) -> None:
    assert device_of(state, INDOOR).word() == state.pack()


@given(profiles())
def test_a_profile_s_word(profile: Profile) -> None:
    assert storage.read_profile(script.Profile(*profile.as_tuple()).word().to_bytes(32)) == profile


@given(judgements())
def test_a_history(judged: tuple[list[Reading], DeviceState, Profile, int]) -> None:
    story = told(judged)
    history = script.History()
    for log in story.logs:
        header = HEADER._replace(number=log.block_number, time=story.block_times[log.block_number])
        ours = script.Log(address_bytes(REGISTRY), list(log.topics), log.data)
        event = script.decode_event(ours, script.SENSOR_EVENTS, header)
        assert event is not None
        history.take(event)
    device = history.devices[address_bytes(DEVICE)]
    assert device.word() == story.states[DEVICE].pack()[:-1] + b"\0"
    assert (history.wrong, history.gap) == ("", "")
    assert storage.read_device_record(list(device.record())) == storage.DeviceRecord(
        b"\7" * 32, story.block_times[2], story.time, story.time
    )


def test_slots() -> None:
    layout = load_artifact(SENSOR_REGISTRY).storage
    assert script.slot_of(address_bytes(DEVICE), 3) == storage.device_state_slot(layout, DEVICE)
    assert [script.slot_of(address_bytes(DEVICE), 4, i) for i in (0, 1)] == storage.device_record_slots(layout, DEVICE)
    assert script.slot_of(b"\7", 5) == storage.profile_slot(layout, 7)


# --- signatures


SEPARATOR = typed_data.domain_separator(31337, REGISTRY)


@given(measurements())
@settings(max_examples=10)
def test_what_is_signed(readings: Measurements) -> None:
    batch = encode(DEVICE, 5, readings)
    assert script.domain_separator(31337, address_bytes(REGISTRY)) == SEPARATOR
    digest = typed_data.batch_digest(batch, SEPARATOR)
    assert script.batch_digest(SEPARATOR, batch.header.pack(), batch.data) == digest


@given(WORDS, WORDS, st.sampled_from([Secp256k1Key, P256Key]), st.data())
@settings(max_examples=60)
def test_signatures(secret: bytes, digest: bytes, kind: Any, data: st.DataObject) -> None:
    key = kind(keccak256(secret))
    signature = bytearray(key.sign(digest))
    assert script.is_signed_by(address_bytes(key.address), digest, bytes(signature))
    signature[data.draw(st.integers(0, len(signature) - 1))] ^= data.draw(st.integers(1, 255))
    assert not script.is_signed_by(address_bytes(key.address), digest, bytes(signature))


NUMBERS = st.sampled_from(
    [
        edge + off
        for edge in (0, *(n for c in (script.SECP256K1, script.P256) for n in (c.n, c.n // 2, c.p)))
        for off in (-1, 0, 1)
    ]
).map(lambda number: number % 2**256)


@given(WORDS | st.just(bytes(32)), NUMBERS | WORDS.map(int.from_bytes), NUMBERS | WORDS.map(int.from_bytes))
@settings(max_examples=150)
def test_numbers_that_hardly_are_signatures(digest: bytes, r: int, s: int) -> None:
    signature = r.to_bytes(32) + s.to_bytes(32)
    found = script.recover(digest, r, s & (1 << 255) - 1, s >> 255)
    if found is not None:
        assert script.is_signed_by(found, digest, signature)
        assert verify(digest, signature, address(found))
    key = P256Key(b"\1" * 32)
    longer = signature + key.public_key
    assert script.is_signed_by(address_bytes(key.address), digest, longer) == verify(digest, longer, key.address)


def test_points_that_are_on_no_curve() -> None:
    digest, key = keccak256(b"digest"), P256Key(b"\1" * 32)
    signature = key.sign(digest)
    for public in (bytes(64), b"\xff" * 64, key.public_key[:-1] + bytes([key.public_key[-1] ^ 1])):
        device = keccak256(public)[12:]
        assert not script.is_signed_by(device, digest, signature[:64] + public)


@given(WORDS, WORDS)
@settings(max_examples=20)
def test_recovery_is_eth_keys(secret: bytes, digest: bytes) -> None:
    key = PrivateKey(keccak256(secret))
    signature = key.sign_msg_hash(digest)
    expected = key.public_key.to_canonical_address()
    assert script.recover(digest, signature.r, signature.s, signature.v) == expected
    assert script.recover(digest, signature.r, script.SECP256K1.n - signature.s, 1 - signature.v) is None


@pytest.mark.parametrize("name", CASES)
def test_transactions(name: str) -> None:
    theirs, _ = signed(CASES[name])
    ours = script.parse_transaction(theirs.encoded)
    to = b"" if theirs.to is None else address_bytes(theirs.to)
    assert ours == (address_bytes(SENDER), theirs.chain_id, to, theirs.data)
    for broken in (
        b"",
        theirs.encoded[:-1],
        theirs.encoded + b"\0",
        b"\5" + theirs.encoded,
        b"\0" + theirs.encoded,
        b"\xc0",
    ):
        assert refused(script.parse_transaction, broken)


@pytest.mark.parametrize("name", CASES)
def test_damaged_transactions_are_nobodys_or_refused(name: str) -> None:
    encoded = bytes(Account.sign_transaction(CASES[name], keccak256(b"another sender")).raw_transaction)
    sender = script.parse_transaction(encoded).sender
    for place in range(0, len(encoded), 3):
        changed = encoded[:place] + bytes([encoded[place] ^ 1]) + encoded[place + 1 :]
        if not refused(script.parse_transaction, changed):
            assert script.parse_transaction(changed).sender != sender, place


# --- datasets


@given(st.lists(st.tuples(devices(), st.integers(0, 2**24 - 1), measurements()), min_size=1, max_size=4))
@settings(max_examples=30)
def test_rows_and_their_root(parts: list[tuple[Address, int, Measurements]]) -> None:
    rows = [
        script.Row(address_bytes(device), sequence, script.Reading(*reading), 1)
        for device, sequence, readings in parts
        for reading in listed(readings)
    ]
    leaves = [leaf_of(row) for row in rows]
    assert [row.leaf() for row in rows] == leaves
    assert script.merkle_root(leaves) == MerkleTree(leaves).root


def leaf_of(row: script.Row) -> bytes:
    """Give a row's leaf as the package does."""
    one = [np.array([value], np.int64) for value in (row.sequence, *row.reading)]
    return Rows(np.array([script.checksummed(row.device)], "<U42"), *one).leaf(0)
