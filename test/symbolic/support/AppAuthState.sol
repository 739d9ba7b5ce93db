// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {TeeKind, VersionState} from "../../../contracts/types/Boot.sol";
import {Upgrades} from "../../../contracts/types/Upgrades.sol";
import {vm} from "../../unit/support/Vm.sol";
import {storageVm, svm} from "./Svm.sol";

/// @notice An AppAuth that also tells what only its decision shows, and can be put into its first era.
contract AppAuthProbe is AppAuth {
    address private immutable CREATOR = msg.sender;

    function gateFloor() external view returns (uint256) {
        return uint256(_gate.tcbFloor());
    }

    /// @dev With the era known, so are the eras that versions can have.
    function enterFirstEra() external {
        if (msg.sender != CREATOR) revert NotAuthorized(msg.sender);
        _upgrades = Upgrades.wrap(0);
    }

    function hasRequirements() external view returns (bool) {
        return _hasRequirements;
    }
}

/// @notice An AppAuth whose storage is arbitrary, and an arbitrary call at an arbitrary time.
///
/// Whatever holds for one call from every storage holds for the last call of every sequence. What is assumed of storage is
/// what every call keeps, as `check_wellFormed_…` proves: that it has an owner.
abstract contract AppAuthState {
    uint256 internal constant SLOTS = 24;
    /// @dev Where `Requirements` keeps how many conditions there are, and whether an advisory was ever denied, within its first
    /// word.
    uint256 private constant CONDITION_COUNT = 56;
    uint256 private constant ADVISORIES_DENIED = 48;
    uint256 internal constant END_OF_TIME = 1 << 39;

    /// @notice What a decision asks for, one by one.
    enum Part {
        Code,
        Device,
        Tee,
        Tcb,
        NoPause,
        Open,
        Generation,
        Ticket,
        Advisory
    }

    AppAuthProbe internal app;
    /// @dev The conditions themselves are in the four slots that follow.
    uint256 private countSlot;

    function setUp() public virtual {
        countSlot = _findConditionCountSlot(new AppAuthProbe());
        app = new AppAuthProbe();
        svm.enableSymbolicStorage(address(app));
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            storageVm.store(address(app), bytes32(slot), svm.createBytes32("slot"));
        }
        // No conditions: symbolic execution wants to know how often loops turn.
        _setConditionCount(0);
    }

    /// @notice Calls something as `caller` at `time`, goes on only when that took effect and `what` is allowed at
    /// `probeTime` then, and takes it all back.
    function tryCall(bytes calldata data, address caller, uint40 time, Part part, bytes32 what, uint40 probeTime)
        external
    {
        _call(data, caller, time);
        vm.assume(_isAllowed(part, what, probeTime));
        revert();
    }

    /// @dev What follows sees storage as it was before a call after which `what` is allowed at `probeTime`. The other way
    /// round, with the present looked at first, every state in which it is denied would have to be followed through.
    function _assumeACallAllows(
        bytes memory data,
        address caller,
        uint40 time,
        Part part,
        bytes32 what,
        uint40 probeTime
    ) internal {
        vm.assume(0 < time && time <= probeTime && probeTime < END_OF_TIME);
        vm.assume(app.owner() != address(0));
        (bool success,) = address(this).call(abi.encodeCall(this.tryCall, (data, caller, time, part, what, probeTime)));
        assert(!success);
    }

    function _checkNotice(bytes memory data, uint40 time, Part part, bytes32 what, uint40 probeTime) internal {
        _assumeACallAllows(data, app.owner(), time, part, what, probeTime);
        vm.assume(probeTime < uint256(time) + _noticeAt(time));
        assert(_isAllowed(part, what, probeTime));
    }

    function _checkNotOwner(address caller, uint40 time, Part part, bytes32 what, uint40 probeTime) internal {
        vm.assume(caller != app.owner());
        _assumeACallAllows(svm.createCalldata("AppAuth"), caller, time, part, what, probeTime);
        assert(_isAllowed(part, what, probeTime));
    }

    function _call(bytes memory data, address caller, uint40 time) internal {
        vm.warp(time);
        vm.prank(caller);
        (bool success,) = address(app).call(data);
        vm.assume(success);
    }

    function _isAllowed(Part part, bytes32 what, uint40 time) internal returns (bool) {
        vm.warp(time);
        if (part == Part.Code) return _isCodeInForce(what);
        if (part == Part.Device) return app.isDeviceAllowed(what);
        if (part == Part.Tee) return app.isTeeAllowed(TeeKind(uint8(uint256(what))));
        if (part == Part.Tcb) return _isStatusAllowed(uint256(what));
        if (part == Part.NoPause) return time >= app.pausedUntil();
        if (part == Part.Open) return !app.isSunset();
        if (part == Part.Generation) return _isGenerationInForce(uint64(uint256(what)), time);
        if (part == Part.Ticket) return _isTicketGood(what, time);
        return !app.hasRequirements() || !_isAnyAdvisoryDenied() || time >= app.advisoryDeniedUntil(_advisory(what));
    }

    /// @dev Eight bytes long, which may be any.
    function _advisory(bytes32 what) internal pure returns (string memory) {
        return string(abi.encodePacked(bytes8(what)));
    }

    function _noticeAt(uint40 time) internal returns (uint40) {
        vm.warp(time);
        return app.notice();
    }

    function _isCodeInForce(bytes32 codeHash) private view returns (bool) {
        (VersionState state,) = app.codeState(codeHash);
        return state == VersionState.Active || state == VersionState.Retiring;
    }

    function _isGenerationInForce(uint64 asked, uint40 time) private view returns (bool) {
        (uint64 current, uint40 previousUntil) = app.generation();
        return asked == 0 || asked == current || (uint256(asked) + 1 == current && time < previousUntil);
    }

    function _isStatusAllowed(uint256 status) private view returns (bool) {
        return status != 0 && (status <= app.gateFloor() || status <= uint256(app.tcbFloor()));
    }

    function _isTicketGood(bytes32 ticket, uint40 time) private view returns (bool) {
        (bool needed,) = app.ticketRequirement();
        uint40 from = app.ticketAllowedFrom(ticket);
        return !app.hasRequirements() || !needed || (from != 0 && time >= from);
    }

    function _setConditionCount(uint8 count) internal {
        bytes32 others = svm.createBytes32("requirements") & bytes32(~(uint256(0xff) << CONDITION_COUNT));
        storageVm.store(address(app), bytes32(countSlot), others | bytes32(uint256(count) << CONDITION_COUNT));
    }

    function _conditionCount() internal view returns (uint256) {
        return (uint256(storageVm.load(address(app), bytes32(countSlot))) >> CONDITION_COUNT) & 0xff;
    }

    function _isAnyAdvisoryDenied() private view returns (bool) {
        return (uint256(storageVm.load(address(app), bytes32(countSlot))) >> ADVISORIES_DENIED) & 0xff != 0;
    }

    /// @dev Whether `condition` binds at `time`. Without a branch, each of which would double the paths.
    function _isRequired(address condition, uint40 time) internal view returns (bool required) {
        uint256 count = _conditionCount();
        for (uint256 i = 0; i < 4; ++i) {
            uint256 word = uint256(storageVm.load(address(app), bytes32(countSlot + 1 + i)));
            assembly {
                let end := and(shr(160, word), 0xffffffffff)
                let binds := and(lt(i, count), or(iszero(end), lt(time, end)))
                required := or(required, and(binds, iszero(shl(96, xor(word, condition)))))
            }
        }
    }

    /// @dev By trial, so that the proofs do not depend on the layout.
    function _findConditionCountSlot(AppAuthProbe trial) private returns (uint256) {
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            storageVm.store(address(trial), bytes32(slot), bytes32(uint256(1) << CONDITION_COUNT));
            storageVm.store(address(trial), bytes32(slot + 1), bytes32((END_OF_TIME << 160) | 0xc0));
            if (_hasCondition(trial, address(0xc0), END_OF_TIME)) return slot;
            storageVm.store(address(trial), bytes32(slot), bytes32(0));
        }
        revert("no slot holds the number of conditions");
    }

    function _hasCondition(AppAuthProbe trial, address condition, uint256 endsAt) private view returns (bool) {
        IAppPolicy.Condition[] memory found = trial.conditions();
        return found.length == 1 && found[0].condition == condition && found[0].endsAt == endsAt;
    }
}
