// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, ISensorRegistry, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";
import {Vm} from "./Vm.sol";

/// @notice What gets in, what is rejected and why, and who can change what.
contract ReadingsTest is Fixture {
    function test_postThenBatchThenPost() public {
        vm.expectEmit(address(registry));
        emit ISensorRegistry.ReadingPosted(device, 0, uint32(NOW - 90), 2000, 5000, 0);
        vm.prank(device, device);
        (Rejection rejection, uint8 verdict) = registry.post(0, uint32(NOW - 90), 2000, 5000);
        assertEq(rejection, Rejection.None);
        assertEq(verdict, 0, "verdict");
        bytes memory data = abi.encodePacked(int16(2000), uint16(5000));
        bytes20 head = headAfter(0, pack(device, uint32(NOW - 90), 0, 0, 1, 0), data);
        assertEq(slotOf(device), packState(DeviceState(1, 5000, 2000, 1, uint32(NOW - 90), head)), "posted");

        uint256 header = pack(device, uint32(NOW - 60), 30, 1, 2, REGULAR);
        SignedBatch memory batch = sign(DEVICE_KEY, header, twoReadings());
        vm.expectEmit(address(registry));
        // the second reading: temperature out of range (4) and too large a step (16)
        emit ISensorRegistry.BatchAccepted(device, header, batch.payload, hex"000114");
        vm.prank(GATEWAY);
        (Rejection batchRejection, uint256 illegal) = submit(batch);
        assertEq(batchRejection, Rejection.None);
        assertEq(illegal, 1, "illegal");
        head = headAfter(head, header, twoReadings());
        assertEq(slotOf(device), packState(DeviceState(1, 5000, 9000, 3, uint32(NOW - 30), head)), "submitted");

        vm.expectEmit(address(registry));
        emit ISensorRegistry.ReadingPosted(device, 3, uint32(NOW - 30), 2000, 5501, 1 + 16 + 32);
        vm.prank(device, device);
        (rejection, verdict) = registry.post(3, uint32(NOW - 30), 2000, 5501);
        assertEq(verdict, 49, "verdict");
    }

    function test_timedBatch() public {
        bytes memory data = abi.encodePacked(
            abi.encodePacked(uint16(10), int16(-1), uint16(499)),
            abi.encodePacked(uint16(65535), int16(0), uint16(500))
        );
        uint256 header = pack(device, uint32(NOW - 65535), 0, 0, 2, TIMED);
        SignedBatch memory batch = sign(DEVICE_KEY, header, data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(device, header, batch.payload, hex"00000c");
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, 1, "illegal");
        bytes20 head = headAfter(0, header, data);
        assertEq(slotOf(device), packState(DeviceState(1, 500, 0, 2, uint32(NOW + 10), head)), "slot");
    }

    function test_deltaBatch() public {
        // 25.00 degC, then 1.27 up, 1.28 down; humidity 50.00, then 1.28 down, 1.27 up.
        bytes memory data = abi.encodePacked(int16(2500), uint16(5000), int8(127), int8(-128), int8(-128), int8(127));
        uint256 header = pack(device, uint32(NOW - 60), 30, 0, 3, DELTA);
        SignedBatch memory batch = sign(DEVICE_KEY, header, data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(device, header, batch.payload, hex"000110000210");
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, 2, "illegal");
        bytes20 head = headAfter(0, header, data);
        assertEq(slotOf(device), packState(DeviceState(1, 4999, 2499, 3, uint32(NOW), head)), "slot");
    }

    function test_oneLogForEachCall() public {
        vm.recordLogs();
        vm.prank(device, device);
        registry.post(0, uint32(NOW), 2000, 5000);
        registry.post(0, uint32(NOW), 2000, 5000);
        submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 1, 1, 2, REGULAR), twoReadings()));
        submit(sign(OTHER_KEY, pack(device, uint32(NOW), 1, 3, 2, REGULAR), twoReadings()));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 4, "logs");
        assertEq(logs[0].topics[0], ISensorRegistry.ReadingPosted.selector, "posted");
        assertEq(logs[1].topics[0], ISensorRegistry.Rejected.selector, "rejected");
        assertEq(logs[2].topics[0], ISensorRegistry.BatchAccepted.selector, "accepted");
        assertEq(logs[3].topics[0], ISensorRegistry.Rejected.selector, "forged");
        assertEq(logs[3].topics[1], bytes32(uint256(uint160(device))), "the device named, not the sender");
    }

    function testFuzz_unknownFormat(uint8 format, uint16 count, uint256 length, bool isP256) public {
        vm.assume(format == 0 || format > DELTA);
        count %= 100;
        bytes memory data = new bytes(length % 2 == 0 ? (length >> 1) % 800 : uint256(count) * ((length >> 1) % 8));
        uint256 header = pack(device, uint32(NOW), 30, 0, count, format);
        rejects(isP256 ? signP256(OTHER_KEY, header, data) : sign(DEVICE_KEY, header, data), Rejection.Malformed);
    }

    /// @dev Malformed comes before unknown, unknown and revoked before forged, forged before out of sequence.
    function test_orderOfReasons() public {
        address unknown = vm.addr(OTHER_KEY);
        rejects(sign(OTHER_KEY, pack(unknown, uint32(NOW), 30, 5, 3, REGULAR), twoReadings()), Rejection.Malformed);
        rejects(
            sign(DEVICE_KEY, pack(unknown, uint32(NOW), 30, 5, 2, REGULAR), twoReadings()),
            Rejection.UnknownDevice
        );
        rejects(sign(OTHER_KEY, pack(device, uint32(NOW), 30, 5, 2, REGULAR), twoReadings()), Rejection.WrongSignature);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 5, 2, REGULAR), twoReadings()), Rejection.WrongSequence);
        registry.revokeDevice(device, 0);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 5, 3, REGULAR), twoReadings()), Rejection.Malformed);
        rejects(sign(OTHER_KEY, pack(device, uint32(NOW), 30, 5, 2, REGULAR), twoReadings()), Rejection.RevokedDevice);
    }

    function testFuzz_unknownDevice(uint256 key, address stranger) public {
        key = (key % (ORDER - 1)) + 1;
        address unknown = vm.addr(key);
        vm.assume(unknown != device && stranger != device && stranger.code.length == 0);
        rejects(sign(key, pack(unknown, uint32(NOW), 30, 0, 2, REGULAR), twoReadings()), Rejection.UnknownDevice);
        rejectsPost(stranger, 0, uint32(NOW), 2000, 5000, Rejection.UnknownDevice);
    }

    function test_revokedDevice() public {
        registry.revokeDevice(device, 0);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings()), Rejection.RevokedDevice);
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.RevokedDevice);
    }

    function testFuzz_senderIsCalledByAnother(address origin) public {
        vm.assume(origin != device);
        rejectsPost(device, origin, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
    }

    function testFuzz_senderHasCode(bytes memory code, bool isActive) public {
        vm.assume(code.length > 0);
        // What may stand at an account: EIP-3541 keeps 0xef for others, such as `test_accountWithDelegation`'s.
        if (code[0] == 0xef) code[0] = 0xfe;
        if (!isActive) registry.revokeDevice(device, 0);
        vm.etch(device, code);
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
    }

    function test_accountWithDelegation() public {
        vm.etch(device, abi.encodePacked(hex"ef0100", GATEWAY));
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
        // A batch bears the key's signature, whatever the account runs.
        (Rejection rejection, ) = submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings()));
        assertEq(rejection, Rejection.None);
        // Without code, the account posts again.
        vm.etch(device, "");
        vm.prank(device, device);
        (rejection, ) = registry.post(2, uint32(NOW), 2000, 5000);
        assertEq(rejection, Rejection.None);
    }

    function testFuzz_wrongSequence(uint24 sequence, uint24 next) public {
        vm.assume(sequence != next);
        setSlotOf(device, packState(DeviceState(1, 5000, 2000, next, uint32(NOW), bytes20(keccak256("head")))));
        uint256 header = pack(device, uint32(NOW), 30, sequence, 2, REGULAR);
        rejects(sign(DEVICE_KEY, header, twoReadings()), Rejection.WrongSequence);
        rejectsPost(device, sequence, uint32(NOW), 2000, 5000, Rejection.WrongSequence);
    }

    function test_replay() public {
        SignedBatch memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings());
        submit(batch);
        rejects(batch, Rejection.WrongSequence);
    }

    function test_sequenceNumbersEnd() public {
        setSlotOf(device, packState(DeviceState(1, 5000, 2000, 2 ** 24 - 2, 0, 0)));
        uint256 header = pack(device, uint32(NOW), 30, 2 ** 24 - 2, 2, REGULAR);
        rejects(sign(DEVICE_KEY, header, twoReadings()), Rejection.WrongSequence);
        vm.prank(device, device);
        (Rejection rejection, ) = registry.post(2 ** 24 - 2, uint32(NOW), 2000, 5000);
        assertEq(rejection, Rejection.None);
        assertEq(registry.stateOf(device).sequence, 2 ** 24 - 1, "sequence");
        rejectsPost(device, 2 ** 24 - 1, uint32(NOW), 2000, 5000, Rejection.WrongSequence);
        header = pack(device, uint32(NOW), 30, 2 ** 24 - 1, 1, REGULAR);
        rejects(sign(DEVICE_KEY, header, hex"07d01388"), Rejection.WrongSequence);
    }

    function testFuzz_wrongSignature(uint256 key, bytes32 r, bytes32 vs) public {
        key = (key % (ORDER - 1)) + 1;
        vm.assume(key != DEVICE_KEY);
        uint256 header = goodHeader(device);
        rejects(sign(key, header, twoReadings()), Rejection.WrongSignature);
        rejects(SignedBatch(header, bytes.concat(twoReadings(), r, vs)), Rejection.WrongSignature);
        // A forgery is recorded as one even where the sequence number is wrong as well.
        header = pack(device, uint32(NOW), 30, 1, 2, REGULAR);
        rejects(sign(key, header, twoReadings()), Rejection.WrongSignature);
    }

    function testFuzz_signatureCoversEveryBit(uint256 bit) public {
        SignedBatch memory batch = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        // Of the header: start and period; a change of the other fields makes another rejection.
        rejects(SignedBatch(batch.header ^ (1 << (48 + (bit % 48))), batch.payload), Rejection.WrongSignature);
        // Of the payload: the readings, r, s and the parity.
        bit = bit % (8 * batch.payload.length);
        batch.payload[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        rejects(batch, Rejection.WrongSignature);
    }

    function testFuzz_domainSeparatorFollowsTheChain(uint64 chainId) public {
        vm.assume(chainId != 0);
        vm.chainId(chainId);
        bytes32 expected = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Sensetrail"),
                keccak256("1"),
                uint256(chainId),
                address(registry)
            )
        );
        assertEq(registry.domainSeparator(), expected, "domainSeparator");
        (Rejection rejection, ) = submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings()));
        assertEq(rejection, Rejection.None);
    }

    function testFuzz_strangersNeverChangeADevice(
        address stranger,
        uint256 header,
        bytes memory payload,
        uint8 format,
        bool plausible
    ) public {
        vm.assume(stranger != device && stranger.code.length == 0);
        header = (header & (2 ** 96 - 1)) | (uint256(uint160(device)) << 96);
        if (plausible) {
            format = 1 + (format % 3);
            uint16 count = uint16(1 + (header % 40));
            header = pack(device, uint32(header >> 64), uint16(header >> 48), 0, count, format);
            payload = bytes.concat(payload, new bytes(240 + 128));
            payload = firstBytes(payload, lengthOf(header) + (header % 2 == 0 ? 64 : 128));
        }
        bytes32 before = slotOf(device);
        bytes memory record = abi.encode(registry.recordOf(device));
        vm.prank(stranger);
        (Rejection rejection, ) = registry.submitBatch(header, payload);
        if (plausible) assertEq(rejection, Rejection.WrongSignature);
        require(rejection == Rejection.Malformed || rejection == Rejection.WrongSignature, "rejection");
        vm.prank(stranger, stranger);
        (rejection, ) = registry.post(uint24(header), uint32(header), int16(uint16(header)), uint16(header));
        assertEq(rejection, Rejection.UnknownDevice);
        assertEq(slotOf(device), before, "slot");
        assertEq(abi.encode(registry.recordOf(device)), record, "record");
    }

    function testFuzz_headCommitsToEverything(uint256 seed, bytes memory noise) public {
        bytes20 head;
        uint24 sequence;
        for (uint256 i = 0; i < 5; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            uint16 count = uint16(1 + (seed % 9));
            uint8 format = uint8(1 + ((seed >> 64) % 3));
            uint256 header = pack(device, uint32(seed >> 8), uint16(seed >> 40), sequence, count, format);
            bytes memory data = bytes.concat(keccak256(abi.encode(noise, i)), bytes32(seed));
            data = firstBytes(data, lengthOf(header));
            (Rejection rejection, ) = submit(sign(DEVICE_KEY, header, data));
            assertEq(rejection, Rejection.None);
            head = headAfter(head, header, data);
            sequence += count;
            assertEq(bytes32(registry.stateOf(device).head), bytes32(head), "head");
            assertEq(registry.stateOf(device).sequence, sequence, "sequence");
        }
    }

    function test_devicesDoNotTouchEachOther() public {
        address other = vm.addr(OTHER_KEY);
        registry.registerDevice(other, 1, IDENTITY);
        bytes32 before = slotOf(device);
        (Rejection rejection, ) = submit(sign(OTHER_KEY, pack(other, uint32(NOW), 30, 0, 2, REGULAR), twoReadings()));
        assertEq(rejection, Rejection.None);
        assertEq(slotOf(device), before, "slot");
        require(slotOf(other) != before, "the other's slot");
    }

    function rejectsPost(
        address sender,
        uint24 sequence,
        uint32 measuredAt,
        int16 temperature,
        uint16 humidity,
        Rejection reason
    ) private {
        rejectsPost(sender, sender, sequence, measuredAt, temperature, humidity, reason);
    }

    function rejectsPost(
        address sender,
        address origin,
        uint24 sequence,
        uint32 measuredAt,
        int16 temperature,
        uint16 humidity,
        Rejection reason
    ) private {
        bytes32 before = slotOf(sender);
        uint256 header = pack(sender, measuredAt, 0, sequence, 1, 0);
        bytes32 dataDigest = keccak256(abi.encodePacked(temperature, humidity));
        vm.expectEmit(address(registry));
        emit ISensorRegistry.Rejected(sender, reason, sender, header, dataDigest);
        vm.prank(sender, origin);
        (Rejection rejection, uint8 verdict) = registry.post(sequence, measuredAt, temperature, humidity);
        assertEq(rejection, reason);
        assertEq(verdict, 0, "verdict");
        assertEq(slotOf(sender), before, "slot");
    }
}
