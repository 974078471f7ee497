"""The step `heads`: what the stored logs leave each device with is what the registry's storage holds.

Storage is proven by `eth_getProof` (EIP-1186) against the state root of a header that is proven already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sensetrail.chain.wire import Wire
from sensetrail.core.header import BlockHeader, json_bytes, json_integer
from sensetrail.core.primitives import Address, hex_word
from sensetrail.core.trie import Account, verify_account, verify_storage
from sensetrail.errors import ProofError, RefusedError, VerificationError

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
        ProofError: A slot holds another word, or what the node gives is no proof.
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
        ProofError: What the node gives is no proof.
        RefusedError: It gives none.
    """
    for start in range(0, len(slots), SLOTS_AT_ONCE):
        some = slots[start : start + SLOTS_AT_ONCE]
        answer = wire.ask("eth_getProof", contract, [hex_word(slot) for slot in some], hex(header.number))
        try:
            account, proofs = read_proof(header.state_root, contract, some, answer)
            if account is None:
                raise ProofError("heads", f"there is no contract at {contract} at block {header.number}")
            for slot, nodes in zip(some, proofs, strict=True):
                yield verify_storage(account.storage_root, slot, nodes)
        except ProofError:
            raise
        except VerificationError as error:
            raise ProofError("heads", error.what) from error


def read_proof(
    state_root: bytes, contract: Address, slots: Sequence[bytes], answer: Any
) -> tuple[Account | None, list[list[bytes]]]:
    """Verify the account of an `eth_getProof` answer, and give its storage proofs in the slots' order.

    Raises:
        VerificationError: It is none.
    """
    try:
        account = verify_account(state_root, contract, _nodes(answer["accountProof"]))
        by_key = {
            # Some nodes give keys back as they were, some as integers.
            json_integer(each["key"], "key", 32).to_bytes(32): _nodes(each["proof"])
            for each in answer["storageProof"]
        }
        return account, [by_key[slot] for slot in slots]
    except (KeyError, TypeError) as error:
        raise VerificationError(f"an answer to eth_getProof that lacks {error}", "use another node") from error


def _nodes(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise VerificationError("a proof that is no list", "use another node")
    return [json_bytes(node, "proof") for node in value]
