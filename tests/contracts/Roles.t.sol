// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice How the admin role of both registries changes hands: in two steps, a delay apart.
contract RolesTest is Fixture {
    address private constant HEIR = address(0x4E18);
    address private constant OTHER = address(0x0A11CE);

    function test_roleHandOver() public {
        handOver(registry);
    }

    function test_roleHandOverOfTheModels() public {
        handOver(IAccessControlDefaultAdminRules(address(new ModelRegistry(1 days, address(this)))));
    }

    /// @dev The pending admin never accepts: nothing changes, and the admin may change its mind.
    function test_roleHandOverToNobody() public {
        registry.beginDefaultAdminTransfer(HEIR);
        vm.warp(NOW + 3650 days);
        require(registry.defaultAdmin() == address(this), "admin");
        expectUnauthorized(HEIR);
        vm.prank(HEIR);
        registry.grantRole(keccak256("REGISTRAR_ROLE"), HEIR);
        registry.grantRole(keccak256("REGISTRAR_ROLE"), OTHER);

        registry.cancelDefaultAdminTransfer();
        (address pending, ) = registry.pendingDefaultAdmin();
        require(pending == address(0), "pending");
        expectNotPending(HEIR);
        vm.prank(HEIR);
        registry.acceptDefaultAdminTransfer();
        require(registry.defaultAdmin() == address(this), "admin");
    }

    function test_roleCannotBeGivenInOneStep() public {
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControlDefaultAdminRules.AccessControlEnforcedDefaultAdminRules.selector)
        );
        registry.grantRole(0, HEIR);
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControlDefaultAdminRules.AccessControlEnforcedDefaultAdminRules.selector)
        );
        registry.revokeRole(0, address(this));
    }

    /// @dev To give the role up for good, too, takes two steps and the delay.
    function test_renouncing() public {
        expectDelay(0);
        registry.renounceRole(0, address(this));
        registry.beginDefaultAdminTransfer(address(0));
        uint256 schedule = NOW + 1 days;
        vm.warp(schedule);
        expectDelay(schedule);
        registry.renounceRole(0, address(this));
        vm.warp(schedule + 1);
        registry.renounceRole(0, address(this));
        require(registry.defaultAdmin() == address(0), "admin");
        // The registrar's role stays with whom had it, and nobody can give or take it any more.
        registry.registerDevice(OTHER, 1, IDENTITY);
        expectUnauthorized(address(this));
        registry.grantRole(keccak256("REGISTRAR_ROLE"), OTHER);
    }

    function test_strangersDoNotBegin() public {
        expectUnauthorized(OTHER);
        vm.prank(OTHER);
        registry.beginDefaultAdminTransfer(OTHER);
        expectUnauthorized(OTHER);
        vm.prank(OTHER);
        registry.cancelDefaultAdminTransfer();
    }

    function handOver(IAccessControlDefaultAdminRules contract_) private {
        contract_.beginDefaultAdminTransfer(HEIR);
        uint256 schedule = NOW + 1 days;
        (address pending, uint48 acceptable) = contract_.pendingDefaultAdmin();
        require(pending == HEIR, "pending");
        assertEq(acceptable, schedule, "schedule");
        expectNotPending(OTHER);
        vm.prank(OTHER);
        contract_.acceptDefaultAdminTransfer();
        vm.warp(schedule);
        expectDelay(schedule);
        vm.prank(HEIR);
        contract_.acceptDefaultAdminTransfer();
        vm.warp(schedule + 1);
        vm.prank(HEIR);
        contract_.acceptDefaultAdminTransfer();
        require(contract_.defaultAdmin() == HEIR, "admin");
        expectUnauthorized(address(this));
        contract_.beginDefaultAdminTransfer(address(this));
    }

    function expectDelay(uint256 schedule) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControlDefaultAdminRules.AccessControlEnforcedDefaultAdminDelay.selector,
                schedule
            )
        );
    }

    function expectNotPending(address account) private {
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControlDefaultAdminRules.AccessControlInvalidDefaultAdmin.selector, account)
        );
    }

    function expectUnauthorized(address account) private {
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, bytes32(0))
        );
    }
}
