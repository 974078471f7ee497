// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {Dataset} from "../../contracts/interfaces/IModelRegistry.sol";
import {ISensorRegistry, Profile, Rejection} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice The vectors that Python's tests read too, through the contracts.
contract VectorsTest is Fixture {
    string private json;
    uint256 private key;

    function test_judgeVectors() public {
        json = vm.readFile("tests/vectors/judge.json");
        key = uint256(vm.parseJsonBytes32(json, ".device_key"));
        device = vm.addr(key);
        uint256 count = vm.parseJsonUint(json, ".count");
        require(count > 50, "vectors are missing");
        for (uint256 i = 0; i < count; ++i) judgeVector(string.concat(".vectors[", vm.toString(i), "]"));
    }

    function test_merkleVectors() public {
        json = vm.readFile("tests/vectors/merkle.json");
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

    function judgeVector(string memory vector) private {
        registry = new SensorRegistry(0, address(this));
        registry.addProfile(profileAt(string.concat(vector, ".profile.")));
        registry.registerDevice(device, 1, 0);
        setSlotOf(device, vm.parseJsonBytes32(json, string.concat(vector, ".before.slot")));
        vm.warp(vm.parseJsonUint(json, string.concat(vector, ".block_time")));

        uint256 header = uint256(vm.parseJsonBytes32(json, string.concat(vector, ".header")));
        bytes memory data = vm.parseJsonBytes(json, string.concat(vector, ".data"));
        bytes memory exceptions = vm.parseJsonBytes(json, string.concat(vector, ".exceptions"));
        Rejection rejection =
            header % 256 == 0 ? postOwn(header, data, exceptions) : submitVector(header, data, exceptions);
        assertEq(rejection, Rejection.None);
        assertEq(slotOf(device), vm.parseJsonBytes32(json, string.concat(vector, ".after.slot")), vector);
    }

    function postOwn(uint256 header, bytes memory data, bytes memory exceptions) private returns (Rejection rejection) {
        int16 temperature = int16(uint16(bytes2(data)));
        uint16 humidity = uint16(uint32(bytes4(data)));
        uint8 expected = exceptions.length == 0 ? 0 : uint8(exceptions[2]);
        uint8 verdict;
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
        (rejection, verdict) = registry.post(uint24(header >> 24), uint32(header >> 64), temperature, humidity);
        assertEq(verdict, expected, "verdict");
    }

    function submitVector(
        uint256 header,
        bytes memory data,
        bytes memory exceptions
    ) private returns (Rejection rejection) {
        Signed memory batch = sign(key, header, data);
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(device, header, batch.r, batch.vs, data, exceptions);
        (rejection, ) = submit(batch);
    }

    function profileAt(string memory path) private view returns (Profile memory) {
        return
            Profile({
                temperatureMin: int16(field(path, "temperature_min")),
                temperatureMax: int16(field(path, "temperature_max")),
                temperatureStep: uint16(uint256(field(path, "temperature_step"))),
                humidityMin: uint16(uint256(field(path, "humidity_min"))),
                humidityMax: uint16(uint256(field(path, "humidity_max"))),
                humidityStep: uint16(uint256(field(path, "humidity_step"))),
                futureTolerance: uint32(uint256(field(path, "future_tolerance")))
            });
    }

    function field(string memory path, string memory name) private view returns (int256) {
        return vm.parseJsonInt(json, string.concat(path, name));
    }
}
