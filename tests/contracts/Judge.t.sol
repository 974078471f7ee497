// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {
    DeviceState,
    ISensorRegistry,
    Profile,
    Rejection,
    SignedBatch
} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Judge} from "../../contracts/libraries/Judge.sol";
import {Fixture} from "./Fixture.sol";
import {PlainJudge} from "./PlainJudge.sol";
import {Source} from "./Source.sol";
import {Vm} from "./Vm.sol";

/// @notice The judge against a second, plain one, through the registry, on inputs bent towards the boundaries.
contract JudgeTest is Fixture {
    using Source for Source.Draw;

    function testFuzz_timedBatch(uint256 seed, uint32 blockTime) public {
        judgeRandomBatch(Source.Draw(seed), TIMED, blockTime);
    }

    function testFuzz_regularBatch(uint256 seed, uint32 blockTime) public {
        judgeRandomBatch(Source.Draw(seed), REGULAR, blockTime);
    }

    function testFuzz_deltaBatch(uint256 seed, uint32 blockTime) public {
        judgeRandomBatch(Source.Draw(seed), DELTA, blockTime);
    }

    /// @dev One batch after the other: what the first leaves in the slot, the second is judged by.
    function testFuzz_history(uint256 seed) public {
        Source.Draw memory draw = Source.Draw(seed);
        Profile memory rules = draw.anyProfile();
        useProfile(rules);
        DeviceState memory state = DeviceState(1, 0, 0, 0, 0, 0);
        for (uint256 i = 0; i < 4; ++i) {
            state = judgeAnother(draw, uint8(1 + draw.below(3)), state, rules, NOW + 1000 * i);
        }
    }

    function testFuzz_post(uint256 seed, uint32 blockTime) public {
        Source.Draw memory draw = Source.Draw(seed);
        vm.warp(blockTime);
        Profile memory rules = draw.anyProfile();
        useProfile(rules);
        DeviceState memory state = draw.anyState(rules, blockTime);
        setSlotOf(device, packState(state));
        uint32 measuredAt = draw.anyStart(state, blockTime + uint256(rules.futureTolerance), 0, 0);
        (bytes memory data, , ) = draw.anyData(REGULAR, 1, state, rules);
        (int16 temperature, uint16 humidity) = (int16(uint16(bytes2(data))), uint16(uint32(bytes4(data))));

        PlainJudge.Reading memory reading = PlainJudge.Reading(int256(uint256(measuredAt)), temperature, 0);
        reading.humidity = int256(uint256(humidity));
        (uint256 expected, DeviceState memory next) = PlainJudge.judgeOne(reading, state, rules, blockTime);
        next.head = headAfter(state.head, pack(device, measuredAt, 0, state.sequence, 1, 0), data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.ReadingPosted(device, state.sequence, measuredAt, temperature, humidity, uint8(expected));
        vm.prank(device, device);
        (Rejection rejection, uint8 verdict) = registry.post(state.sequence, measuredAt, temperature, humidity);
        assertEq(rejection, Rejection.None);
        assertEq(verdict, expected, "verdict");
        assertEq(slotOf(device), packState(next), "slot");
    }

    /// @dev Times beyond 32 bits, which a header cannot say but a long batch reaches.
    function testFuzz_time(uint40 measuredAt, uint32 lastTime, uint40 latest, uint256 bend) public pure {
        if (bend % 3 == 0) measuredAt = lastTime;
        if (bend % 3 == 1) measuredAt = latest;
        measuredAt = uint40((measuredAt + ((bend >> 8) % 3)) % 2 ** 40);
        uint256 expected = (measuredAt <= lastTime ? 1 : 0) + (measuredAt > latest ? 2 : 0);
        assertEq(Judge.time(measuredAt, lastTime, latest), expected, "flags");
    }

    function judgeRandomBatch(Source.Draw memory draw, uint8 format, uint32 blockTime) private {
        Profile memory rules = draw.anyProfile();
        useProfile(rules);
        if (draw.below(2) == 0) blockTime = uint32(NOW);
        judgeAnother(draw, format, draw.anyState(rules, blockTime), rules, blockTime);
    }

    function judgeAnother(
        Source.Draw memory draw,
        uint8 format,
        DeviceState memory state,
        Profile memory rules,
        uint256 blockTime
    ) private returns (DeviceState memory next) {
        vm.warp(blockTime);
        setSlotOf(device, packState(state));
        uint256 count = draw.anyCount();
        (bytes memory data, uint256 firstGap, uint256 span) = draw.anyData(format, count, state, rules);
        uint16 period = draw.anyPeriod();
        if (format != TIMED) span = (count - 1) * period;
        uint32 start = draw.anyStart(state, blockTime + rules.futureTolerance, firstGap, span);
        uint256 header = pack(device, start, period, state.sequence, uint16(count), format);
        bytes memory exceptions;
        (exceptions, next) = PlainJudge.judgeBatch(header, data, state, rules, blockTime);
        next.head = headAfter(state.head, header, data);

        SignedBatch memory batch = sign(DEVICE_KEY, header, data);
        vm.recordLogs();
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, exceptions.length / 3, "illegal");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "logs");
        assertAccepted(logs[0], batch, exceptions);
        assertEq(slotOf(device), packState(next), "slot");
    }

    /// @dev A registry in which these are profile 1.
    function useProfile(Profile memory rules) private {
        registry = new SensorRegistry(0, address(this));
        registry.addProfile(rules);
        registry.registerDevice(device, 1, IDENTITY);
    }
}
