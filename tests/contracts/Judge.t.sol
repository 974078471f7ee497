// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, ISensorRegistry, Profile, Rejection} from "../../contracts/interfaces/ISensorRegistry.sol";
import {BatchHeader} from "../../contracts/libraries/BatchHeader.sol";
import {Judge} from "../../contracts/libraries/Judge.sol";
import {Fixture} from "./Fixture.sol";
import {PlainJudge} from "./PlainJudge.sol";

/// @notice The judge against a second, plain one, on inputs bent towards the boundaries.
contract JudgeTest is Fixture {
    struct Bend {
        uint8 time;
        uint8 temperature;
        uint8 humidity;
        int8 offset;
    }

    function testFuzz_oneReading(
        DeviceState memory state,
        Profile memory rules,
        uint32 blockTime,
        uint40 measuredAt,
        int16 temperature,
        uint16 humidity,
        Bend memory bend
    ) public {
        vm.assume(state.sequence < type(uint24).max);
        vm.warp(blockTime);
        uint256 instant = nearTime(bend, state, rules, blockTime, measuredAt);
        temperature = nearTemperature(bend, state, rules, temperature);
        humidity = nearHumidity(bend, state, rules, humidity);
        if (bend.time % 7 == 0) state.sequence = 0;

        (uint256 expected, DeviceState memory expectedState) = PlainJudge.judgeOne(
            PlainJudge.Reading(int256(instant), temperature, int256(uint256(humidity))),
            state,
            rules,
            blockTime
        );
        uint8 verdict = Judge.judge(state, rules, Judge.latestTime(rules), instant, temperature, humidity);
        assertEq(verdict, expected, "verdict");
        assertEq(packState(state), packState(expectedState), "state");
    }

    function testFuzz_regularBatch(
        bytes memory data,
        uint32 start,
        uint16 period,
        uint256 slot,
        uint32 blockTime
    ) public {
        judgeRandomBatch(data, 4, BatchHeader.REGULAR, start, period, slot, blockTime);
    }

    function testFuzz_timedBatch(
        bytes memory data,
        uint32 start,
        uint16 period,
        uint256 slot,
        uint32 blockTime
    ) public {
        judgeRandomBatch(data, 6, BatchHeader.TIMED, start, period, slot, blockTime);
    }

    function testFuzz_postEqualsBatchOfOne(uint32 measuredAt, int16 temperature, uint16 humidity, uint256 slot) public {
        DeviceState memory state = randomState(slot);
        setSlotOf(device, packState(state));
        bytes memory data = abi.encodePacked(temperature, humidity);
        (bytes memory exceptions, DeviceState memory next) = PlainJudge.judgeBatch(
            pack(device, measuredAt, 0, state.sequence, 1, BatchHeader.REGULAR),
            data,
            state,
            room(),
            NOW
        );
        next.head = headAfter(state.head, pack(device, measuredAt, 0, state.sequence, 1, 0), data);

        vm.prank(device, device);
        (Rejection rejection, uint8 verdict) = registry.post(state.sequence, measuredAt, temperature, humidity);
        assertEq(rejection, Rejection.None);
        assertEq(verdict, exceptions.length == 0 ? 0 : uint8(exceptions[2]), "verdict");
        assertEq(slotOf(device), packState(next), "slot");
    }

    function judgeRandomBatch(
        bytes memory data,
        uint256 width,
        uint8 format,
        uint32 start,
        uint16 period,
        uint256 slot,
        uint32 blockTime
    ) private {
        uint256 count = data.length / width;
        vm.assume(count > 0 && blockTime > 0);
        assembly ("memory-safe") {
            mstore(data, mul(count, width))
        }
        bendData(data, width);
        vm.warp(blockTime);
        DeviceState memory state = randomState(slot);
        vm.assume(state.sequence + count <= type(uint24).max);
        setSlotOf(device, packState(state));
        uint256 header = pack(device, start, period, state.sequence, uint16(count), format);
        (bytes memory exceptions, DeviceState memory next) = PlainJudge.judgeBatch(
            header,
            data,
            state,
            room(),
            blockTime
        );
        next.head = headAfter(state.head, header, data);

        Signed memory batch = sign(DEVICE_KEY, header, data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(device, header, batch.r, batch.vs, data, exceptions);
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, exceptions.length / 3, "illegal");
        assertEq(slotOf(device), packState(next), "slot");
    }

    /// @dev Random 16-bit values are nearly all illegal in one way: brings two of three readings near the ranges' ends.
    function bendData(bytes memory data, uint256 width) private pure {
        for (uint256 offset = width - 4; offset < data.length; offset += width) {
            uint8 choice = uint8(data[offset]);
            if (choice % 3 == 0) continue;
            int16 temperature = choice % 3 == 1 ? int16(0) : int16(5000);
            uint16 humidity = choice % 5 < 2 ? 500 : 9800;
            if (choice % 7 == 0) (temperature, humidity) = (2500, 5000);
            temperature += int16(uint16(choice / 16) % 3) - 1;
            humidity = humidity + (choice / 64) - 1;
            bytes4 value = bytes4(abi.encodePacked(temperature, humidity));
            for (uint256 i = 0; i < 4; ++i) data[offset + i] = value[i];
        }
    }

    function randomState(uint256 word) private pure returns (DeviceState memory) {
        uint16 humidity = word % 2 == 0 ? 5000 : uint16(word >> 8);
        int16 temperature = word % 2 == 0 ? int16(2500) : int16(uint16(word >> 24));
        uint24 sequence = word % 3 == 0 ? 0 : uint24(word >> 40) / 2;
        return DeviceState(1, humidity, temperature, sequence, uint32(word >> 64), bytes20(uint160(word >> 96)));
    }

    function nearTime(
        Bend memory bend,
        DeviceState memory state,
        Profile memory rules,
        uint256 blockTime,
        uint256 measuredAt
    ) private pure returns (uint256) {
        uint256[4] memory anchors = [measuredAt, state.lastTime, blockTime + rules.futureTolerance, 2 ** 32];
        uint256 bent = anchors[bend.time % 4] + uint256(uint8(bend.offset) % 3);
        return bent == 0 ? 0 : bent - 1;
    }

    function nearTemperature(
        Bend memory bend,
        DeviceState memory state,
        Profile memory rules,
        int16 value
    ) private pure returns (int16) {
        int256 step = int256(uint256(rules.temperatureStep));
        int256[5] memory anchors = [
            int256(value),
            rules.temperatureMin,
            rules.temperatureMax,
            state.temperature + step,
            state.temperature - step
        ];
        int256 bent = anchors[bend.temperature % 5] + (bend.offset % 2);
        return bent < type(int16).min || bent > type(int16).max ? value : int16(bent);
    }

    function nearHumidity(
        Bend memory bend,
        DeviceState memory state,
        Profile memory rules,
        uint16 value
    ) private pure returns (uint16) {
        int256 before = int256(uint256(state.humidity));
        int256 step = int256(uint256(rules.humidityStep));
        int256[5] memory anchors = [
            int256(uint256(value)),
            int256(uint256(rules.humidityMin)),
            int256(uint256(rules.humidityMax)),
            before + step,
            before - step
        ];
        int256 bent = anchors[bend.humidity % 5] + (bend.offset % 2);
        return bent < 0 || bent > int256(uint256(type(uint16).max)) ? value : uint16(uint256(bent));
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

    function testFuzz_fits(uint256 header, uint256 length, uint8 bend) public pure {
        if (bend % 2 == 0) header = ((header >> 8) << 8) | (bend % 8 == 0 ? 1 : 2);
        if (bend % 3 == 0) length = header.count() * (header.format() == 1 ? 6 : 4);
        uint256 n = uint16(header >> 8);
        bool isTimed = uint8(header) == 1 && length == n * 6;
        bool isRegular = uint8(header) == 2 && length == n * 4;
        require(header.fits(length) == (n > 0 && (isTimed || isRegular)), "fits");
    }
}
