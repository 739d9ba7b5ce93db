// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsAuth} from "../../../contracts/interfaces/IKmsAuth.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract SystemAppsTest is Fixture {
    address private other;

    function setUp() public override {
        super.setUp();
        other = kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
    }

    function test_setKmsApp_AtOnceWhileThereIsNone() external {
        vm.expectEmit(address(kms));
        emit IKmsAuth.KmsAppSet(address(app), currentTime());
        vm.prank(KMS_OWNER);
        kms.setKmsApp(address(app));
        vm.assertEq(kms.kmsApp(), address(app));
        vm.assertEq(kms.gatewayApp(), address(0));
    }

    function test_setKmsApp_AfterTheNoticeOtherwise_G2() external {
        vm.startPrank(KMS_OWNER);
        kms.setKmsApp(address(app));
        uint40 from = currentTime() + KMS_NOTICE;
        vm.expectEmit(address(kms));
        emit IKmsAuth.KmsAppSet(other, from);
        kms.setKmsApp(other);
        vm.warp(from - 1);
        vm.assertEq(kms.kmsApp(), address(app));
        vm.warp(from);
        vm.assertEq(kms.kmsApp(), other);
    }

    function test_setKmsApp_KeepsTheOneInForceUntilTheNextTakesOver_G2() external {
        vm.startPrank(KMS_OWNER);
        kms.setKmsApp(address(app));
        kms.setKmsApp(other);
        skip(KMS_NOTICE);
        kms.setKmsApp(address(app));
        skip(KMS_NOTICE - 1);
        vm.assertEq(kms.kmsApp(), other);
        skip(1);
        vm.assertEq(kms.kmsApp(), address(app));
    }

    function test_setGatewayApp_LikeTheKmsApp() external {
        vm.startPrank(KMS_OWNER);
        vm.expectEmit(address(kms));
        emit IKmsAuth.GatewayAppSet(address(app), currentTime());
        kms.setGatewayApp(address(app));
        vm.assertEq(kms.gatewayApp(), address(app));
        vm.expectEmit(address(kms));
        emit IKmsAuth.GatewayAppSet(other, currentTime() + KMS_NOTICE);
        kms.setGatewayApp(other);
        vm.assertEq(kms.gatewayApp(), address(app));
        skip(KMS_NOTICE);
        vm.assertEq(kms.gatewayApp(), other);
    }

    function test_setKmsApp_NamingThePresentOneCancelsWhatIsPending() external {
        vm.startPrank(KMS_OWNER);
        kms.setKmsApp(address(app));
        kms.setKmsApp(other);
        kms.setKmsApp(address(app));
        skip(KMS_NOTICE);
        vm.assertEq(kms.kmsApp(), address(app));
    }

    function test_setKmsApp_RevertIf_Same() external {
        vm.startPrank(KMS_OWNER);
        kms.setKmsApp(address(app));
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.setKmsApp(address(app));
    }

    function test_setKmsApp_RevertIf_NotRegistered() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotRegistered.selector, STRANGER));
        kms.setKmsApp(STRANGER);
    }

    function testFuzz_setKmsApp_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != KMS_OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.setKmsApp(other);
    }

    function testFuzz_setGatewayApp_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != KMS_OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.setGatewayApp(other);
    }
}
