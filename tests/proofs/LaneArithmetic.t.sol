// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Profile} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Judge} from "../../contracts/libraries/Judge.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {ProfileSlot} from "../../contracts/libraries/ProfileSlot.sol";
import {Vm} from "../contracts/Vm.sol";

/// @notice Proofs, by Halmos, that the operations of `Lanes` on words are what they claim to be on each lane. A word is
/// sixteen lanes of 16 bits; lane 0 is the lowest.
/// @dev A `check_` function holds for every argument that its assumptions let through: Halmos runs it once with symbols
/// for arguments and asks a solver, for each `assert`, whether any argument breaks it. What is assumed or asserted
/// earlier in the same function is known in the later questions, and only that: so a lane whose assumptions come just
/// before its assertion cannot depend on lanes above it.
contract LaneArithmeticProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 private constant MOST = 0x3FFF;

    /// @notice (a) A bound times `ONES`, `PAIRS` or `TRIPLES` is that bound in every lane, or in every lane of its kind.
    function check_copies(uint256 bound) external pure {
        unchecked {
            for (uint256 i = 0; i < 15; ++i) {
                assert(lane((bound & 0xFFFF) * Lanes.ONES, i) == lane(bound, 0));
                assert(lane((bound & 0xFFFFFFFF) * Lanes.PAIRS, i) == lane(bound, i % 2));
                assert(lane((bound & 0xFFFFFFFFFFFF) * Lanes.TRIPLES, i) == lane(bound, i % 3));
            }
            assert(lane((bound & 0xFFFF) * Lanes.ONES, 15) == lane(bound, 0));
            assert(lane((bound & 0xFFFFFFFF) * Lanes.PAIRS, 15) == lane(bound, 1));
            assert(lane((bound & 0xFFFFFFFFFFFF) * Lanes.TRIPLES, 15) == 0);
        }
    }

    /// @notice (b) `inRange` sets a lane's highest bit just where `least <= y <= most`, `lower` being `0x8000 - least` and
    /// `upper` `0x8000 + most`; `least` may be one more than any value, `most` one less.
    function check_inRange(uint256 y, uint256 lower, uint256 upper) external pure {
        uint256 range = Lanes.inRange(y, lower, upper);
        for (uint256 i = 0; i < 16; ++i) {
            vm.assume(lane(y, i) <= MOST);
            assumeRange(lane(lower, i), lane(upper, i));
            assert(isHigh(range, i) == isWithin(lane(y, i), lane(lower, i), lane(upper, i)));
        }
    }

    /// @notice (c) `inStep` sets a lane's highest bit just where `|y - before| <= s`, `step` being `0x8000 + s`.
    function check_inStep(uint256 y, uint256 before, uint256 step) external pure {
        uint256 steps = Lanes.inStep(y, before, step);
        for (uint256 i = 0; i < 16; ++i) {
            vm.assume(lane(y, i) <= MOST);
            vm.assume(lane(before, i) <= MOST);
            assumeStep(lane(step, i));
            assert(isHigh(steps, i) == isNear(lane(y, i), lane(before, i), lane(step, i)));
        }
    }

    /// @notice (d) A word of readings without spilt bits is right in every lane: eight of four bytes.
    function check_pairsForward(uint256 word) external pure {
        uint256 y = Lanes.fromReadings(word, Lanes.PAIRS);
        vm.assume(y & Lanes.SPILL == 0);
        for (uint256 i = 0; i < 16; i += 2) {
            assert(lane(y, i) == lane(word, i));
            assert(int256(lane(y, i + 1)) == temperatureAt(word, i + 1) + 4096);
        }
    }

    /// @notice (d) Readings that fit their lanes have no spilt bits: eight of four bytes.
    function check_pairsBackward(uint256 word) external pure {
        for (uint256 i = 0; i < 16; i += 2) vm.assume(fits(lane(word, i), temperatureAt(word, i + 1)));
        assert(Lanes.fromReadings(word, Lanes.PAIRS) & Lanes.SPILL == 0);
    }

    /// @notice (d) As the pairs: five readings of six bytes, the gap highest.
    function check_triplesForward(uint256 word) external pure {
        vm.assume(word >> 240 == 0);
        uint256 y = Lanes.fromReadings(word, Lanes.TRIPLES);
        vm.assume(y & Lanes.SPILL == 0);
        for (uint256 i = 0; i < 15; i += 3) {
            assert(lane(y, i) == lane(word, i));
            assert(int256(lane(y, i + 1)) == temperatureAt(word, i + 1) + 4096);
            assert(lane(y, i + 2) == lane(word, i + 2));
        }
        assert(lane(y, 15) == 0);
    }

    /// @notice (d) As the pairs: five readings of six bytes.
    function check_triplesBackward(uint256 word) external pure {
        vm.assume(word >> 240 == 0);
        for (uint256 i = 0; i < 15; i += 3) {
            vm.assume(fits(lane(word, i), temperatureAt(word, i + 1)));
            vm.assume(lane(word, i + 2) <= MOST);
        }
        assert(Lanes.fromReadings(word, Lanes.TRIPLES) & Lanes.SPILL == 0);
    }

    /// @notice (d) One reading: spilt bits just where it does not fit, else right in both lanes; and there is a way back.
    function check_oneReading(uint32 reading) external pure {
        uint256 y = Lanes.fromReading(reading);
        bool spilt = y & Lanes.SPILL != 0;
        assert(spilt != fits(lane(reading, 0), temperatureAt(reading, 1)));
        assert(either(spilt, lane(y, 0) == lane(reading, 0)));
        assert(either(spilt, int256(lane(y, 1)) == temperatureAt(reading, 1) + 4096));
        assert(y >> 32 == 0);
        assert(Lanes.toReading(y) == reading);
    }

    /// @notice (e) Whatever a profile's rules: its slot gives them back, and what `bounds` makes of them, which lies where
    /// (b) and (c) ask for it.
    function check_profileSlot(Profile calldata rules) external pure {
        uint256 slot = ProfileSlot.pack(rules);
        assert(keccak256(abi.encode(ProfileSlot.unpack(slot))) == keccak256(abi.encode(rules)));
        (uint256 lower, uint256 upper, uint256 step) = ProfileSlot.lanes(slot);
        (uint256 givenLower, uint256 givenUpper, uint256 givenStep) = Lanes.bounds(rules);
        assert(both(lower == givenLower, both(upper == givenUpper, step == givenStep)));
        for (uint256 i = 0; i < 2; ++i) {
            assert(isRange(lane(lower, i), lane(upper, i)));
            assert(isStep(lane(step, i)));
        }
    }

    /// @notice (e) Whatever a profile's rules, and for every value of a lane: it compares with what `bounds` makes of the
    /// rules as the true value does with the rules themselves.
    function check_bounds(Profile calldata rules, uint256 y) external pure {
        vm.assume(y <= MOST);
        (uint256 lower, uint256 upper, uint256 step) = Lanes.bounds(rules);
        int256 temperature = int256(y) - 4096;
        assert((lane(lower, 1) + y >= 0x8000) == (temperature >= rules.temperatureMin));
        assert((lane(upper, 1) >= 0x8000 + y) == (temperature <= rules.temperatureMax));
        assert((lane(step, 1) >= 0x8000 + y) == (y <= rules.temperatureStep));
        assert((lane(lower, 0) + y >= 0x8000) == (y >= rules.humidityMin));
        assert((lane(upper, 0) >= 0x8000 + y) == (y <= rules.humidityMax));
        assert((lane(step, 0) >= 0x8000 + y) == (y <= rules.humidityStep));
    }

    /// @notice (f) `flagsOf` puts the flags of each of eight readings into its lowest byte, and nothing else anywhere.
    function check_flagsOfPairs(uint256 range, uint256 step, uint256 live) external pure {
        vm.assume(live & ~Lanes.HIGH == 0);
        uint256 flags = Lanes.flagsOf(range, step, live, Lanes.PAIRS);
        for (uint256 i = 0; i < 16; i += 2) {
            assert((flags >> (16 * i)) & 0xFFFFFFFF == flagsAt(range, step, live, i));
        }
    }

    /// @notice (f) As the pairs: five readings.
    function check_flagsOfTriples(uint256 range, uint256 step, uint256 live) external pure {
        vm.assume(live & ~Lanes.HIGH == 0);
        uint256 flags = Lanes.flagsOf(range, step, live, Lanes.TRIPLES);
        for (uint256 i = 0; i < 15; i += 3) {
            assert((flags >> (16 * i)) & 0xFFFFFFFFFFFF == flagsAt(range, step, live, i));
        }
        assert(flags >> 240 == 0);
    }

    /// @notice (g) Running sums. The definition to be met: `value[i] = value[i + 1] + changes[i]`, from `value[16]` down.
    /// The solver finds no answer for the whole at once, so it goes in steps, each for all words that the step before
    /// leaves possible. Step 0: `runningSums` is `fromSums` of `sums = changes * ONES`.
    function check_sums0(uint256 changes, uint256 value) external pure {
        unchecked {
            assert(Lanes.runningSums(changes, value) == fromSums(changes * Lanes.ONES, value));
        }
    }

    /// @notice (g) Step 1: `sums` is `changes + (sums << 16)`.
    function check_sums1(uint256 changes) external pure {
        unchecked {
            assert(changes * Lanes.ONES == changes + ((changes * Lanes.ONES) << 16));
        }
    }

    /// @notice (g) Step 2: for any such `sums`, each lane is the lane below plus its change, and at most 4080.
    function check_sums2(uint256 changes, uint256 sums) external pure {
        vm.assume(changes & (0xFF00 * Lanes.ONES) == 0);
        unchecked {
            vm.assume(sums == changes + (sums << 16));
            for (uint256 i = 0; i < 16; ++i) {
                assert(lane(sums, i) == laneBelow(sums, i) + lane(changes, i));
                assert(lane(sums, i) <= 255 * (i + 1));
            }
        }
    }

    /// @notice (g) Step 3: for any such lanes, those of `fromSums` meet the definition, and lie between `value` and
    /// `value` + 4080.
    function check_sums3(uint256 changes, uint256 sums, uint256 value) external pure {
        vm.assume(value <= MOST);
        for (uint256 i = 0; i < 16; ++i) {
            vm.assume(lane(sums, i) == laneBelow(sums, i) + lane(changes, i));
            vm.assume(lane(sums, i) <= 255 * (i + 1));
        }
        uint256 values = fromSums(sums, value);
        // From the lowest lane up: that no lane below borrows is known when the next is asked about.
        for (uint256 i = 0; i < 16; ++i) {
            assert(lane(values, i) == value + lane(sums, 15) - laneBelow(sums, i));
        }
        for (uint256 i = 16; i > 0; --i) {
            assert(lane(values, i - 1) == (i == 16 ? value : lane(values, i)) + lane(changes, i - 1));
        }
    }

    /// @notice (h) Delta words: 16 changes move a value by at most 2048, so that for any such sums, and whatever the
    /// bounds, no lane carries or borrows: a lane's highest bit is set just where the value, which may be negative or have
    /// more than 14 bits, is inside its range.
    function check_sumsInRange(uint256 sums, uint256 lower, uint256 upper) external pure {
        assumeRange(lower, upper);
        unchecked {
            uint256 range = Lanes.inRange(
                sums,
                lower * Lanes.ONES - Lanes.SUMS_BIAS,
                upper * Lanes.ONES + Lanes.SUMS_BIAS
            );
            for (uint256 i = 0; i < 16; ++i) {
                vm.assume(lane(sums, i) <= MOST + 4080);
                uint256 bias = 128 * (16 - i);
                bool notBelow = lane(sums, i) + lower >= 0x8000 + bias;
                bool notAbove = upper + bias >= 0x8000 + lane(sums, i);
                assert(isHigh(range, i) == both(notBelow, notAbove));
                // And then it is a value of 14 bits, whose lane has no spilt bit.
                assert(either(!isHigh(range, i), both(lane(sums, i) >= bias, lane(sums, i) <= MOST + bias)));
            }
        }
    }

    /// @notice (h) Delta words: values without spilt bits are right in every lane.
    function check_sumsForward(uint256 sums) external pure {
        for (uint256 i = 0; i < 16; ++i) vm.assume(lane(sums, i) <= MOST + 4080);
        unchecked {
            uint256 y = sums - Lanes.SUMS_BIAS;
            vm.assume(y & Lanes.SPILL == 0);
            for (uint256 i = 0; i < 16; ++i) assert(lane(y, i) + 128 * (16 - i) == lane(sums, i));
        }
    }

    /// @notice (h) Delta words: values that all fit their lanes have no spilt bits.
    function check_sumsBackward(uint256 sums) external pure {
        unchecked {
            uint256 y = sums - Lanes.SUMS_BIAS;
            for (uint256 i = 0; i < 16; ++i) {
                vm.assume(lane(sums, i) >= 128 * (16 - i));
                vm.assume(lane(sums, i) <= MOST + 128 * (16 - i));
                assert(lane(y, i) <= MOST);
            }
        }
    }

    /// @notice (h) Delta words: a change `c`, come as `u = c + 128`, is within a step just where its lane is inside its
    /// range.
    function check_changesInStep(uint256 changes, uint256 step) external pure {
        assumeStep(step);
        unchecked {
            uint256 range = Lanes.inRange(changes, (step - 128) * Lanes.ONES, (step + 128) * Lanes.ONES);
            for (uint256 i = 0; i < 16; ++i) {
                vm.assume(lane(changes, i) <= 255);
                assert(isHigh(range, i) == isNear(lane(changes, i), 128, step));
            }
        }
    }

    /// @notice (i) Of a delta word, `skipChanges` passes by just what `judgeChanges` finds without flags, and both leave
    /// the same last reading.
    /// @param word First, so that it stands where `skipChanges` is told to begin.
    function check_skip(uint256 word, uint256 before, uint256 lower, uint256 upper, uint256 step) external pure {
        vm.assume(before >> 32 == 0);
        for (uint256 i = 0; i < 2; ++i) {
            assumeRange(lane(lower, i), lane(upper, i));
            assumeStep(lane(step, i));
        }
        vm.assume((lower | upper | step) >> 32 == 0);
        Lanes.ChangeBounds memory b = Lanes.changeBounds(lower, upper, step);
        (uint256 flags, uint256 last) = Lanes.judgeChanges(word, before, b);
        (uint256 found, uint256 skipped) = Lanes.skipChanges(4, 5, before, b);
        assert((found != 4) == (flags == 0));
        assert(skipped == (found == 4 ? before : last));
    }

    /// @notice (j) All together, for a reading and the one before that both fit: the flags of their lanes are `Judge`'s.
    /// @param rules A profile's slot; that its bounds compare as the rules do is (e), assumed here.
    /// @param range What `inRange` gives; that it is what (b) shows is assumed here.
    /// @param steps What `inStep` gives, likewise by (c).
    function check_judge(uint256 rules, uint32 before, uint32 current, uint256 range, uint256 steps) external pure {
        uint256 y = Lanes.fromReading(current);
        uint256 b = Lanes.fromReading(before);
        vm.assume((y | b) & Lanes.SPILL == 0);
        for (uint256 i = 0; i < 2; ++i)
            assumeLane(rules, i, lane(y, i), lane(b, i), isHigh(range, i), isHigh(steps, i));
        assert(Lanes.flagsOf(range, steps, 0x80008000, 1) == Judge.values(rules, before, current));
    }

    /// @dev `isWithin` and `isNear`, in the rules' own terms by (e).
    function assumeLane(uint256 rules, uint256 i, uint256 y, uint256 b, bool inRange, bool inStep) private pure {
        int256 least = i == 1 ? ProfileSlot.temperatureMin(rules) + 4096 : int256(ProfileSlot.humidityMin(rules));
        int256 most = i == 1 ? ProfileSlot.temperatureMax(rules) + 4096 : int256(ProfileSlot.humidityMax(rules));
        uint256 largest = i == 1 ? ProfileSlot.temperatureStep(rules) : ProfileSlot.humidityStep(rules);
        vm.assume(inRange == both(int256(y) >= least, int256(y) <= most));
        vm.assume(inStep == (distance(y, b) <= largest));
    }

    function distance(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a > b ? a - b : b - a;
        }
    }

    function fromSums(uint256 sums, uint256 value) private pure returns (uint256) {
        unchecked {
            return (value + (sums >> 240)) * Lanes.ONES - (sums << 16);
        }
    }

    /// @dev What (b) asks of a lane's bounds.
    function isRange(uint256 lower, uint256 upper) private pure returns (bool) {
        return both(both(lower >= 0x4000, lower <= 0x8000), both(upper >= 0x7FFF, upper <= 0xBFFF));
    }

    function assumeRange(uint256 lower, uint256 upper) private pure {
        vm.assume(isRange(lower, upper));
    }

    /// @dev What (c) asks of a lane's bound.
    function isStep(uint256 step) private pure returns (bool) {
        return both(step >= 0x8000, step <= 0xBFFF);
    }

    function assumeStep(uint256 step) private pure {
        vm.assume(isStep(step));
    }

    function isWithin(uint256 y, uint256 lower, uint256 upper) private pure returns (bool) {
        unchecked {
            return both(0x8000 - lower <= y, 0x8000 + y <= upper);
        }
    }

    function isNear(uint256 y, uint256 before, uint256 step) private pure returns (bool) {
        unchecked {
            return both(before <= y + (step - 0x8000), y <= before + (step - 0x8000));
        }
    }

    function flagsAt(uint256 range, uint256 step, uint256 live, uint256 i) private pure returns (uint256 flags) {
        unchecked {
            flags = 4 * broken(range, live, i + 1) + 8 * broken(range, live, i);
            flags += 16 * broken(step, live, i + 1) + 32 * broken(step, live, i);
        }
    }

    /// @dev 1 where a lane that holds something is not good.
    function broken(uint256 good, uint256 live, uint256 i) private pure returns (uint256) {
        return ((~good & live) >> (16 * i + 15)) & 1;
    }

    /// @dev 0.01 degC, in two's complement.
    function temperatureAt(uint256 word, uint256 i) private pure returns (int256) {
        return int16(uint16(word >> (16 * i)));
    }

    function fits(uint256 humidity, int256 temperature) private pure returns (bool) {
        return both(humidity <= MOST, both(temperature >= -4096, temperature <= 12287));
    }

    function lane(uint256 word, uint256 i) private pure returns (uint256) {
        unchecked {
            return (word >> (16 * i)) & 0xFFFF;
        }
    }

    function laneBelow(uint256 word, uint256 i) private pure returns (uint256) {
        unchecked {
            return i == 0 ? 0 : lane(word, i - 1);
        }
    }

    function isHigh(uint256 word, uint256 i) private pure returns (bool) {
        unchecked {
            return (word >> (16 * i + 15)) & 1 == 1;
        }
    }

    /// @dev Not `&&`, which is a jump: Halmos would follow both ways of every lane.
    function both(bool a, bool b) private pure returns (bool c) {
        assembly ("memory-safe") {
            c := and(a, b)
        }
    }

    function either(bool a, bool b) private pure returns (bool c) {
        assembly ("memory-safe") {
            c := or(a, b)
        }
    }
}
