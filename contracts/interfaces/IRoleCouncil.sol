// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Approvals per role: a motion passes when every role has reached its threshold, e.g. "2 of core, 1 of auditors,
/// 1 of community". Each approval is recorded on chain. Roles change only by a motion.
interface IRoleCouncil {
    struct Role {
        string name;
        uint32 threshold;
        address[] members;
    }

    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    enum MotionState {
        None,
        Open,
        Passed,
        Executed,
        Expired
    }

    event MotionProposed(uint256 indexed motionId, address indexed proposer, Call[] calls, string description, uint40 expiresAt);
    event MotionApproved(uint256 indexed motionId, uint256 indexed role, address indexed member);
    event MotionExecuted(uint256 indexed motionId);
    event RoleSet(uint256 indexed role, string name, uint32 threshold, address[] members);

    error NotAMember(uint256 role, address caller);
    error NotAnyMember(address caller);
    error OnlyByMotion();
    error AlreadyApproved(uint256 motionId, uint256 role, address member);
    error WrongState(uint256 motionId, MotionState state);
    error AlreadyProposed(uint256 motionId);
    error InvalidRole(uint256 role);
    error EmptyMotion();
    error CallFailed(uint256 index, bytes reason);

    function propose(Call[] calldata calls, string calldata description) external returns (uint256 motionId);
    function approve(uint256 motionId, uint256 role) external;
    /// @notice Executes a motion that passed. Anyone may.
    function execute(Call[] calldata calls, string calldata description) external payable;
    function setRole(uint256 role, Role calldata to) external;

    function roles() external view returns (Role[] memory);
    function motionId(Call[] calldata calls, string calldata description) external view returns (uint256);
    function state(uint256 motionId) external view returns (MotionState);
    function approvals(uint256 motionId, uint256 role) external view returns (uint32);
}
