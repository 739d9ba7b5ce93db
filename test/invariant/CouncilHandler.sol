// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IRoleCouncil} from "../../contracts/interfaces/IRoleCouncil.sol";
import {CouncilFixture} from "../unit/support/CouncilFixture.sol";
import {vm} from "../unit/support/Vm.sol";

/// @notice What motions call. It counts how often.
contract Counter {
    uint256 public count;

    function increment() external {
        ++count;
    }
}

/// @notice Random lives of a council with eight people around, some of them members, beside a model of the rule that keeps
/// plain lists: who has approved what, struck out on withdrawal and when somebody leaves.
contract CouncilHandler is CouncilFixture {
    uint256 private constant PEOPLE = 8;

    struct Kept {
        uint256 id;
        bytes32 salt;
        uint40 expiresAt;
        bool executed;
        bool changesRole;
        uint256 role;
    }

    struct Used {
        uint256 motion;
        uint256 role;
        address member;
        uint256 deadline;
        bytes signature;
        bool withdraws;
    }

    /// @notice What went wrong, empty as long as nothing did.
    string public violation;
    /// @notice How often a call of each kind took effect.
    mapping(string what => uint256) public effective;

    Counter private counter;
    Kept[] private motions;
    Used[] private used;
    IRoleCouncil.Role[] private model;
    mapping(uint256 motion => IRoleCouncil.Role) private wanted;
    mapping(uint256 motion => mapping(address member => bool)) private approved;

    constructor() {
        setUp();
        counter = new Counter();
        IRoleCouncil.Role[] memory roles = _roles();
        model.push(roles[0]);
        model.push(roles[1]);
    }

    /// @dev Not once more, when the campaign calls it.
    function setUp() public override {
        if (address(council) == address(0)) super.setUp();
    }

    function pass(uint256 duration) external {
        skip(duration % (duration % 8 == 0 ? LIFETIME + 1 : 1 days));
    }

    function propose(uint256 seed, bool changesRole) external {
        Kept memory motion = Kept({
            id: 0,
            salt: bytes32(motions.length),
            expiresAt: currentTime() + LIFETIME,
            executed: false,
            changesRole: changesRole,
            role: seed % 2
        });
        if (changesRole) wanted[motions.length] = _randomRole(seed);
        vm.prank(_person(seed >> 8));
        try council.propose(_callsOf(motions.length, motion), "", motion.salt) returns (uint256 id) {
            motion.id = id;
            motions.push(motion);
            ++effective["propose"];
        } catch {}
    }

    function approve(uint256 seed, bool bySignature) external {
        _change(seed, bySignature, false);
    }

    function withdraw(uint256 seed, bool bySignature) external {
        if (seed % 3 == 0) _change(seed >> 2, bySignature, true);
    }

    /// @dev Everybody approves, so that motions pass often.
    function approveAll(uint256 seed) external {
        if (motions.length == 0) return;
        for (uint256 who = 0; who < PEOPLE; ++who) {
            _changeOne(_motion(seed), _person(who), (seed >> who) & 1 == 0, false);
        }
    }

    /// @dev A signature that took effect, once more.
    function replay(uint256 seed) external {
        if (used.length == 0) return;
        (bool success,) = address(council).call(_sending(used[seed % used.length]));
        if (success) violation = "a signature was good twice";
    }

    function execute(uint256 seed) external {
        if (motions.length == 0) return;
        uint256 index = seed % motions.length;
        Kept memory motion = motions[index];
        IRoleCouncil.Call[] memory calls = _callsOf(index, motion);
        uint256 before = counter.count();
        bool entitled = _isEntitled(index);
        vm.prank(STRANGER);
        try council.execute(calls, "", motion.salt) {
            if (!entitled) violation = "a motion was executed that had not passed";
            motions[index].executed = true;
            ++effective["execute"];
            if (motion.changesRole) _changeModel(motion.role, wanted[index]);
            if (counter.count() != before + (motion.changesRole ? 0 : 1)) violation = "other calls than approved";
        } catch {
            if (entitled && !motion.changesRole) violation = "a motion that had passed was refused";
        }
    }

    /// @dev Whoever it is, roles do not change outside of a motion.
    function setRole(uint256 seed) external {
        vm.prank(_person(seed));
        try council.setRole(seed % 2, _randomRole(seed)) {
            violation = "a role changed outside of a motion";
        } catch {}
    }

    /// @notice What the council says of each motion is what the model says.
    function differences() external view returns (string memory) {
        if (keccak256(abi.encode(council.roles())) != keccak256(abi.encode(model))) return "the roles differ";
        for (uint256 i = 0; i < motions.length; ++i) {
            if (council.state(motions[i].id) != _stateOf(i)) return "a motion's state differs";
            for (uint256 role = 0; role < model.length; ++role) {
                if (council.approvals(motions[i].id, role) != _count(i, role)) return "the approvals differ";
            }
        }
        return "";
    }

    function _change(uint256 seed, bool bySignature, bool withdraws) private {
        if (motions.length == 0) return;
        _changeOne(_motion(seed), _person(seed >> 16), bySignature, withdraws);
    }

    function _changeOne(uint256 index, address member, bool bySignature, bool withdraws) private {
        uint256 id = motions[index].id;
        (, uint256 role) = council.roleOf(member);
        bytes memory data =
            withdraws ? abi.encodeCall(council.withdraw, (id, role)) : abi.encodeCall(council.approve, (id, role));
        Used memory use;
        if (bySignature) (use, data) = _signed(id, role, member, withdraws);
        vm.prank(bySignature ? STRANGER : member);
        (bool success,) = address(council).call(data);
        if (!success) return;
        if (approved[index][member] == !withdraws) violation = "nothing was to change";
        if (!_isIn(role, member)) violation = "who is no member approved or withdrew";
        approved[index][member] = !withdraws;
        if (bySignature) used.push(use);
        ++effective[withdraws ? "withdraw" : "approve"];
    }

    function _signed(uint256 id, uint256 role, address member, bool withdraws)
        private
        view
        returns (Used memory use, bytes memory data)
    {
        use = Used(id, role, member, block.timestamp + 1 days, "", withdraws);
        use.signature = _signatureOf(use);
        data = _sending(use);
    }

    function _signatureOf(Used memory use) private view returns (bytes memory) {
        string memory kind = use.withdraws ? "Withdrawal" : "Approval";
        uint256 nonce = council.nonceOf(use.motion, use.member);
        bytes32 digest = _digest(council, kind, use.motion, use.role, use.member, nonce, use.deadline);
        return _sign(_keyOf(use.member), digest);
    }

    function _sending(Used memory use) private view returns (bytes memory) {
        return use.withdraws
            ? abi.encodeCall(council.withdrawBySig, (use.motion, use.role, use.member, use.deadline, use.signature))
            : abi.encodeCall(council.approveBySig, (use.motion, use.role, use.member, use.deadline, use.signature));
    }

    /// @dev Who leaves takes its approvals along.
    function _changeModel(uint256 role, IRoleCouncil.Role memory to) private {
        address[] memory former = model[role].members;
        model[role] = to;
        for (uint256 i = 0; i < former.length; ++i) {
            if (_isIn(role, former[i])) continue;
            for (uint256 motion = 0; motion < motions.length; ++motion) {
                approved[motion][former[i]] = false;
            }
        }
        ++effective["change of roles"];
    }

    function _isEntitled(uint256 index) private view returns (bool) {
        return _stateOf(index) == IRoleCouncil.MotionState.Passed;
    }

    function _stateOf(uint256 index) private view returns (IRoleCouncil.MotionState) {
        if (motions[index].executed) return IRoleCouncil.MotionState.Executed;
        if (block.timestamp >= motions[index].expiresAt) return IRoleCouncil.MotionState.Expired;
        for (uint256 role = 0; role < model.length; ++role) {
            if (_count(index, role) < model[role].threshold) return IRoleCouncil.MotionState.Open;
        }
        return IRoleCouncil.MotionState.Passed;
    }

    function _count(uint256 index, uint256 role) private view returns (uint256 count) {
        for (uint256 i = 0; i < model[role].members.length; ++i) {
            if (approved[index][model[role].members[i]]) ++count;
        }
    }

    function _isIn(uint256 role, address member) private view returns (bool) {
        for (uint256 i = 0; i < model[role].members.length; ++i) {
            if (model[role].members[i] == member) return true;
        }
        return false;
    }

    function _callsOf(uint256 index, Kept memory motion) private view returns (IRoleCouncil.Call[] memory) {
        if (!motion.changesRole) return _call(address(counter), abi.encodeCall(counter.increment, ()));
        return _call(address(council), abi.encodeCall(council.setRole, (motion.role, wanted[index])));
    }

    /// @dev Mostly the newest motions, which are alive.
    function _motion(uint256 seed) private view returns (uint256) {
        uint256 window = motions.length < 3 ? motions.length : 3;
        return motions.length - 1 - seed % window;
    }

    /// @dev Two or three people in a row, from all eight; often some who sit in the other role, which is refused.
    function _randomRole(uint256 seed) private pure returns (IRoleCouncil.Role memory role) {
        uint256 size = 2 + (seed >> 32) % 2;
        role.name = "role";
        role.members = new address[](size);
        for (uint256 i = 0; i < size; ++i) {
            role.members[i] = _person((seed >> 40) + i);
        }
        role.threshold = uint32(1 + (seed >> 48) % size);
    }

    function _person(uint256 seed) private pure returns (address) {
        return vm.addr(1 + seed % PEOPLE);
    }

    function _keyOf(address person) private pure returns (uint256 key) {
        for (key = 1; key < PEOPLE && vm.addr(key) != person; ++key) {}
    }
}
