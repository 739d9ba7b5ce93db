// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsAuth} from "../../../contracts/interfaces/IKmsAuth.sol";
import {IVersions} from "../../../contracts/interfaces/IVersions.sol";
import {BootRequest, Reason, Verdict, VersionState} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract OsImagesTest is Fixture {
    bytes32 private constant IMAGE_2 = keccak256("image 2");

    function _on(bytes32 image) private view returns (Reason reason) {
        BootRequest memory request = _request();
        request.info.osImageHash = image;
        (, reason,) = kms.decide(request);
    }

    function test_scheduleOsImage_TakesEffectAfterTheNotice_G2() external {
        uint40 from = currentTime() + KMS_NOTICE;
        vm.expectEmit(address(kms));
        emit IKmsAuth.OsImageScheduled(IMAGE_2, from, "uri");
        vm.prank(KMS_OWNER);
        kms.scheduleOsImage(IMAGE_2, "uri");
        vm.warp(from - 1);
        assertReason(_on(IMAGE_2), Reason.OsImageScheduled);
        vm.warp(from);
        assertReason(_on(IMAGE_2), Reason.Allowed);
    }

    function test_retireOsImage_EndsItThen() external {
        uint40 retireAt = currentTime() + 1 days;
        vm.expectEmit(address(kms));
        emit IKmsAuth.OsImageRetirementSet(IMAGE, retireAt);
        vm.prank(KMS_OWNER);
        kms.retireOsImage(IMAGE, retireAt);
        (VersionState state,) = kms.osImageState(IMAGE);
        assertState(state, VersionState.Retiring);
        vm.warp(retireAt);
        assertReason(_on(IMAGE), Reason.OsImageRetired);
    }

    function test_revokeOsImage_ActsAtOnceForGood_G2() external {
        vm.expectEmit(address(kms));
        emit IKmsAuth.OsImageRevoked(IMAGE, KMS_GUARDIAN);
        vm.prank(KMS_GUARDIAN);
        kms.revokeOsImage(IMAGE);
        assertReason(_on(IMAGE), Reason.OsImageRevoked);
        vm.prank(KMS_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IVersions.Revoked.selector, IMAGE));
        kms.scheduleOsImage(IMAGE, "");
    }

    function test_scheduleOsImage_RevertIf_Zero() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(IKmsAuth.ZeroOsImage.selector);
        kms.scheduleOsImage(bytes32(0), "");
    }

    function test_revokeOsImage_RevertIf_Zero() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(IKmsAuth.ZeroOsImage.selector);
        kms.revokeOsImage(bytes32(0));
    }

    function test_retireOsImage_RevertIf_Unknown() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.UnknownOsImage.selector, IMAGE_2));
        kms.retireOsImage(IMAGE_2, 0);
    }

    function test_scheduleOsImage_RevertIf_Active() external {
        vm.prank(KMS_OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.scheduleOsImage(IMAGE, "");
    }

    function test_revokeOsImage_RevertIf_Revoked() external {
        vm.startPrank(KMS_OWNER);
        kms.revokeOsImage(IMAGE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        kms.revokeOsImage(IMAGE);
    }

    function testFuzz_scheduleOsImage_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != KMS_OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.scheduleOsImage(IMAGE_2, "");
    }

    function testFuzz_retireOsImage_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != KMS_OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.retireOsImage(IMAGE, 0);
    }

    function testFuzz_revokeOsImage_RevertIf_NotOwnerOrGuardian(address caller) external {
        vm.assume(caller != KMS_OWNER && caller != KMS_GUARDIAN);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        kms.revokeOsImage(IMAGE);
    }
}
