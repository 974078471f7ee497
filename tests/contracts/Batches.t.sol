// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, ISensorRegistry, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";
import {PlainJudge} from "./PlainJudge.sol";
import {Source} from "./Source.sol";
import {Vm} from "./Vm.sol";

/// @notice Several batches in one call.
contract BatchesTest is Fixture {
    using Source for Source.Draw;

    uint256 private constant THIRD_KEY = uint256(keccak256("a third key"));
    uint256 private constant STRANGER_KEY = uint256(keccak256("a stranger's key"));

    address private other;
    address private third;

    function setUp() public override {
        super.setUp();
        (other, third) = (vm.addr(OTHER_KEY), p256Device(THIRD_KEY));
        registry.registerDevice(other, 1, IDENTITY);
        registry.registerDevice(third, 1, IDENTITY);
    }

    function test_none() public {
        vm.recordLogs();
        assertEq(registry.submitBatches(new SignedBatch[](0)), 0, "accepted");
        assertEq(vm.getRecordedLogs().length, 0, "logs");
    }

    function test_severalDevices() public {
        SignedBatch[] memory batches = threeGood();
        Vm.Log[] memory logs = submitAll(batches, 3);
        for (uint256 i = 0; i < 3; ++i) assertAccepted(logs[i], batches[i], hex"000114");
        bytes20 head = headAfter(0, batches[0].header, twoReadings());
        assertEq(slotOf(device), packState(DeviceState(1, 5000, 9000, 2, uint32(NOW + 30), head)), "slot");
    }

    function test_oneDevicesNext() public {
        SignedBatch[] memory batches = new SignedBatch[](2);
        batches[0] = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        batches[1] = sign(DEVICE_KEY, pack(device, uint32(NOW + 31), 0, 2, 1, DELTA), hex"07d01388");
        Vm.Log[] memory logs = submitAll(batches, 2);
        assertAccepted(logs[0], batches[0], hex"000114");
        assertAccepted(logs[1], batches[1], hex"000010");
        assertEq(registry.stateOf(device).sequence, 3, "sequence");
    }

    function test_malformedAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        batches[1] = sign(OTHER_KEY, pack(other, uint32(NOW), 30, 0, 3, REGULAR), twoReadings());
        othersAreAccepted(batches, Rejection.Malformed, keccak256(batches[1].payload));
    }

    function test_hugeCountAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        batches[1] = sign(OTHER_KEY, pack(other, uint32(NOW), 30, 0, 65535, REGULAR), twoReadings());
        othersAreAccepted(batches, Rejection.Malformed, keccak256(batches[1].payload));
    }

    function test_emptyPayloadAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        batches[1].payload = "";
        othersAreAccepted(batches, Rejection.Malformed, keccak256(""));
    }

    function test_forgedAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        batches[1] = sign(STRANGER_KEY, goodHeader(other), twoReadings());
        othersAreAccepted(batches, Rejection.WrongSignature, keccak256(twoReadings()));
        batches[1] = signP256(STRANGER_KEY, goodHeader(other), twoReadings());
        setUp();
        (batches[0], batches[2]) = (threeGood()[0], threeGood()[2]);
        othersAreAccepted(batches, Rejection.WrongSignature, keccak256(twoReadings()));
    }

    function test_unknownAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        batches[1] = sign(STRANGER_KEY, goodHeader(vm.addr(STRANGER_KEY)), twoReadings());
        othersAreAccepted(batches, Rejection.UnknownDevice, keccak256(twoReadings()));
    }

    function test_revokedAmongOthers() public {
        registry.revokeDevice(other, 0);
        othersAreAccepted(threeGood(), Rejection.RevokedDevice, keccak256(twoReadings()));
    }

    function test_replayedAmongOthers() public {
        SignedBatch[] memory batches = threeGood();
        submit(batches[1]);
        othersAreAccepted(batches, Rejection.WrongSequence, keccak256(twoReadings()));
    }

    function test_theSameBatchTwice() public {
        SignedBatch[] memory batches = threeGood();
        batches[1] = batches[0];
        othersAreAccepted(batches, Rejection.WrongSequence, keccak256(twoReadings()));
    }

    /// @dev A batch is written where the one before was: nothing of it may shine through.
    function test_memoryIsUsedAgain() public {
        uint256 n = 200;
        bytes memory bad = new bytes(2 * n + 2);
        for (uint256 i = 0; i < bad.length; ++i) bad[i] = 0xff;
        bytes memory good = abi.encodePacked(int16(2000), uint16(5000), new bytes(2 * n - 2));
        SignedBatch[] memory batches = new SignedBatch[](6);
        batches[0] = sign(DEVICE_KEY, pack(device, 1, 0, 0, uint16(n), DELTA), bad);
        batches[1] = signP256(THIRD_KEY, pack(third, uint32(NOW), 0, 0, 1, REGULAR), hex"07d01388");
        batches[2] = sign(OTHER_KEY, pack(other, uint32(NOW - n), 1, 0, uint16(n), DELTA), good);
        batches[3] = sign(DEVICE_KEY, pack(device, 1, 0, uint24(n), uint16(n), DELTA), bad);
        batches[4] = sign(OTHER_KEY, pack(other, 1, 0, 0, uint16(n), DELTA), bad);
        batches[5] = sign(OTHER_KEY, pack(other, uint32(NOW), 0, uint24(n), 1, TIMED), hex"000007d01388");
        Vm.Log[] memory logs = submitAll(batches, 5);
        assertAccepted(logs[0], batches[0], allOf(n, 4 + 8));
        assertAccepted(logs[1], batches[1], "");
        assertAccepted(logs[2], batches[2], "");
        assertAccepted(logs[3], batches[3], allOf(n, 1 + 4 + 8 + 16));
        assertRejected(logs[4], other, Rejection.WrongSequence, GATEWAY, batches[4].header, keccak256(bad));
        assertAccepted(logs[5], batches[5], "");
    }

    /// @dev Any batches of three devices, in one call as one by one.
    function testFuzz_asOneByOne(uint256 seed) public {
        Source.Draw memory draw = Source.Draw(seed);
        SignedBatch[] memory batches = new SignedBatch[](draw.below(6));
        uint256[3] memory keys = [DEVICE_KEY, OTHER_KEY, THIRD_KEY];
        address[3] memory devices = [device, other, third];
        DeviceState[3] memory states;
        bytes[] memory exceptions = new bytes[](batches.length);
        for (uint256 i = 0; i < 3; ++i) states[i] = registry.stateOf(devices[i]);
        uint256 expected;
        for (uint256 i = 0; i < batches.length; ++i) {
            uint256 who = draw.below(3);
            uint8 format = uint8(1 + draw.below(3));
            uint16 count = uint16(draw.anyCount());
            (bytes memory data, , ) = draw.anyData(format, count, states[who], room());
            uint32 start = draw.anyStart(states[who], NOW + 60, 0, 0);
            uint256 header = pack(devices[who], start, draw.anyPeriod(), states[who].sequence, count, format);
            uint256 key = draw.below(4) == 0 ? STRANGER_KEY : keys[who];
            batches[i] = who == 2 ? signP256(key, header, data) : sign(key, header, data);
            if (key == STRANGER_KEY) continue;
            bytes20 next = headAfter(states[who].head, header, data);
            (exceptions[i], states[who]) = PlainJudge.judgeBatch(header, data, states[who], room(), NOW);
            states[who].head = next;
            // Never empty, so as to tell it from a rejection's.
            exceptions[i] = bytes.concat(exceptions[i], "+");
            ++expected;
        }
        Vm.Log[] memory logs = submitAll(batches, expected);
        for (uint256 i = 0; i < batches.length; ++i) {
            if (exceptions[i].length == 0) {
                assertEq(logs[i].topics[0], ISensorRegistry.Rejected.selector, "Rejected");
                assertEq(uint256(logs[i].topics[2]), uint256(Rejection.WrongSignature), "reason");
            } else {
                assertAccepted(logs[i], batches[i], firstBytes(exceptions[i], exceptions[i].length - 1));
            }
        }
        for (uint256 i = 0; i < 3; ++i) assertEq(slotOf(devices[i]), packState(states[i]), "slot");
    }

    function threeGood() private view returns (SignedBatch[] memory batches) {
        batches = new SignedBatch[](3);
        batches[0] = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        batches[1] = sign(OTHER_KEY, goodHeader(other), twoReadings());
        batches[2] = signP256(THIRD_KEY, goodHeader(third), twoReadings());
    }

    /// @dev The first and the last are accepted, the one between is rejected, and the events come in this order.
    function othersAreAccepted(SignedBatch[] memory batches, Rejection reason, bytes32 dataDigest) private {
        address named = address(uint160(batches[1].header >> 96));
        bytes32 before = slotOf(named);
        Vm.Log[] memory logs = submitAll(batches, 2);
        assertAccepted(logs[0], batches[0], hex"000114");
        assertRejected(logs[1], named, reason, GATEWAY, batches[1].header, dataDigest);
        assertAccepted(logs[2], batches[2], hex"000114");
        if (named != device) assertEq(slotOf(named), before, "slot");
        assertEq(registry.stateOf(device).sequence, 2, "first");
        assertEq(registry.stateOf(third).sequence, 2, "last");
    }

    function submitAll(SignedBatch[] memory batches, uint256 accepted) private returns (Vm.Log[] memory logs) {
        vm.recordLogs();
        vm.prank(GATEWAY);
        assertEq(registry.submitBatches(batches), accepted, "accepted");
        logs = vm.getRecordedLogs();
        assertEq(logs.length, batches.length, "logs");
    }

    /// @dev Exceptions of a whole batch: the first one's, and of all others the time and the ranges.
    function allOf(uint256 count, uint8 first) private pure returns (bytes memory exceptions) {
        for (uint256 i = 0; i < count; ++i) {
            exceptions = abi.encodePacked(exceptions, uint16(i), i == 0 ? first : 1 + 4 + 8);
        }
    }
}
