"""The step `heads`: what the stored logs leave each device with is what the registry's storage holds.

Storage is proven by `eth_getProof` (EIP-1186) against the state root of a header that is proven already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sensetrail.chain.wire import Wire
from sensetrail.core.header import BlockHeader, json_bytes, json_integer
from sensetrail.core.primitives import Address, hex_word
from sensetrail.core.trie import Account, verify_account, verify_storage
from sensetrail.errors import ProofError, RefusedError, VerificationError
from sensetrail.indexer.answers import reading

SLOTS_AT_ONCE = 200


def prove_states(wire: Wire, header: BlockHeader, registry: Address, states: Mapping[bytes, bytes]) -> bool:
    """Prove that storage slots of a contract hold some words.

    Args:
        wire: The node.
        header: A block's, proven.
        registry: The contract.
        states: Each slot's expected word by its key, 32 bytes both.

    Returns:
        Whether it is proven; False where the node has no `eth_getProof`, or not for this block any more.

    Raises:
        AnswerError: The node's answer makes no sense.
        ProofError: A slot holds another word, or the proof does not lead to the block's state root.
    """
    slots = list(states)
    try:
        found = list(storage(wire, header, registry, slots))
    except RefusedError:
        return False
    for slot, word in zip(slots, found, strict=True):
        if word != states[slot]:
            raise ProofError(
                "heads",
                f"the logs leave {hex_word(states[slot])} in slot {hex_word(slot)} of {registry}, storage holds "
                f"{hex_word(word)} at block {header.number}",
                expected=states[slot],
                actual=word,
            )
    return True


def storage(wire: Wire, header: BlockHeader, contract: Address, slots: Sequence[bytes]) -> Iterator[bytes]:
    """Give what a contract's storage slots hold after a block, 32 bytes each, proven.

    Raises:
        AnswerError: The node's answer makes no sense.
        ProofError: It does not lead to the block's state root.
        RefusedError: The node has no proof.
    """
    for start in range(0, len(slots), SLOTS_AT_ONCE):
        some = slots[start : start + SLOTS_AT_ONCE]
        proof = ask_proof(wire, contract, some, header.number)
        account = proven_account(header, contract, proof)
        if account is None:
            raise ProofError("heads", f"there is no contract at {contract} at block {header.number}")
        yield from proven_words(account, proof)


@dataclass(frozen=True, slots=True)
class Proof:
    """An answer to `eth_getProof`, nothing of it verified.

    Attributes:
        account: Nodes from the state root to the account.
        slots: Nodes from the account's storage root to each slot, by the slot's key, in the order asked for.
    """

    account: list[bytes]
    slots: dict[bytes, list[bytes]]


def ask_proof(wire: Wire, contract: Address, slots: Sequence[bytes], block_number: int) -> Proof:
    """Ask for an account, and some of its storage slots.

    Raises:
        AnswerError: The answer makes no sense.
        RefusedError: The node has no proof: no `eth_getProof`, or no state of that block any more.
    """
    answer = wire.ask("eth_getProof", contract, [hex_word(slot) for slot in slots], hex(block_number))
    if answer is None:
        raise RefusedError("the node answers eth_getProof with null", "use another node")
    with reading(lambda: "a proof of storage"):
        fields = _mapping(answer)
        listed = fields.get("storageProof")
        if not isinstance(listed, list):
            raise _malformed("storageProof is not a list")
        by_key = {
            # Some nodes give keys back as they were, some as integers.
            json_integer(each.get("key"), "key", 32).to_bytes(32): _nodes(each.get("proof"))
            for each in map(_mapping, listed)
        }
        missing = [slot for slot in slots if slot not in by_key]
        if missing:
            raise _malformed(f"it has no proof of slot {hex_word(missing[0])}")
        return Proof(_nodes(fields.get("accountProof")), {slot: by_key[slot] for slot in slots})


def proven_account(header: BlockHeader, contract: Address, proof: Proof) -> Account | None:
    """Verify the account of a proof; None where the proof shows that there is none.

    Raises:
        ProofError: The proof does not lead to the block's state root.
    """
    with _proving():
        return verify_account(header.state_root, contract, proof.account)


def proven_words(account: Account, proof: Proof) -> Iterator[bytes]:
    """Give what the slots of a proof hold, 32 bytes each.

    Raises:
        ProofError: The proof does not lead to the account's storage root.
    """
    for slot, nodes in proof.slots.items():
        with _proving():
            word = verify_storage(account.storage_root, slot, nodes)
        yield word


@contextmanager
def _proving() -> Iterator[None]:
    try:
        yield
    except VerificationError as error:
        raise ProofError("heads", error.what, expected=error.expected, actual=error.actual) from error


def _nodes(value: object) -> list[bytes]:
    if not isinstance(value, list):
        raise _malformed("a proof is not a list")
    return [json_bytes(node, "proof") for node in value]


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _malformed("it is not an object")
    return value


def _malformed(what: str) -> VerificationError:
    return VerificationError(what, "use another node")
