// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {
    DeviceRecord,
    DeviceState,
    ISensorRegistry,
    Profile,
    Rejection
} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";
import {Vm} from "./Vm.sol";

/// @notice Roles, profiles, devices.
contract SensorRegistryAdminTest is Fixture {
    address private constant STRANGER = address(0xBAD);
    address private constant OTHER = address(0x0DE1CE);

    function test_slots() public {
        DeviceState memory state = DeviceState(1, 5000, -2000, 7, uint32(NOW), bytes20(keccak256("head")));
        setSlotOf(device, packState(state));
        require(keccak256(abi.encode(registry.stateOf(device))) == keccak256(abi.encode(state)), "state");
        vm.store(address(registry), bytes32(COUNTS_SLOT), bytes32(uint256(78 * 256 + 77)));
        assertEq(registry.profileCount(), 77, "profileCount");
        assertEq(registry.deviceCount(), 78, "deviceCount");
    }

    function test_constructor() public view {
        require(registry.defaultAdmin() == address(this), "admin");
        assertEq(registry.defaultAdminDelay(), 1 days, "delay");
        assertEq(registry.REGISTRAR_ROLE(), keccak256("REGISTRAR_ROLE"), "role");
        require(registry.hasRole(keccak256("REGISTRAR_ROLE"), address(this)), "registrar");
    }

    function test_adminGrantsAndRevokesTheRegistrar() public {
        registry.grantRole(keccak256("REGISTRAR_ROLE"), OTHER);
        vm.prank(OTHER);
        assertEq(registry.addProfile(room()), 2, "profile");
        registry.revokeRole(keccak256("REGISTRAR_ROLE"), OTHER);
        expectUnauthorized(OTHER);
        vm.prank(OTHER);
        registry.addProfile(room());
    }

    function testFuzz_onlyTheRegistrarRegisters(address stranger) public {
        vm.assume(stranger != address(this));
        expectUnauthorized(stranger);
        vm.prank(stranger);
        registry.addProfile(room());
        expectUnauthorized(stranger);
        vm.prank(stranger);
        registry.registerDevice(OTHER, 1, IDENTITY);
        expectUnauthorized(stranger);
        vm.prank(stranger);
        registry.revokeDevice(device, 0);
        require(registry.stateOf(device).profile == 1, "revoked");
    }

    function testFuzz_addProfile(Profile memory rules) public {
        if (rules.temperatureMin > rules.temperatureMax || rules.humidityMin > rules.humidityMax) {
            vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryInvalidProfile.selector));
            registry.addProfile(rules);
            assertEq(registry.profileCount(), 1, "profileCount");
        } else {
            vm.expectEmit(address(registry));
            emit ISensorRegistry.ProfileAdded(2, rules);
            assertEq(registry.addProfile(rules), 2, "number");
            assertEq(registry.profileCount(), 2, "profileCount");
            assertEq(abi.encode(registry.profileOf(2)), abi.encode(rules), "rules");
            assertEq(abi.encode(registry.profileOf(1)), abi.encode(room()), "rules before");
        }
    }

    function test_invalidProfiles() public {
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryInvalidProfile.selector));
        registry.addProfile(Profile(1, 0, 100, 500, 9800, 500, 60));
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryInvalidProfile.selector));
        registry.addProfile(Profile(0, 5000, 100, 501, 500, 500, 60));
    }

    function test_255Profiles() public {
        for (uint256 i = 2; i <= 255; ++i) assertEq(registry.addProfile(room()), i, "number");
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryTooManyProfiles.selector));
        registry.addProfile(room());
        registry.registerDevice(OTHER, 255, IDENTITY);
        assertEq(registry.stateOf(OTHER).profile, 255, "profile");
    }

    function testFuzz_registerDevice(address who, uint8 profile, bytes32 digest, uint32 time) public {
        vm.assume(who != address(0) && who != device && time != 0);
        vm.warp(time);
        if (profile != 1) {
            vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryUnknownProfile.selector, profile));
            registry.registerDevice(who, profile, digest);
            assertEq(registry.recordOf(who).registeredAt, 0, "registeredAt");
            assertEq(registry.deviceCount(), 1, "deviceCount");
        }
        vm.expectEmit(address(registry));
        emit ISensorRegistry.DeviceRegistered(who, 1, digest);
        registry.registerDevice(who, 1, digest);
        assertEq(slotOf(who), packState(DeviceState(1, 0, 0, 0, 0, 0)), "slot");
        assertEq(abi.encode(registry.recordOf(who)), abi.encode(DeviceRecord(digest, time, 0, 0)), "record");
        assertEq(registry.deviceCount(), 2, "deviceCount");
        assertEq(registry.profileCount(), 1, "profileCount");
    }

    function test_registerDeviceRefuses() public {
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryZeroDevice.selector));
        registry.registerDevice(address(0), 1, IDENTITY);
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryUnknownProfile.selector, 0));
        registry.registerDevice(OTHER, 0, IDENTITY);
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryUnknownProfile.selector, 2));
        registry.registerDevice(OTHER, 2, IDENTITY);
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryDeviceExists.selector, device));
        registry.registerDevice(device, 1, IDENTITY);
    }

    function testFuzz_revokeDevice(uint32 untrustedSince, uint32 time, uint256 slot) public {
        vm.assume(time != 0);
        bytes32 before = bytes32((slot >> 8) << 8) | bytes32(uint256(1));
        setSlotOf(device, before);
        vm.warp(time);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.DeviceRevoked(device, untrustedSince);
        registry.revokeDevice(device, untrustedSince);
        assertEq(slotOf(device), before ^ bytes32(uint256(1)), "only the profile changes");
        DeviceRecord memory record = DeviceRecord(IDENTITY, uint32(NOW), time, untrustedSince);
        assertEq(abi.encode(registry.recordOf(device)), abi.encode(record), "record");

        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryNotActive.selector, device));
        registry.revokeDevice(device, 0);
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryDeviceExists.selector, device));
        registry.registerDevice(device, 1, IDENTITY);
        assertEq(abi.encode(registry.recordOf(device)), abi.encode(record), "record stays");
        assertEq(registry.deviceCount(), 1, "deviceCount");
    }

    function test_revokeUnknownDevice() public {
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryNotActive.selector, STRANGER));
        registry.revokeDevice(STRANGER, 0);
    }

    function expectUnauthorized(address account) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector,
                account,
                keccak256("REGISTRAR_ROLE")
            )
        );
    }
}

/// @notice What gets in, what is rejected and why, and who can change what.
contract SensorRegistryReadingsTest is Fixture {
    uint256 private constant OTHER_KEY = uint256(keccak256("another key"));
    address private constant GATEWAY = address(0x6A7E);
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint8 private constant TIMED = 1;
    uint8 private constant REGULAR = 2;

    bytes private twoReadings = abi.encodePacked(int16(2000), uint16(5000), int16(9000), uint16(5000));

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
        Signed memory batch = sign(DEVICE_KEY, header, twoReadings);
        vm.expectEmit(address(registry));
        // the second reading: temperature out of range (4) and too large a step (16)
        emit ISensorRegistry.BatchAccepted(device, header, batch.r, batch.vs, twoReadings, hex"000114");
        vm.prank(GATEWAY);
        (Rejection batchRejection, uint256 illegal) = submit(batch);
        assertEq(batchRejection, Rejection.None);
        assertEq(illegal, 1, "illegal");
        head = headAfter(head, header, twoReadings);
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
        Signed memory batch = sign(DEVICE_KEY, header, data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(device, header, batch.r, batch.vs, data, hex"00000c");
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, 1, "illegal");
        bytes20 head = headAfter(0, header, data);
        assertEq(slotOf(device), packState(DeviceState(1, 500, 0, 2, uint32(NOW + 10), head)), "slot");
    }

    function test_oneLogForEachCall() public {
        vm.recordLogs();
        vm.prank(device, device);
        registry.post(0, uint32(NOW), 2000, 5000);
        registry.post(0, uint32(NOW), 2000, 5000);
        submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 1, 1, 2, REGULAR), twoReadings));
        submit(sign(OTHER_KEY, pack(device, uint32(NOW), 1, 3, 2, REGULAR), twoReadings));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 4, "logs");
        assertEq(logs[0].topics[0], ISensorRegistry.ReadingPosted.selector, "posted");
        assertEq(logs[1].topics[0], ISensorRegistry.Rejected.selector, "rejected");
        assertEq(logs[2].topics[0], ISensorRegistry.BatchAccepted.selector, "accepted");
        assertEq(logs[3].topics[0], ISensorRegistry.Rejected.selector, "forged");
        assertEq(logs[3].topics[1], bytes32(uint256(uint160(device))), "the device named, not the sender");
    }

    function test_malformed() public {
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 0, REGULAR), ""), Rejection.Malformed);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 0, TIMED), ""), Rejection.Malformed);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 1, REGULAR), twoReadings), Rejection.Malformed);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 3, REGULAR), twoReadings), Rejection.Malformed);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, TIMED), twoReadings), Rejection.Malformed);
        // A length that agrees with the count only modulo 2^16.
        bytes memory data = new bytes(4 * 65536);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 0, REGULAR), data), Rejection.Malformed);
    }

    function testFuzz_unknownFormat(uint8 format, uint16 count, uint8 width) public {
        vm.assume(format != TIMED && format != REGULAR);
        bytes memory data = new bytes(uint256(count % 100) * (width % 8));
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, count % 100, format), data), Rejection.Malformed);
    }

    function testFuzz_unknownDevice(uint256 key, address stranger) public {
        key = (key % (ORDER - 1)) + 1;
        address unknown = vm.addr(key);
        vm.assume(unknown != device && stranger != device && stranger.code.length == 0);
        rejects(sign(key, pack(unknown, uint32(NOW), 30, 0, 2, REGULAR), twoReadings), Rejection.UnknownDevice);
        rejectsPost(stranger, 0, uint32(NOW), 2000, 5000, Rejection.UnknownDevice);
    }

    function test_revokedDevice() public {
        registry.revokeDevice(device, 0);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings), Rejection.RevokedDevice);
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.RevokedDevice);
    }

    function testFuzz_senderIsCalledByAnother(address origin) public {
        vm.assume(origin != device);
        rejectsPost(device, origin, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
    }

    function testFuzz_senderHasCode(bytes memory code, bool isActive) public {
        vm.assume(code.length > 0);
        if (!isActive) registry.revokeDevice(device, 0);
        vm.etch(device, code);
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
    }

    function test_accountWithDelegation() public {
        vm.etch(device, abi.encodePacked(hex"ef0100", GATEWAY));
        rejectsPost(device, 0, uint32(NOW), 2000, 5000, Rejection.SenderIsCode);
        // A batch bears the key's signature, whatever the account runs.
        (Rejection rejection, ) = submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings));
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
        rejects(sign(DEVICE_KEY, header, twoReadings), Rejection.WrongSequence);
        rejectsPost(device, sequence, uint32(NOW), 2000, 5000, Rejection.WrongSequence);
    }

    function test_replay() public {
        Signed memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings);
        submit(batch);
        rejects(batch, Rejection.WrongSequence);
    }

    function test_sequenceNumbersEnd() public {
        setSlotOf(device, packState(DeviceState(1, 5000, 2000, 2 ** 24 - 2, 0, 0)));
        uint256 header = pack(device, uint32(NOW), 30, 2 ** 24 - 2, 2, REGULAR);
        rejects(sign(DEVICE_KEY, header, twoReadings), Rejection.WrongSequence);
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
        uint256 header = pack(device, uint32(NOW), 30, 0, 2, REGULAR);
        rejects(sign(key, header, twoReadings), Rejection.WrongSignature);
        rejects(Signed(header, r, vs, twoReadings), Rejection.WrongSignature);
        // A forgery is recorded as one even where the sequence number is wrong as well.
        header = pack(device, uint32(NOW), 30, 1, 2, REGULAR);
        rejects(sign(key, header, twoReadings), Rejection.WrongSignature);
    }

    function testFuzz_signatureCoversEveryBit(uint256 bit) public {
        Signed memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings);
        // Of the header: start and period; a change of the other fields makes another rejection.
        Signed memory altered = Signed(batch.header ^ (1 << (48 + (bit % 48))), batch.r, batch.vs, batch.data);
        rejects(altered, Rejection.WrongSignature);
        bytes memory data = bytes.concat(batch.data);
        data[bit % 8] ^= bytes1(uint8(1 << ((bit >> 8) % 8)));
        rejects(Signed(batch.header, batch.r, batch.vs, data), Rejection.WrongSignature);
        rejects(
            Signed(batch.header, batch.r ^ bytes32(1 << (bit % 256)), batch.vs, batch.data),
            Rejection.WrongSignature
        );
        rejects(
            Signed(batch.header, batch.r, batch.vs ^ bytes32(1 << (bit % 256)), batch.data),
            Rejection.WrongSignature
        );
    }

    function test_highS() public {
        uint256 header = pack(device, uint32(NOW), 30, 0, 2, REGULAR);
        Signed memory batch = sign(DEVICE_KEY, header, twoReadings);
        uint256 s = uint256(batch.vs) & (2 ** 255 - 1);
        uint256 parity = uint256(batch.vs) >> 255;
        require(s <= HALF_ORDER, "the signer gives the lower s");
        // In the compact form, n - s reaches into the parity bit unless it is below 2^255: either way it is refused.
        bytes32 malleated = bytes32((ORDER - s) | ((1 - parity) << 255));
        rejects(Signed(header, batch.r, malleated, twoReadings), Rejection.WrongSignature);
    }

    function test_anotherChainsOrDeploymentsSignature() public {
        uint256 header = pack(device, uint32(NOW), 30, 0, 2, REGULAR);
        address registryAddress = address(registry);
        rejects(signFor(DEVICE_KEY, header, twoReadings, block.chainid + 1, registryAddress), Rejection.WrongSignature);
        rejects(signFor(DEVICE_KEY, header, twoReadings, block.chainid, address(0x1234)), Rejection.WrongSignature);
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
        (Rejection rejection, ) = submit(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 2, REGULAR), twoReadings));
        assertEq(rejection, Rejection.None);
    }

    function testFuzz_strangersNeverChangeADevice(
        address stranger,
        uint256 header,
        bytes32 r,
        bytes32 vs,
        bytes memory data,
        bool plausible
    ) public {
        vm.assume(stranger != device && stranger.code.length == 0);
        header = (header & (2 ** 96 - 1)) | (uint256(uint160(device)) << 96);
        if (plausible) {
            data = bytes.concat(data, twoReadings);
            uint256 count = data.length / 4;
            assembly ("memory-safe") {
                mstore(data, mul(4, count))
            }
            header = pack(device, uint32(header >> 64), uint16(header >> 48), 0, uint16(count), REGULAR);
        }
        bytes32 before = slotOf(device);
        bytes memory record = abi.encode(registry.recordOf(device));
        vm.prank(stranger);
        (Rejection rejection, ) = registry.submitBatch(header, r, vs, data);
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
            bytes memory data = bytes.concat(keccak256(abi.encode(noise, i)), bytes32(seed));
            assembly ("memory-safe") {
                mstore(data, mul(4, count))
            }
            uint256 header = pack(device, uint32(seed >> 8), uint16(seed >> 40), sequence, count, REGULAR);
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
        (Rejection rejection, ) = submit(sign(OTHER_KEY, pack(other, uint32(NOW), 30, 0, 2, REGULAR), twoReadings));
        assertEq(rejection, Rejection.None);
        assertEq(slotOf(device), before, "slot");
        require(slotOf(other) != before, "the other's slot");
    }

    function rejects(Signed memory batch, Rejection reason) private {
        address named = address(uint160(batch.header >> 96));
        bytes32 before = slotOf(named);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.Rejected(named, reason, GATEWAY, batch.header, keccak256(batch.data));
        vm.prank(GATEWAY);
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, reason);
        assertEq(illegal, 0, "illegal");
        assertEq(slotOf(named), before, "slot");
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
