// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {Dataset} from "../../contracts/interfaces/IModelRegistry.sol";
import {ISensorRegistry, Profile, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";
import {Vm} from "./Vm.sol";

/// @notice The vectors that Python's tests read too, through the contracts.
contract VectorsTest is Fixture {
    string private constant JUDGE = "tests/vectors/judge.json";

    uint256 private key;

    /// @dev One vector a line, so that a cheatcode never reads the whole file.
    function test_judgeVectors() public {
        string memory top = string.concat(vm.readLine(JUDGE), "]}");
        key = uint256(vm.parseJsonBytes32(top, ".device_key"));
        device = vm.addr(key);
        uint256 count = vm.parseJsonUint(top, ".count");
        require(count > 450, "vectors are missing");
        for (uint256 i = 1; i <= count; ++i) {
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
            }
            bytes memory line = bytes(vm.readLine(JUDGE));
            if (i < count) {
                require(line[line.length - 1] == ",", "not a vector a line");
                line = firstBytes(line, line.length - 1);
            }
            judgeVector(string(line));
            assembly ("memory-safe") {
                mstore(0x40, free)
            }
        }
        require(bytes(vm.readLine(JUDGE))[0] == "]", "more vectors than are counted");
    }

    function test_merkleVectors() public {
        string memory json = vm.readFile("tests/vectors/merkle.json");
        uint256 count = vm.parseJsonUint(json, ".count");
        require(count > 10, "vectors are missing");
        ModelRegistry models = new ModelRegistry(0, address(this));
        vm.roll(1000);
        for (uint256 i = 0; i < count; ++i) {
            string memory vector = string.concat(".vectors[", vm.toString(i), "]");
            bytes32 root = vm.parseJsonBytes32(json, string.concat(vector, ".root"));
            bytes32 datasetId = models.registerDataset(Dataset(root, 1, 0, 1, bytes32(i)));
            string memory row = string.concat(vector, ".proofs[0]");
            bytes32 leaf = vm.parseJsonBytes32(json, string.concat(row, ".leaf"));
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, string.concat(row, ".proof"));
            require(models.includesRow(datasetId, leaf, proof), vector);
            require(!models.includesRow(datasetId, ~leaf, proof), vector);
        }
    }

    function judgeVector(string memory json) private {
        string memory name = vm.parseJsonString(json, ".name");
        registry = new SensorRegistry(0, address(this));
        registry.addProfile(profileAt(json));
        registry.registerDevice(device, 1, 0);
        setSlotOf(device, vm.parseJsonBytes32(json, ".before.slot"));
        vm.warp(vm.parseJsonUint(json, ".block_time"));

        uint256 header = uint256(vm.parseJsonBytes32(json, ".header"));
        bytes memory data = vm.parseJsonBytes(json, ".data");
        bytes memory exceptions = vm.parseJsonBytes(json, ".exceptions");
        if (header % 256 == 0) postOwn(header, data, exceptions);
        else submitVector(header, data, exceptions);
        assertEq(slotOf(device), vm.parseJsonBytes32(json, ".after.slot"), name);
    }

    function postOwn(uint256 header, bytes memory data, bytes memory exceptions) private {
        int16 temperature = int16(uint16(bytes2(data)));
        uint16 humidity = uint16(uint32(bytes4(data)));
        uint8 expected = exceptions.length == 0 ? 0 : uint8(exceptions[2]);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.ReadingPosted(
            device,
            uint24(header >> 24),
            uint32(header >> 64),
            temperature,
            humidity,
            expected
        );
        vm.prank(device, device);
        (Rejection rejection, uint8 verdict) = registry.post(
            uint24(header >> 24),
            uint32(header >> 64),
            temperature,
            humidity
        );
        assertEq(rejection, Rejection.None);
        assertEq(verdict, expected, "verdict");
    }

    function submitVector(uint256 header, bytes memory data, bytes memory exceptions) private {
        SignedBatch memory batch = sign(key, header, data);
        vm.recordLogs();
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, exceptions.length / 3, "illegal");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "logs");
        assertAccepted(logs[0], batch, exceptions);
    }

    function profileAt(string memory json) private pure returns (Profile memory) {
        return
            Profile({
                temperatureMin: int16(field(json, "temperature_min")),
                temperatureMax: int16(field(json, "temperature_max")),
                temperatureStep: uint16(uint256(field(json, "temperature_step"))),
                humidityMin: uint16(uint256(field(json, "humidity_min"))),
                humidityMax: uint16(uint256(field(json, "humidity_max"))),
                humidityStep: uint16(uint256(field(json, "humidity_step"))),
                futureTolerance: uint32(uint256(field(json, "future_tolerance")))
            });
    }

    function field(string memory json, string memory name) private pure returns (int256) {
        return vm.parseJsonInt(json, string.concat(".profile.", name));
    }
}
