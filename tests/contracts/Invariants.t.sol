// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {DeviceState, Rejection} from "../../contracts/interfaces/ISensorRegistry.sol";
import {ModelHandler, SensorHandler} from "./Handler.sol";

/// @notice What holds after whatever happened in whatever order; `handler` does it and remembers.
abstract contract Invariants {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address[] private _contracts;
    FuzzSelector[] private _selectors;

    /// @notice Asked for by the test runner: what it may call. Else it would call all that is deployed, at random.
    function targetContracts() external view returns (address[] memory) {
        return _contracts;
    }

    /// @notice Asked for by the test runner: which functions.
    function targetSelectors() external view returns (FuzzSelector[] memory) {
        return _selectors;
    }

    function target(address handler, bytes4[] memory selectors) internal {
        _contracts.push(handler);
        _selectors.push(FuzzSelector(handler, selectors));
    }
}

contract SensorRegistryInvariants is Invariants {
    SensorHandler private handler;
    SensorRegistry private registry;
    bytes4[] private actions;

    function setUp() public {
        handler = new SensorHandler();
        registry = handler.target();
        // Twice what is to be done more often.
        actions = [handler.submit.selector, handler.submit.selector, handler.post.selector, handler.post.selector];
        actions.push(handler.submitMany.selector);
        actions.push(handler.replay.selector);
        actions.push(handler.forge.selector);
        actions.push(handler.skip.selector);
        actions.push(handler.goOn.selector);
        actions.push(handler.impersonate.selector);
        actions.push(handler.meddle.selector);
        actions.push(handler.register.selector);
        actions.push(handler.revoke.selector);
        actions.push(handler.addProfile.selector);
        bytes4[] memory all = new bytes4[](actions.length + 1);
        for (uint256 i = 0; i < actions.length; ++i) all[i] = actions[i];
        all[actions.length] = handler.sendAnything.selector;
        target(address(handler), all);
    }

    /// @notice (a) A device's slot changes by its own signature or transaction, or by the registrar.
    function invariant_strangersChangeNothing() public view {
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            require(handler.slotAt(i) == uint256(handler.knownAt(i).slot), "a stranger changed a slot");
        }
        require(handler.strangersSlot() == 0, "a stranger has a slot");
    }

    /// @notice (b) Neither the sequence number nor the latest time goes back.
    function invariant_nothingGoesBack() public view {
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            SensorHandler.Known memory known = handler.knownAt(i);
            DeviceState memory state = registry.stateOf(known.who);
            require(state.sequence >= known.sequenceSeen, "the sequence number went back");
            require(state.lastTime >= known.timeSeen, "the latest time went back");
        }
    }

    /// @notice (c) The head commits to every byte that was accepted.
    function invariant_headsCommit() public view {
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            SensorHandler.Known memory known = handler.knownAt(i);
            require(registry.stateOf(known.who).head == known.head, "not the head of what was accepted");
        }
    }

    /// @notice (d) Profiles never change, nor do devices' records, but for their revocation.
    function invariant_recordsStay() public view {
        uint256 count = registry.profileCount();
        for (uint8 i = 1; i <= count; ++i) {
            require(keccak256(abi.encode(registry.profileOf(i))) == handler.profiles(i - 1), "a profile changed");
        }
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            SensorHandler.Known memory known = handler.knownAt(i);
            bytes memory record = abi.encode(registry.recordOf(known.who));
            require(keccak256(record) == keccak256(abi.encode(known.record)), "a record changed");
        }
    }

    /// @notice (e) A revoked device gets nothing in.
    function invariant_revokedDevicesStandStill() public view {
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            SensorHandler.Known memory known = handler.knownAt(i);
            if (!known.isRevoked) continue;
            require(registry.stateOf(known.who).profile == 0, "a revoked device has a profile");
            require(handler.slotAt(i) == uint256(known.frozen), "a revoked device went on");
        }
    }

    /// @notice (f) A device's sequence number is how many readings were accepted of it; devices and profiles are as many
    /// as were registered and added.
    function invariant_counts() public view {
        for (uint256 i = 0; i < handler.deviceAmount(); ++i) {
            SensorHandler.Known memory known = handler.knownAt(i);
            require(registry.stateOf(known.who).sequence == known.readings, "not so many readings");
        }
        require(registry.deviceCount() == handler.deviceAmount(), "not so many devices");
        try handler.profiles(uint256(registry.profileCount())) {
            revert("more profiles");
        } catch {
            handler.profiles(registry.profileCount() - 1);
        }
    }

    /// @notice (g) What a device sends as the interface has it is accepted, whatever else happened.
    function invariant_nothingIsLost() public view {
        require(handler.losses() == 0, "an honest batch or reading was rejected");
    }

    /// @notice Of the runner's calls, every run does something.
    function afterInvariant() public view {
        require(handler.batches() + handler.posts() >= 5, "hardly anything was accepted");
    }

    /// @notice Every way through the handler is taken: the invariants above are about something.
    function test_handlerReachesEverything() public {
        uint256 last = actions.length - 1;
        for (uint256 i = 0; i < 400; ++i) {
            bytes memory call = abi.encodeWithSelector(actions[i % (last + 1)], uint256(keccak256(abi.encode(i))));
            // solhint-disable-next-line avoid-low-level-calls
            (bool done, ) = address(handler).call(call);
            require(done, "the handler reverted");
            handler.sendAnything(i, i, bytes.concat(bytes32(i)));
        }
        require(handler.batches() > 60, "batches");
        require(handler.posts() > 40, "posts");
        require(handler.meddlings() > 20, "meddlings");
        for (Rejection reason = Rejection.Malformed; reason < Rejection.SenderIsCode;) {
            require(handler.rejections(reason) > 10, "rejections");
            reason = Rejection(uint256(reason) + 1);
        }
        require(handler.rejections(Rejection.SenderIsCode) > 10, "sender is code");
        require(handler.deviceAmount() == 8, "devices");
        require(registry.profileCount() > 10, "profiles");
        invariant_strangersChangeNothing();
        invariant_nothingGoesBack();
        invariant_headsCommit();
        invariant_recordsStay();
        invariant_revokedDevicesStandStill();
        invariant_counts();
        invariant_nothingIsLost();
    }
}

contract ModelRegistryInvariants is Invariants {
    ModelHandler private handler;
    ModelRegistry private registry;

    function setUp() public {
        handler = new ModelHandler();
        registry = handler.target();
        bytes4[] memory actions = new bytes4[](4);
        actions[0] = handler.registerDataset.selector;
        actions[1] = handler.registerModel.selector;
        actions[2] = handler.recall.selector;
        actions[3] = handler.meddle.selector;
        target(address(handler), actions);
    }

    /// @notice (d) Datasets never change.
    function invariant_datasetsStay() public view {
        for (uint256 i = 0; i < handler.datasetAmount(); ++i) {
            bytes32 datasetId = handler.datasetIds(i);
            require(keccak256(abi.encode(registry.datasetOf(datasetId))) == datasetId, "a dataset changed");
        }
    }

    /// @notice (d) Models never change, but for their recall, once.
    function invariant_modelsStay() public view {
        for (uint256 i = 0; i < handler.modelAmount(); ++i) {
            bytes32 digest = handler.weightsDigests(i);
            bytes memory model = abi.encode(registry.modelOf(digest));
            require(keccak256(model) == keccak256(abi.encode(handler.modelOf(digest))), "a model changed");
        }
    }

    /// @notice Every way through the handler is taken.
    function test_handlerReachesEverything() public {
        for (uint256 i = 0; i < 40; ++i) {
            handler.registerDataset(i);
            handler.registerModel(i);
            if (i % 3 == 0) handler.recall(i);
            handler.meddle(i);
        }
        require(handler.datasetAmount() > 20, "datasets");
        require(handler.modelAmount() > 20, "models");
        require(handler.recalls() > 5, "recalls");
        require(handler.meddlings() > 20, "meddlings");
        invariant_datasetsStay();
        invariant_modelsStay();
    }
}
