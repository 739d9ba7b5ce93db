// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Merkle roots of the receipt logs of the KMS nodes, so that no node can rewrite what it decided (G-8).
///
///   index 0: root over receipts 0 to count-1 --> index 1: the same log, longer --> index 2 ...
///
/// A leaf is `leafOf(receipt hash)`: hashed twice, so that no inner node passes for a leaf. Inner nodes hash their sorted
/// children (OpenZeppelin's MerkleProof). A receipt's hash covers its sequence number, so its place needs no proof.
///
/// Powers. A node that is admitted to the committee: post the next root of its own log, through anyone, by signature.
/// Non-powers. Nobody can change, replace or remove a root, skip an index, shorten a log, or post for another node; there
/// is no owner. A node that is no longer admitted posts nothing more; what it posted stays. The contract does not see the
/// receipts: that a root extends the one before is for auditors to check, who have the log. A root says that a node made
/// these receipts before the block's time, not that its decisions were right.
interface IReceiptAnchor {
    /// @param root over the first `count` receipts
    /// @param count how many receipts the root covers
    /// @param postedAt the block's timestamp
    struct Anchor {
        bytes32 root;
        uint64 count;
        uint40 postedAt;
    }

    event RootPosted(
        address indexed node, uint64 indexed index, bytes32 indexed root, bytes32 previousRoot, uint64 count
    );

    /// @notice `committee` has no code.
    error NotACommittee(address committee);
    error NotAdmitted(address node);
    /// @notice Indices run without gaps.
    error WrongIndex(address node, uint64 given, uint64 expected);
    /// @notice The node signed another history than the one that is kept here.
    error WrongPreviousRoot(address node, bytes32 given, bytes32 expected);
    /// @notice Each root covers more receipts than the one before.
    error CountNotRising(address node, uint64 given, uint64 previous);
    error ZeroRoot();
    error InvalidSignature(address node);
    error UnknownAnchor(address node, uint256 index);

    /// @notice Posts the next root of `node`'s log; anyone may send it. EIP-712:
    /// ReceiptRoot(uint64 index,bytes32 previousRoot,bytes32 root,uint64 count), signed by the node's key. The index makes
    /// a signature good for once.
    /// @param index 0, 1, 2 … without gaps
    /// @param previousRoot root of the index before; zero for the first
    function postRoot(
        address node,
        uint64 index,
        bytes32 previousRoot,
        bytes32 root,
        uint64 count,
        bytes calldata signature
    ) external;

    /// @notice Whether `receiptHash` is in the log that the node's root at `index` covers. An index that was not posted
    /// reverts: that says nothing about the receipt.
    function verify(address node, uint256 index, bytes32 receiptHash, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice How a receipt's EIP-712 hash enters the tree: keccak256(keccak256(receiptHash)).
    function leafOf(bytes32 receiptHash) external pure returns (bytes32);

    /// @notice The committee whose nodes may post.
    function committee() external view returns (address);
    /// @notice How many roots `node` has posted.
    function anchorCount(address node) external view returns (uint256);
    /// @notice A root that `node` has posted, by its number from 0 on.
    function anchor(address node, uint256 index) external view returns (Anchor memory);
    /// @notice The newest of `node`; all zero before its first.
    function latest(address node) external view returns (Anchor memory);
}
