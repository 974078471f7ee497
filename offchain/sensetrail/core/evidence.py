"""What an audit asks for, whoever gives it: a node, proven or believed, or a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sensetrail.core.header import BlockHeader
from sensetrail.core.history import History
from sensetrail.core.logs import BlockLogs
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import Address
from sensetrail.core.storage import (
    counts_slot,
    dataset_slots,
    device_record_slots,
    device_state_slot,
    model_slots,
    profile_slot,
)
from sensetrail.core.transaction import Transaction


class Evidence(Protocol):
    """The chain as far as one block, the anchor.

    Each method verifies what it gives against the anchor's hash, or raises a VerificationError; where `proven` is
    false, it gives the node's word. Where a node does not give the evidence, it raises a ChainError.
    """

    @property
    def chain_id(self) -> int:
        """EIP-155."""

    @property
    def sensor_registry(self) -> Address:
        """Its address."""

    @property
    def model_registry(self) -> Address:
        """Its address."""

    @property
    def word(self) -> str:
        """On whose word the anchor stands."""

    @property
    def proven(self) -> bool:
        """Whether everything is verified against the anchor."""

    def anchor(self) -> BlockHeader:
        """Give the last block's header."""

    def code_hash(self, contract: Address) -> bytes:
        """Give the keccak256 of a contract's code at the anchor, 32 bytes."""

    def blocks(self) -> Sequence[BlockLogs]:
        """Give all blocks from the first to the anchor that have logs of the registries."""

    def words(self, contract: Address, slots: Sequence[bytes]) -> Sequence[bytes]:
        """Give what storage slots hold at the anchor, 32 bytes each.

        Args:
            contract: A registry.
            slots: `sensor_slots`; of the model registry a dataset's, then a model's.
        """

    def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block up to the anchor, 32 bytes; None where there is none."""

    def transactions(self, places: Sequence[tuple[BlockLogs, int]]) -> Sequence[Transaction | None]:
        """Give the signed transactions of all own readings; their signatures are for the caller to verify.

        Args:
            places: Each one's block and place in it, in the order of the chain.
        """


def sensor_slots(layout: Mapping[str, int], history: History) -> list[bytes]:
    """Give the sensor registry's slots that a history accounts for: counts, profiles, devices' states and records."""
    slots = [counts_slot(layout), *(profile_slot(layout, number) for number in sorted(history.profiles))]
    for device in history.devices:
        slots += [device_state_slot(layout, device), *device_record_slots(layout, device)]
    return slots


def model_registry_slots(layout: Mapping[str, int], manifest: Manifest) -> list[bytes]:
    """Give the model registry's slots that a model stands on: its dataset's and its own."""
    return [*dataset_slots(layout, manifest.dataset.dataset_id), *model_slots(layout, manifest.weights_digest)]
