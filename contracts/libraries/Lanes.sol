// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Profile} from "../interfaces/ISensorRegistry.sol";

/// @title Lane arithmetic: sixteen comparisons in one subtraction
/// @notice A word is sixteen lanes of 16 bits. A lane holds a value of 14 bits, 0 to 0x3FFF, so that sums and
/// differences of a few lanes stay inside 16 bits: no carry or borrow reaches the neighbour, and one operation on
/// words is sixteen small ones.
///
/// Values. A humidity (0.01 %RH) is its lane's value. A temperature (0.01 degC) is biased: `T + 0x1000`, for -40.96 to
/// 122.87 degC. What does not fit 14 bits sets one of its lane's two top bits (`SPILL`); what would be negative borrows
/// from the neighbour, but sets them too. So a word with no spilt bit is right in every lane.
///
/// Range. For `0 <= y <= 0x3FFF`: bit 15 of `y + (0x8000 - least)` is set just where `y >= least`, and bit 15 of
/// `(0x8000 + most) - y` just where `y <= most`. Both lie in 0x4000 to 0xBFFF.
///
/// Step. With `d = y - before`, at most 0x3FFF either way, and `s` the largest legal step, at most 0x3FFF: bit 15 of
/// `e = (0x8000 + s) + d` is set just where `d >= -s`, and bit 15 of `2 * (0x8000 + s) - e`, which is
/// `(0x8000 + s) - d`, just where `d <= s`. Both lie in 0x4001 to 0xFFFE. (`2 * (0x8000 + s)` needs 17 bits; the words'
/// difference is right modulo 2^256 all the same, and each of its lanes fits.) A change `c` that comes as
/// `u = c + 128` is within a step where `128 - s <= u <= 128 + s`: a range.
///
/// Running sums. Times `ONES`, each lane becomes the sum of itself and all lanes below. A word's first reading stands
/// in its highest lane, so the sum of a lane and all before it is the sum of all lanes less the sum of those below.
///
/// Slither's `assembly` and `too-many-digits` are off (`slither.config.json`): blocks of assembly are what makes a reading
/// cheap here and in `BatchLog`, and are proved or tested against plain twins; a lane's bits are read by their digits.
///
/// `tests/proofs` proves this lane by lane; `PlainJudge` in `tests/contracts` is the plain twin of what it is used for.
library Lanes {
    /// @notice 1 in each lane.
    uint256 internal constant ONES = 0x0001000100010001000100010001000100010001000100010001000100010001;
    /// @notice 1 in every second lane: readings of 4 bytes (temperature, humidity), eight a word.
    uint256 internal constant PAIRS = 0x0000000100000001000000010000000100000001000000010000000100000001;
    /// @notice 1 in every third lane: readings of 6 bytes (gap, temperature, humidity), five in the lower 240 bits.
    uint256 internal constant TRIPLES = 0x0000000000000001000000000001000000000001000000000001000000000001;
    /// @notice The bit of each lane that a comparison sets.
    uint256 internal constant HIGH = 0x8000 * ONES;
    /// @notice The bits of each lane that no value has.
    uint256 internal constant SPILL = 0xC000 * ONES;

    /// @notice An answer for a word that the lanes do not hold.
    uint256 internal constant SPILT = type(uint256).max;

    uint256 private constant MOST = 0x3FFF;
    uint256 private constant TEMPERATURE_BIAS = 0x1000;
    /// @dev 128 times how many lanes are not below: 1 in the highest, 16 in the lowest.
    uint256 internal constant SUMS_BIAS = 128 * 0x000100020003000400050006000700080009000a000b000c000d000e000f0010;

    /// @notice What the lanes of a delta batch's words are compared with. Sums of changes come without `SUMS_BIAS`, so that
    /// their bounds hold it instead; changes come with 128 more than they say.
    /// @param temperature Room for `skipChanges`.
    /// @param humidity Likewise.
    struct ChangeBounds {
        uint256 lowerTemperature;
        uint256 upperTemperature;
        uint256 lowerWarming;
        uint256 upperWarming;
        uint256 lowerHumidity;
        uint256 upperHumidity;
        uint256 lowerWetting;
        uint256 upperWetting;
        uint256 temperature;
        uint256 humidity;
    }

    /// @notice What the two lanes of a reading are compared with, temperature above humidity.
    /// @dev A bound that no lane can hold becomes the nearest one that compares alike.
    /// @return lower `0x8000 - least`.
    /// @return upper `0x8000 + most`.
    /// @return step `0x8000 + s`.
    function bounds(Profile calldata rules) internal pure returns (uint256 lower, uint256 upper, uint256 step) {
        unchecked {
            int256 least = rules.temperatureMin + int256(TEMPERATURE_BIAS);
            int256 most = rules.temperatureMax + int256(TEMPERATURE_BIAS);
            // casting to uint256 is safe: what is negative is not cast
            lower = 0x8000 - (least < 0 ? 0 : _min(uint256(least), MOST + 1));
            upper = most < 0 ? 0x7FFF : 0x8000 + _min(uint256(most), MOST);
            lower = (lower << 16) | (0x8000 - _min(rules.humidityMin, MOST + 1));
            upper = (upper << 16) | (0x8000 + _min(rules.humidityMax, MOST));
            step = 0x80008000 | (_min(rules.temperatureStep, MOST) << 16) | _min(rules.humidityStep, MOST);
        }
    }

    /// @notice The bounds of a delta batch's words, from those of a reading's two lanes.
    function changeBounds(uint256 lower, uint256 upper, uint256 step) internal pure returns (ChangeBounds memory b) {
        unchecked {
            b.lowerTemperature = (lower >> 16) * ONES - SUMS_BIAS;
            b.upperTemperature = (upper >> 16) * ONES + SUMS_BIAS;
            b.lowerWarming = ((step >> 16) - 128) * ONES;
            b.upperWarming = ((step >> 16) + 128) * ONES;
            b.lowerHumidity = uint16(lower) * ONES - SUMS_BIAS;
            b.upperHumidity = uint16(upper) * ONES + SUMS_BIAS;
            b.lowerWetting = (uint16(step) - 128) * ONES;
            b.upperWetting = (uint16(step) + 128) * ONES;
        }
    }

    /// @notice The lanes of readings as they travel: two's complement temperatures become biased ones.
    /// @dev `t ^ 0x8000` is `t + 0x8000`; less 0x7000, that is `t + 0x1000`.
    /// @param readings Temperature and humidity of each reading in neighbouring lanes.
    /// @param every 1 in each reading's humidity lane: `PAIRS`, `TRIPLES`, or 1.
    function fromReadings(uint256 readings, uint256 every) internal pure returns (uint256) {
        unchecked {
            return (readings ^ (0x80000000 * every)) - 0x70000000 * every;
        }
    }

    /// @notice The lanes of one reading, and nothing above them.
    function fromReading(uint256 reading) internal pure returns (uint256) {
        return uint32(fromReadings(reading, 1));
    }

    /// @notice What `fromReading` came from.
    function toReading(uint256 lanes) internal pure returns (uint256) {
        unchecked {
            return uint32((lanes + 0x70000000) ^ 0x80000000);
        }
    }

    /// @notice Sets the bit `HIGH` of each lane that is inside its range; the other bits mean nothing.
    function inRange(uint256 lanes, uint256 lower, uint256 upper) internal pure returns (uint256) {
        unchecked {
            return (lanes + lower) & (upper - lanes);
        }
    }

    /// @notice Sets the bit `HIGH` of each lane that is within a step of the one before; the others mean nothing.
    function inStep(uint256 lanes, uint256 before, uint256 step) internal pure returns (uint256) {
        unchecked {
            uint256 e = lanes + step - before;
            return e & ((step << 1) - e);
        }
    }

    /// @notice The values that a word of changes leads to, one after the other.
    /// @param changes Each lane: change + 128, 0 to 255.
    /// @param value The lane's value before the first of them.
    /// @return The values, each + its lane of `SUMS_BIAS`.
    function runningSums(uint256 changes, uint256 value) internal pure returns (uint256) {
        unchecked {
            uint256 sums = changes * ONES;
            return (value + (sums >> 240)) * ONES - (sums << 16);
        }
    }

    /// @notice Each reading's flags, in the lowest byte of its lanes.
    /// @param range As of `inRange`.
    /// @param step As of `inStep`.
    /// @param live The bits `HIGH` of the lanes that hold readings.
    function flagsOf(uint256 range, uint256 step, uint256 live, uint256 every) internal pure returns (uint256) {
        range = ~range & live;
        step = ~step & live;
        return
            ((range >> 29) & (4 * every)) |
            ((range >> 12) & (8 * every)) |
            ((step >> 27) & (16 * every)) |
            ((step >> 10) & (32 * every));
    }

    /// @notice A delta batch's word of sixteen changes: which do not lead to a legal reading.
    /// @param word The changes; what does not belong to the batch is 0.
    /// @param before The lanes of the reading before.
    /// @return flags Each reading's flags, in its lane; `SPILT` where lanes do not hold it.
    /// @return last The lanes of the last reading.
    function judgeChanges(
        uint256 word,
        uint256 before,
        ChangeBounds memory b
    ) internal pure returns (uint256 flags, uint256 last) {
        unchecked {
            word ^= 0x8080 * ONES;
            uint256 changes = (word >> 8) & (0xFF * ONES);
            uint256 sums = runningSums(changes, before >> 16);
            uint256 spilt = before | (sums - SUMS_BIAS);
            flags = (~inRange(sums, b.lowerTemperature, b.upperTemperature) & HIGH) >> 13;
            flags |= (~inRange(changes, b.lowerWarming, b.upperWarming) & HIGH) >> 11;
            last = (sums - SUMS_BIAS) << 16;
            changes = word & (0xFF * ONES);
            sums = runningSums(changes, before & 0xFFFF);
            spilt |= sums - SUMS_BIAS;
            flags |= (~inRange(sums, b.lowerHumidity, b.upperHumidity) & HIGH) >> 12;
            flags |= (~inRange(changes, b.lowerWetting, b.upperWetting) & HIGH) >> 10;
            last = uint32(last) | ((sums - SUMS_BIAS) & 0xFFFF);
            if (spilt & SPILL != 0) flags = SPILT;
        }
    }

    /// @notice Skips a delta batch's words up to one that does not lead to legal readings alone.
    /// @dev No need to look for spilt bits in each: a word of 16 changes moves a value by at most 2048, so that every sum
    /// here still fits its lane, and what is inside its range is a value of 14 bits.
    /// @param before As of `judgeChanges`.
    /// @return found Where that word is; `limit` or more where there is none.
    /// @return last The lanes of the reading before it.
    function skipChanges(
        uint256 place,
        uint256 limit,
        uint256 before,
        ChangeBounds memory b
    ) internal pure returns (uint256 found, uint256 last) {
        uint256 ones = ONES;
        uint256 high = HIGH;
        uint256 spill = SPILL;
        assembly ("memory-safe") {
            let temperature := add(b, 0x100)
            let humidity := add(b, 0x120)
            mstore(temperature, shr(16, before))
            mstore(humidity, and(before, 0xFFFF))
            if and(before, spill) {
                limit := 0
            }
            for {
                found := place
            } lt(found, limit) {
                found := add(found, 32)
            } {
                let u := xor(calldataload(found), mul(0x8080, ones))
                let changes := and(shr(8, u), mul(0xFF, ones))
                u := and(u, mul(0xFF, ones))
                let sums := mul(changes, ones)
                let value := add(mload(temperature), shr(240, sums))
                sums := sub(mul(value, ones), shl(16, sums))
                let good := and(
                    and(add(sums, mload(b)), sub(mload(add(b, 0x20)), sums)),
                    and(add(changes, mload(add(b, 0x40))), sub(mload(add(b, 0x60)), changes))
                )
                sums := mul(u, ones)
                changes := add(mload(humidity), shr(240, sums))
                sums := sub(mul(changes, ones), shl(16, sums))
                good := and(
                    and(good, and(add(sums, mload(add(b, 0x80))), sub(mload(add(b, 0xa0)), sums))),
                    and(add(u, mload(add(b, 0xc0))), sub(mload(add(b, 0xe0)), u))
                )
                if and(not(good), high) {
                    break
                }
                mstore(temperature, sub(value, 2048))
                mstore(humidity, sub(changes, 2048))
            }
            last := or(shl(16, mload(temperature)), mload(humidity))
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
