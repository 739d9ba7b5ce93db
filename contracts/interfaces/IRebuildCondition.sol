// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ICondition} from "./ICondition.sol";

/// @notice Lets a code hash run only if enough of the named rebuilders attest that its source yields it.
///
///   None --attest, `threshold` of them--> Waiting --notice--> Met
///     a withdrawal that leaves fewer than `threshold`: back to None, at once
///
/// The hash is the boot request's `composeHash`. One condition can serve many apps. Rebuilders, threshold and notice are
/// fixed at construction: who wants others deploys another condition and lets the app's notice run.
///
/// The attestation that completes a quorum loosens, so it waits for this condition's own notice (G-2). To keep that
/// promise whole, give the condition a notice no shorter than that of the apps which require it. Rebuilders can attest
/// while a version is still scheduled, so that both waits run side by side.
///
/// Powers. A rebuilder: attest, and withdraw its own attestation, by a transaction or by an EIP-712 signature that anyone
/// may send. Non-powers. Nobody can change the rebuilders, the threshold or the notice, attest for somebody else, or lift a
/// withdrawal: that is for good, so that no signature is ever worth anything twice. There is no owner.
interface IRebuildCondition is ICondition {
    /// @param sourceUri the source that the rebuilder built
    event Attested(bytes32 indexed codeHash, address indexed rebuilder, string sourceUri);
    event AttestationWithdrawn(bytes32 indexed codeHash, address indexed rebuilder);
    /// @notice Enough rebuilders attest; the condition is met from then on, unless one of them withdraws.
    event QuorumReached(bytes32 indexed codeHash, uint40 metFrom);
    event QuorumLost(bytes32 indexed codeHash);

    /// @notice Between 1 and `max` rebuilders, and a threshold between 1 and their number.
    error InvalidQuorum(uint256 threshold, uint256 rebuilders, uint256 max);
    /// @notice Zero, or named twice.
    error InvalidRebuilder(address rebuilder);
    error NoticeTooLong(uint40 given, uint40 max);
    error NotARebuilder(address caller);
    error ZeroCodeHash();
    /// @notice What is attested needs a source that others can rebuild.
    error EmptySource();
    error AlreadyAttested(bytes32 codeHash, address rebuilder);
    /// @notice A withdrawal is for good.
    error AlreadyWithdrawn(bytes32 codeHash, address rebuilder);
    error SignatureExpired(uint256 deadline);
    error InvalidSignature(address rebuilder);

    /// @notice States that the caller has built `sourceUri` and that it yields `codeHash`. Rebuilders only.
    function attest(bytes32 codeHash, string calldata sourceUri) external;

    /// @notice The same by signature of an account or a contract (ERC-1271); anyone may send it until `deadline`.
    /// EIP-712: Attestation(bytes32 codeHash,string sourceUri,address rebuilder,uint256 deadline).
    function attestBySig(
        bytes32 codeHash,
        string calldata sourceUri,
        address rebuilder,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice Takes the caller's attestation back, at once and for good. Before it attests, it refuses for good: a
    /// signature that is still about is worth nothing then.
    function withdraw(bytes32 codeHash) external;

    /// @notice The same by signature. EIP-712: Withdrawal(bytes32 codeHash,address rebuilder,uint256 deadline).
    function withdrawBySig(bytes32 codeHash, address rebuilder, uint256 deadline, bytes calldata signature) external;

    /// @notice The rebuilders, in the order of their bits.
    function rebuilders() external view returns (address[] memory);
    /// @notice How many of them must attest.
    function threshold() external view returns (uint8);
    /// @notice Seconds between the attestation that completes a quorum and its effect.
    function notice() external view returns (uint40);
    /// @notice Whether `rebuilder` attests `codeHash` now, and whether it has withdrawn for good.
    function attestation(bytes32 codeHash, address rebuilder) external view returns (bool attested, bool withdrawn);
    /// @notice How many attest `codeHash`, and since or from when the condition is met; 0 when too few do.
    function quorum(bytes32 codeHash) external view returns (uint256 attestations, uint40 metFrom);
}
