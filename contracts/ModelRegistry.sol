// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Dataset, IModelRegistry, Model} from "./interfaces/IModelRegistry.sol";

/// @title ModelRegistry
contract ModelRegistry is IModelRegistry, AccessControlDefaultAdminRules {
    /// @notice May register datasets and models.
    bytes32 public constant PUBLISHER_ROLE = keccak256("PUBLISHER_ROLE");

    /// @notice May recall models.
    bytes32 public constant RECALLER_ROLE = keccak256("RECALLER_ROLE");

    mapping(bytes32 datasetId => Dataset dataset) private _datasets;
    mapping(bytes32 weightsDigest => Model model) private _models;

    /// @param adminDelay Seconds between the two steps in which the admin role changes hands.
    /// @param admin Holds the admin role and, to begin with, the publisher's and the recaller's.
    constructor(uint48 adminDelay, address admin) AccessControlDefaultAdminRules(adminDelay, admin) {
        _grantRole(PUBLISHER_ROLE, admin);
        _grantRole(RECALLER_ROLE, admin);
    }

    /// @inheritdoc IModelRegistry
    function registerDataset(Dataset calldata dataset) external onlyRole(PUBLISHER_ROLE) returns (bytes32 datasetId) {
        if (dataset.root == 0 || dataset.rowCount == 0) revert ModelRegistryEmptyDataset();
        bytes32 actual = blockhash(dataset.throughBlock);
        // Nodes simulate a transaction inside the newest block, where that block's own hash is 0, like that of blocks
        // older than 256: the event tells that it was not checked, and an auditor checks it.
        bool isFuture = dataset.throughBlock > block.number;
        if (isFuture || (actual != 0 && actual != dataset.blockHash)) {
            revert ModelRegistryWrongBlockHash(dataset.throughBlock, dataset.blockHash, actual);
        }
        datasetId = keccak256(abi.encode(dataset));
        if (_datasets[datasetId].root != 0) revert ModelRegistryDatasetExists(datasetId);
        _datasets[datasetId] = dataset;
        emit DatasetRegistered(datasetId, dataset, actual != 0);
    }

    /// @inheritdoc IModelRegistry
    function registerModel(
        bytes32 weightsDigest,
        bytes32 datasetId,
        bytes32 manifestDigest,
        bytes32 parent,
        string calldata task
    ) external onlyRole(PUBLISHER_ROLE) {
        if (weightsDigest == 0) revert ModelRegistryZeroDigest();
        if (_datasets[datasetId].root == 0) revert ModelRegistryUnknownDataset(datasetId);
        if (_models[weightsDigest].registeredAt != 0) revert ModelRegistryModelExists(weightsDigest);
        if (parent != 0 && _models[parent].registeredAt == 0) revert ModelRegistryUnknownModel(parent);
        _models[weightsDigest] = Model({
            datasetId: datasetId,
            manifestDigest: manifestDigest,
            parent: parent,
            registeredAt: uint32(block.timestamp),
            recalledAt: 0,
            task: keccak256(bytes(task))
        });
        emit ModelRegistered(weightsDigest, datasetId, manifestDigest, parent, task);
    }

    /// @inheritdoc IModelRegistry
    function recallModel(bytes32 weightsDigest, string calldata reason) external onlyRole(RECALLER_ROLE) {
        Model storage model = _models[weightsDigest];
        if (model.registeredAt == 0) revert ModelRegistryUnknownModel(weightsDigest);
        if (model.recalledAt != 0) revert ModelRegistryAlreadyRecalled(weightsDigest);
        model.recalledAt = uint32(block.timestamp);
        emit ModelRecalled(weightsDigest, reason);
    }

    /// @inheritdoc IModelRegistry
    function datasetOf(bytes32 datasetId) external view returns (Dataset memory) {
        return _datasets[datasetId];
    }

    /// @inheritdoc IModelRegistry
    function modelOf(bytes32 weightsDigest) external view returns (Model memory) {
        return _models[weightsDigest];
    }

    /// @inheritdoc IModelRegistry
    function includesRow(
        bytes32 datasetId,
        bytes32 leaf,
        bytes32[] calldata inclusionProof
    ) external view returns (bool) {
        bytes32 root = _datasets[datasetId].root;
        if (root == 0) revert ModelRegistryUnknownDataset(datasetId);
        return MerkleProof.verifyCalldata(inclusionProof, root, leaf);
    }
}
