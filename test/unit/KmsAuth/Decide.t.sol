// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {IAppAuth} from "../../../contracts/interfaces/IAppAuth.sol";
import {IKmsAuth} from "../../../contracts/interfaces/IKmsAuth.sol";
import {AppBootInfo, BootRequest, Reason, TeeKind, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";
import {ForeignAppStub} from "../support/ForeignAppStub.sol";

contract KmsDecideTest is Fixture {
    function test_decide_AllowsWhatRegistryImageAndAppAllow() external view {
        assertVerdict(_request(), Verdict.Allowed, Reason.Allowed, type(uint64).max);
    }

    function test_decide_RefusesAppsThatAreNotRegistered() external view {
        BootRequest memory request = _request();
        request.info.appId = STRANGER;
        assertVerdict(request, Verdict.Denied, Reason.AppNotRegistered, 0);
    }

    function testFuzz_decide_RefusesUnknownImages_G1(bytes32 image) external view {
        vm.assume(image != IMAGE);
        BootRequest memory request = _request();
        request.info.osImageHash = image;
        assertVerdict(request, Verdict.Denied, Reason.OsImageUnknown, 0);
    }

    function test_decide_PassesTheAppsReasonOn() external {
        BootRequest memory request = _request();
        request.tee = TeeKind.Snp;
        assertVerdict(request, Verdict.Denied, Reason.TeeNotAllowed, 0);
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        assertVerdict(_request(), Verdict.Denied, Reason.CodeRevoked, 0);
    }

    function test_decide_EndsWithTheSoonerOfImageAndCode() external {
        uint40 sooner = currentTime() + 1 days;
        uint40 later = currentTime() + 2 days;
        vm.prank(KMS_OWNER);
        kms.retireOsImage(IMAGE, later);
        assertVerdict(_request(), Verdict.Allowed, Reason.Allowed, later);
        vm.prank(OWNER);
        app.retireCode(CODE, sooner);
        assertVerdict(_request(), Verdict.Allowed, Reason.Allowed, sooner);
        vm.warp(sooner);
        assertVerdict(_request(), Verdict.Denied, Reason.CodeRetired, 0);
        vm.warp(later);
        assertVerdict(_request(), Verdict.Denied, Reason.OsImageRetired, 0);
    }

    function test_isAppAllowed_AgreesWithDecide() external {
        (bool allowed, string memory reason) = kms.isAppAllowed(_info());
        vm.assertTrue(allowed);
        vm.assertEq(reason, "");

        AppBootInfo memory info = _info();
        info.osImageHash = CODE;
        (allowed, reason) = kms.isAppAllowed(info);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "OS image is not known");

        vm.prank(KMS_GUARDIAN);
        kms.suspendApp(address(app));
        (allowed, reason) = kms.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app is suspended");
    }

    function test_isAppAllowed_PassesTheAppsWordsOn() external {
        vm.prank(GUARDIAN);
        app.denyDevice(DEVICE);
        (bool allowed, string memory reason) = kms.isAppAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "device is denied");
    }

    function test_isKmsAllowed_OnlyForTheKmsApp() external {
        (bool allowed, string memory reason) = kms.isKmsAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app is not the system app");

        vm.prank(KMS_OWNER);
        kms.setKmsApp(address(app));
        (allowed, reason) = kms.isKmsAllowed(_info());
        vm.assertTrue(allowed);

        AppBootInfo memory other = _info();
        other.appId = kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
        (allowed, reason) = kms.isKmsAllowed(other);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app is not the system app");
    }

    function test_isKmsAllowed_RefusesTheZeroApp() external view {
        AppBootInfo memory info = _info();
        info.appId = address(0);
        (bool allowed, string memory reason) = kms.isKmsAllowed(info);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app is not the system app");
    }

    function test_isKmsAllowed_LeavesTheRestToTheApp() external {
        vm.prank(KMS_OWNER);
        kms.setKmsApp(address(app));
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        (bool allowed, string memory reason) = kms.isKmsAllowed(_info());
        vm.assertFalse(allowed);
        vm.assertEq(reason, "code was revoked");
    }

    function test_decide_AsksAForeignAppInUpstreamsAbi() external {
        (ForeignAppStub foreign, BootRequest memory request) = _foreign();
        assertVerdict(request, Verdict.Allowed, Reason.Allowed, type(uint64).max);
        (bool allowed,) = kms.isAppAllowed(request.info);
        vm.assertTrue(allowed);
        foreign.set(ForeignAppStub.Answer.No);
        _assertForeignRefused(request);
    }

    function test_decide_TakesEveryOddForeignAnswerForANo_G6() external {
        (ForeignAppStub foreign, BootRequest memory request) = _foreign();
        foreign.set(ForeignAppStub.Answer.Reverts);
        _assertForeignRefused(request);
        foreign.set(ForeignAppStub.Answer.BurnsAllGas);
        _assertForeignRefused(request);
        foreign.set(ForeignAppStub.Answer.Short);
        _assertForeignRefused(request);
        foreign.set(ForeignAppStub.Answer.OddBool);
        _assertForeignRefused(request);
    }

    function test_decide_ALongForeignAnswerCostsNoMoreThanTheCap() external {
        (ForeignAppStub foreign, BootRequest memory request) = _foreign();
        foreign.set(ForeignAppStub.Answer.VeryLong);
        uint256 before = gasleft();
        kms.decide(request);
        vm.assertTrue(before - gasleft() < 1_100_000);
    }

    /// @dev The app would say yes to whoever hands over too little, and no to anybody else.
    function testFuzz_decide_TooLittleGasNeverTurnsANoIntoAYes_G1(uint256 gasLimit) external {
        (ForeignAppStub foreign, BootRequest memory request) = _foreign();
        foreign.set(ForeignAppStub.Answer.YesWhenStarved);
        bytes memory question = abi.encodeCall(kms.decide, (request));
        (bool success, bytes memory answer) = address(kms).staticcall{gas: gasLimit % 1_500_000}(question);
        if (!success) return;
        (uint256 verdict, uint256 reason,) = abi.decode(answer, (uint256, uint256, uint256));
        vm.assertEq(verdict, 0);
        vm.assertEq(reason, uint256(Reason.ForeignAppRefused));
    }

    function test_decide_AForeignAppGetsKeysUnderTdxOnly_G1() external {
        (, BootRequest memory request) = _foreign();
        request.tee = TeeKind.Snp;
        assertVerdict(request, Verdict.Denied, Reason.TeeNotAllowed, 0);
        request.tee = TeeKind.None;
        assertVerdict(request, Verdict.Denied, Reason.TeeNotAllowed, 0);
    }

    function test_decide_ChecksTheImageOfAForeignAppToo() external {
        (, BootRequest memory request) = _foreign();
        request.info.osImageHash = CODE;
        assertVerdict(request, Verdict.Denied, Reason.OsImageUnknown, 0);
    }

    function _foreign() private returns (ForeignAppStub foreign, BootRequest memory request) {
        foreign = new ForeignAppStub();
        kms.registerForeignApp(address(foreign));
        request = _request();
        request.info.appId = address(foreign);
    }

    function _assertForeignRefused(BootRequest memory request) private view {
        assertVerdict(request, Verdict.Denied, Reason.ForeignAppRefused, 0);
        (bool allowed, string memory reason) = kms.isAppAllowed(request.info);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "app's own contract refuses");
    }
}
