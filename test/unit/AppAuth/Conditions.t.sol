// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason, TeeKind} from "../../../contracts/types/Boot.sol";
import {ConditionStub} from "../support/ConditionStub.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract ConditionsTest is Fixture {
    ConditionStub private condition;

    function setUp() public override {
        super.setUp();
        condition = new ConditionStub();
    }

    function _add(address given) private {
        vm.prank(OWNER);
        app.addCondition(given);
    }

    function test_addCondition_ActsAtOnce_G2() external {
        condition.set(ConditionStub.Answer.No);
        assertReason(_reason(_request()), Reason.Allowed);
        vm.expectEmit(address(app));
        emit IAppPolicy.ConditionAdded(address(condition));
        _add(address(condition));
        assertReason(_reason(_request()), Reason.ConditionNotMet);
        (bool allowed, string memory reason) = app.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "a condition of the app is not met");
        IAppPolicy.Condition[] memory list = app.conditions();
        vm.assertEq(list.length, 1);
        vm.assertEq(list[0].condition, address(condition));
        vm.assertEq(list[0].endsAt, 0);
    }

    function test_decide_HandsTheWholeQuestionToTheCondition() external {
        RequestKeeper keeper = new RequestKeeper();
        BootRequest memory request = _request();
        request.info.advisoryIds = new string[](2);
        (request.info.advisoryIds[0], request.info.advisoryIds[1]) = ("INTEL-SA-00615", "");
        (request.generation, request.ticket) = (1, keccak256("ticket"));
        keeper.expect(keccak256(abi.encode(request)));
        _add(address(keeper));
        assertReason(_reason(request), Reason.Allowed);
        request.ticket = 0;
        assertReason(_reason(request), Reason.ConditionNotMet);
        (request.generation, request.tee) = (0, TeeKind.Tdx);
        keeper.expect(keccak256(abi.encode(request)));
        (bool allowed,) = app.isAppAllowed(request.info);
        vm.assertTrue(allowed);
    }

    function test_decide_AllConditionsMustBeMet() external {
        _add(address(new ConditionStub()));
        _add(address(condition));
        _add(address(new ConditionStub()));
        assertReason(_reason(_request()), Reason.Allowed);
        condition.set(ConditionStub.Answer.No);
        assertReason(_reason(_request()), Reason.ConditionNotMet);
    }

    function test_decide_AConditionCannotAllowWhatTheRulesDeny() external {
        _add(address(condition));
        assertReason(_reasonFor(CODE_2), Reason.CodeUnknown);
    }

    function test_decide_TakesEveryOddAnswerForANo_G6() external {
        _add(address(condition));
        for (uint256 answer = 1; answer <= uint256(ConditionStub.Answer.OddBool); ++answer) {
            condition.set(ConditionStub.Answer(answer));
            assertReason(_reason(_request()), Reason.ConditionNotMet);
        }
    }

    function test_decide_SpendsNoMoreThanTheCapOnEach() external {
        for (uint256 i = 0; i < 4; ++i) {
            ConditionStub next = new ConditionStub();
            _add(address(next));
            next.set(i < 3 ? ConditionStub.Answer.VeryLong : ConditionStub.Answer.BurnsAllGas);
        }
        BootRequest memory request = _request();
        uint256 before = gasleft();
        assertReason(_reason(request), Reason.ConditionNotMet);
        vm.assertTrue(before - gasleft() < 480_000);
    }

    /// @dev The condition would say yes to whoever hands over too little, and no to anybody else.
    function testFuzz_decide_TooLittleGasNeverTurnsANoIntoAYes_G1(uint256 gasLimit) external {
        _add(address(condition));
        condition.set(ConditionStub.Answer.YesWhenStarved);
        bytes memory question = abi.encodeCall(app.decide, (_request()));
        (bool success, bytes memory answer) = address(app).staticcall{gas: gasLimit % 400_000}(question);
        if (!success) return;
        (uint256 verdict, uint256 reason,) = abi.decode(answer, (uint256, uint256, uint256));
        vm.assertEq(verdict, 0);
        vm.assertEq(reason, uint256(Reason.ConditionNotMet));
    }

    function test_decide_ADeadConditionIsANo() external {
        _add(address(condition));
        vm.etch(address(condition), "");
        assertReason(_reason(_request()), Reason.ConditionNotMet);
    }

    /// @dev What a decision left in memory, here a ticket, must not be read for an answer that never came.
    function test_decide_AnEmptyAnswerIsANoWhateverIsInMemory_G6() external {
        bytes32 ticket = bytes32(uint256(1));
        _add(address(condition));
        vm.startPrank(OWNER);
        app.requireTicket(true);
        app.allowTicket(ticket);
        skip(NOTICE);
        BootRequest memory request = _request();
        request.ticket = ticket;
        assertReason(_reason(request), Reason.Allowed);
        vm.etch(address(condition), "");
        assertReason(_reason(request), Reason.ConditionNotMet);
    }

    function test_removeCondition_TakesEffectAfterTheNotice_G2() external {
        _add(address(condition));
        condition.set(ConditionStub.Answer.No);
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.ConditionRemoved(address(condition), from);
        vm.prank(OWNER);
        app.removeCondition(address(condition));
        vm.warp(from - 1);
        assertReason(_reason(_request()), Reason.ConditionNotMet);
        vm.assertEq(app.conditions()[0].endsAt, from);
        vm.warp(from);
        assertReason(_reason(_request()), Reason.Allowed);
        vm.assertEq(app.conditions().length, 0);
    }

    function test_addCondition_CancelsARemovalThatIsPending() external {
        _add(address(condition));
        condition.set(ConditionStub.Answer.No);
        vm.startPrank(OWNER);
        app.removeCondition(address(condition));
        vm.expectEmit(address(app));
        emit IAppPolicy.ConditionAdded(address(condition));
        app.addCondition(address(condition));
        skip(NOTICE);
        assertReason(_reason(_request()), Reason.ConditionNotMet);
    }

    function test_addCondition_TakesThePlaceOfOneThatEnded() external {
        address[5] memory all;
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = address(new ConditionStub());
            _add(all[i]);
        }
        vm.prank(OWNER);
        app.removeCondition(all[1]);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.TooManyConditions.selector, 4));
        app.addCondition(address(condition));
        skip(NOTICE);
        _add(address(condition));
        IAppPolicy.Condition[] memory list = app.conditions();
        vm.assertEq(list.length, 4);
        vm.assertEq(list[1].condition, address(condition));
    }

    function test_addCondition_RevertIf_Required() external {
        _add(address(condition));
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.addCondition(address(condition));
    }

    function test_addCondition_RevertIf_NoCode() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.NotACondition.selector, STRANGER));
        app.addCondition(STRANGER);
    }

    function test_removeCondition_RevertIf_Unknown() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.UnknownCondition.selector, STRANGER));
        app.removeCondition(STRANGER);
    }

    function test_removeCondition_RevertIf_Ending() external {
        _add(address(condition));
        vm.startPrank(OWNER);
        app.removeCondition(address(condition));
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.removeCondition(address(condition));
    }

    function testFuzz_addCondition_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.addCondition(address(condition));
    }

    function testFuzz_removeCondition_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        _add(address(condition));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.removeCondition(address(condition));
    }
}

/// @notice Says yes to one question only.
contract RequestKeeper {
    bytes32 private wanted;

    function expect(bytes32 hash) external {
        wanted = hash;
    }

    function isAllowed(BootRequest calldata request) external view returns (bool) {
        return keccak256(abi.encode(request)) == wanted;
    }
}
