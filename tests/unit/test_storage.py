from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import example, given

from property.strategies import WORDS, profiles, states
from sensetrail.chain.artifact import MODEL_REGISTRY, SENSOR_REGISTRY, load_artifact
from sensetrail.core.primitives import address, keccak256
from sensetrail.core.rules import INDOOR, DeviceState, Profile
from sensetrail.core.storage import (
    Counts,
    DeviceRecord,
    ModelRecord,
    counts_slot,
    dataset_slots,
    device_record_slots,
    device_state_slot,
    model_slots,
    profile_slot,
    read_counts,
    read_dataset,
    read_device_record,
    read_device_state,
    read_model,
    read_profile,
)
from sensetrail.errors import VerificationError

DEVICE = address("0x" + "5e" * 20)
SENSORS, MODELS = load_artifact(SENSOR_REGISTRY).storage, load_artifact(MODEL_REGISTRY).storage
DIGEST = b"\x11" * 32


def number(slot: bytes) -> int:
    return int.from_bytes(slot, "big")


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_slots_of_mappings() -> None:
    def expected(kind: str, key: Any, base: int) -> int:
        return number(keccak256(abi_encode([kind, "uint256"], [key, base])))

    assert number(device_state_slot(SENSORS, DEVICE)) == expected("address", DEVICE, SENSORS["_states"])
    assert number(profile_slot(SENSORS, 7)) == expected("uint8", 7, SENSORS["_profiles"])
    for slots, first, count in (
        (device_record_slots(SENSORS, DEVICE), expected("address", DEVICE, SENSORS["_records"]), 2),
        (dataset_slots(MODELS, DIGEST), expected("bytes32", DIGEST, MODELS["_datasets"]), 5),
        (model_slots(MODELS, DIGEST), expected("bytes32", DIGEST, MODELS["_models"]), 5),
    ):
        assert [number(slot) for slot in slots] == list(range(first, first + count))


def test_both_counts_share_a_slot() -> None:
    assert SENSORS["profileCount"] == SENSORS["deviceCount"]
    assert number(counts_slot(SENSORS)) == SENSORS["profileCount"]
    assert read_counts(word(7 << 8 | 3)) == Counts(profiles=3, devices=7)


@pytest.mark.parametrize("profile", [-1, 256, 2**256])
def test_there_is_no_such_profile(profile: int) -> None:
    with pytest.raises(VerificationError):
        profile_slot(SENSORS, profile)


def test_a_key_has_at_most_32_bytes() -> None:
    with pytest.raises(VerificationError):
        dataset_slots(MODELS, DIGEST + b"\0")


@given(states())
@example(DeviceState(0))
@example(DeviceState(255, 65535, -1, 2**24 - 1, 2**32 - 1, b"\xff" * 20))
def test_a_device_s_state_is_read_as_it_is_packed(state: DeviceState) -> None:
    assert read_device_state(state.pack()) == state


@given(WORDS)
def test_every_word_is_a_state(value: bytes) -> None:
    assert read_device_state(value).pack() == value


def lane(least: int, most: int, step: int, bias: int) -> tuple[int, int, int]:
    """Say with other words than the code what `Lanes.bounds` makes: bounds that no lane can hold compare alike."""
    values = range(0x4000)
    legal_low = next((y for y in values if y >= least + bias), 0x4000)
    legal_high = next((y for y in reversed(values) if y <= most + bias), -1)
    return 0x8000 - legal_low, 0x8000 + legal_high, 0x8000 + min(step, 0x3FFF)


def packed(rules: Profile) -> bytes:
    t = lane(rules.temperature_min, rules.temperature_max, rules.temperature_step, 0x1000)
    h = lane(rules.humidity_min, rules.humidity_max, rules.humidity_step, 0)
    lanes = [(a << 16 | b) for a, b in zip(t, h, strict=True)]
    fields = [*lanes[::-1], rules.future_tolerance]
    upper = b"".join(field.to_bytes(4, "big") for field in fields)
    lower = [rules.humidity_step, rules.humidity_max, rules.humidity_min, rules.temperature_step]
    lower += [rules.temperature_max & 0xFFFF, rules.temperature_min & 0xFFFF]
    return bytes(4) + upper + b"".join(field.to_bytes(2, "big") for field in lower)


@given(profiles())
@example(INDOOR)
@example(Profile(-(2**15), -(2**15), 0, 0, 0, 0, 0))
@example(Profile(2**15 - 1, 2**15 - 1, 2**16 - 1, 2**16 - 1, 2**16 - 1, 2**16 - 1, 2**32 - 1))
def test_a_profile_is_read_with_its_lanes(rules: Profile) -> None:
    assert read_profile(packed(rules)) == rules


@pytest.mark.parametrize("bit", range(256))
def test_a_profile_with_one_other_bit_is_another_or_refused(bit: int) -> None:
    changed = word(number(packed(INDOOR)) ^ 1 << bit)
    if 96 <= bit < 128:  # the tolerance for times in the future, which no lane holds
        assert read_profile(changed).future_tolerance != INDOOR.future_tolerance
    else:
        with pytest.raises(VerificationError):
            read_profile(changed)


def test_a_profile_whose_least_is_above_its_greatest_is_refused() -> None:
    for rules in (Profile(1, 0, 0, 0, 1, 0, 0), Profile(0, 1, 0, 1, 0, 0, 0)):
        with pytest.raises(VerificationError):
            read_profile(packed(rules))


def test_records() -> None:
    assert read_device_record([DIGEST, word(3 << 64 | 2 << 32 | 1)]) == DeviceRecord(DIGEST, 1, 2, 3)
    other = b"\x22" * 32
    assert read_dataset([DIGEST, word(5), other, word(2**64 - 1), DIGEST]).as_tuple() == (
        DIGEST,
        5,
        other,
        2**64 - 1,
        DIGEST,
    )
    assert read_model([DIGEST, other, word(0), word(2 << 32 | 1), DIGEST]) == ModelRecord(
        DIGEST, other, bytes(32), 1, 2, DIGEST
    )


def test_what_is_not_there_is_all_zero() -> None:
    assert read_device_state(bytes(32)) == DeviceState(0)
    assert read_profile(bytes(32)) == Profile(0, 0, 0, 0, 0, 0, 0)
    assert read_counts(bytes(32)) == Counts(0, 0)
    for read, count in ((read_device_record, 2), (read_dataset, 5), (read_model, 5)):
        values = astuple(read([bytes(32)] * count))
        assert set(values) <= {0, bytes(32)}


READS: dict[str, tuple[Callable[[list[bytes]], object], int, int, int]] = {
    # What reads so many words, and where in which word the fields end.
    "counts": (lambda words: read_counts(*words), 1, 0, 40),
    "device record": (read_device_record, 2, 1, 96),
    "dataset's rows": (read_dataset, 5, 1, 64),
    "dataset's block": (read_dataset, 5, 3, 64),
    "model": (read_model, 5, 3, 64),
}


@pytest.mark.parametrize("name", READS)
def test_a_word_with_more_in_it_is_refused(name: str) -> None:
    read, count, place, bits = READS[name]
    words = [bytes(32)] * count
    words[place] = word(2**bits - 1)
    read(words)
    for bit in (bits, 255):
        words[place] = word(1 << bit)
        with pytest.raises(VerificationError):
            read(words)


@pytest.mark.parametrize("read", [read_device_state, read_profile, read_counts])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_word_has_32_bytes(read: Callable[[bytes], object], length: int) -> None:
    with pytest.raises(VerificationError):
        read(bytes(length))


@pytest.mark.parametrize("read", [read_device_record, read_dataset, read_model])
@pytest.mark.parametrize("words", [[], [bytes(32)], [bytes(32)] * 6, [bytes(32), bytes(31)], [bytes(32)] * 4 + [b""]])
def test_a_record_has_its_words(read: Callable[[list[bytes]], object], words: list[bytes]) -> None:
    with pytest.raises(VerificationError):
        read(words)
