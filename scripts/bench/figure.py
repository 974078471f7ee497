"""One line of a gas benchmark: what a reading cost, and how far that is from the least its call data can cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensetrail.chain.client import TRANSACTION_GAS_CAP

TRANSACTION_GAS = 21_000
ZERO_BYTE_GAS = 10
NON_ZERO_BYTE_GAS = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """What a reading cost by one way of bringing readings onto the chain.

    Attributes:
        case: The way, such as "eas-attest".
        n: Readings a transaction.
        gas_per_reading: Gas used by the receipts, over the readings.
        floor_ratio: The same gas over the transactions' call data floor (EIP-7623): 1 is the least possible.
    """

    case: str
    n: int
    gas_per_reading: float
    floor_ratio: float

    @classmethod
    def of(cls, case: str, n: int, spent: Sequence[tuple[bytes, int]]) -> Figure:
        """Make the figure of one or more transactions of `n` readings each.

        Args:
            case: The way.
            n: Readings a transaction.
            spent: Each transaction's call data and gas used.
        """
        gas = sum(gas_used for _, gas_used in spent)
        return cls(case, n, gas / (n * len(spent)), gas / sum(calldata_floor(data) for data, _ in spent))

    @property
    def fits(self) -> bool:
        """Whether a chain that enforces EIP-7825 takes such a transaction; a devnet need not, and still measures it."""
        return round(self.n * self.gas_per_reading) <= TRANSACTION_GAS_CAP


def calldata_floor(data: bytes) -> int:
    """Give the least gas that a transaction with this call data uses (EIP-7623)."""
    zeros = data.count(0)
    return TRANSACTION_GAS + ZERO_BYTE_GAS * zeros + NON_ZERO_BYTE_GAS * (len(data) - zeros)
