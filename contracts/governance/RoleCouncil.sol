// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IRoleCouncil} from "../interfaces/IRoleCouncil.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice Motions that need the approval of several roles. Powers and non-powers: `IRoleCouncil`.
contract RoleCouncil is IRoleCouncil {
    /// @notice These bound the loops over roles and members.
    uint256 public constant MAX_ROLES = 16;
    uint256 public constant MAX_MEMBERS = 64;

    uint40 public constant MIN_LIFETIME = 1 hours;
    uint40 public constant MAX_LIFETIME = 365 days;

    struct Motion {
        uint40 expiresAt;
        bool executed;
        mapping(uint256 role => mapping(address member => bool)) approved;
    }

    /// @inheritdoc IRoleCouncil
    uint40 public immutable motionLifetime;

    Role[] private _roles;
    mapping(uint256 motionId => Motion) private _motions;

    /// @param roles_ the first roles
    /// @param motionLifetime_ seconds from proposal to expiry
    constructor(Role[] memory roles_, uint40 motionLifetime_) {
        if (motionLifetime_ < MIN_LIFETIME || motionLifetime_ > MAX_LIFETIME) {
            revert InvalidLifetime(motionLifetime_, MIN_LIFETIME, MAX_LIFETIME);
        }
        motionLifetime = motionLifetime_;
        for (uint256 i = 0; i < roles_.length; ++i) {
            _setRole(i, roles_[i]);
        }
        _checkSomeThreshold(roles_.length);
    }

    /// @notice Takes in what motions pay out.
    receive() external payable {}

    /// @inheritdoc IRoleCouncil
    function propose(Call[] calldata calls, string calldata description) external returns (uint256 id) {
        _checkCallerIsAnyMember();
        if (calls.length == 0) revert EmptyMotion();
        id = motionId(calls, description);
        if (_motions[id].expiresAt != 0) revert AlreadyProposed(id);
        uint40 expiry = currentTime() + motionLifetime;
        _motions[id].expiresAt = expiry;
        emit MotionProposed(id, msg.sender, calls, description, expiry);
    }

    /// @inheritdoc IRoleCouncil
    function approve(uint256 id, uint256 role) external {
        MotionState present = state(id);
        if (present != MotionState.Open && present != MotionState.Passed) revert WrongState(id, present);
        if (role >= _roles.length) revert InvalidRole(role);
        if (!_isMember(role, msg.sender)) revert NotAMember(role, msg.sender);
        if (_motions[id].approved[role][msg.sender]) revert AlreadyApproved(id, role, msg.sender);
        _motions[id].approved[role][msg.sender] = true;
        emit MotionApproved(id, role, msg.sender);
    }

    /// @inheritdoc IRoleCouncil
    function execute(Call[] calldata calls, string calldata description) external payable {
        uint256 id = motionId(calls, description);
        MotionState present = state(id);
        if (present != MotionState.Passed) revert WrongState(id, present);
        _motions[id].executed = true;
        emit MotionExecuted(id);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success, bytes memory reason) = calls[i].target.call{value: calls[i].value}(calls[i].data);
            if (!success) revert CallFailed(i, reason);
        }
    }

    /// @inheritdoc IRoleCouncil
    function setRole(uint256 role, Role calldata to) external {
        if (msg.sender != address(this)) revert OnlyByMotion();
        _setRole(role, to);
        _checkSomeThreshold(role);
    }

    /// @inheritdoc IRoleCouncil
    function roles() external view returns (Role[] memory) {
        return _roles;
    }

    /// @inheritdoc IRoleCouncil
    function hasApproved(uint256 id, uint256 role, address member) external view returns (bool) {
        return _motions[id].approved[role][member];
    }

    /// @inheritdoc IRoleCouncil
    function expiresAt(uint256 id) external view returns (uint40) {
        return _motions[id].expiresAt;
    }

    /// @inheritdoc IRoleCouncil
    function motionId(Call[] calldata calls, string calldata description) public view returns (uint256) {
        return uint256(keccak256(abi.encode(calls, description, address(this))));
    }

    /// @inheritdoc IRoleCouncil
    function state(uint256 id) public view returns (MotionState) {
        Motion storage motion = _motions[id];
        if (motion.expiresAt == 0) return MotionState.None;
        if (motion.executed) return MotionState.Executed;
        if (currentTime() >= motion.expiresAt) return MotionState.Expired;
        for (uint256 role = 0; role < _roles.length; ++role) {
            if (approvals(id, role) < _roles[role].threshold) return MotionState.Open;
        }
        return MotionState.Passed;
    }

    /// @inheritdoc IRoleCouncil
    function approvals(uint256 id, uint256 role) public view returns (uint32 count) {
        if (role >= _roles.length) revert InvalidRole(role);
        address[] storage members = _roles[role].members;
        for (uint256 i = 0; i < members.length; ++i) {
            if (_motions[id].approved[role][members[i]]) ++count;
        }
    }

    function _setRole(uint256 role, Role memory to) private {
        _checkRole(role, to);
        if (role == _roles.length) _roles.push();
        _roles[role] = to;
        emit RoleSet(role, to.name, to.threshold, to.members);
    }

    function _checkCallerIsAnyMember() private view {
        for (uint256 role = 0; role < _roles.length; ++role) {
            if (_isMember(role, msg.sender)) return;
        }
        revert NotAnyMember(msg.sender);
    }

    /// @dev Without any threshold every motion would have passed.
    function _checkSomeThreshold(uint256 role) private view {
        for (uint256 i = 0; i < _roles.length; ++i) {
            if (_roles[i].threshold != 0) return;
        }
        revert InvalidRole(role);
    }

    function _checkRole(uint256 role, Role memory to) private view {
        address[] memory members = to.members;
        bool sized = role <= _roles.length && role < MAX_ROLES && members.length <= MAX_MEMBERS;
        bool consistent = to.threshold <= members.length && (to.threshold == 0) == (members.length == 0);
        if (!sized || !consistent || bytes(to.name).length == 0) revert InvalidRole(role);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == address(0)) revert InvalidRole(role);
            for (uint256 j = 0; j < i; ++j) {
                if (members[i] == members[j]) revert InvalidRole(role);
            }
        }
    }

    function _isMember(uint256 role, address who) private view returns (bool) {
        address[] storage members = _roles[role].members;
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == who) return true;
        }
        return false;
    }
}
