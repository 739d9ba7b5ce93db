// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {ConditionStub} from "../support/ConditionStub.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

contract InitializeTest is Fixture {
    AppAuth private fresh;

    function setUp() public override {
        super.setUp();
        fresh = AppAuth(Clones.cloneWithImmutableArgs(address(implementation), abi.encodePacked(kms)));
    }

    function test_initialize_SaysEverythingInEvents_G9() external {
        IAppPolicy.Init memory init = _init();
        init.anyDevice = true;
        (init.conditions, init.ticketNeeded, init.tickets) = (new address[](1), true, new bytes32[](1));
        (init.conditions[0], init.tickets[0]) = (address(new ConditionStub()), keccak256("ticket"));
        uint40 time = currentTime();
        vm.expectEmit(address(fresh));
        emit IGoverned.OwnershipTransferred(address(0), OWNER);
        vm.expectEmit(address(fresh));
        emit IGoverned.NoticeSet(NOTICE, time);
        vm.expectEmit(address(fresh));
        emit IGoverned.GuardianSet(GUARDIAN, time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.GuardianPauseArmed();
        vm.expectEmit(address(fresh));
        emit IAppPolicy.KeysRotated(1, 0);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.CodeScheduled(CODE, time, "");
        vm.expectEmit(address(fresh));
        emit IAppPolicy.TcbFloorSet(TcbStatus.SWHardeningNeeded, time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.DeviceScheduled(DEVICE, time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.TeeScheduled(TeeKind.Tdx, time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.AnyDeviceScheduled(time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.ConditionAdded(init.conditions[0]);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.TicketRequirementSet(true, time);
        vm.expectEmit(address(fresh));
        emit IAppPolicy.TicketAllowed(keccak256("ticket"), time);
        fresh.initialize(init);
        vm.assertEq(fresh.kmsAuth(), address(kms));
        vm.assertEq(fresh.owner(), OWNER);
        vm.assertTrue(fresh.isDeviceAllowed(DEVICE_2));
        vm.assertEq(fresh.ticketAllowedFrom(keccak256("ticket")), time);
        vm.assertEq(fresh.conditions().length, 1);
        (bool needed, uint40 endsAt) = fresh.ticketRequirement();
        vm.assertTrue(needed && endsAt == 0);
    }

    function test_initialize_RevertIf_DoneBefore() external {
        vm.expectRevert(IAppPolicy.InvalidInitialization.selector);
        app.initialize(_init());
    }

    function test_initialize_RevertIf_Implementation() external {
        vm.expectRevert(IAppPolicy.InvalidInitialization.selector);
        implementation.initialize(_init());
    }

    function test_initialize_RevertIf_NoKmsAuth() external {
        AppAuth plain = AppAuth(Clones.clone(address(implementation)));
        vm.assertEq(plain.kmsAuth(), address(0));
        vm.expectRevert(IAppPolicy.InvalidInitialization.selector);
        plain.initialize(_init());
        AppAuth zero = AppAuth(Clones.cloneWithImmutableArgs(address(implementation), abi.encodePacked(address(0))));
        vm.expectRevert(IAppPolicy.InvalidInitialization.selector);
        zero.initialize(_init());
    }

    function test_initialize_RevertIf_ZeroOwner() external {
        IAppPolicy.Init memory init = _init();
        init.owner = address(0);
        vm.expectRevert(IGoverned.ZeroOwner.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_NoticeTooLong() external {
        IAppPolicy.Init memory init = _init();
        init.notice = 365 days + 1;
        vm.expectRevert(abi.encodeWithSelector(IGoverned.DurationTooLong.selector, 365 days + 1, 365 days));
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_ZeroCode() external {
        IAppPolicy.Init memory init = _init();
        init.codeHashes[0] = bytes32(0);
        vm.expectRevert(IAppPolicy.ZeroCodeHash.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_CodeTwice() external {
        IAppPolicy.Init memory init = _init();
        init.codeHashes = new bytes32[](2);
        (init.codeHashes[0], init.codeHashes[1]) = (CODE, CODE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_ZeroDevice() external {
        IAppPolicy.Init memory init = _init();
        init.devices[0] = bytes32(0);
        vm.expectRevert(IAppPolicy.ZeroDevice.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_NoTee() external {
        IAppPolicy.Init memory init = _init();
        init.teeKinds[0] = TeeKind.None;
        vm.expectRevert(IAppPolicy.InvalidTee.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_TeeTwice() external {
        IAppPolicy.Init memory init = _init();
        init.teeKinds = new TeeKind[](2);
        (init.teeKinds[0], init.teeKinds[1]) = (TeeKind.Snp, TeeKind.Snp);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_ConditionHasNoCode() external {
        IAppPolicy.Init memory init = _init();
        init.conditions = new address[](1);
        init.conditions[0] = STRANGER;
        vm.expectRevert(abi.encodeWithSelector(IAppPolicy.NotACondition.selector, STRANGER));
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_ZeroTicket() external {
        IAppPolicy.Init memory init = _init();
        init.tickets = new bytes32[](1);
        vm.expectRevert(IAppPolicy.ZeroTicket.selector);
        fresh.initialize(init);
    }

    function test_initialize_RevertIf_NoTcbFloor() external {
        IAppPolicy.Init memory init = _init();
        init.tcbFloor = TcbStatus.None;
        vm.expectRevert(IAppPolicy.InvalidTcbFloor.selector);
        fresh.initialize(init);
    }
}
