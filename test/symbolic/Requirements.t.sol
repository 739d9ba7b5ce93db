// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../contracts/interfaces/IAppPolicy.sol";
import {Requirements} from "../../contracts/libraries/Requirements.sol";
import {BootRequest, Reason} from "../../contracts/types/Boot.sol";
import {vm} from "../unit/support/Vm.sol";
import {AnyAnswer} from "./support/AnyAnswer.sol";
import {svm} from "./support/Svm.sol";

/// @notice The requirements alone, and each of their parts.
contract RequirementsHarness {
    using Requirements for Requirements.Context;

    Requirements.Context private _requirements;

    function put(uint8 count, address[4] calldata addresses, uint40[4] calldata ends) external {
        _requirements.conditionCount = count;
        for (uint256 i = 0; i < 4; ++i) {
            _requirements.conditions[i] = IAppPolicy.Condition(addresses[i], ends[i]);
        }
    }

    function check(BootRequest calldata request) external view returns (Reason) {
        return _requirements.check(request);
    }

    function isTicketGood(bytes32 ticket) external view returns (bool) {
        if (!_requirements.ticketNeeded) return true;
        uint40 until = _requirements.ticketNeededUntil;
        if (until != 0 && block.timestamp >= until) return true;
        uint40 from = _requirements.tickets[ticket];
        return from != 0 && block.timestamp >= from;
    }

    function isDenied(string calldata advisory) external view returns (bool) {
        return _requirements.advisoriesDenied && block.timestamp < _requirements.advisories[keccak256(bytes(advisory))];
    }
}

/// @notice What the requirements of an app amount to: that the ticket is good, that no advisory is denied, and that every
/// condition in force says yes, for every content of storage and every time; up to two advisories with names of eight bytes,
/// and up to four conditions that answer anything, the first with any length.
contract RequirementsProofs {
    uint256 private constant END_OF_TIME = 1 << 39;

    RequirementsHarness private harness;
    AnyAnswer[4] private answers;

    function setUp() external {
        harness = new RequirementsHarness();
        svm.enableSymbolicStorage(address(harness));
        for (uint256 i = 0; i < 4; ++i) {
            answers[i] = new AnyAnswer(i == 0);
            svm.enableSymbolicStorage(address(answers[i]));
        }
    }

    function check_requirements_NoConditionNoAdvisory(uint40[4] calldata ends, uint40 time, bytes32 ticket) external {
        _check(0, ends, time, _request(ticket, 0, 0, 0));
    }

    function check_requirements_NoConditionTwoAdvisories(
        uint40[4] calldata ends,
        uint40 time,
        bytes32 ticket,
        bytes8 first,
        bytes8 second
    ) external {
        _check(0, ends, time, _request(ticket, 2, first, second));
    }

    function check_requirements_OneCondition(uint40[4] calldata ends, uint40 time, bytes32 ticket, bytes8 advisory)
        external
    {
        _check(1, ends, time, _request(ticket, 1, advisory, 0));
    }

    function check_requirements_TwoConditions(uint40[4] calldata ends, uint40 time, bytes32 ticket) external {
        _check(2, ends, time, _request(ticket, 0, 0, 0));
    }

    function check_requirements_ThreeConditions(uint40[4] calldata ends, uint40 time) external {
        _check(3, ends, time, _request(0, 0, 0, 0));
    }

    function check_requirements_FourConditions(uint40[4] calldata ends, uint40 time) external {
        _check(4, ends, time, _request(0, 0, 0, 0));
    }

    /// @dev Each answer for its own reason only. Of gas, anything may be left: too little is a no, also where all say yes.
    function _check(uint8 count, uint40[4] calldata ends, uint40 time, BootRequest memory request) private {
        vm.assume(0 < time && time < END_OF_TIME);
        vm.warp(time);
        address[4] memory addresses;
        for (uint256 i = 0; i < 4; ++i) {
            addresses[i] = address(answers[i]);
        }
        harness.put(count, addresses, ends);
        Reason reason = harness.check(request);
        if (!harness.isTicketGood(request.ticket)) {
            assert(reason == Reason.TicketNotAllowed);
        } else if (_isAnyDenied(request.info.advisoryIds)) {
            assert(reason == Reason.AdvisoryDenied);
        } else {
            bool allSayYes = _doAllSayYes(count, ends, time);
            assert(reason == Reason.ConditionNotMet || (reason == Reason.Allowed && allSayYes));
            assert(reason == Reason.Allowed || count != 0);
        }
    }

    function _doAllSayYes(uint8 count, uint40[4] calldata ends, uint40 time) private view returns (bool) {
        for (uint256 i = 0; i < count; ++i) {
            bool isOver = ends[i] != 0 && time >= ends[i];
            if (!isOver && !answers[i].saysYes()) return false;
        }
        return true;
    }

    function _isAnyDenied(string[] memory advisories) private view returns (bool) {
        for (uint256 i = 0; i < advisories.length; ++i) {
            if (harness.isDenied(advisories[i])) return true;
        }
        return false;
    }

    function _request(bytes32 ticket, uint256 count, bytes8 first, bytes8 second)
        private
        pure
        returns (BootRequest memory request)
    {
        request.ticket = ticket;
        request.info.advisoryIds = new string[](count);
        if (count > 0) request.info.advisoryIds[0] = string(abi.encodePacked(first));
        if (count > 1) request.info.advisoryIds[1] = string(abi.encodePacked(second));
    }
}
