// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Profile} from "../../contracts/interfaces/ISensorRegistry.sol";
import {BatchHeader} from "../../contracts/libraries/BatchHeader.sol";
import {BatchLog} from "../../contracts/libraries/BatchLog.sol";
import {Judge} from "../../contracts/libraries/Judge.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {ProfileSlot} from "../../contracts/libraries/ProfileSlot.sol";
import {Fixture} from "./Fixture.sol";
import {PlainJudge} from "./PlainJudge.sol";
import {Source} from "./Source.sol";

/// @notice What reads calldata, called with it.
contract FromCalldata {
    function pack(Profile calldata rules) external pure returns (uint256) {
        return ProfileSlot.pack(rules);
    }

    function skip(
        bytes calldata words,
        uint256 before,
        Lanes.ChangeBounds memory b
    ) external pure returns (uint256 found, uint256 last) {
        uint256 place;
        assembly ("memory-safe") {
            place := words.offset
        }
        (found, last) = Lanes.skipChanges(place, place + words.length - 31, before, b);
        found -= place;
    }
}

/// @notice The lanes one function at a time, each against a loop.
contract LanesTest is Fixture {
    using Source for Source.Draw;
    using ProfileSlot for uint256;

    FromCalldata private harness;

    function setUp() public override {
        harness = new FromCalldata();
    }

    function testFuzz_profileSlot(uint256 seed) public view {
        Profile memory rules = Source.anyProfile(Source.Draw(seed));
        uint256 slot = harness.pack(rules);
        assertEq(abi.encode(slot.unpack()), abi.encode(rules), "rules");
        (uint256 lower, uint256 upper, uint256 step) = slot.lanes();
        assertEq(slot >> 224, 0, "unused");
        for (uint256 i = 0; i < 2; ++i) {
            // Inside 0x4000 to 0x8000, 0x7FFF to 0xBFFF, 0x8000 to 0xBFFF: what the lanes' proof assumes.
            require(uint16(lower >> (16 * i)) >= 0x4000 && uint16(lower >> (16 * i)) <= 0x8000, "lower");
            require(uint16(upper >> (16 * i)) >= 0x7FFF && uint16(upper >> (16 * i)) <= 0xBFFF, "upper");
            require(uint16(step >> (16 * i)) >= 0x8000 && uint16(step >> (16 * i)) <= 0xBFFF, "step");
        }
    }

    function testFuzz_fromReadings(uint256 word) public pure {
        uint256 lanes = Lanes.fromReadings(word, Lanes.PAIRS);
        bool holds = true;
        for (uint256 i = 0; i < 8; ++i) {
            uint256 reading = uint32(word >> (32 * i));
            int16 temperature = int16(uint16(reading >> 16));
            bool fits = temperature >= -4096 && temperature <= 12287 && uint16(reading) <= 16383;
            if (!fits) holds = false;
            uint256 alone = Lanes.fromReading(reading);
            require((alone & Lanes.SPILL == 0) == fits, "spilt");
            assertEq(Lanes.toReading(alone), reading, "and back");
        }
        require((lanes & Lanes.SPILL == 0) == holds, "spilt");
    }

    /// @dev Eight readings that the lanes hold, by the scalar judge.
    function testFuzz_words(uint256 seed) public view {
        Source.Draw memory draw = Source.Draw(seed);
        uint256 slot = harness.pack(draw.anyProfile());
        uint256[9] memory readings;
        uint256 word;
        for (uint256 i = 0; i < 9; ++i) {
            readings[i] = readingInLanes(draw);
            word = (word << 32) | readings[i];
        }
        (uint256 lower, uint256 upper, uint256 step) = slot.lanes();
        uint256 lanes = Lanes.fromReadings(word, Lanes.PAIRS);
        uint256 before = (lanes >> 32) | (Lanes.fromReading(readings[0]) << 224);
        uint256 flags = Lanes.flagsOf(
            Lanes.inRange(lanes, lower * Lanes.PAIRS, upper * Lanes.PAIRS),
            Lanes.inStep(lanes, before, step * Lanes.PAIRS),
            Lanes.HIGH,
            Lanes.PAIRS
        );
        for (uint256 i = 1; i < 9; ++i) {
            assertEq(uint32(flags >> (256 - 32 * i)), Judge.values(slot, readings[i - 1], readings[i]), "flags");
        }
    }

    function testFuzz_runningSums(uint256 seed, uint16 value) public pure {
        Source.Draw memory draw = Source.Draw(seed);
        uint256 changes;
        uint256 sum = value % 2 ** 14;
        uint256 expected;
        for (uint256 i = 0; i < 16; ++i) {
            uint256 change = draw.below(3) == 0 ? 255 * draw.below(2) : draw.below(256);
            changes = (changes << 16) | change;
            sum += change;
            expected = (expected << 16) | sum;
        }
        assertEq(Lanes.runningSums(changes, value % 2 ** 14), expected, "sums");
    }

    function testFuzz_changes(uint256 seed) public view {
        Source.Draw memory draw = Source.Draw(seed);
        Profile memory rules = draw.anyProfile();
        uint256 slot = harness.pack(rules);
        uint256 reading = readingInLanes(draw);
        if (draw.below(8) == 0) reading = draw.below(2 ** 32);
        uint256 before = Lanes.fromReading(reading);
        uint256 wild = 1 + draw.below(2) * 50;
        uint256 word;
        for (uint256 i = 0; i < 16; ++i) {
            uint8 warmer = uint8(draw.anyChange(rules.temperatureStep, wild));
            word = (word << 16) | (uint256(warmer) << 8) | uint8(draw.anyChange(rules.humidityStep, wild));
        }

        uint256 last = reading;
        uint256 expected;
        bool fits = before & Lanes.SPILL == 0;
        for (uint256 i = 1; i <= 16; ++i) {
            uint256 next = changed(last, uint16(word >> (256 - 16 * i)));
            expected = (expected << 16) | Judge.values(slot, last, next);
            last = next;
            if (Lanes.fromReading(last) & Lanes.SPILL != 0) fits = false;
        }
        (uint256 flags, uint256 lanes) = Lanes.judgeChanges(word, before, boundsOf(slot));
        assertEq(flags, fits ? expected : Lanes.SPILT, "flags");
        if (fits) assertEq(Lanes.toReading(lanes), last, "last");

        // Before an illegal word it stops; behind a legal one there is nothing more.
        (uint256 found, uint256 skipped) = harness.skip(bytes.concat(bytes32(word)), before, boundsOf(slot));
        assertEq(found, fits && expected == 0 ? 32 : 0, "found");
        assertEq(skipped, found == 0 ? before : lanes, "skipped");
    }

    /// @dev A word between words that change nothing, after which all is as before.
    function testFuzz_skip(uint8 index, uint8 lane, int8 warmer) public view {
        uint256 slot = harness.pack(room());
        uint256 length = 12;
        bytes memory words = new bytes(32 * length);
        index = uint8(index % length);
        words[32 * uint256(index) + 2 * (uint256(lane) % 16)] = bytes1(uint8(warmer));
        bool legal = warmer <= 100 && warmer >= -100;
        uint256 before = Lanes.fromReading((2000 << 16) | 5000);
        (uint256 found, uint256 last) = harness.skip(words, before, boundsOf(slot));
        assertEq(found, 32 * (legal ? length : index), "found");
        uint256 end = legal ? uint256(2000 + int256(warmer)) : 2000;
        assertEq(Lanes.toReading(last), (end << 16) | 5000, "last");
    }

    function readingInLanes(Source.Draw memory draw) private pure returns (uint256) {
        int256 temperature = Source.clip(draw.anyTemperature(), -4096, 12287);
        int256 humidity = Source.clip(draw.anyHumidity(), 0, 16383);
        return (uint256(uint16(int16(temperature))) << 16) | uint256(humidity);
    }

    function boundsOf(uint256 slot) private pure returns (Lanes.ChangeBounds memory) {
        (uint256 lower, uint256 upper, uint256 step) = slot.lanes();
        return Lanes.changeBounds(lower, upper, step);
    }

    function changed(uint256 reading, uint16 change) private pure returns (uint256) {
        bytes memory data = abi.encodePacked(uint32(reading), change);
        PlainJudge.Reading memory first = PlainJudge.readingAt(3, data, 0, PlainJudge.Reading(0, 0, 0));
        PlainJudge.Reading memory second = PlainJudge.readingAt(3, data, 1, first);
        return (uint256(uint16(int16(second.temperature))) << 16) | uint256(second.humidity);
    }
}

/// @notice The header word.
contract BatchHeaderTest is Fixture {
    using BatchHeader for uint256;

    function testFuzz_fields(
        address who,
        uint32 start,
        uint16 period,
        uint24 sequence,
        uint16 count,
        uint8 format
    ) public pure {
        uint256 header = pack(who, start, period, sequence, count, format);
        require(header.device() == who, "device");
        assertEq(header.start(), start, "start");
        assertEq(header.period(), period, "period");
        assertEq(header.firstSequence(), sequence, "firstSequence");
        assertEq(header.count(), count, "count");
        assertEq(header.format(), format, "format");
    }

    function testFuzz_own(address who, uint32 measuredAt, uint24 sequence) public pure {
        assertEq(BatchHeader.own(who, measuredAt, sequence), pack(who, measuredAt, 0, sequence, 1, 0), "header");
    }

    function testFuzz_dataLength(uint256 header, uint8 bend) public pure {
        if (bend % 2 == 0) header = ((header >> 8) << 8) | (bend % 8);
        uint256 n = uint16(header >> 8);
        uint8 format = uint8(header);
        bool possible = n > 0 && n <= 10_000 && format > 0 && format < 4;
        assertEq(header.dataLength(), possible ? lengthOf(header) : 0, "length");
    }

    function test_dataLengthAtTheLimit() public pure {
        uint16[3] memory lengths = [60_000, 40_000, 20_002];
        for (uint8 format = 1; format <= 3; ++format) {
            assertEq(pack(address(1), 0, 0, 0, 10_000, format).dataLength(), lengths[format - 1], "length");
            assertEq(pack(address(1), 0, 0, 0, 10_001, format).dataLength(), 0, "length");
        }
    }
}

/// @notice The list of exceptions.
contract BatchLogTest is Fixture {
    using Source for Source.Draw;

    function testFuzz_addAll(uint16 index, uint256 seed) public pure {
        index %= 10_000;
        Source.Draw memory draw = Source.Draw(seed);
        uint256 width = 16 * (1 + draw.below(3));
        uint256 density = 1 + draw.below(5);
        uint256 flags;
        bytes memory expected;
        for (uint256 i = 0; i < 256 / width; ++i) {
            uint256 verdict = draw.below(density) == 0 ? 1 + draw.below(63) : 0;
            flags |= verdict << (256 - width * (i + 1));
            if (verdict != 0) expected = abi.encodePacked(expected, uint16(index + i), uint8(verdict));
        }
        bytes memory actual = new bytes(96);
        uint256 place;
        assembly ("memory-safe") {
            place := add(actual, 32)
        }
        uint256 end = BatchLog.addAll(place, index, flags, width);
        assembly ("memory-safe") {
            mstore(actual, sub(end, place))
        }
        assertEq(actual, expected, "exceptions");
    }
}
