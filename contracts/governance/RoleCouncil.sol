// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IRoleCouncil} from "../interfaces/IRoleCouncil.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice Motions that need the approval of several roles. Powers and non-powers: `IRoleCouncil`.
contract RoleCouncil is IRoleCouncil, EIP712 {
    /// @notice These bound the loops over roles and members.
    uint256 public constant MAX_ROLES = 16;
    uint256 public constant MAX_MEMBERS = 64;
    uint256 public constant MAX_NAME = 64;

    uint40 public constant MIN_LIFETIME = 1 hours;
    uint40 public constant MAX_LIFETIME = 365 days;

    bytes32 private constant APPROVAL_TYPEHASH =
        keccak256("Approval(uint256 motionId,uint256 role,address member,uint256 nonce,uint256 deadline)");
    bytes32 private constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(uint256 motionId,uint256 role,address member,uint256 nonce,uint256 deadline)");

    /// @param number never given twice; 0 for nobody's. Whoever leaves and comes back gets another.
    /// @param leaving set only within a change of the role
    struct Seat {
        uint64 number;
        uint8 role;
        bool leaving;
    }

    /// @param seat the seat from which it was given; 0 when withdrawn. It counts while its member still has that seat.
    /// @param changes how often it was given or withdrawn
    struct Approval {
        uint64 seat;
        uint64 changes;
    }

    struct Motion {
        uint40 expiresAt;
        bool executed;
        mapping(address member => Approval) approvals;
    }

    /// @inheritdoc IRoleCouncil
    uint40 public motionLifetime;
    uint64 private _lastSeat;

    Role[] private _roles;
    mapping(address member => Seat) private _seats;
    mapping(uint256 motionId => Motion) private _motions;

    /// @param roles_ the first roles
    /// @param motionLifetime_ seconds from proposal to expiry
    constructor(Role[] memory roles_, uint40 motionLifetime_) EIP712("Mandate RoleCouncil", "1") {
        _initialize(roles_, motionLifetime_);
    }

    /// @notice Takes in what motions pay out.
    receive() external payable {}

    /// @inheritdoc IRoleCouncil
    function initialize(Role[] calldata roles_, uint40 motionLifetime_) external {
        if (motionLifetime != 0) revert AlreadyInitialized();
        _initialize(roles_, motionLifetime_);
    }

    /// @inheritdoc IRoleCouncil
    function propose(Call[] calldata calls, string calldata description, bytes32 salt) external returns (uint256 id) {
        if (_seats[msg.sender].number == 0) revert NotAnyMember(msg.sender);
        if (calls.length == 0) revert EmptyMotion();
        id = motionId(calls, description, salt);
        if (_motions[id].expiresAt != 0) revert AlreadyProposed(id);
        uint40 expiry = currentTime() + motionLifetime;
        _motions[id].expiresAt = expiry;
        emit MotionProposed(id, msg.sender, calls, description, salt, expiry);
    }

    /// @inheritdoc IRoleCouncil
    function approve(uint256 id, uint256 role) external {
        _approve(id, role, msg.sender);
    }

    /// @inheritdoc IRoleCouncil
    function approveBySig(uint256 id, uint256 role, address member, uint256 deadline, bytes calldata signature)
        external
    {
        _checkSignature(APPROVAL_TYPEHASH, id, role, member, deadline, signature);
        _approve(id, role, member);
    }

    /// @inheritdoc IRoleCouncil
    function withdraw(uint256 id, uint256 role) external {
        _withdraw(id, role, msg.sender);
    }

    /// @inheritdoc IRoleCouncil
    function withdrawBySig(uint256 id, uint256 role, address member, uint256 deadline, bytes calldata signature)
        external
    {
        _checkSignature(WITHDRAWAL_TYPEHASH, id, role, member, deadline, signature);
        _withdraw(id, role, member);
    }

    /// @inheritdoc IRoleCouncil
    function execute(Call[] calldata calls, string calldata description, bytes32 salt) external payable {
        uint256 id = motionId(calls, description, salt);
        MotionState present = state(id);
        if (present != MotionState.Passed) revert WrongState(id, present);
        _motions[id].executed = true;
        emit MotionExecuted(id);
        for (uint256 i = 0; i < calls.length; ++i) {
            // A motion calls what its text says, with value if it says so; state was written before, and a failure reverts all.
            // slither-disable-next-line arbitrary-send-eth,calls-loop
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
    function roleOf(address who) external view returns (bool isMember, uint256 role) {
        return (_seats[who].number != 0, _seats[who].role);
    }

    /// @inheritdoc IRoleCouncil
    function hasApproved(uint256 id, uint256 role, address member) external view returns (bool) {
        return _seats[member].role == role && _counts(_motions[id], member);
    }

    /// @inheritdoc IRoleCouncil
    function nonceOf(uint256 id, address member) external view returns (uint256) {
        return _motions[id].approvals[member].changes;
    }

    /// @inheritdoc IRoleCouncil
    function expiresAt(uint256 id) external view returns (uint40) {
        return _motions[id].expiresAt;
    }

    /// @inheritdoc IRoleCouncil
    function motionId(Call[] calldata calls, string calldata description, bytes32 salt) public view returns (uint256) {
        return uint256(keccak256(abi.encode(calls, description, salt, address(this))));
    }

    /// @inheritdoc IRoleCouncil
    function state(uint256 id) public view returns (MotionState present) {
        present = _stateByTime(id);
        if (present == MotionState.Open && _isApprovedByAllRoles(id)) return MotionState.Passed;
    }

    /// @inheritdoc IRoleCouncil
    function approvals(uint256 id, uint256 role) public view returns (uint32) {
        if (role >= _roles.length) revert InvalidRole(role);
        return _countUpTo(id, role, type(uint32).max);
    }

    function _initialize(Role[] memory roles_, uint40 motionLifetime_) private {
        if (motionLifetime_ < MIN_LIFETIME || motionLifetime_ > MAX_LIFETIME) {
            revert InvalidLifetime(motionLifetime_, MIN_LIFETIME, MAX_LIFETIME);
        }
        motionLifetime = motionLifetime_;
        emit MotionLifetimeSet(motionLifetime_);
        for (uint256 i = 0; i < roles_.length; ++i) {
            _setRole(i, roles_[i]);
        }
        _checkSomeThreshold(roles_.length);
    }

    function _approve(uint256 id, uint256 role, address member) private {
        _checkOpen(id);
        uint64 seat = _seatIn(role, member);
        Approval storage approval = _motions[id].approvals[member];
        if (approval.seat == seat) revert AlreadyApproved(id, role, member);
        _write(approval, seat);
        emit MotionApproved(id, role, member);
    }

    function _withdraw(uint256 id, uint256 role, address member) private {
        _checkOpen(id);
        uint64 seat = _seatIn(role, member);
        Approval storage approval = _motions[id].approvals[member];
        if (approval.seat != seat) revert NotApproved(id, role, member);
        _write(approval, 0);
        emit ApprovalWithdrawn(id, role, member);
    }

    /// @dev The count cannot wrap: nobody changes its mind 2^64 times.
    function _write(Approval storage approval, uint64 seat) private {
        unchecked {
            (approval.seat, approval.changes) = (seat, approval.changes + 1);
        }
    }

    /// @dev Who stays keeps its seat, and with it what it has approved.
    function _setRole(uint256 role, Role memory to) private {
        _checkShape(role, to);
        if (role == _roles.length) _roles.push();
        address[] memory former = _roles[role].members;
        for (uint256 i = 0; i < former.length; ++i) {
            _seats[former[i]].leaving = true;
        }
        for (uint256 i = 0; i < to.members.length; ++i) {
            _takeSeat(role, to.members[i]);
        }
        for (uint256 i = 0; i < former.length; ++i) {
            if (_seats[former[i]].leaving) delete _seats[former[i]];
        }
        _roles[role] = to;
        emit RoleSet(role, to.name, to.threshold, to.members);
    }

    /// @dev A seat that is taken and not about to be left is this role's, named twice, or another role's.
    function _takeSeat(uint256 role, address member) private {
        if (member == address(0)) revert InvalidRole(role);
        Seat storage seat = _seats[member];
        if (seat.number == 0) (seat.number, seat.role) = (++_lastSeat, uint8(role));
        else if (seat.leaving) seat.leaving = false;
        else revert AlreadyAMember(seat.role, member);
    }

    /// @dev Whether it has passed is not asked: more may approve, and whoever did may withdraw, until it is executed.
    function _checkOpen(uint256 id) private view {
        MotionState present = _stateByTime(id);
        if (present != MotionState.Open) revert WrongState(id, present);
    }

    function _seatIn(uint256 role, address member) private view returns (uint64) {
        Seat storage seat = _seats[member];
        uint64 number = seat.number;
        if (number == 0 || seat.role != role) revert NotAMember(role, member);
        return number;
    }

    /// @dev The nonce is read here: a signature is good for one change, also after the approval was withdrawn.
    function _checkSignature(
        bytes32 typeHash,
        uint256 id,
        uint256 role,
        address member,
        uint256 deadline,
        bytes calldata signature
    ) private view {
        // Whoever signed chose the deadline, with room for the seconds that a block proposer can shift.
        // slither-disable-next-line timestamp
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        uint256 nonce = _motions[id].approvals[member].changes;
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(typeHash, id, role, member, nonce, deadline)));
        if (!_isSignedBy(member, digest, signature)) revert InvalidSignature(member);
    }

    /// @dev A key signs for its own address also where that has code (EIP-7702): it can act as the member anyway.
    function _isSignedBy(address member, bytes32 digest, bytes calldata signature) private view returns (bool) {
        // What is left out repeats the signature.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == member) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(member, digest, signature);
    }

    /// @dev Open stands for "neither executed nor expired".
    function _stateByTime(uint256 id) private view returns (MotionState) {
        Motion storage motion = _motions[id];
        uint40 expiry = motion.expiresAt;
        if (expiry == 0) return MotionState.None;
        if (motion.executed) return MotionState.Executed;
        return currentTime() < expiry ? MotionState.Open : MotionState.Expired;
    }

    function _isApprovedByAllRoles(uint256 id) private view returns (bool) {
        for (uint256 role = 0; role < _roles.length; ++role) {
            uint32 threshold = _roles[role].threshold;
            if (_countUpTo(id, role, threshold) < threshold) return false;
        }
        return true;
    }

    function _countUpTo(uint256 id, uint256 role, uint32 enough) private view returns (uint32 count) {
        Motion storage motion = _motions[id];
        address[] storage members = _roles[role].members;
        uint256 length = members.length;
        for (uint256 i = 0; i < length && count < enough; ++i) {
            if (_counts(motion, members[i])) ++count;
        }
    }

    function _counts(Motion storage motion, address member) private view returns (bool) {
        uint64 seat = motion.approvals[member].seat;
        return seat != 0 && seat == _seats[member].number;
    }

    /// @dev Without any threshold every motion would have passed.
    function _checkSomeThreshold(uint256 role) private view {
        for (uint256 i = 0; i < _roles.length; ++i) {
            if (_roles[i].threshold != 0) return;
        }
        revert InvalidRole(role);
    }

    function _checkShape(uint256 role, Role memory to) private view {
        (uint256 members, uint256 name) = (to.members.length, bytes(to.name).length);
        bool sized = role <= _roles.length && role < MAX_ROLES && members <= MAX_MEMBERS;
        bool named = name != 0 && name <= MAX_NAME;
        bool consistent = to.threshold <= members && (to.threshold == 0) == (members == 0);
        if (!sized || !named || !consistent) revert InvalidRole(role);
    }
}
