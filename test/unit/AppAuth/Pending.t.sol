// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What is decided and not in force yet can be seen, and is not shown any more once it is.
contract PendingTest is Fixture {
    uint40 private from;

    function setUp() public override {
        super.setUp();
        from = currentTime() + NOTICE;
    }

    function test_pendingNotice_UntilItIsInForce() external {
        _assertNotice(0, 0);
        vm.prank(OWNER);
        app.setNotice(1 hours);
        _assertNotice(1 hours, from);
        vm.warp(from - 1);
        _assertNotice(1 hours, from);
        vm.warp(from);
        _assertNotice(0, 0);
        vm.assertEq(app.notice(), 1 hours);
    }

    function test_pendingNotice_NoneAfterItWasCancelled() external {
        vm.startPrank(OWNER);
        app.setNotice(1 hours);
        app.setNotice(NOTICE);
        _assertNotice(0, 0);
        vm.assertEq(app.notice(), NOTICE);
    }

    function test_pendingGuardian_UntilItIsInForce() external {
        _assertGuardian(address(0), 0);
        vm.prank(OWNER);
        app.setGuardian(STRANGER);
        _assertGuardian(STRANGER, from);
        vm.warp(from - 1);
        _assertGuardian(STRANGER, from);
        vm.warp(from);
        _assertGuardian(address(0), 0);
        vm.assertEq(app.guardian(), STRANGER);
    }

    function test_pendingTcbFloor_UntilItIsInForce() external {
        _assertFloor(TcbStatus.None, 0);
        vm.prank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDate);
        _assertFloor(TcbStatus.OutOfDate, from);
        vm.warp(from - 1);
        _assertFloor(TcbStatus.OutOfDate, from);
        vm.warp(from);
        _assertFloor(TcbStatus.None, 0);
        vm.assertEq(uint256(app.tcbFloor()), uint256(TcbStatus.OutOfDate));
    }

    function test_pendingTee_UntilItIsAllowed() external {
        vm.assertEq(app.pendingTee(TeeKind.Snp), 0);
        vm.prank(OWNER);
        app.allowTee(TeeKind.Snp);
        vm.assertEq(app.pendingTee(TeeKind.Snp), from);
        vm.assertEq(app.pendingTee(TeeKind.Tdx), 0);
        vm.warp(from);
        vm.assertEq(app.pendingTee(TeeKind.Snp), 0);
    }

    function test_deviceState_SaysWhenAllowedAndDenied() external {
        uint40 start = currentTime();
        _assertDevice(DEVICE, start, 0);
        vm.startPrank(OWNER);
        app.denyDevice(DEVICE);
        _assertDevice(DEVICE, 0, type(uint40).max);
        app.allowDevice(DEVICE);
        _assertDevice(DEVICE, from, from);
    }

    function test_isAnyDeviceAllowed_SaysFromWhen() external {
        _assertAnyDevice(false, 0);
        vm.prank(OWNER);
        app.allowAnyDevice();
        _assertAnyDevice(false, from);
        vm.warp(from);
        _assertAnyDevice(true, from);
    }

    function test_pendingKmsApp_UntilItTakesOver() external {
        address other = kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
        uint40 then = currentTime() + KMS_NOTICE;
        vm.startPrank(KMS_OWNER);
        kms.setKmsApp(address(app));
        kms.setGatewayApp(other);
        _assertSystemApps(address(0), address(0), 0);
        kms.setKmsApp(other);
        kms.setGatewayApp(address(app));
        vm.warp(then - 1);
        _assertSystemApps(other, address(app), then);
        vm.warp(then);
        _assertSystemApps(address(0), address(0), 0);
    }

    function test_suspendedUntil_SaysUntilWhen() external {
        vm.assertEq(kms.suspendedUntil(address(app)), 0);
        vm.startPrank(KMS_OWNER);
        kms.suspendApp(address(app));
        vm.assertEq(kms.suspendedUntil(address(app)), type(uint40).max);
        kms.liftSuspension(address(app));
        vm.assertEq(kms.suspendedUntil(address(app)), currentTime() + KMS_NOTICE);
    }

    function _assertNotice(uint40 notice, uint40 since) private view {
        (uint40 givenNotice, uint40 givenAt) = app.pendingNotice();
        vm.assertEq(givenNotice, notice);
        vm.assertEq(givenAt, since);
    }

    function _assertGuardian(address guardian, uint40 since) private view {
        (address givenGuardian, uint40 givenAt) = app.pendingGuardian();
        vm.assertEq(givenGuardian, guardian);
        vm.assertEq(givenAt, since);
    }

    function _assertFloor(TcbStatus floor, uint40 since) private view {
        (TcbStatus givenFloor, uint40 givenAt) = app.pendingTcbFloor();
        vm.assertEq(uint256(givenFloor), uint256(floor));
        vm.assertEq(givenAt, since);
    }

    function _assertDevice(bytes32 device, uint40 allowedFrom, uint40 deniedUntil) private view {
        (uint40 givenFrom, uint40 givenUntil) = app.deviceState(device);
        vm.assertEq(givenFrom, allowedFrom);
        vm.assertEq(givenUntil, deniedUntil);
    }

    function _assertAnyDevice(bool allowed, uint40 since) private view {
        (bool givenAllowed, uint40 givenSince) = app.isAnyDeviceAllowed();
        vm.assertEq(givenAllowed, allowed);
        vm.assertEq(givenSince, since);
    }

    function _assertSystemApps(address kmsApp, address gatewayApp, uint40 since) private view {
        (address givenApp, uint40 givenAt) = kms.pendingKmsApp();
        vm.assertEq(givenApp, kmsApp);
        vm.assertEq(givenAt, since);
        (givenApp, givenAt) = kms.pendingGatewayApp();
        vm.assertEq(givenApp, gatewayApp);
        vm.assertEq(givenAt, since);
    }
}
