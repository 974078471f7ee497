"""Where the registries keep what they know, and how to read their words back.

By Solidity's layout of state variables in storage: a mapping at slot `p` keeps the value of key `k` from slot
`keccak256(k || p)` on, both as 32 bytes; a struct's fields stand in its slots one after the other, each word filled
from its lowest bits. A contract's `layout` is each state variable's slot by its name, as its artifact tells.

A word is hostile until it is proven, and one that the contract cannot have written is refused even then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.primitives import Address, address_bytes, keccak256
from sensetrail.core.rules import DeviceState, Profile
from sensetrail.errors import VerificationError

DEVICE_RECORD_WORDS = 2
DATASET_WORDS = 5
MODEL_WORDS = 5

_WORD = 32
_LANE_MOST = 0x3FFF
_TEMPERATURE_BIAS = 0x1000


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is in the sensor registry.

    Attributes:
        profiles: How many profiles: their numbers are 1 to this.
        devices: How many devices were ever registered, revoked ones among them.
    """

    profiles: int
    devices: int


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What the registrar recorded of a device; times in Unix seconds, 0 for never.

    Attributes:
        identity_digest: Digest of make, model, serial number and calibration, 32 bytes.
        registered_at: Block time of the registration.
        revoked_at: Block time of the revocation.
        untrusted_since: What the device measured at or after this time is not to be trusted.
    """

    identity_digest: bytes
    registered_at: int
    revoked_at: int
    untrusted_since: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as the registry holds it; times in Unix seconds, 0 for never.

    Attributes:
        dataset_id: The dataset it was trained on, 32 bytes.
        manifest_digest: 32 bytes.
        parent: Weights digest of the model it succeeds, 32 bytes; zeros for none.
        registered_at: Block time of its registration.
        recalled_at: Block time of its recall.
        task_digest: keccak256 of the task's name, 32 bytes.
    """

    dataset_id: bytes
    manifest_digest: bytes
    parent: bytes
    registered_at: int
    recalled_at: int
    task_digest: bytes

    @property
    def exists(self) -> bool:
        """Whether it was ever registered."""
        return self.registered_at != 0


def device_state_slot(layout: Mapping[str, int], device: Address) -> bytes:
    """Give the slot of a device's state in the sensor registry, 32 bytes."""
    return _mapping_slots(layout["_states"], address_bytes(device), 1)[0]


def device_record_slots(layout: Mapping[str, int], device: Address) -> list[bytes]:
    """Give the slots of a device's record in the sensor registry, 2 of 32 bytes."""
    return _mapping_slots(layout["_records"], address_bytes(device), DEVICE_RECORD_WORDS)


def profile_slot(layout: Mapping[str, int], number: int) -> bytes:
    """Give the slot of a profile's rules in the sensor registry, 32 bytes.

    Raises:
        VerificationError: The registry has no such number.
    """
    if not 0 <= number <= 0xFF:
        raise _wrong(f"profile {number}")
    return _mapping_slots(layout["_profiles"], bytes([number]), 1)[0]


def counts_slot(layout: Mapping[str, int]) -> bytes:
    """Give the slot in which the sensor registry counts profiles and devices, 32 bytes."""
    return layout["profileCount"].to_bytes(_WORD, "big")


def dataset_slots(layout: Mapping[str, int], dataset_id: bytes) -> list[bytes]:
    """Give the slots of a dataset in the model registry, 5 of 32 bytes."""
    return _mapping_slots(layout["_datasets"], dataset_id, DATASET_WORDS)


def model_slots(layout: Mapping[str, int], weights_digest: bytes) -> list[bytes]:
    """Give the slots of a model in the model registry, 5 of 32 bytes."""
    return _mapping_slots(layout["_models"], weights_digest, MODEL_WORDS)


def read_device_state(word: bytes) -> DeviceState:
    """Read a device's state.

    Args:
        word: What stands at `device_state_slot`, 32 bytes.

    Returns:
        The state, whose `pack` is the word; profile 0 and no readings where the device was never registered.

    Raises:
        VerificationError: The contract cannot have written this word.
    """
    fields = _Fields(word)
    profile, humidity = fields.take(8), fields.take(16)
    temperature = _signed(fields.take(16))
    sequence, last_time = fields.take(24), fields.take(32)
    return DeviceState(profile, humidity, temperature, sequence, last_time, fields.take(160).to_bytes(20, "big"))


def read_device_record(words: Sequence[bytes]) -> DeviceRecord:
    """Read a device's record; all zero where it was never registered.

    Args:
        words: What stands at `device_record_slots`, in order.

    Raises:
        VerificationError: The contract cannot have written these words.
    """
    identity_digest, times = _words(words, DEVICE_RECORD_WORDS)
    fields = _Fields(times)
    record = DeviceRecord(identity_digest, fields.take(32), fields.take(32), fields.take(32))
    fields.end()
    return record


def read_profile(word: bytes) -> Profile:
    """Read a profile's rules; all zero where there is none.

    Args:
        word: What stands at `profile_slot`, 32 bytes.

    Raises:
        VerificationError: The contract cannot have written this word: what it judges by is not its rules'.
    """
    fields = _Fields(word)
    low_temperature, high_temperature = _signed(fields.take(16)), _signed(fields.take(16))
    temperature_step, low_humidity = fields.take(16), fields.take(16)
    high_humidity, humidity_step = fields.take(16), fields.take(16)
    rules = Profile(
        low_temperature,
        high_temperature,
        temperature_step,
        low_humidity,
        high_humidity,
        humidity_step,
        fields.take(32),
    )
    lanes = (fields.take(32), fields.take(32), fields.take(32))
    fields.end()
    # Zeros are no profile; the lanes of a profile of zeros are not.
    if any(word) and (lanes != _lanes(rules) or low_temperature > high_temperature or low_humidity > high_humidity):
        raise _wrong("a profile that the registry does not make")
    return rules


def read_counts(word: bytes) -> Counts:
    """Read how many profiles and devices there are.

    Args:
        word: What stands at `counts_slot`, 32 bytes.

    Raises:
        VerificationError: The contract cannot have written this word.
    """
    fields = _Fields(word)
    counts = Counts(fields.take(8), fields.take(32))
    fields.end()
    return counts


def read_dataset(words: Sequence[bytes]) -> DatasetRecord:
    """Read a dataset; all zero where there is none.

    Args:
        words: What stands at `dataset_slots`, in order.

    Raises:
        VerificationError: The contract cannot have written these words.
    """
    root, row_count, selection_digest, through_block, block_hash = _words(words, DATASET_WORDS)
    return DatasetRecord(root, _uint64(row_count), selection_digest, _uint64(through_block), block_hash)


def read_model(words: Sequence[bytes]) -> ModelRecord:
    """Read a model; all zero where there is none.

    Args:
        words: What stands at `model_slots`, in order.

    Raises:
        VerificationError: The contract cannot have written these words.
    """
    dataset_id, manifest_digest, parent, times, task_digest = _words(words, MODEL_WORDS)
    fields = _Fields(times)
    record = ModelRecord(dataset_id, manifest_digest, parent, fields.take(32), fields.take(32), task_digest)
    fields.end()
    return record


class _Fields:
    """A word's fields, taken from the lowest bits up."""

    def __init__(self, word: bytes) -> None:
        if len(word) != _WORD:
            raise _wrong(f"a word of {len(word)} bytes")
        self._rest = int.from_bytes(word, "big")

    def take(self, bits: int) -> int:
        value = self._rest & ((1 << bits) - 1)
        self._rest >>= bits
        return value

    def end(self) -> None:
        if self._rest:
            raise _wrong("a word with more in it than its fields")


def _lanes(rules: Profile) -> tuple[int, int, int]:
    """Give what the registry keeps above a profile's rules: the contract's `Lanes.bounds`."""
    least, most = rules.temperature_min + _TEMPERATURE_BIAS, rules.temperature_max + _TEMPERATURE_BIAS
    lower = 0x8000 - min(max(least, 0), _LANE_MOST + 1)
    upper = 0x7FFF if most < 0 else 0x8000 + min(most, _LANE_MOST)
    return (
        lower << 16 | (0x8000 - min(rules.humidity_min, _LANE_MOST + 1)),
        upper << 16 | (0x8000 + min(rules.humidity_max, _LANE_MOST)),
        0x80008000 | min(rules.temperature_step, _LANE_MOST) << 16 | min(rules.humidity_step, _LANE_MOST),
    )


def _mapping_slots(base: int, key: bytes, count: int) -> list[bytes]:
    if len(key) > _WORD:
        raise _wrong(f"a key of {len(key)} bytes")
    # A struct that would run over the last slot goes on at the first.
    first = int.from_bytes(keccak256(key.rjust(_WORD, b"\0") + base.to_bytes(_WORD, "big")), "big")
    return [((first + i) % 2**256).to_bytes(_WORD, "big") for i in range(count)]


def _words(words: Sequence[bytes], count: int) -> Sequence[bytes]:
    if len(words) != count or any(len(word) != _WORD for word in words):
        raise _wrong(f"not {count} words of 32 bytes")
    return words


def _uint64(word: bytes) -> int:
    fields = _Fields(word)
    value = fields.take(64)
    fields.end()
    return value


def _signed(value: int) -> int:
    return value - 0x10000 if value & 0x8000 else value


def _wrong(what: str) -> VerificationError:
    return VerificationError(f"the registry's storage does not hold: {what}", "verify the code at its address")
