// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppAuthBasicManagement} from "../../../contracts/interfaces/IAppAuthBasicManagement.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract BasicManagementTest is Fixture {
    function test_addComposeHash_SchedulesBesideThePresentVersions() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.CodeScheduled(CODE_2, currentTime() + NOTICE, "");
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.ComposeHashAdded(CODE_2);
        vm.prank(OWNER);
        app.addComposeHash(CODE_2);
        skip(NOTICE);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_removeComposeHash_RetiresAtOnceAndMayBeAddedAgain() external {
        vm.startPrank(OWNER);
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.ComposeHashRemoved(CODE);
        app.removeComposeHash(CODE);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
        app.addComposeHash(CODE);
        assertState(_state(CODE), VersionState.Scheduled);
    }

    function test_addDevice_WaitsForTheNotice() external {
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.DeviceAdded(DEVICE_2);
        vm.prank(OWNER);
        app.addDevice(DEVICE_2);
        vm.assertFalse(app.isDeviceAllowed(DEVICE_2));
        skip(NOTICE);
        vm.assertTrue(app.isDeviceAllowed(DEVICE_2));
    }

    function test_removeDevice_ActsUnderAnyDeviceToo() external {
        vm.startPrank(OWNER);
        app.allowAnyDevice();
        skip(NOTICE);
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.DeviceRemoved(DEVICE_2);
        app.removeDevice(DEVICE_2);
        vm.assertFalse(app.isDeviceAllowed(DEVICE_2));
    }

    function testFuzz_addComposeHash_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.addComposeHash(CODE_2);
    }

    function testFuzz_removeComposeHash_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.removeComposeHash(CODE);
    }

    function testFuzz_addDevice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.addDevice(DEVICE_2);
    }

    function testFuzz_removeDevice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.removeDevice(DEVICE);
    }
}
