// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProfileSlot} from "./ProfileSlot.sol";

/// @title The judge of one reading
/// @notice Rules J1 to J6, on values as they travel: temperature (0.01 degC, 16 bits, signed) above humidity
/// (0.01 %RH, 16 bits). The Python twin is `sensetrail.core.rules`.
library Judge {
    using ProfileSlot for uint256;

    /// @notice J1: the time is not after the latest time accepted before.
    uint256 internal constant TIME_NOT_AFTER = 1;
    /// @notice J2: the time lies after the block's time plus the profile's tolerance.
    uint256 internal constant TIME_IN_FUTURE = 2;
    /// @notice J3: the temperature is outside the profile's range.
    uint256 internal constant TEMPERATURE_RANGE = 4;
    /// @notice J4: the humidity is outside the profile's range.
    uint256 internal constant HUMIDITY_RANGE = 8;
    /// @notice J5: the temperature is too far from the reading before, legal or not.
    uint256 internal constant TEMPERATURE_STEP = 16;
    /// @notice J6: the humidity is too far from the reading before, legal or not.
    uint256 internal constant HUMIDITY_STEP = 32;

    /// @notice J1 and J2. A time that breaks neither becomes the latest: a time in the future must not, or one such
    /// reading would make all later ones illegal.
    /// @param measuredAt Unix seconds; may exceed 32 bits, which lies in the future by any clock of this chain.
    /// @param lastTime The latest time accepted before.
    /// @param latest The last second that is not in the future.
    function time(uint256 measuredAt, uint256 lastTime, uint256 latest) internal pure returns (uint256 flags) {
        if (measuredAt <= lastTime) flags = TIME_NOT_AFTER;
        if (measuredAt > latest) flags |= TIME_IN_FUTURE;
    }

    /// @notice J3 to J6.
    /// @param rules The profile's slot.
    /// @param before The values of the reading before; of a device's first reading, its own, to which there is no step.
    /// @param current The reading's values.
    function values(uint256 rules, uint256 before, uint256 current) internal pure returns (uint256 flags) {
        unchecked {
            // Differences of 16-bit numbers: nothing here comes near 256 bits.
            int256 temperature = int16(uint16(current >> 16));
            if (temperature < rules.temperatureMin() || temperature > rules.temperatureMax()) flags = TEMPERATURE_RANGE;
            temperature -= int16(uint16(before >> 16));
            if (uint256(temperature < 0 ? -temperature : temperature) > rules.temperatureStep()) {
                flags |= TEMPERATURE_STEP;
            }
            uint256 humidity = uint16(current);
            if (humidity < rules.humidityMin() || humidity > rules.humidityMax()) flags |= HUMIDITY_RANGE;
            before = uint16(before);
            if ((humidity > before ? humidity - before : before - humidity) > rules.humidityStep()) {
                flags |= HUMIDITY_STEP;
            }
        }
    }

    /// @notice The last second that is not in the future, capped so that an accepted time fits 32 bits.
    function latestTime(uint256 rules) internal view returns (uint256) {
        unchecked {
            uint256 latest = block.timestamp + rules.futureTolerance();
            // The rule is about the block's time; what a proposer may shift it by is for the tolerance to allow for.
            // slither-disable-next-line timestamp
            return latest > type(uint32).max ? type(uint32).max : latest;
        }
    }
}
