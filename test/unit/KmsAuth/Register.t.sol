// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {KmsAuth} from "../../../contracts/KmsAuth.sol";
import {IAppAuth} from "../../../contracts/interfaces/IAppAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {IKmsAuth} from "../../../contracts/interfaces/IKmsAuth.sol";
import {AppBootInfo, BootRequest, Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";
import {ForeignAppStub} from "../support/ForeignAppStub.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

contract RegisterTest is Fixture {
    function test_deployAndRegisterApp_DeploysAtThePredictedAddress() external {
        address predicted = kms.predictApp(STRANGER, bytes32(uint256(7)));
        vm.expectEmit(address(kms));
        emit IKmsAuth.AppRegistered(predicted, STRANGER, false);
        vm.prank(STRANGER);
        address deployed = kms.deployAndRegisterApp(_init(), bytes32(uint256(7)));
        vm.assertEq(deployed, predicted);
        vm.assertEq(AppAuth(deployed).owner(), OWNER);
        vm.assertEq(AppAuth(deployed).kmsAuth(), address(kms));
        (bool registered, bool foreign) = kms.isRegistered(deployed);
        vm.assertTrue(registered);
        vm.assertFalse(foreign);
    }

    function test_predictApp_DiffersByDeployer() external view {
        vm.assertTrue(kms.predictApp(STRANGER, 0) != kms.predictApp(OWNER, 0));
    }

    function test_registerApp_TakesACloneThatWasInitialisedForThisKmsAuth() external {
        AppAuth clone = _clone(address(implementation), address(kms));
        clone.initialize(_init());
        vm.expectEmit(address(kms));
        emit IKmsAuth.AppRegistered(address(clone), STRANGER, false);
        vm.prank(STRANGER);
        kms.registerApp(address(clone));
    }

    function test_registerApp_RevertIf_NotInitialised() external {
        address clone = address(_clone(address(implementation), address(kms)));
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAClone.selector, clone));
        kms.registerApp(clone);
    }

    function test_registerApp_RevertIf_InitialisedForAnotherKmsAuth() external {
        AppAuth clone = _clone(address(implementation), STRANGER);
        clone.initialize(_init());
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAClone.selector, address(clone)));
        kms.registerApp(address(clone));
    }

    function _clone(address code, address kmsAuth) private returns (AppAuth) {
        return AppAuth(Clones.cloneWithImmutableArgs(code, abi.encodePacked(kmsAuth)));
    }

    function test_registerApp_RevertIf_CloneOfAnotherImplementation() external {
        AppAuth clone = _clone(address(new AppAuth()), address(kms));
        clone.initialize(_init());
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAClone.selector, address(clone)));
        kms.registerApp(address(clone));
    }

    function test_registerApp_RevertIf_NoContract() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAClone.selector, STRANGER));
        kms.registerApp(STRANGER);
    }

    function test_registerApp_RevertIf_Registered() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.AlreadyRegistered.selector, address(app)));
        kms.registerApp(address(app));
    }

    function test_registerForeignApp_KeepsTheFlag() external {
        ForeignAppStub foreign = new ForeignAppStub();
        vm.expectEmit(address(kms));
        emit IKmsAuth.AppRegistered(address(foreign), address(this), true);
        kms.registerForeignApp(address(foreign));
        (bool registered, bool flagged) = kms.isRegistered(address(foreign));
        vm.assertTrue(registered && flagged);
    }

    function test_registerForeignApp_RevertIf_Clone() external {
        AppAuth clone = _clone(address(implementation), address(kms));
        clone.initialize(_init());
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.IsAClone.selector, address(clone)));
        kms.registerForeignApp(address(clone));
    }

    function test_registerForeignApp_RevertIf_NotAnAppAuth() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAnAppAuth.selector, address(kms)));
        kms.registerForeignApp(address(kms));
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAnAppAuth.selector, STRANGER));
        kms.registerForeignApp(STRANGER);
    }

    function test_registerForeignApp_RevertIf_Registered() external {
        ForeignAppStub foreign = new ForeignAppStub();
        kms.registerForeignApp(address(foreign));
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.AlreadyRegistered.selector, address(foreign)));
        kms.registerForeignApp(address(foreign));
    }

    function test_constructor_RevertIf_ImplementationHasNoCode() external {
        vm.expectRevert(abi.encodeWithSelector(IKmsAuth.NotAnAppAuth.selector, STRANGER));
        new KmsAuth(STRANGER, KMS_OWNER, KMS_GUARDIAN, KMS_NOTICE);
    }

    function test_constructor_RevertIf_ZeroOwner() external {
        vm.expectRevert(IGoverned.ZeroOwner.selector);
        new KmsAuth(address(implementation), address(0), KMS_GUARDIAN, KMS_NOTICE);
    }
}
