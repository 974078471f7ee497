// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState} from "../interfaces/ISensorRegistry.sol";

/// @title A device's storage slot
/// @notice head (160 bits) | last time (32) | sequence (24) | temperature (16, signed) | humidity (16) | profile (8),
/// highest bits first: the slot that Solidity would give `DeviceState`, as one word.
library DeviceSlot {
    function profile(uint256 slot) internal pure returns (uint8) {
        return uint8(slot);
    }

    /// @notice Temperature and humidity of the last accepted reading, as they travel in 4 bytes.
    function values(uint256 slot) internal pure returns (uint256) {
        return uint32(slot >> 8);
    }

    function sequence(uint256 slot) internal pure returns (uint256) {
        return uint24(slot >> 40);
    }

    function lastTime(uint256 slot) internal pure returns (uint256) {
        return uint32(slot >> 64);
    }

    /// @notice keccak256 of the 4 bytes in which values travel.
    function digest(uint256 fourBytes) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            mstore(0x00, shl(224, fourBytes))
            value := keccak256(0x00, 4)
        }
    }

    /// @notice The slot of a device that may not post any more; all else stays.
    function revoked(uint256 slot) internal pure returns (uint256) {
        return slot & ~uint256(type(uint8).max);
    }

    /// @notice The slot after a batch: the head extended by it, the sequence number moved on.
    /// @param count How many readings; the sequence number stays in its 24 bits.
    /// @param newValues As `values`, of the last reading; 32 bits.
    /// @param newLastTime 32 bits.
    function advanced(
        uint256 slot,
        uint256 header,
        bytes32 dataDigest,
        uint256 count,
        uint256 newValues,
        uint256 newLastTime
    ) internal pure returns (uint256 next) {
        // The head is the slot's highest 20 bytes: keccak256(head || header || digest), without allocating.
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, slot)
            mstore(add(free, 20), header)
            mstore(add(free, 52), dataDigest)
            next := shl(96, shr(96, keccak256(free, 84)))
        }
        unchecked {
            next |= (newLastTime << 64) | ((sequence(slot) + count) << 40) | (newValues << 8) | profile(slot);
        }
    }

    function unpack(uint256 slot) internal pure returns (DeviceState memory) {
        return
            DeviceState({
                profile: profile(slot),
                humidity: uint16(slot >> 8),
                temperature: int16(uint16(slot >> 24)),
                sequence: uint24(slot >> 40),
                lastTime: uint32(slot >> 64),
                head: bytes20(uint160(slot >> 96))
            });
    }
}
