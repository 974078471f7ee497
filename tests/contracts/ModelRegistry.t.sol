// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {Dataset, IModelRegistry, Model} from "../../contracts/interfaces/IModelRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Datasets, models, lineage, recall.
contract ModelRegistryTest is Fixture {
    address private constant OTHER = address(0x0A11CE);
    uint256 private constant NOW_BLOCK = 1000;
    uint64 private constant THROUGH = 990;
    bytes32 private constant BLOCK_HASH = keccak256("block 990");
    bytes32 private constant WEIGHTS = keccak256("weights");
    bytes32 private constant MANIFEST = keccak256("manifest");
    string private constant TASK = "humidity-from-temperature";

    ModelRegistry private models;

    function setUp() public override {
        vm.warp(NOW);
        vm.roll(NOW_BLOCK);
        vm.setBlockhash(THROUGH, BLOCK_HASH);
        models = new ModelRegistry(2 days, address(this));
    }

    function test_constructor() public view {
        require(models.defaultAdmin() == address(this), "admin");
        assertEq(models.defaultAdminDelay(), 2 days, "delay");
        assertEq(models.PUBLISHER_ROLE(), keccak256("PUBLISHER_ROLE"), "publisher");
        assertEq(models.RECALLER_ROLE(), keccak256("RECALLER_ROLE"), "recaller");
        require(models.hasRole(keccak256("PUBLISHER_ROLE"), address(this)), "publisher");
        require(models.hasRole(keccak256("RECALLER_ROLE"), address(this)), "recaller");
    }

    function testFuzz_onlyRoleHolders(address stranger) public {
        vm.assume(stranger != address(this));
        bytes32 datasetId = models.registerDataset(someDataset());
        models.registerModel(WEIGHTS, datasetId, MANIFEST, 0, TASK);
        Dataset memory another = someDataset();
        another.rowCount = 1;
        expectUnauthorized(stranger, keccak256("PUBLISHER_ROLE"));
        vm.prank(stranger);
        models.registerDataset(another);
        expectUnauthorized(stranger, keccak256("PUBLISHER_ROLE"));
        vm.prank(stranger);
        models.registerModel(MANIFEST, datasetId, MANIFEST, 0, TASK);
        expectUnauthorized(stranger, keccak256("RECALLER_ROLE"));
        vm.prank(stranger);
        models.recallModel(WEIGHTS, "");
        assertEq(models.modelOf(WEIGHTS).recalledAt, 0, "recalledAt");
    }

    function test_rolesAreApart() public {
        models.grantRole(keccak256("PUBLISHER_ROLE"), OTHER);
        vm.prank(OTHER);
        bytes32 datasetId = models.registerDataset(someDataset());
        vm.prank(OTHER);
        models.registerModel(WEIGHTS, datasetId, MANIFEST, 0, TASK);
        expectUnauthorized(OTHER, keccak256("RECALLER_ROLE"));
        vm.prank(OTHER);
        models.recallModel(WEIGHTS, "");
    }

    function testFuzz_registerDataset(bytes32 root, uint64 rowCount, bytes32 selectionDigest) public {
        Dataset memory dataset = Dataset(root, rowCount, selectionDigest, THROUGH, BLOCK_HASH);
        bytes32 expected = keccak256(abi.encode(root, rowCount, selectionDigest, THROUGH, BLOCK_HASH));
        if (root == 0 || rowCount == 0) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryEmptyDataset.selector));
            models.registerDataset(dataset);
            assertEq(abi.encode(models.datasetOf(expected)), new bytes(160), "nothing is stored");
            return;
        }
        vm.expectEmit(address(models));
        emit IModelRegistry.DatasetRegistered(expected, dataset, true);
        assertEq(models.registerDataset(dataset), expected, "datasetId");
        assertEq(abi.encode(models.datasetOf(expected)), abi.encode(dataset), "dataset");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryDatasetExists.selector, expected));
        models.registerDataset(dataset);
    }

    function test_emptyDatasets() public {
        Dataset memory dataset = someDataset();
        dataset.rowCount = 0;
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryEmptyDataset.selector));
        models.registerDataset(dataset);
        dataset = someDataset();
        dataset.root = 0;
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryEmptyDataset.selector));
        models.registerDataset(dataset);
    }

    function testFuzz_wrongBlockHash(bytes32 claimed) public {
        vm.assume(claimed != BLOCK_HASH);
        expectWrongBlockHash(THROUGH, claimed, BLOCK_HASH);
    }

    function testFuzz_notYetThere(uint64 throughBlock, bytes32 claimed) public {
        if (throughBlock <= NOW_BLOCK) throughBlock = uint64(NOW_BLOCK + 1);
        expectWrongBlockHash(throughBlock, claimed, 0);
    }

    function test_blockHashWindow() public {
        uint64 oldest = uint64(NOW_BLOCK - 256);
        vm.setBlockhash(oldest, keccak256("the oldest block that the chain knows"));
        expectWrongBlockHash(oldest, BLOCK_HASH, keccak256("the oldest block that the chain knows"));

        // Neither the block before the window nor the one that is being built has a hash to compare with.
        uint64[2] memory unchecked_ = [oldest - 1, uint64(NOW_BLOCK)];
        for (uint256 i = 0; i < unchecked_.length; ++i) {
            Dataset memory dataset = someDataset();
            dataset.throughBlock = unchecked_[i];
            vm.expectEmit(address(models));
            emit IModelRegistry.DatasetRegistered(keccak256(abi.encode(dataset)), dataset, false);
            models.registerDataset(dataset);
        }
    }

    function testFuzz_registerModel(bytes32 weights, bytes32 manifest, string memory task, uint32 time) public {
        vm.assume(time != 0 && weights != WEIGHTS && weights != 0);
        bytes32 datasetId = models.registerDataset(someDataset());
        models.registerModel(WEIGHTS, datasetId, MANIFEST, 0, TASK);
        vm.warp(time);
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelRegistered(weights, datasetId, manifest, WEIGHTS, task);
        models.registerModel(weights, datasetId, manifest, WEIGHTS, task);
        Model memory expected = Model(datasetId, manifest, WEIGHTS, time, 0, keccak256(bytes(task)));
        assertEq(abi.encode(models.modelOf(weights)), abi.encode(expected), "model");

        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryModelExists.selector, weights));
        models.registerModel(weights, datasetId, MANIFEST, 0, TASK);
        assertEq(abi.encode(models.modelOf(weights)), abi.encode(expected), "model stays");
    }

    function testFuzz_registerModelRefuses(bytes32 unknown) public {
        bytes32 datasetId = models.registerDataset(someDataset());
        vm.assume(unknown != datasetId && unknown != 0);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryUnknownDataset.selector, unknown));
        models.registerModel(WEIGHTS, unknown, MANIFEST, 0, TASK);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryUnknownModel.selector, unknown));
        models.registerModel(WEIGHTS, datasetId, MANIFEST, unknown, TASK);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryUnknownModel.selector, unknown));
        models.registerModel(unknown, datasetId, MANIFEST, unknown, TASK);
    }

    function testFuzz_recallModel(string memory reason, uint32 time) public {
        vm.assume(time != 0);
        bytes32 datasetId = models.registerDataset(someDataset());
        models.registerModel(WEIGHTS, datasetId, MANIFEST, 0, TASK);
        vm.warp(time);
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelRecalled(WEIGHTS, reason);
        models.recallModel(WEIGHTS, reason);
        Model memory expected = Model(datasetId, MANIFEST, 0, uint32(NOW), time, keccak256(bytes(TASK)));
        assertEq(abi.encode(models.modelOf(WEIGHTS)), abi.encode(expected), "model");

        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryAlreadyRecalled.selector, WEIGHTS));
        models.recallModel(WEIGHTS, reason);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryModelExists.selector, WEIGHTS));
        models.registerModel(WEIGHTS, datasetId, MANIFEST, 0, TASK);
    }

    function test_zeroIsNoModel() public {
        bytes32 datasetId = models.registerDataset(someDataset());
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryZeroDigest.selector));
        models.registerModel(0, datasetId, MANIFEST, 0, TASK);
    }

    function testFuzz_recallUnknownModel(bytes32 unknown) public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryUnknownModel.selector, unknown));
        models.recallModel(unknown, "");
    }

    function testFuzz_includesRow(bytes32 leaf, bytes32 sibling, bytes32 stranger) public {
        vm.assume(stranger != leaf && stranger != sibling);
        Dataset memory dataset = someDataset();
        dataset.root = leaf < sibling ? keccak256(bytes.concat(leaf, sibling)) : keccak256(bytes.concat(sibling, leaf));
        bytes32 datasetId = models.registerDataset(dataset);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = sibling;
        require(models.includesRow(datasetId, leaf, proof), "the row is in it");
        require(!models.includesRow(datasetId, stranger, proof), "a stranger is not");
        require(!models.includesRow(datasetId, leaf, new bytes32[](0)), "without its proof it is not");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRegistryUnknownDataset.selector, stranger));
        models.includesRow(stranger, leaf, proof);
    }

    function someDataset() private pure returns (Dataset memory) {
        return Dataset(keccak256("root"), 840, keccak256("selection"), THROUGH, BLOCK_HASH);
    }

    function expectWrongBlockHash(uint64 throughBlock, bytes32 claimed, bytes32 actual) private {
        Dataset memory dataset = someDataset();
        (dataset.throughBlock, dataset.blockHash) = (throughBlock, claimed);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelRegistryWrongBlockHash.selector, throughBlock, claimed, actual)
        );
        models.registerDataset(dataset);
    }

    function expectUnauthorized(address account, bytes32 role) private {
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role)
        );
    }
}
