from __future__ import annotations

import json
from dataclasses import astuple
from importlib import resources
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode as abi_encode

from sensetrail.core.batch import Batch, Format, Header
from sensetrail.core.events import (
    TOPICS,
    Accepted,
    DatasetRegistered,
    DeviceRegistered,
    DeviceRevoked,
    ModelRecalled,
    ModelRegistered,
    ProfileAdded,
    Rejected,
    Rejection,
    decode_log,
)
from sensetrail.core.logs import Log
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.rules import INDOOR
from sensetrail.errors import MalformedEventError
from story import (
    BATCH_ACCEPTED,
    BATCH_FIELDS,
    DEVICE_REGISTERED,
    DEVICE_REVOKED,
    PROFILE_ADDED,
    READING_POSTED,
    log_of,
    word,
)

DEVICE = address("0x" + "11" * 20)
SENDER = address("0x" + "22" * 20)
DIGEST, OTHER_DIGEST = b"\xd1" * 32, b"\xd2" * 32
R, VS = b"\xaa" * 32, b"\xbb" * 32
HEADER = Header(DEVICE, 1000, 30, 5, 4, Format.REGULAR)
DATA = bytes(range(16))

REJECTED = "Rejected(address,uint8,address,uint256,bytes32)"
DATASET_REGISTERED = "DatasetRegistered(bytes32,(bytes32,uint64,bytes32,uint64,bytes32),bool)"
MODEL_REGISTERED = "ModelRegistered(bytes32,bytes32,bytes32,bytes32,string)"
MODEL_RECALLED = "ModelRecalled(bytes32,string)"
INHERITED = {
    "DefaultAdminDelayChangeCanceled",
    "DefaultAdminDelayChangeScheduled",
    "DefaultAdminTransferCanceled",
    "DefaultAdminTransferScheduled",
    "RoleAdminChanged",
    "RoleGranted",
    "RoleRevoked",
}


def abi_type(field: dict[str, Any]) -> str:
    if field["type"].startswith("tuple"):
        inner = ",".join(abi_type(component) for component in field["components"])
        return f"({inner}){field['type'].removeprefix('tuple')}"
    return str(field["type"])


def abi_events() -> dict[str, list[bool]]:
    """Give every event of the artifacts: its signature, and for each field whether it is indexed."""
    events = {}
    for name in ("SensorRegistry", "ModelRegistry"):
        artifact = json.loads(resources.files("sensetrail.chain").joinpath(f"artifacts/{name}.json").read_text())
        for entry in artifact["abi"]:
            if entry["type"] == "event" and entry["name"] not in INHERITED:
                signature = f"{entry['name']}({','.join(abi_type(field) for field in entry['inputs'])})"
                events[signature] = [field["indexed"] for field in entry["inputs"]]
    return events


def batch_log(exceptions: bytes, header: Header = HEADER, data: bytes = DATA, topic: bytes | None = None) -> Log:
    fields = abi_encode(BATCH_FIELDS, [header.pack(), data + R + VS, exceptions])
    return log_of(BATCH_ACCEPTED, [topic or word(header.device)], fields)


def test_every_event_of_the_contracts_is_known_and_no_other() -> None:
    assert set(TOPICS.values()) == set(abi_events())
    assert {keccak256(signature.encode()): signature for signature in abi_events()} == TOPICS


@pytest.mark.parametrize("signature", sorted(TOPICS.values()))
def test_as_many_topics_as_the_abi_has_indexed_fields(signature: str) -> None:
    indexed_count = sum(abi_events()[signature])
    for count in {0, 1, 2, 3} - {indexed_count}:
        with pytest.raises(MalformedEventError, match=f"with {count + 1} topics"):
            decode_log(log_of(signature, [word(1)] * count, bytes(2048)))
    # With the right number, what is wrong is the data.
    with pytest.raises(MalformedEventError, match="log 0: "):
        decode_log(log_of(signature, [word(1)] * indexed_count, b""))


def test_simple_events() -> None:
    rules = abi_encode(["(int16,int16,uint16,uint16,uint16,uint16,uint32)"], [astuple(INDOOR)])
    assert decode_log(log_of(PROFILE_ADDED, [word(3)], rules)) == ProfileAdded(3, INDOOR)
    registered = log_of(DEVICE_REGISTERED, [word(DEVICE), word(255)], DIGEST)
    assert decode_log(registered) == DeviceRegistered(DEVICE, 255, DIGEST)
    assert decode_log(log_of(DEVICE_REVOKED, [word(DEVICE)], word(2**32 - 1))) == DeviceRevoked(DEVICE, 2**32 - 1)


def test_rejected() -> None:
    data = abi_encode(["address", "uint256", "bytes32"], [SENDER, HEADER.pack(), DIGEST])
    for reason in (
        Rejection.MALFORMED,
        Rejection.UNKNOWN_DEVICE,
        Rejection.REVOKED_DEVICE,
        Rejection.WRONG_SIGNATURE,
        Rejection.WRONG_SEQUENCE,
        Rejection.SENDER_IS_CODE,
    ):
        event = decode_log(log_of(REJECTED, [word(DEVICE), word(reason)], data))
        assert event == Rejected(DEVICE, reason, SENDER, HEADER, DIGEST)
    with pytest.raises(MalformedEventError):
        decode_log(log_of(REJECTED, [word(DEVICE), word(7)], data))


def test_model_registry_events() -> None:
    fields = ["(bytes32,uint64,bytes32,uint64,bytes32)", "bool"]
    record = (DIGEST, 840, OTHER_DIGEST, 77, R)
    for checked in (True, False):
        log = log_of(DATASET_REGISTERED, [VS], abi_encode(fields, [record, checked]))
        assert decode_log(log) == DatasetRegistered(VS, *record, checked)
    log = log_of(MODEL_REGISTERED, [R, VS, DIGEST], abi_encode(["bytes32", "string"], [OTHER_DIGEST, "täsk"]))
    assert decode_log(log) == ModelRegistered(R, VS, DIGEST, OTHER_DIGEST, "täsk")
    assert decode_log(log_of(MODEL_RECALLED, [R], abi_encode(["string"], ["why"]))) == ModelRecalled(R, "why")


def test_reading_posted() -> None:
    types = ["uint24", "uint32", "int16", "uint16", "uint8"]
    event = decode_log(log_of(READING_POSTED, [word(DEVICE)], abi_encode(types, [7, 1000, -2, 9000, 48])))
    assert isinstance(event, Accepted)
    assert event.device == DEVICE
    assert event.batch == Batch(Header(DEVICE, 1000, 0, 7, 1, Format.OWN), bytes.fromhex("fffe2328"))
    assert event.verdicts.tolist() == [48]
    assert event.verdicts.dtype == np.uint8
    assert event.signature is None


@pytest.mark.parametrize(
    ("exceptions", "verdicts"),
    [
        ("", [0, 0, 0, 0]),
        ("000001", [1, 0, 0, 0]),
        ("00013f000302", [0, 63, 0, 2]),
        ("000001000102000203000304", [1, 2, 3, 4]),
    ],
)
def test_batch_accepted(exceptions: str, verdicts: list[int]) -> None:
    event = decode_log(batch_log(bytes.fromhex(exceptions)))
    assert isinstance(event, Accepted)
    assert event.batch == Batch(HEADER, DATA)
    assert event.signature == R + VS
    assert event.verdicts.tolist() == verdicts


@pytest.mark.parametrize(
    "exceptions",
    ["000302000101", "000101000101", "000401", "ffff01", "000100", "000102000300", "00", "0001", "00010100"],
    ids=["unordered", "twice", "beyond", "far beyond", "legal", "second legal", "1 byte", "2 bytes", "4 bytes"],
)
def test_a_list_of_exceptions_that_no_contract_writes(exceptions: str) -> None:
    with pytest.raises(MalformedEventError):
        decode_log(batch_log(bytes.fromhex(exceptions)))


def test_exceptions_of_an_empty_batch() -> None:
    empty = Header(DEVICE, 1000, 30, 5, 0, Format.REGULAR)
    with pytest.raises(MalformedEventError):
        decode_log(batch_log(bytes.fromhex("000001"), empty, b""))


def test_a_batch_under_another_devices_topic() -> None:
    with pytest.raises(MalformedEventError, match="another device"):
        decode_log(batch_log(b"", topic=word(SENDER)))


def test_every_truncation_of_a_batch_is_refused() -> None:
    log = batch_log(bytes.fromhex("000001"))
    for length in range(len(log.data)):
        # What padding is left out of the last field is not missed by the ABI: all before it is.
        cut = log_of(BATCH_ACCEPTED, log.topics[1:], log.data[:length])
        with pytest.raises(MalformedEventError):
            decode_log(cut)


def test_dirty_padding_is_refused() -> None:
    data = bytearray(word(5))
    data[0] = 1
    with pytest.raises(MalformedEventError):
        decode_log(log_of(DEVICE_REVOKED, [word(DEVICE)], bytes(data)))


def test_topics_beyond_their_type_are_refused() -> None:
    dirty_address = b"\x01" + word(DEVICE)[1:]
    with pytest.raises(MalformedEventError, match="160 bits"):
        decode_log(log_of(DEVICE_REVOKED, [dirty_address], word(5)))
    with pytest.raises(MalformedEventError, match="8 bits"):
        decode_log(log_of(DEVICE_REGISTERED, [word(DEVICE), word(256)], DIGEST))


@pytest.mark.parametrize("offset", [0, 1, 2**31, 2**63, 2**64, 2**255, 2**256 - 1])
def test_pointers_out_of_the_data_are_refused(offset: int) -> None:
    log = batch_log(b"")
    data = log.data[:32] + word(offset) + log.data[64:]
    with pytest.raises(MalformedEventError):
        decode_log(log_of(BATCH_ACCEPTED, log.topics[1:], data))


@pytest.mark.parametrize("length", [2**10, 2**20, 2**40])
def test_lengths_beyond_the_data_are_refused(length: int) -> None:
    log = batch_log(b"")
    data = log.data[:96] + word(length) + log.data[128:]
    with pytest.raises(MalformedEventError):
        decode_log(log_of(BATCH_ACCEPTED, log.topics[1:], data))


def test_text_that_is_not_utf8_is_read_all_the_same_for_any_publisher_can_write_it() -> None:
    event = decode_log(log_of(MODEL_RECALLED, [R], abi_encode(["bytes"], [b"a\xff"])))
    assert event == ModelRecalled(R, "a\ufffd")


def test_a_bool_that_is_neither_is_refused() -> None:
    fields = ["(bytes32,uint64,bytes32,uint64,bytes32)", "uint8"]
    data = abi_encode(fields, [(DIGEST, 840, OTHER_DIGEST, 77, R), 2])
    with pytest.raises(MalformedEventError):
        decode_log(log_of(DATASET_REGISTERED, [VS], data))


def test_other_events_are_not_ours() -> None:
    assert decode_log(log_of("RoleGranted(bytes32,address,address)", [R, word(DEVICE), word(SENDER)], b"")) is None
    assert decode_log(Log(1, DIGEST, 0, 0, DEVICE, (), b"anonymous")) is None
