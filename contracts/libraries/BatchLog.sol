// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ISensorRegistry} from "../interfaces/ISensorRegistry.sol";

/// @title The event of an accepted batch, written by hand
/// @notice The data of `BatchAccepted(device indexed, header, payload, exceptions)` is built where it is logged from: the
/// payload is copied into memory once, and hashed, logged and followed by the exceptions there. What Solidity would do
/// for `emit` (copy both once more) costs some 500 gas a batch.
///
///     0x00  header
///     0x20  0x60, where the payload is
///     0x40  where the exceptions are
///     0x60  the payload's length, its bytes, zeros to a full word
///           the exceptions' length, their bytes, zeros to a full word
///
/// Memory from `begin` to `end` belongs to the batch: nothing that is allocated in between outlives it.
library BatchLog {
    /// @notice Copies the payload.
    /// @param count How many readings: room for as many exceptions is kept free. It costs what is written to it.
    /// @return log Where the event's data begins.
    /// @return next Where the first exception goes.
    function begin(
        uint256 header,
        bytes calldata payload,
        uint256 count
    ) internal pure returns (uint256 log, uint256 next) {
        assembly ("memory-safe") {
            log := mload(0x40)
            next := add(add(log, 0x80), and(add(payload.length, 31), not(31)))
            mstore(log, header)
            mstore(add(log, 0x20), 0x60)
            mstore(add(log, 0x40), sub(next, log))
            // The last word's zeros, before the payload goes over them.
            mstore(sub(next, 0x20), 0)
            mstore(add(log, 0x60), payload.length)
            calldatacopy(add(log, 0x80), payload.offset, payload.length)
            next := add(next, 0x20)
            mstore(0x40, add(next, and(add(mul(count, 3), 0x3f), not(0x1f))))
        }
    }

    /// @notice keccak256 of the payload's first `length` bytes.
    function digest(uint256 log, uint256 length) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := keccak256(add(log, 0x80), length)
        }
    }

    /// @notice Writes an exception.
    /// @param next Where it goes.
    /// @param index The reading's, 16 bits.
    /// @param verdict Its flags, 8 bits.
    /// @return Where the one after it goes.
    function add(uint256 next, uint256 index, uint256 verdict) internal pure returns (uint256) {
        assembly ("memory-safe") {
            mstore(next, shl(232, or(shl(8, index), verdict)))
            next := add(next, 3)
        }
        return next;
    }

    /// @notice Writes an exception for each of a word's readings whose flags are set.
    /// @param next Where the first one goes.
    /// @param index The first reading's.
    /// @param flags Each reading's, in the lowest byte of its `width` bits; the first reading stands highest.
    /// @return Where the one after them goes.
    function addAll(uint256 next, uint256 index, uint256 flags, uint256 width) internal pure returns (uint256) {
        assembly ("memory-safe") {
            for {} flags {} {
                // The first reading with flags: how many bits stand above them, down to a multiple of 16.
                let i := shl(7, iszero(shr(128, flags)))
                i := or(i, shl(6, iszero(shr(192, shl(i, flags)))))
                i := or(i, shl(5, iszero(shr(224, shl(i, flags)))))
                i := div(or(i, shl(4, iszero(shr(240, shl(i, flags))))), width)
                let below := sub(256, mul(add(i, 1), width))
                mstore(next, shl(232, or(shl(8, add(index, i)), and(shr(below, flags), 0xFF))))
                next := add(next, 3)
                // The operands are as they are to be: 1 goes up by `below`.
                // slither-disable-next-line incorrect-shift
                flags := and(flags, sub(shl(below, 1), 1))
            }
        }
        return next;
    }

    /// @notice Emits `BatchAccepted` and frees the memory.
    /// @param next Behind the last exception.
    /// @return count How many exceptions there are.
    function end(uint256 log, uint256 next, address device) internal returns (uint256 count) {
        bytes32 topic = ISensorRegistry.BatchAccepted.selector;
        assembly ("memory-safe") {
            let first := add(add(log, 0x20), mload(add(log, 0x40)))
            let length := sub(next, first)
            mstore(next, 0)
            mstore(sub(first, 0x20), length)
            log2(log, sub(and(add(next, 31), not(31)), log), topic, device)
            count := div(length, 3)
            mstore(0x40, log)
        }
    }

    /// @notice Frees the memory.
    function abandon(uint256 log) internal pure {
        assembly ("memory-safe") {
            mstore(0x40, log)
        }
    }
}
