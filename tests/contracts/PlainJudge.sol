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
        next = state;
        Reading memory reading;
        for (uint256 i = 0; i < (header >> 8) % 2 ** 16; ++i) {
            reading = readingAt(header, data, i, reading);
            uint256 verdict;
            (verdict, next) = judgeOne(reading, next, rules, blockTime);
            if (verdict != 0) exceptions = abi.encodePacked(exceptions, uint16(i), uint8(verdict));
        }
    }

    /// @dev Of format 1 (timed), 2 (regular) or 3 (delta).
    function readingAt(
        uint256 header,
        bytes memory data,
        uint256 i,
        Reading memory before
    ) internal pure returns (Reading memory) {
        int256 start = int256((header >> 64) % 2 ** 32);
        int256 period = int256((header >> 48) % 2 ** 16);
        if (header % 256 == 1) {
            int256 clock = (i == 0 ? start : before.measuredAt) + word16(data, 6 * i);
            return Reading(clock, signed(word16(data, 6 * i + 2), 2 ** 16), word16(data, 6 * i + 4));
        }
        int256 time = start + int256(i) * period;
        if (header % 256 == 2 || i == 0) {
            return Reading(time, signed(word16(data, 4 * i), 2 ** 16), word16(data, 4 * i + 2));
        }
        int256 temperature = before.temperature + signed(int256(uint256(uint8(data[2 * i + 2]))), 256);
        int256 humidity = before.humidity + signed(int256(uint256(uint8(data[2 * i + 3]))), 256);
        // Both wrap at 16 bits.
        if (temperature >= 2 ** 15) temperature -= 2 ** 16;
        if (temperature < -(2 ** 15)) temperature += 2 ** 16;
        if (humidity >= 2 ** 16) humidity -= 2 ** 16;
        if (humidity < 0) humidity += 2 ** 16;
        return Reading(time, temperature, humidity);
    }

    function signed(int256 value, int256 modulus) private pure returns (int256) {
        return value >= modulus / 2 ? value - modulus : value;
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
