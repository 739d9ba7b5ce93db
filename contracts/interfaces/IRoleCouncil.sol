// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Approvals per role: a motion passes when every role has reached its threshold, e.g. "2 of core, 1 of auditors,
/// 1 of community". Each approval is recorded on chain. Roles change only by a motion.
///
///   propose --> Open <--approve, change of roles--> Passed --execute--> Executed
///                 \--lifetime--> Expired <--lifetime--/
///
/// Only the approvals of those who are members now count, so that removing a member takes its approvals back.
///
/// Powers. Any member: propose; approve for each of its roles. Anyone: execute what passed.
/// Non-powers. No role alone can pass a motion that another role has not approved.
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

    event MotionProposed(
        uint256 indexed motionId, address indexed proposer, Call[] calls, string description, uint40 expiresAt
    );
    event MotionApproved(uint256 indexed motionId, uint256 indexed role, address indexed member);
    event MotionExecuted(uint256 indexed motionId);
    event RoleSet(uint256 indexed role, string name, uint32 threshold, address[] members);

    error NotAMember(uint256 role, address caller);
    error NotAnyMember(address caller);
    error OnlyByMotion();
    error AlreadyApproved(uint256 motionId, uint256 role, address member);
    error WrongState(uint256 motionId, MotionState state);
    error AlreadyProposed(uint256 motionId);
    /// @notice A role needs a name, and members enough for its threshold, each once; at least one role needs a threshold.
    error InvalidRole(uint256 role);
    error InvalidLifetime(uint40 given, uint40 least, uint40 max);
    error EmptyMotion();
    error CallFailed(uint256 index, bytes reason);

    /// @notice Proposes `calls` for the lifetime of a motion. The same calls and description can be proposed only once.
    function propose(Call[] calldata calls, string calldata description) external returns (uint256 motionId);
    /// @notice Approves for one role, of which the caller is a member.
    function approve(uint256 motionId, uint256 role) external;
    /// @notice Executes a motion that passed. Anyone may.
    function execute(Call[] calldata calls, string calldata description) external payable;
    /// @notice Replaces a role, or adds one when `role` is the number of roles. Without threshold and members it is void.
    function setRole(uint256 role, Role calldata to) external;

    function roles() external view returns (Role[] memory);
    function motionId(Call[] calldata calls, string calldata description) external view returns (uint256);
    function state(uint256 motionId) external view returns (MotionState);
    /// @notice Whether `member` approved for `role`.
    function hasApproved(uint256 motionId, uint256 role, address member) external view returns (bool);
    function expiresAt(uint256 motionId) external view returns (uint40);
    function motionLifetime() external view returns (uint40);
    /// @notice How many of the role's present members have approved.
    function approvals(uint256 motionId, uint256 role) external view returns (uint32);
}
