// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppAuth} from "../../../contracts/interfaces/IAppAuth.sol";
import {IAppAuthBasicManagement} from "../../../contracts/interfaces/IAppAuthBasicManagement.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {AppBootInfo, BootRequest, Reason, TeeKind, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract DecideTest is Fixture {
    function test_decide_AllowsExactlyWhatIsAttested() external view {
        (Verdict verdict, Reason reason, uint64 validUntil) = app.decide(_request());
        vm.assertEq(uint256(verdict), uint256(Verdict.Allowed));
        assertReason(reason, Reason.Allowed);
        vm.assertEq(validUntil, type(uint64).max);
    }

    function test_decide_RefusesAnotherApp() external view {
        BootRequest memory request = _request();
        request.info.appId = address(implementation);
        assertReason(_reason(request), Reason.AppNotRegistered);
    }

    function testFuzz_decide_DoesNotDependOnTheCaller(address caller) external {
        vm.prank(caller);
        (, Reason reason,) = app.decide(_request());
        assertReason(reason, Reason.Allowed);
    }

    function testFuzz_decide_RefusesUnknownCode_G1(bytes32 codeHash) external view {
        vm.assume(codeHash != CODE);
        assertReason(_reasonFor(codeHash), Reason.CodeUnknown);
    }

    function testFuzz_decide_RefusesUnknownDevices_G1(bytes32 device) external view {
        vm.assume(device != DEVICE);
        BootRequest memory request = _request();
        request.info.deviceId = device;
        assertReason(_reason(request), Reason.DeviceUnknown);
    }

    /// @dev Each defect is repaired in turn, so that the next reason shows.
    function test_decide_OrdersReasons() external {
        BootRequest memory bad = _request();
        bad.info.composeHash = CODE_2;
        bad.info.deviceId = DEVICE_2;
        bad.tee = TeeKind.Nitro;
        bad.info.tcbStatus = "Revoked";
        bad.generation = 9;
        vm.prank(OWNER);
        app.pause(currentTime() + 1);
        assertReason(_reason(bad), Reason.AppPaused);
        skip(1);
        assertReason(_reason(bad), Reason.CodeUnknown);
        bad.info.composeHash = CODE;
        assertReason(_reason(bad), Reason.DeviceUnknown);
        bad.info.deviceId = DEVICE;
        assertReason(_reason(bad), Reason.TeeNotAllowed);
        bad.tee = TeeKind.Tdx;
        assertReason(_reason(bad), Reason.TcbTooLow);
        bad.info.tcbStatus = "UpToDate";
        assertReason(_reason(bad), Reason.GenerationRetired);
        bad.generation = 1;
        assertReason(_reason(bad), Reason.Allowed);
    }

    function test_isAppAllowed_AnswersInUpstreamsWords() external {
        (bool allowed, string memory reason) = app.isAppAllowed(_info());
        vm.assertTrue(allowed);
        vm.assertEq(reason, "");
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        (allowed, reason) = app.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "code was revoked");
    }

    function test_isAppAllowed_RefusesWhenTdxIsNotAllowed() external {
        vm.startPrank(OWNER);
        app.allowTee(TeeKind.Snp);
        app.removeTee(TeeKind.Tdx);
        skip(NOTICE);
        (bool allowed, string memory reason) = app.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "kind of TEE is not allowed");
    }

    function test_supportsInterface_AnswersUpstreamsIds() external view {
        vm.assertTrue(type(IAppAuth).interfaceId == bytes4(0x1e079198));
        vm.assertTrue(type(IAppAuthBasicManagement).interfaceId == bytes4(0x8fd37527));
        vm.assertTrue(app.supportsInterface(0x1e079198));
        vm.assertTrue(app.supportsInterface(0x8fd37527));
        vm.assertTrue(app.supportsInterface(0x01ffc9a7));
        vm.assertFalse(app.supportsInterface(0xffffffff));
    }
}
