// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, Profile} from "../interfaces/ISensorRegistry.sol";

/// @title The judge of one reading
/// @notice Rules J1 to J6; the Python twin is `sensetrail.core.rules`.
library Judge {
    /// @notice J1: the time is not after the latest time accepted before.
    uint8 internal constant TIME_NOT_AFTER = 1;
    /// @notice J2: the time lies after the block's time plus the profile's tolerance.
    uint8 internal constant TIME_IN_FUTURE = 2;
    /// @notice J3: the temperature is outside the profile's range.
    uint8 internal constant TEMPERATURE_RANGE = 4;
    /// @notice J4: the humidity is outside the profile's range.
    uint8 internal constant HUMIDITY_RANGE = 8;
    /// @notice J5: the temperature is too far from the reading before, legal or not.
    uint8 internal constant TEMPERATURE_STEP = 16;
    /// @notice J6: the humidity is too far from the reading before, legal or not.
    uint8 internal constant HUMIDITY_STEP = 32;

    /// @notice Judges one reading and moves the state past it.
    /// @dev A time in the future never moves `lastTime`, or one such reading would make all later ones illegal.
    /// @param state The device's state before; in memory, changed here (all but `head` and `profile`).
    /// @param rules The device's profile.
    /// @param latest The last second that is not in the future: block time plus tolerance.
    /// @param measuredAt Unix seconds; may exceed 32 bits, which lies in the future by any clock of this chain.
    /// @param temperature 0.01 degC.
    /// @param humidity 0.01 %RH.
    /// @return verdict 0 for a legal reading, else flags.
    function judge(
        DeviceState memory state,
        Profile memory rules,
        uint256 latest,
        uint256 measuredAt,
        int16 temperature,
        uint16 humidity
    ) internal pure returns (uint8 verdict) {
        if (measuredAt <= state.lastTime) verdict |= TIME_NOT_AFTER;
        if (measuredAt > latest) verdict |= TIME_IN_FUTURE;
        if (temperature < rules.temperatureMin || temperature > rules.temperatureMax) verdict |= TEMPERATURE_RANGE;
        if (humidity < rules.humidityMin || humidity > rules.humidityMax) verdict |= HUMIDITY_RANGE;
        if (state.sequence != 0) {
            if (_distance(temperature, state.temperature) > rules.temperatureStep) verdict |= TEMPERATURE_STEP;
            if (_distance(int256(uint256(humidity)), int256(uint256(state.humidity))) > rules.humidityStep) {
                verdict |= HUMIDITY_STEP;
            }
        }

        // casting to uint32 is safe: a time beyond 32 bits is in the future, because `latest` is capped below
        if (verdict & (TIME_NOT_AFTER | TIME_IN_FUTURE) == 0) state.lastTime = uint32(measuredAt);
        state.temperature = temperature;
        state.humidity = humidity;
        state.sequence += 1;
    }

    /// @notice The last second that is not in the future, capped so that an accepted time fits 32 bits.
    function latestTime(Profile memory rules) internal view returns (uint256) {
        uint256 latest = block.timestamp + rules.futureTolerance;
        return latest > type(uint32).max ? type(uint32).max : latest;
    }

    function _distance(int256 a, int256 b) private pure returns (uint256) {
        return uint256(a > b ? a - b : b - a);
    }
}
