// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The header word of a batch
/// @notice device (160 bits) | start (32) | period (16) | first sequence number (24) | count (16) | format (8),
/// highest bits first.
library BatchHeader {
    /// @notice One reading from the device's own transaction; never signed, only committed to by the head.
    uint8 internal constant OWN = 0;

    /// @notice 6 bytes a reading: seconds since the reading before, temperature, humidity.
    uint8 internal constant TIMED = 1;

    /// @notice 4 bytes a reading: temperature, humidity; the times are evenly spaced.
    uint8 internal constant REGULAR = 2;

    function own(address who, uint32 measuredAt, uint24 sequence) internal pure returns (uint256) {
        return (uint256(uint160(who)) << 96) | (uint256(measuredAt) << 64) | (uint256(sequence) << 24) | (1 << 8) | OWN;
    }

    function device(uint256 header) internal pure returns (address) {
        return address(uint160(header >> 96));
    }

    /// @notice Unix seconds.
    function start(uint256 header) internal pure returns (uint256) {
        return uint32(header >> 64);
    }

    /// @notice Seconds between two readings of a regular batch.
    function period(uint256 header) internal pure returns (uint256) {
        return uint16(header >> 48);
    }

    function firstSequence(uint256 header) internal pure returns (uint256) {
        return uint24(header >> 24);
    }

    function count(uint256 header) internal pure returns (uint256) {
        return uint16(header >> 8);
    }

    function format(uint256 header) internal pure returns (uint8) {
        return uint8(header);
    }

    /// @notice Whether `length` bytes are what the header announces: a known format and at least one reading.
    function fits(uint256 header, uint256 length) internal pure returns (bool) {
        uint256 n = count(header);
        uint8 kind = format(header);
        if (kind == TIMED) return n != 0 && length == 6 * n;
        if (kind == REGULAR) return n != 0 && length == 4 * n;
        return false;
    }
}
