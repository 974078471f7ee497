// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {DeviceRecord, DeviceState, ISensorRegistry, Profile} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";

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

    function testFuzz_profileOfNone(uint8 profile) public view {
        if (profile == 1) profile = 0;
        assertEq(abi.encode(registry.profileOf(profile)), new bytes(7 * 32), "rules");
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
