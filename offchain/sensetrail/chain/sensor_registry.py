"""The SensorRegistry contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from eth_account.signers.local import LocalAccount

from sensetrail.chain.answers import Receipt
from sensetrail.chain.artifact import SENSOR_REGISTRY
from sensetrail.chain.contract import Contract
from sensetrail.core.batch import Batch
from sensetrail.core.events import Accepted, Rejected, decode_log
from sensetrail.core.primitives import Address, address_bytes
from sensetrail.core.rules import DeviceState, Profile
from sensetrail.core.storage import DeviceRecord, device_state_slot
from sensetrail.core.typed_data import domain_separator
from sensetrail.errors import ChainError

BLOCKS_A_REQUEST = 10_000


class SensorRegistry(Contract):
    """Profiles, devices and readings."""

    NAME = SENSOR_REGISTRY

    def add_profile(self, registrar: LocalAccount, rules: Profile) -> int:
        """Add a profile; give its number."""
        self.transact(registrar, "addProfile", rules.as_tuple())
        return self.profile_count()

    def profile_count(self, block_number: int | str = "latest") -> int:
        """Give how many profiles there are: their numbers are 1 to this."""
        return int(self.read("profileCount", block_number=block_number))

    def profile(self, number: int, block_number: int | str = "latest") -> Profile:
        """Give a profile's rules; all zero where there is none."""
        return Profile(*self.read("profileOf", number, block_number=block_number))

    def device_count(self, block_number: int | str = "latest") -> int:
        """Give how many devices were ever registered, revoked ones among them."""
        return int(self.read("deviceCount", block_number=block_number))

    def register_device(
        self, registrar: LocalAccount, device: Address, profile: int, identity_digest: bytes
    ) -> Receipt:
        """Register a device."""
        return self.transact(registrar, "registerDevice", device, profile, identity_digest)

    def revoke_device(self, registrar: LocalAccount, device: Address, untrusted_since: int) -> Receipt:
        """Revoke a device for good; what it measured at or after `untrusted_since` (Unix s) is not to be trusted."""
        return self.transact(registrar, "revokeDevice", device, untrusted_since)

    def state(self, device: Address) -> DeviceState:
        """Give a device's state, as the contract says it."""
        return DeviceState(*self.read("stateOf", device))

    def record(self, device: Address, block_number: int | str = "latest") -> DeviceRecord:
        """Give a device's record."""
        return DeviceRecord(*self.read("recordOf", device, block_number=block_number))

    def state_slot(self, device: Address, block_number: int | str = "latest") -> bytes:
        """Give a device's storage slot as it is, 32 bytes: `mapping(address => DeviceState)` at `_states`."""
        slot = device_state_slot(self.artifact.storage, device)
        return self.chain.storage(self.address, int.from_bytes(slot, "big"), block_number)

    def post(
        self,
        device: LocalAccount,
        sequence: int,
        measured_at: int,
        temperature: int,
        humidity: int,
        on_signed: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Send one reading by the device's own transaction; give its hash."""
        return self.send(device, "post", sequence, measured_at, temperature, humidity, on_signed=on_signed)

    def submit_batch(
        self,
        relayer: LocalAccount,
        batch: Batch,
        signature: bytes,
        on_signed: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Send a signed batch from anyone's account; give the transaction's hash."""
        return self.send(relayer, "submitBatch", batch.header.pack(), batch.data + signature, on_signed=on_signed)

    def submit_batches(
        self,
        relayer: LocalAccount,
        batches: Sequence[tuple[Batch, bytes]],
        on_signed: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Send several batches with their signatures in one transaction; give its hash."""
        structs = [(batch.header.pack(), batch.data + signature) for batch, signature in batches]
        return self.send(relayer, "submitBatches", structs, on_signed=on_signed)

    def domain_separator(self) -> bytes:
        """Give the EIP-712 domain separator that batches for this registry are signed under, 32 bytes."""
        return domain_separator(self.chain.chain_id, self.address)

    def accepted_from(self, device: Address) -> Iterator[Accepted]:
        """Give all events by which readings of a device were accepted, in the order of the chain."""
        topic = address_bytes(device).rjust(32, b"\0")
        newest = self.chain.latest_block().number
        for start in range(0, newest + 1, BLOCKS_A_REQUEST):
            end = min(start + BLOCKS_A_REQUEST - 1, newest)
            for log in self.chain.logs([self.address], start, end, topics=[None, topic]):
                event = decode_log(log)
                if isinstance(event, Accepted):
                    yield event

    def outcomes(self, receipt: Receipt) -> list[Accepted | Rejected]:
        """Tell from its receipt what became of all that a transaction brought, in order."""
        events = [decode_log(log) for log in receipt.logs if log.address == self.address]
        return [event for event in events if isinstance(event, Accepted | Rejected)]

    def outcome(self, receipt: Receipt) -> Accepted | Rejected:
        """Tell from its receipt what became of a `post` or `submitBatch`."""
        found = self.outcomes(receipt)
        if len(found) != 1:
            raise ChainError(
                f"transaction 0x{receipt.transaction_hash.hex()} left {len(found)} events, not one",
                "check that the registry is ours: audit",
            )
        return found[0]
