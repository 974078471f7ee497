// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, Profile} from "../../contracts/interfaces/ISensorRegistry.sol";

/// @notice The judge once more, for comparison: signed 256-bit arithmetic throughout, one sum of flags, nothing shared
/// with the contract but the structs.
library PlainJudge {
    struct Reading {
        int256 measuredAt;
        int256 temperature;
        int256 humidity;
    }

    function judgeOne(
        Reading memory reading,
        DeviceState memory state,
        Profile memory rules,
        uint256 blockTime
    ) internal pure returns (uint256 verdict, DeviceState memory next) {
        bool late = reading.measuredAt <= int256(uint256(state.lastTime));
        bool future = reading.measuredAt > int256(blockTime + rules.futureTolerance) || reading.measuredAt >= 2 ** 32;
        bool first = state.sequence == 0;
        int256 humidityBefore = int256(uint256(state.humidity));
        verdict =
            flag(late, 1) +
            flag(future, 2) +
            flag(outside(reading.temperature, rules.temperatureMin, rules.temperatureMax), 4) +
            flag(outside(reading.humidity, asInt(rules.humidityMin), asInt(rules.humidityMax)), 8) +
            flag(!first && jumps(reading.temperature, state.temperature, asInt(rules.temperatureStep)), 16) +
            flag(!first && jumps(reading.humidity, humidityBefore, asInt(rules.humidityStep)), 32);
        next = DeviceState({
            profile: state.profile,
            humidity: uint16(uint256(reading.humidity)),
            temperature: int16(reading.temperature),
            sequence: state.sequence + 1,
            lastTime: late || future ? state.lastTime : uint32(uint256(reading.measuredAt)),
            head: state.head
        });
    }

    /// @dev Head not moved.
    function judgeBatch(
        uint256 header,
        bytes memory data,
        DeviceState memory state,
        Profile memory rules,
        uint256 blockTime
    ) internal pure returns (bytes memory exceptions, DeviceState memory next) {
        uint256 count = (header >> 8) % 2 ** 16;
        uint256 width = data.length / count;
        next = state;
        int256 clock = int256((header >> 64) % 2 ** 32);
        for (uint256 i = 0; i < count; ++i) {
            uint256 offset = i * width;
            if (width == 6) {
                clock += word16(data, offset);
            } else if (i > 0) {
                clock += int256((header >> 48) % 2 ** 16);
            }
            int256 temperature = word16(data, offset + width - 4);
            if (temperature >= 2 ** 15) temperature -= 2 ** 16;
            uint256 verdict;
            Reading memory reading = Reading(clock, temperature, word16(data, offset + width - 2));
            (verdict, next) = judgeOne(reading, next, rules, blockTime);
            if (verdict != 0) exceptions = abi.encodePacked(exceptions, uint16(i), uint8(verdict));
        }
    }

    function word16(bytes memory data, uint256 offset) private pure returns (int256) {
        return int256(uint256(uint8(data[offset])) * 256 + uint256(uint8(data[offset + 1])));
    }

    function flag(bool broken, uint256 value) private pure returns (uint256) {
        return broken ? value : 0;
    }

    function outside(int256 value, int256 low, int256 high) private pure returns (bool) {
        return !(low <= value && value <= high);
    }

    function jumps(int256 value, int256 before, int256 step) private pure returns (bool) {
        return value > before + step || value < before - step;
    }

    function asInt(uint16 value) private pure returns (int256) {
        return int256(uint256(value));
    }
}
