// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Profile} from "../interfaces/ISensorRegistry.sol";
import {Lanes} from "./Lanes.sol";

/// @title A profile's storage slot
/// @notice unused (32 bits) | lane step (32) | lane upper (32) | lane lower (32) | future tolerance (32) | humidity step
/// (16) | max (16) | min (16) | temperature step (16) | max (16, signed) | min (16, signed), highest bits first: the slot
/// that Solidity would give `Profile`, and above it what `Lanes.bounds` makes of the rules, once for all batches.
library ProfileSlot {
    function pack(Profile calldata rules) internal pure returns (uint256) {
        (uint256 lower, uint256 upper, uint256 step) = Lanes.bounds(rules);
        return
            (step << 192) |
            (upper << 160) |
            (lower << 128) |
            (uint256(rules.futureTolerance) << 96) |
            (uint256(rules.humidityStep) << 80) |
            (uint256(rules.humidityMax) << 64) |
            (uint256(rules.humidityMin) << 48) |
            (uint256(rules.temperatureStep) << 32) |
            (uint256(uint16(rules.temperatureMax)) << 16) |
            uint16(rules.temperatureMin);
    }

    function unpack(uint256 rules) internal pure returns (Profile memory) {
        return
            Profile({
                temperatureMin: int16(uint16(rules)),
                temperatureMax: int16(uint16(rules >> 16)),
                temperatureStep: uint16(rules >> 32),
                humidityMin: uint16(rules >> 48),
                humidityMax: uint16(rules >> 64),
                humidityStep: uint16(rules >> 80),
                futureTolerance: uint32(rules >> 96)
            });
    }

    function temperatureMin(uint256 rules) internal pure returns (int256) {
        return int16(uint16(rules));
    }

    function temperatureMax(uint256 rules) internal pure returns (int256) {
        return int16(uint16(rules >> 16));
    }

    function temperatureStep(uint256 rules) internal pure returns (uint256) {
        return uint16(rules >> 32);
    }

    function humidityMin(uint256 rules) internal pure returns (uint256) {
        return uint16(rules >> 48);
    }

    function humidityMax(uint256 rules) internal pure returns (uint256) {
        return uint16(rules >> 64);
    }

    function humidityStep(uint256 rules) internal pure returns (uint256) {
        return uint16(rules >> 80);
    }

    function futureTolerance(uint256 rules) internal pure returns (uint256) {
        return uint32(rules >> 96);
    }

    /// @notice See `Lanes.bounds`.
    function lanes(uint256 rules) internal pure returns (uint256 lower, uint256 upper, uint256 step) {
        return (uint32(rules >> 128), uint32(rules >> 160), uint32(rules >> 192));
    }
}
