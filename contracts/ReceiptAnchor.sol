// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IKmsCommittee} from "./interfaces/IKmsCommittee.sol";
import {IReceiptAnchor} from "./interfaces/IReceiptAnchor.sol";
import {currentTime} from "./types/Timed.sol";

/// @notice Roots of the nodes' receipt logs. Powers and non-powers: `IReceiptAnchor`.
contract ReceiptAnchor is IReceiptAnchor, EIP712 {
    bytes32 private constant ROOT_TYPEHASH =
        keccak256("ReceiptRoot(uint64 index,bytes32 previousRoot,bytes32 root,uint64 count)");

    /// @inheritdoc IReceiptAnchor
    address public immutable committee;

    mapping(address node => Anchor[]) private _anchors;

    constructor(address committee_) EIP712("Mandate ReceiptAnchor", "1") {
        if (committee_.code.length == 0) revert NotACommittee(committee_);
        committee = committee_;
    }

    /// @inheritdoc IReceiptAnchor
    function postRoot(
        address node,
        uint64 index,
        bytes32 previousRoot,
        bytes32 root,
        uint64 count,
        bytes calldata signature
    ) external {
        if (!IKmsCommittee(committee).isAdmitted(node)) revert NotAdmitted(node);
        bytes32 structHash = keccak256(abi.encode(ROOT_TYPEHASH, index, previousRoot, root, count));
        _checkSignature(node, structHash, signature);
        _checkIsNext(node, index, previousRoot, count);
        if (root == bytes32(0)) revert ZeroRoot();
        _anchors[node].push(Anchor({root: root, count: count, postedAt: currentTime()}));
        emit RootPosted(node, index, root, previousRoot, count);
    }

    /// @inheritdoc IReceiptAnchor
    function verify(address node, uint256 index, bytes32 receiptHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return MerkleProof.verifyCalldata(proof, anchor(node, index).root, leafOf(receiptHash));
    }

    /// @inheritdoc IReceiptAnchor
    function anchorCount(address node) external view returns (uint256) {
        return _anchors[node].length;
    }

    /// @inheritdoc IReceiptAnchor
    function anchor(address node, uint256 index) public view returns (Anchor memory) {
        if (index >= _anchors[node].length) revert UnknownAnchor(node, index);
        return _anchors[node][index];
    }

    /// @inheritdoc IReceiptAnchor
    function latest(address node) public view returns (Anchor memory newest) {
        uint256 length = _anchors[node].length;
        if (length != 0) newest = _anchors[node][length - 1];
    }

    /// @inheritdoc IReceiptAnchor
    function leafOf(bytes32 receiptHash) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(bytes.concat(receiptHash))));
    }

    function _checkIsNext(address node, uint64 index, bytes32 previousRoot, uint64 count) private view {
        uint64 expected = uint64(_anchors[node].length);
        if (index != expected) revert WrongIndex(node, index, expected);
        Anchor memory previous = latest(node);
        if (previousRoot != previous.root) revert WrongPreviousRoot(node, previousRoot, previous.root);
        if (count <= previous.count) revert CountNotRising(node, count, previous.count);
    }

    function _checkSignature(address node, bytes32 structHash, bytes calldata signature) private view {
        // What is left out repeats the signature.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failure,) =
            ECDSA.tryRecoverCalldata(_hashTypedDataV4(structHash), signature);
        if (failure != ECDSA.RecoverError.NoError || recovered != node) revert InvalidSignature(node);
    }
}
