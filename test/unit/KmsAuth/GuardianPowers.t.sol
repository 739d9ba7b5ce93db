// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice G-3: what the guardian must not do, call by call, each in a state in which the owner could.
contract KmsGuardianPowersTest is Fixture {
    function test_scheduleOsImage_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(kms.scheduleOsImage, (keccak256("image 2"), "")));
    }

    function test_retireOsImage_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(kms.retireOsImage, (IMAGE, currentTime() + 1)));
    }

    function test_liftSuspension_RevertIf_Guardian_G3() external {
        vm.prank(KMS_GUARDIAN);
        kms.suspendApp(address(app));
        _checkOnlyOwner(abi.encodeCall(kms.liftSuspension, (address(app))));
    }

    function test_setKmsApp_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(kms.setKmsApp, (address(app))));
    }

    function test_setGatewayApp_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(kms.setGatewayApp, (address(app))));
    }

    function test_setNotice_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(kms.setNotice, (KMS_NOTICE + 1)));
    }

    function test_isKmsAllowed_NotForAnotherAppThatIsAllowed() external {
        address other = kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
        vm.prank(KMS_OWNER);
        kms.setKmsApp(other);
        assertVerdict(_request(), Verdict.Allowed, Reason.Allowed, type(uint64).max);
        (bool isAllowed, string memory reason) = kms.isKmsAllowed(_info());
        vm.assertFalse(isAllowed);
        vm.assertEq(reason, "app is not the system app");
    }

    /// @dev The owner's call must take effect, or the guardian's would prove nothing.
    function _checkOnlyOwner(bytes memory data) private {
        vm.prank(KMS_GUARDIAN);
        (bool success, bytes memory reason) = address(kms).call(data);
        vm.assertFalse(success, "the guardian could");
        vm.assertEq(reason, abi.encodeWithSelector(IGoverned.NotAuthorized.selector, KMS_GUARDIAN));
        vm.prank(KMS_OWNER);
        (success,) = address(kms).call(data);
        vm.assertTrue(success, "the owner could not");
    }
}
