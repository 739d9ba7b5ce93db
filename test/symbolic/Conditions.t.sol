// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {vm} from "../unit/support/Vm.sol";
import {AppAuthState} from "./support/AppAuthState.sol";
import {AnyAnswer} from "./support/AnyAnswer.sol";
import {storageVm, svm} from "./support/Svm.sol";

/// @notice G-2 and G-3 of conditions: any storage, with none to four of them. An app with more conditions allows less, as
/// `RequirementsProofs` has it, so that a condition may stop to bind only after the notice.
contract ConditionProofs is AppAuthState {
    address private added;

    function setUp() public override {
        super.setUp();
        added = address(new AnyAnswer(false));
    }

    function check_G2_addCondition(uint8 count, uint40 time, uint40 probeTime, address probed) external {
        _forEachCount(count);
        _check(abi.encodeCall(app.addCondition, (added)), app.owner(), time, probeTime, probed);
        assert(_isRequired(added, time) && _isRequired(added, probeTime));
    }

    function check_G2_removeCondition(uint8 count, uint40 time, uint40 probeTime, address probed, address removed)
        external
    {
        _forEachCount(count);
        vm.assume(probeTime < uint256(time) + _noticeAt(time));
        _check(abi.encodeCall(app.removeCondition, (removed)), app.owner(), time, probeTime, probed);
    }

    /// @notice Of anyone but the owner, for all times to come.
    function check_G3_conditions(uint8 count, address caller, uint40 time, uint40 probeTime, address probed) external {
        _forEachCount(count);
        vm.assume(caller != app.owner());
        _check(svm.createCalldata("AppAuth"), caller, time, probeTime, probed);
    }

    /// @dev What was going to be required at `probeTime` still is.
    function _check(bytes memory data, address caller, uint40 time, uint40 probeTime, address probed) private {
        vm.assume(0 < time && time <= probeTime && probeTime < END_OF_TIME && app.owner() != address(0));
        bool wasRequired = _isRequired(probed, probeTime);
        _call(data, caller, time);
        assert(!wasRequired || _isRequired(probed, probeTime));
        assert(_conditionCount() <= 4);
    }

    /// @dev A path for each: symbolic execution wants to know how often loops turn.
    function _forEachCount(uint8 count) private {
        if (count == 0) return _setConditionCount(0);
        if (count == 1) return _setConditionCount(1);
        if (count == 2) return _setConditionCount(2);
        if (count == 3) return _setConditionCount(3);
        vm.assume(count == 4);
        _setConditionCount(4);
    }
}
