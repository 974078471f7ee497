// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, Profile} from "../../contracts/interfaces/ISensorRegistry.sol";

/// @notice Batches, profiles and states from a seed, bent towards every boundary of the rules and of 14-bit lanes.
library Source {
    /// @dev What is left to draw from.
    struct Draw {
        uint256 seed;
    }

    function below(Draw memory draw, uint256 limit) internal pure returns (uint256) {
        draw.seed = uint256(keccak256(bytes.concat(bytes32(draw.seed))));
        return draw.seed % limit;
    }

    /// @dev -1, 0 or 1.
    function jitter(Draw memory draw) internal pure returns (int256) {
        return int256(below(draw, 3)) - 1;
    }

    function clip(int256 value, int256 low, int256 high) internal pure returns (int256) {
        return value < low ? low : (value > high ? high : value);
    }

    function anyTemperature(Draw memory draw) internal pure returns (int256) {
        int256[8] memory anchors = [int256(-(2 ** 15)), -4097, -4096, 0, 2000, 12287, 12288, 2 ** 15 - 1];
        if (below(draw, 4) == 0) return int256(below(draw, 2 ** 16)) - 2 ** 15;
        return clip(anchors[below(draw, 8)] + jitter(draw), -(2 ** 15), 2 ** 15 - 1);
    }

    function anyHumidity(Draw memory draw) internal pure returns (int256) {
        int256[6] memory anchors = [int256(0), 500, 9800, 2 ** 14 - 1, 2 ** 14, 2 ** 16 - 1];
        if (below(draw, 4) == 0) return int256(below(draw, 2 ** 16));
        return clip(anchors[below(draw, 6)] + jitter(draw), 0, 2 ** 16 - 1);
    }

    function anyStep(Draw memory draw) internal pure returns (uint16) {
        uint16[10] memory anchors = [uint16(0), 1, 100, 126, 127, 128, 2 ** 14 - 1, 2 ** 14, 2 ** 15, 2 ** 16 - 1];
        return below(draw, 5) == 0 ? uint16(below(draw, 2 ** 16)) : anchors[below(draw, 10)];
    }

    function anyProfile(Draw memory draw) internal pure returns (Profile memory) {
        if (below(draw, 4) == 0) return Profile(0, 5000, 100, 500, 9800, 500, 60);
        (int256 a, int256 b) = (anyTemperature(draw), anyTemperature(draw));
        (int256 c, int256 d) = (anyHumidity(draw), anyHumidity(draw));
        uint32[4] memory tolerances = [uint32(0), 60, 2 ** 32 - 1, uint32(below(draw, 2 ** 32))];
        return
            Profile({
                temperatureMin: int16(a < b ? a : b),
                temperatureMax: int16(a < b ? b : a),
                temperatureStep: anyStep(draw),
                humidityMin: uint16(uint256(c < d ? c : d)),
                humidityMax: uint16(uint256(c < d ? d : c)),
                humidityStep: anyStep(draw),
                futureTolerance: tolerances[below(draw, 4)]
            });
    }

    function anyState(
        Draw memory draw,
        Profile memory rules,
        uint256 blockTime
    ) internal pure returns (DeviceState memory) {
        uint256[4] memory times = [0, blockTime, below(draw, 2 ** 32), blockTime > 9999 ? blockTime - 9999 : 0];
        bool isCalm = below(draw, 2) == 0;
        int256 temperature = isCalm ? int256(rules.temperatureMin) : anyTemperature(draw);
        int256 humidity = isCalm ? int256(uint256(rules.humidityMax)) : anyHumidity(draw);
        return
            DeviceState({
                profile: 1,
                humidity: uint16(uint256(humidity)),
                temperature: int16(temperature),
                sequence: below(draw, 3) == 0 ? 0 : uint24(below(draw, 2 ** 24 - 100)),
                lastTime: uint32(times[below(draw, 4)]),
                head: bytes20(keccak256(bytes.concat(bytes32(draw.seed))))
            });
    }

    function anyCount(Draw memory draw) internal pure returns (uint256) {
        uint256[12] memory ends = [uint256(1), 2, 5, 6, 8, 9, 10, 16, 17, 18, 32, 33];
        return below(draw, 2) == 0 ? ends[below(draw, 12)] : 1 + below(draw, 50);
    }

    /// @dev Near the value before, or at an edge of the rules or of the lanes.
    /// @param wild One of so many is not calm.
    function anyValue(
        Draw memory draw,
        int256 before,
        int256[5] memory edges,
        uint256 wild
    ) internal pure returns (int256) {
        (int256 low, int256 high, int256 step) = (edges[0], edges[1], edges[2]);
        int256 value;
        if (below(draw, wild) != 0) {
            value = clip(clip(before + 7 * jitter(draw), before - step, before + step), low, high);
        } else {
            int256[6] memory choices = [low, high, before + step, before - step, -4096, 12287];
            if (edges[3] == 0) (choices[4], choices[5]) = (2 ** 14 - 1, 2 ** 14);
            value = choices[below(draw, 6)] + jitter(draw);
            if (below(draw, 8) == 0) value = edges[3] + int256(below(draw, 2 ** 16));
        }
        return clip(value, edges[3], edges[4]);
    }

    /// @dev A batch's readings in one of the three formats, and the sum of the times between them.
    function anyData(
        Draw memory draw,
        uint8 format,
        uint256 count,
        DeviceState memory state,
        Profile memory rules
    ) internal pure returns (bytes memory data, uint256 firstGap, uint256 span) {
        uint256[4] memory degrees = [uint256(1), 4, 40, 100_000];
        uint256 wild = degrees[below(draw, 4)];
        uint256 wildGap = degrees[below(draw, 4)];
        int256 temperature = state.temperature;
        int256 humidity = int256(uint256(state.humidity));
        for (uint256 i = 0; i < count; ++i) {
            if (format == 3 && i != 0) {
                data = abi.encodePacked(
                    data,
                    anyChange(draw, rules.temperatureStep, wild),
                    anyChange(draw, rules.humidityStep, wild)
                );
                continue;
            }
            if (format == 1) {
                uint256 gap = anyGap(draw, wildGap);
                if (i == 0) firstGap = gap;
                span += gap;
                data = abi.encodePacked(data, uint16(gap));
            }
            temperature = anyValue(draw, temperature, temperatureEdges(rules), wild);
            humidity = anyValue(draw, humidity, humidityEdges(rules), wild);
            data = abi.encodePacked(data, int16(temperature), uint16(uint256(humidity)));
        }
    }

    function temperatureEdges(Profile memory rules) internal pure returns (int256[5] memory) {
        int256 step = int256(uint256(rules.temperatureStep));
        return [int256(rules.temperatureMin), rules.temperatureMax, step, -(2 ** 15), 2 ** 15 - 1];
    }

    function humidityEdges(Profile memory rules) internal pure returns (int256[5] memory) {
        (int256 low, int256 high) = (int256(uint256(rules.humidityMin)), int256(uint256(rules.humidityMax)));
        return [low, high, int256(uint256(rules.humidityStep)), 0, 2 ** 16 - 1];
    }

    function anyChange(Draw memory draw, uint16 step, uint256 wild) internal pure returns (int8) {
        if (below(draw, wild) != 0) return int8(step == 0 ? int256(0) : jitter(draw));
        int256 edge = clip(int256(uint256(step)), 0, 127) + jitter(draw);
        int256[6] memory choices = [int256(-128), 127, edge, -edge, int256(below(draw, 256)) - 128, -127];
        return int8(clip(choices[below(draw, 6)], -128, 127));
    }

    function anyGap(Draw memory draw, uint256 wild) internal pure returns (uint256) {
        uint256[6] memory anchors = [uint256(0), 1, 2 ** 14 - 1, 2 ** 14, 2 ** 16 - 1, below(draw, 2 ** 16)];
        return below(draw, wild) == 0 ? anchors[below(draw, 6)] : 1 + below(draw, 60);
    }

    /// @dev At the last time, at the end of what is not in the future, or anywhere.
    function anyStart(
        Draw memory draw,
        DeviceState memory state,
        uint256 latest,
        uint256 firstGap,
        uint256 span
    ) internal pure returns (uint32) {
        int256 last = int256(uint256(state.lastTime));
        int256[6] memory anchors = [
            last + 1,
            last - int256(firstGap) + 1,
            last - int256(span),
            int256(latest) - int256(span),
            int256(latest),
            int256(below(draw, 2 ** 32))
        ];
        return uint32(uint256(clip(anchors[below(draw, 6)] + jitter(draw), 0, 2 ** 32 - 1)));
    }

    function anyPeriod(Draw memory draw) internal pure returns (uint16) {
        uint16[5] memory anchors = [uint16(0), 1, 30, 2 ** 16 - 1, uint16(below(draw, 2 ** 16))];
        return below(draw, 3) == 0 ? anchors[below(draw, 5)] : 30;
    }
}
