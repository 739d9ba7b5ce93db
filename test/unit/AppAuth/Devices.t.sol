// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract DevicesTest is Fixture {
    function _on(bytes32 device) private view returns (Reason) {
        BootRequest memory request = _request();
        request.info.deviceId = device;
        return _reason(request);
    }

    function test_allowDevice_TakesEffectAfterTheNotice_G2() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.DeviceScheduled(DEVICE_2, from);
        vm.prank(OWNER);
        app.allowDevice(DEVICE_2);
        vm.warp(from - 1);
        assertReason(_on(DEVICE_2), Reason.DeviceUnknown);
        vm.assertFalse(app.isDeviceAllowed(DEVICE_2));
        vm.warp(from);
        assertReason(_on(DEVICE_2), Reason.Allowed);
        vm.assertTrue(app.isDeviceAllowed(DEVICE_2));
    }

    function test_denyDevice_ActsAtOnceAndBeatsAnyDevice_G2() external {
        vm.prank(OWNER);
        app.allowAnyDevice();
        skip(NOTICE);
        assertReason(_on(DEVICE_2), Reason.Allowed);
        vm.expectEmit(address(app));
        emit IAppPolicy.DeviceDenied(DEVICE_2, GUARDIAN);
        vm.prank(GUARDIAN);
        app.denyDevice(DEVICE_2);
        assertReason(_on(DEVICE_2), Reason.DeviceDenied);
        skip(365 days);
        assertReason(_on(DEVICE_2), Reason.DeviceDenied);
    }

    function test_allowDevice_LiftsADenialAfterTheNotice() external {
        vm.startPrank(OWNER);
        app.allowAnyDevice();
        app.denyDevice(DEVICE);
        skip(NOTICE);
        app.allowDevice(DEVICE);
        skip(NOTICE - 1);
        assertReason(_on(DEVICE), Reason.DeviceDenied);
        skip(1);
        assertReason(_on(DEVICE), Reason.Allowed);
    }

    function test_denyDevice_CancelsALiftThatIsPending_G3() external {
        vm.startPrank(OWNER);
        app.denyDevice(DEVICE);
        app.allowDevice(DEVICE);
        vm.stopPrank();
        vm.prank(GUARDIAN);
        app.denyDevice(DEVICE);
        skip(NOTICE);
        assertReason(_on(DEVICE), Reason.DeviceDenied);
    }

    function test_allowDevice_RevertIf_AllowedOrScheduled() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowDevice(DEVICE);
        app.allowDevice(DEVICE_2);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowDevice(DEVICE_2);
    }

    function test_denyDevice_RevertIf_Denied() external {
        vm.startPrank(OWNER);
        app.denyDevice(DEVICE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.denyDevice(DEVICE);
    }

    function test_allowDevice_RevertIf_Zero() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.ZeroDevice.selector);
        app.allowDevice(bytes32(0));
    }

    function test_denyDevice_RevertIf_Zero() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.ZeroDevice.selector);
        app.denyDevice(bytes32(0));
    }

    function test_allowAnyDevice_TakesEffectAfterTheNotice_G2() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.AnyDeviceScheduled(from);
        vm.prank(OWNER);
        app.allowAnyDevice();
        vm.warp(from - 1);
        assertReason(_on(DEVICE_2), Reason.DeviceUnknown);
        vm.warp(from);
        assertReason(_on(DEVICE_2), Reason.Allowed);
    }

    function test_removeAnyDevice_ActsAtOnce_G2() external {
        vm.startPrank(OWNER);
        app.allowAnyDevice();
        skip(NOTICE);
        vm.expectEmit(address(app));
        emit IAppPolicy.AnyDeviceRemoved();
        app.removeAnyDevice();
        assertReason(_on(DEVICE_2), Reason.DeviceUnknown);
        assertReason(_on(DEVICE), Reason.Allowed);
    }

    /// @dev What was there from the start is kept in another place than what was scheduled later.
    function test_removeAnyDevice_EndsWhatTheAppBeganWith_G2() external {
        IAppPolicy.Init memory init = _init();
        init.anyDevice = true;
        AppAuth open = AppAuth(kms.deployAndRegisterApp(init, bytes32(uint256(1))));
        vm.assertTrue(open.isDeviceAllowed(DEVICE_2));
        vm.prank(OWNER);
        open.removeAnyDevice();
        vm.assertFalse(open.isDeviceAllowed(DEVICE_2));
        vm.assertTrue(open.isDeviceAllowed(DEVICE));
    }

    function test_allowAnyDevice_RevertIf_AllowedOrScheduled() external {
        vm.startPrank(OWNER);
        app.allowAnyDevice();
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.allowAnyDevice();
    }

    function test_removeAnyDevice_RevertIf_NotAllowed() external {
        vm.prank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.removeAnyDevice();
    }

    function testFuzz_allowDevice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.allowDevice(DEVICE_2);
    }

    function testFuzz_denyDevice_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != OWNER && caller != GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.denyDevice(DEVICE);
    }

    function testFuzz_allowAnyDevice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.allowAnyDevice();
    }

    function testFuzz_removeAnyDevice_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.removeAnyDevice();
    }
}
