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

    /// @notice As regular for the first reading; then 2 bytes a reading: what temperature and humidity changed by.
    uint8 internal constant DELTA = 3;

    /// @notice The most readings a batch may have: judged one by one, all illegal, they still fit a transaction of
    /// 2^24 gas (EIP-7825).
    uint256 internal constant MAX_COUNT = 10_000;

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

    /// @notice Seconds between two readings of a regular or delta batch.
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

    /// @notice How many bytes the readings take; 0 for an unknown format, no readings, or more than `MAX_COUNT`.
    function dataLength(uint256 header) internal pure returns (uint256) {
        unchecked {
            uint256 n = count(header);
            if (n == 0 || n > MAX_COUNT) return 0;
            uint8 kind = format(header);
            if (kind == REGULAR) return 4 * n;
            if (kind == DELTA) return 2 * n + 2;
            return kind == TIMED ? 6 * n : 0;
        }
    }
}
