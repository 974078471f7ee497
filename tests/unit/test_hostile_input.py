"""What hostile nodes, files and manifests serve, and the core refuses."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import zipfile
from typing import Any

import h5py
import numpy as np
import pytest
from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Header
from sensetrail.core.canonical import canonical_json, parse_json, parse_word
from sensetrail.core.events import decode_log
from sensetrail.core.history import replay
from sensetrail.core.logs import gather
from sensetrail.core.manifest import parse_manifest
from sensetrail.core.merkle import MerkleTree, verify_inclusion
from sensetrail.core.model_file import read_model_file
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.reading import TEMPERATURE_LIMITS, quantise
from sensetrail.core.rules import INDOOR
from sensetrail.errors import MalformedEventError, ManifestError, ReadingError, VerificationError
from story import BATCH_ACCEPTED, BATCH_FIELDS, DEVICE_REVOKED, REGISTRY, SIGNATURE, Story, log_of, word
from unit.test_events import DEVICE, REJECTED, batch_log
from unit.test_manifest import MANIFEST
from unit.test_model_file import archive, keras_file, plain_weights

TIME = 1_790_000_000


def test_quantise_refuses_what_overflows() -> None:
    with pytest.raises(ReadingError):
        quantise(1e308, TEMPERATURE_LIMITS, "temperature")


@pytest.mark.parametrize("nested", ["[", '{"a":', '[{"a":'])
def test_json_too_deep_is_refused_whatever_the_recursion_limit(nested: str) -> None:
    # eth_account raises the recursion limit to 100,000: there the C parser overflows its stack and the process dies.
    script = (
        "import eth_account\n"
        "from sensetrail.core.canonical import parse_json\nfrom sensetrail.errors import ManifestError\n"
        f"try:\n    parse_json(({nested!r} * 100_000).encode(), 'it')\nexcept ManifestError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "refused\n")


@pytest.mark.parametrize("data", [b'{"a":1e999}', b"[-1e999]", b'"\\ud800"', b'{"\\udfff":1}'])
def test_json_without_a_canonical_form_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_json(data, "it")


@pytest.mark.parametrize("data", ['{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-32"), b'\xef\xbb\xbf{"a":1}'])
def test_json_is_utf8(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_json(data, "it")


def test_white_space_is_no_hexadecimal() -> None:
    with pytest.raises(ManifestError):
        parse_word("0x" + "ab" * 31 + "  ")


@pytest.mark.parametrize("edit", [("0.924", "1e999"), ('"device-from-readings"', '"\\ud800"')])
def test_a_manifest_that_parses_has_a_digest(edit: tuple[str, str]) -> None:
    text = canonical_json(MANIFEST.to_json()).decode()
    with pytest.raises(ManifestError):
        parse_manifest(text.replace(*edit).encode())


def test_a_manifest_as_deep_as_parses_is_compared_and_digested() -> None:
    for depth in range(200, 1000, 50):
        deep: Any = json.loads("[" * depth + "]" * depth)
        changed = {**MANIFEST.to_json(), "configuration": {"deep": deep}}
        try:
            data = json.dumps(changed).encode()
        except RecursionError:
            return
        try:
            assert parse_manifest(data).digest
        except ManifestError:
            return


@pytest.mark.parametrize("length", [2**63, 2**64, 2**255, 2**256 - 1])
def test_lengths_beyond_any_memory_are_refused(length: int) -> None:
    log = batch_log(b"")
    with pytest.raises(MalformedEventError):
        decode_log(log_of(BATCH_ACCEPTED, log.topics[1:], log.data[:96] + word(length) + log.data[128:]))


def test_bytes_after_the_last_field_are_refused() -> None:
    for junk in (bytes(1), bytes(32), b"junk" * 8):
        with pytest.raises(MalformedEventError):
            decode_log(log_of(DEVICE_REVOKED, [word(DEVICE)], word(5) + junk))
        log = batch_log(b"")
        with pytest.raises(MalformedEventError):
            decode_log(log_of(BATCH_ACCEPTED, log.topics[1:], log.data + junk))


def test_a_gap_between_fields_is_refused() -> None:
    log = batch_log(bytes.fromhex("000001"))
    pointers = word(192) + word(192 + 64)
    with pytest.raises(MalformedEventError):
        decode_log(log_of(BATCH_ACCEPTED, log.topics[1:], log.data[:96] + pointers + b"junk" * 8 + log.data[160:]))


def test_a_rejection_for_no_reason_is_refused() -> None:
    data = abi_encode(["address", "uint256", "bytes32"], [DEVICE, 5, bytes(32)])
    with pytest.raises(MalformedEventError):
        decode_log(log_of(REJECTED, [word(DEVICE), word(0)], data))


def test_an_accepted_batch_is_never_in_the_own_format() -> None:
    with pytest.raises(MalformedEventError):
        decode_log(batch_log(b"", Header(DEVICE, 1000, 0, 5, 1, 0), bytes(4)))


def test_what_only_a_lying_node_serves() -> None:
    alice = address("0x" + "a1" * 20)
    story = Story(TIME)
    story.add_profile(INDOOR)
    story.register(alice)
    story.post(alice, TIME, 20_00, 50_00)
    story.revoke(alice, TIME)
    added, registered, posted, revoked = story.logs
    for logs in (
        [added, registered, posted, revoked, registered],  # comes back, and is trusted again
        [added, registered, registered],
        [added, added],  # rules change
        [added, registered, revoked, posted],  # accepted after its revocation
        [added, registered, revoked, revoked],
        [registered, added],  # a profile not yet there
    ):
        with pytest.raises(MalformedEventError):
            replay(gather(logs, story.block_times), REGISTRY)


def test_a_sequence_beyond_24_bits_is_refused_or_packs() -> None:
    alice = address("0x" + "a1" * 20)
    story = Story(TIME)
    story.add_profile(INDOOR)
    story.register(alice)
    header = Header(alice, TIME, 1, 0, 65535, 2)
    for _ in range(257):
        story.emit(BATCH_ACCEPTED, [word(alice)], BATCH_FIELDS, [header.pack(), bytes(4 * 65535) + SIGNATURE, b""])
    try:
        history = replay(story.blocks, REGISTRY)
    except MalformedEventError:
        return
    assert history.devices[alice].state.pack()


def test_evidence_is_of_32_byte_words() -> None:
    a, b = sorted([keccak256(b"a"), keccak256(b"b")])
    root = MerkleTree([a, b]).root
    for cut in range(1, 64):
        leaf, sibling = (a + b)[:cut], (a + b)[cut:]
        if cut != 32:
            with pytest.raises(VerificationError):
                verify_inclusion(leaf, [sibling], root)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_flipped_byte_is_refused_or_read(compression: int) -> None:
    data = keras_file(compression=compression)
    for place in range(0, len(data), 3):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            with contextlib.suppress(ManifestError):
                read_model_file(bytes(changed))


def test_an_array_larger_than_its_file_is_refused() -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        # 16 TiB that were never written: nothing in the file, everything in memory.
        file.create_dataset("layers/bomb", shape=(1 << 42,), dtype="f4", chunks=(1024,))

    with pytest.raises(ManifestError):
        read_model_file(keras_file(write=write))


def test_a_compressed_array_is_no_bomb() -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        zeros = np.zeros(1 << 24, dtype="f4")
        file.create_dataset("layers/bomb", data=zeros, chunks=(1 << 20,), compression="gzip", compression_opts=9)

    data = keras_file(write=write, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 20_000
    with pytest.raises(ManifestError):
        read_model_file(data)


@pytest.mark.parametrize("config", [b'{"a":"\\ud800"}', b'{"a":1e999}', b"[" * 900 + b"]" * 900])
def test_a_model_file_that_reads_has_a_digest(config: bytes) -> None:
    with pytest.raises(ManifestError):
        read_model_file(keras_file(config))


def test_a_name_that_is_no_text_is_refused() -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        file.create_dataset(b"layers/\xff", data=np.zeros(1))

    with pytest.raises(ManifestError):
        read_model_file(keras_file(write=write))


def test_any_flipped_byte_of_the_weights_is_refused_or_read() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        plain_weights(file)
    weights = buffer.getvalue()
    for place in range(0, len(weights), 2):  # 48 and 720 are among those that fail
        changed = bytearray(weights)
        changed[place] ^= 0x80
        with contextlib.suppress(ManifestError):
            read_model_file(archive({"config.json": b"{}", "model.weights.h5": bytes(changed)}))
