// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract TicketsTest is Fixture {
    bytes32 private constant TICKET = keccak256("ticket");

    function _with(bytes32 ticket) private view returns (Reason) {
        BootRequest memory request = _request();
        request.ticket = ticket;
        return _reason(request);
    }

    function _require(bool needed) private {
        vm.prank(OWNER);
        app.requireTicket(needed);
    }

    function _assertRequirement(bool needed, uint40 endsAt) private view {
        (bool givenNeeded, uint40 givenEnd) = app.ticketRequirement();
        vm.assertEq(givenNeeded, needed);
        vm.assertEq(givenEnd, endsAt);
    }

    function test_requireTicket_ActsAtOnce_G2() external {
        assertReason(_with(0), Reason.Allowed);
        assertReason(_with(TICKET), Reason.Allowed);
        vm.expectEmit(address(app));
        emit IAppPolicy.TicketRequirementSet(true, currentTime());
        _require(true);
        _assertRequirement(true, 0);
        assertReason(_with(0), Reason.TicketNotAllowed);
        assertReason(_with(TICKET), Reason.TicketNotAllowed);
    }

    function test_isAppAllowed_DeniesWhileATicketIsNeeded() external {
        _require(true);
        (bool allowed, string memory reason) = app.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "launch ticket is not allowed");
        (allowed, reason) = kms.isAppAllowed(_info());
        vm.assertFalse(allowed);
    }

    function test_allowTicket_TakesEffectAfterTheNotice_G2() external {
        _require(true);
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.TicketAllowed(TICKET, from);
        vm.prank(OWNER);
        app.allowTicket(TICKET);
        vm.assertEq(app.ticketAllowedFrom(TICKET), from);
        vm.warp(from - 1);
        assertReason(_with(TICKET), Reason.TicketNotAllowed);
        vm.warp(from);
        assertReason(_with(TICKET), Reason.Allowed);
        assertReason(_with(0), Reason.TicketNotAllowed);
        BootRequest memory request = _request();
        request.ticket = TICKET;
        assertVerdict(request, Verdict.Allowed, Reason.Allowed, type(uint64).max);
    }

    function test_revokeTicket_ActsAtOnceAndAllowingAgainWaits_G2() external {
        _require(true);
        vm.prank(OWNER);
        app.allowTicket(TICKET);
        skip(NOTICE);
        vm.expectEmit(address(app));
        emit IAppPolicy.TicketRevoked(TICKET, GUARDIAN);
        vm.prank(GUARDIAN);
        app.revokeTicket(TICKET);
        assertReason(_with(TICKET), Reason.TicketNotAllowed);
        vm.prank(OWNER);
        app.allowTicket(TICKET);
        skip(NOTICE - 1);
        assertReason(_with(TICKET), Reason.TicketNotAllowed);
    }

    function test_requireTicket_CeasesAfterTheNotice_G2() external {
        _require(true);
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.TicketRequirementSet(false, from);
        _require(false);
        _assertRequirement(true, from);
        vm.warp(from - 1);
        assertReason(_with(0), Reason.TicketNotAllowed);
        vm.warp(from);
        assertReason(_with(0), Reason.Allowed);
        _assertRequirement(false, 0);
        _require(true);
        assertReason(_with(0), Reason.TicketNotAllowed);
    }

    function test_requireTicket_CancelsAnEndThatIsPending() external {
        _require(true);
        _require(false);
        _require(true);
        skip(NOTICE);
        assertReason(_with(0), Reason.TicketNotAllowed);
    }

    function test_requireTicket_RevertIf_Same() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.requireTicket(false);
        app.requireTicket(true);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.requireTicket(true);
        app.requireTicket(false);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.requireTicket(false);
        skip(NOTICE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.requireTicket(false);
    }

    function test_allowTicket_RevertIf_ZeroOrAllowed() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IAppPolicy.ZeroTicket.selector);
        app.allowTicket(0);
        app.allowTicket(TICKET);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowTicket(TICKET);
    }

    function test_revokeTicket_RevertIf_NotAllowed() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.revokeTicket(TICKET);
    }

    function testFuzz_requireTicket_RevertIf_NotOwner(address caller, bool needed) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.requireTicket(needed);
    }

    function testFuzz_allowTicket_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.allowTicket(TICKET);
    }

    function testFuzz_revokeTicket_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(OWNER);
        app.allowTicket(TICKET);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.revokeTicket(TICKET);
    }
}
