// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "../contracts/Vm.sol";

/// @notice Proofs, by Halmos, that one 256-bit operation is sixteen small ones. A word is sixteen lanes of 16 bits; lane
/// 0 is the lowest.
/// @dev A `check_` function holds for every argument that its assumptions let through: Halmos runs it once with symbols
/// for arguments and asks a solver, for each `assert`, whether any argument breaks it. Each lane has an assertion, and so
/// a question, of its own; what is asserted earlier in the same function is known in the later questions. That no lane
/// carries into its neighbour or borrows from it needs no lemma: the solver finds it from the bounds.
contract LaneArithmeticProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 private constant ONES = 0x0001000100010001000100010001000100010001000100010001000100010001;
    uint256 private constant SPILL = 0xC000 * ONES;

    /// @notice (a) Bit 15 of `y + (0x8000 - least)` is set just where `y >= least`.
    function check_rangeLower(uint256 y, uint256 least) external pure {
        vm.assume(y & SPILL == 0);
        uint256 lower;
        unchecked {
            for (uint256 i = 0; i < 16; ++i) {
                vm.assume(lane(least, i) <= 0x4000);
                lower |= (0x8000 - lane(least, i)) << (16 * i);
            }
            uint256 sums = y + lower;
            for (uint256 i = 0; i < 16; ++i) assert(isHigh(sums, i) == (lane(y, i) >= lane(least, i)));
        }
    }

    /// @notice (a) Bit 15 of `upper - y` is set just where `y <= most`, `upper` being `0x8000 + most`; `most` may be -1.
    function check_rangeUpper(uint256 y, uint256 upper) external pure {
        vm.assume(y & SPILL == 0);
        unchecked {
            for (uint256 i = 0; i < 16; ++i) {
                vm.assume(lane(upper, i) >= 0x7FFF);
                vm.assume(lane(upper, i) <= 0xBFFF);
            }
            uint256 differences = upper - y;
            for (uint256 i = 0; i < 16; ++i) {
                assert(isHigh(differences, i) == (0x8000 + lane(y, i) <= lane(upper, i)));
            }
        }
    }

    /// @notice (b) Bit 15 of `e & f` is set just where `|y - before| <= s`.
    function check_step(uint256 y, uint256 before, uint256 s) external pure {
        vm.assume(y & SPILL == 0);
        vm.assume(before & SPILL == 0);
        vm.assume(s & SPILL == 0);
        unchecked {
            uint256 step = (0x8000 * ONES) | s;
            uint256 e = y + step - before;
            uint256 f = 2 * step - e;
            for (uint256 i = 0; i < 16; ++i) {
                bool notBelow = lane(before, i) <= lane(y, i) + lane(s, i);
                bool notAbove = lane(y, i) <= lane(before, i) + lane(s, i);
                assert(isHigh(e & f, i) == both(notBelow, notAbove));
            }
        }
    }

    /// @notice (c) A word of eight readings without spilt bits is right in every lane.
    function check_readingsForward(uint256 word) external pure {
        uint256 y = fromReadings(word);
        vm.assume(y & SPILL == 0);
        unchecked {
            for (uint256 i = 0; i < 16; i += 2) {
                int256 temperature = int16(uint16(word >> (16 * i + 16)));
                assert(lane(y, i) == lane(word, i));
                assert(int256(lane(y, i + 1)) == temperature + 4096);
            }
        }
    }

    /// @notice (c) A word of eight readings that fit their lanes has no spilt bits.
    function check_readingsBackward(uint256 word) external pure {
        unchecked {
            for (uint256 i = 0; i < 16; i += 2) {
                int256 temperature = int16(uint16(word >> (16 * i + 16)));
                vm.assume(lane(word, i) < 0x4000);
                vm.assume(temperature >= -4096);
                vm.assume(temperature <= 12287);
            }
        }
        assert(fromReadings(word) & SPILL == 0);
    }

    /// @notice (d) Running sums: from `sums = changes * ONES` to the values is `fromSums`; the definition to be met is
    /// `value[i] = value[i + 1] + changes[i] - 128`, from `value[16] = base` down. The solver finds no answer for the
    /// whole at once, so it goes in five steps, each for all words that the step before leaves possible.
    /// Step 1: `sums` is `changes + (sums << 16)`.
    function check_sums1(uint256 changes) external pure {
        unchecked {
            assert(changes * ONES == changes + ((changes * ONES) << 16));
        }
    }

    /// @notice (d) Step 2: for any such `sums`, each lane is the lane below plus its change, and at most 4080.
    function check_sums2(uint256 changes, uint256 sums) external pure {
        vm.assume(changes & (0xFF00 * ONES) == 0);
        unchecked {
            vm.assume(sums == changes + (sums << 16));
            for (uint256 i = 0; i < 16; ++i) {
                assert(lane(sums, i) == laneBelow(sums, i) + lane(changes, i));
                assert(lane(sums, i) <= 255 * (i + 1));
            }
        }
    }

    /// @notice (d) Step 3: for any such lanes, `valueAt` meets the definition.
    function check_sums3(uint256 changes, uint256 sums, uint256 base) external pure {
        unchecked {
            for (uint256 i = 0; i < 16; ++i) vm.assume(lane(sums, i) == laneBelow(sums, i) + lane(changes, i));
            for (uint256 i = 0; i < 16; ++i) {
                uint256 before = i == 15 ? base : valueAt(sums, base, i + 1);
                assert(valueAt(sums, base, i) == before + lane(changes, i) - 128);
            }
        }
    }

    /// @notice (d) Step 4, forward: values without spilt bits are right in every lane.
    function check_sums4(uint256 sums, uint256 base) external pure {
        assumeSums(sums, base);
        uint256 y = fromSums(sums, base);
        vm.assume(y & SPILL == 0);
        for (uint256 i = 0; i < 16; ++i) assert(lane(y, i) == valueAt(sums, base, i));
    }

    /// @notice (d) Step 5, backward: values that all fit their lanes have no spilt bits.
    function check_sums5(uint256 sums, uint256 base) external pure {
        assumeSums(sums, base);
        for (uint256 i = 0; i < 16; ++i) vm.assume(valueAt(sums, base, i) <= 0x3FFF);
        uint256 y = fromSums(sums, base);
        // From the lowest lane up: that no lane below borrows is known when the next is asked about.
        for (uint256 i = 0; i < 16; ++i) assert(lane(y, i) == valueAt(sums, base, i));
        assert(y & SPILL == 0);
    }

    function fromReadings(uint256 word) private pure returns (uint256) {
        uint256 every = 0x0000000100000001000000010000000100000001000000010000000100000001;
        unchecked {
            return (word ^ (0x80000000 * every)) - 0x70000000 * every;
        }
    }

    /// @dev `runningSums(changes, base)` is `fromSums(changes * ONES, base)`.
    function fromSums(uint256 sums, uint256 base) private pure returns (uint256) {
        unchecked {
            uint256 biases = 128 * 0x000100020003000400050006000700080009000a000b000c000d000e000f0010;
            return (base + (sums >> 240)) * ONES - (sums << 16) - biases;
        }
    }

    function assumeSums(uint256 sums, uint256 base) private pure {
        vm.assume(base <= 0x3FFF);
        for (uint256 i = 0; i < 16; ++i) vm.assume(lane(sums, i) <= 16 * 255);
    }

    /// @dev The value of lane i; a negative one is huge.
    function valueAt(uint256 sums, uint256 base, uint256 i) private pure returns (uint256) {
        unchecked {
            return base + lane(sums, 15) - laneBelow(sums, i) - 128 * (16 - i);
        }
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
}
