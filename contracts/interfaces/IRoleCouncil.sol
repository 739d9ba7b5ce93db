// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Approvals per role: a motion passes when every role has reached its threshold, e.g. "2 of core, 1 of auditors,
/// 1 of community". Each approval is recorded on chain. Roles change only by a motion.
///
///   propose --> Open <--approve, withdraw, change of roles--> Passed --execute--> Executed
///                 \--lifetime--> Expired <--lifetime--/
///
/// An address sits in one role at most, so that nobody counts twice in a motion. (Two addresses of one person cannot be told
/// apart on chain: name members whom others know.)
///
/// Only the approvals of those count who have been members without a break since they approved: removing a member takes its
/// approvals back, and naming it again later does not bring them back.
///
/// Powers. Any member: propose; approve for its role and withdraw that, by a transaction or by an EIP-712 signature that
/// anyone may send. Anyone: execute what passed.
/// Non-powers. No role alone can pass a motion that another role has not approved. Nobody can approve or withdraw for
/// somebody else, lengthen the life of a motion, use a signature twice, or change a role outside of a motion. What was
/// executed cannot be taken back by a withdrawal.
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
        uint256 indexed motionId,
        address indexed proposer,
        Call[] calls,
        string description,
        bytes32 salt,
        uint40 expiresAt
    );
    event MotionApproved(uint256 indexed motionId, uint256 indexed role, address indexed member);
    event ApprovalWithdrawn(uint256 indexed motionId, uint256 indexed role, address indexed member);
    event MotionExecuted(uint256 indexed motionId);
    event RoleSet(uint256 indexed role, string name, uint32 threshold, address[] members);
    event MotionLifetimeSet(uint40 motionLifetime);

    error AlreadyInitialized();
    error NotAMember(uint256 role, address caller);
    error NotAnyMember(address caller);
    error OnlyByMotion();
    error AlreadyApproved(uint256 motionId, uint256 role, address member);
    error NotApproved(uint256 motionId, uint256 role, address member);
    error WrongState(uint256 motionId, MotionState state);
    error AlreadyProposed(uint256 motionId);
    /// @notice A role needs a name, and members enough for its threshold, none of them zero; at least one role needs a
    /// threshold. There are at most 16 roles of at most 64 members, and a name has at most 64 bytes.
    error InvalidRole(uint256 role);
    /// @notice `member` sits in `role` already. To move a member, change the role that it leaves first.
    error AlreadyAMember(uint256 role, address member);
    error InvalidLifetime(uint40 given, uint40 least, uint40 max);
    error EmptyMotion();
    error CallFailed(uint256 index, bytes reason);
    error SignatureExpired(uint256 deadline);
    error InvalidSignature(address member);

    /// @notice Sets up a clone, once. Whoever deploys a clone calls this in the same transaction, as `GovernanceFactory`
    /// does.
    /// @param roles the first roles
    /// @param motionLifetime seconds from proposal to expiry, for good
    function initialize(Role[] calldata roles, uint40 motionLifetime) external;

    /// @notice Proposes `calls` for the lifetime of a motion. Members only. The same calls can be proposed again with
    /// another `salt`.
    function propose(Call[] calldata calls, string calldata description, bytes32 salt)
        external
        returns (uint256 motionId);

    /// @notice Approves for `role`, of which the caller is a member.
    function approve(uint256 motionId, uint256 role) external;

    /// @notice The same by signature of an account or a contract (ERC-1271); anyone may send it until `deadline`. EIP-712:
    /// Approval(uint256 motionId,uint256 role,address member,uint256 nonce,uint256 deadline) with `nonceOf`.
    function approveBySig(uint256 motionId, uint256 role, address member, uint256 deadline, bytes calldata signature)
        external;

    /// @notice Takes the caller's approval back. It can approve again.
    function withdraw(uint256 motionId, uint256 role) external;

    /// @notice The same by signature. EIP-712:
    /// Withdrawal(uint256 motionId,uint256 role,address member,uint256 nonce,uint256 deadline) with `nonceOf`.
    function withdrawBySig(uint256 motionId, uint256 role, address member, uint256 deadline, bytes calldata signature)
        external;

    /// @notice Executes a motion that passed. Anyone may. All calls succeed, or none takes effect.
    function execute(Call[] calldata calls, string calldata description, bytes32 salt) external payable;

    /// @notice Replaces a role, or adds one when `role` is the number of roles. Without threshold and members it is void.
    /// Only by a motion.
    function setRole(uint256 role, Role calldata to) external;

    /// @notice All roles; their places are their numbers.
    function roles() external view returns (Role[] memory);
    /// @notice Whether `who` is a member, and of which role.
    function roleOf(address who) external view returns (bool isMember, uint256 role);
    /// @notice What names a motion: its calls, description and salt, and this council.
    function motionId(Call[] calldata calls, string calldata description, bytes32 salt) external view returns (uint256);
    /// @notice Where a motion stands now; `None` when it was never proposed.
    function state(uint256 motionId) external view returns (MotionState);
    /// @notice Whether `member`, as a member of `role`, approves and counts.
    function hasApproved(uint256 motionId, uint256 role, address member) external view returns (bool);
    /// @notice How often `member` has approved or withdrawn in this motion: what its next signature must carry.
    function nonceOf(uint256 motionId, address member) external view returns (uint256);
    /// @notice From when a motion can be neither approved nor executed; 0 when it was never proposed.
    function expiresAt(uint256 motionId) external view returns (uint40);
    /// @notice How long a motion lives, in seconds, for good.
    function motionLifetime() external view returns (uint40);
    /// @notice How many of the role's present members approve.
    function approvals(uint256 motionId, uint256 role) external view returns (uint32);
}
