// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {ConditionStub} from "../support/ConditionStub.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice G-3: what the guardian must not do, call by call, each in a state in which the owner could.
contract GuardianPowersTest is Fixture {
    function setUp() public override {
        super.setUp();
        vm.prank(GUARDIAN);
        app.pause(currentTime() + 1 hours);
    }

    function test_scheduleCode_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.scheduleCode, (CODE_2, "", false, 0)));
    }

    function test_retireCode_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.retireCode, (CODE, currentTime() + 1)));
    }

    function test_revokeCode_RevertIf_GuardianRotates_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.revokeCode, (CODE, true)));
    }

    function test_armGuardianPause_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.armGuardianPause, ()));
    }

    function test_allowDevice_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.allowDevice, (DEVICE_2)));
    }

    function test_allowAnyDevice_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.allowAnyDevice, ()));
    }

    function test_removeAnyDevice_RevertIf_Guardian() external {
        vm.prank(OWNER);
        app.allowAnyDevice();
        _checkOnlyOwner(abi.encodeCall(app.removeAnyDevice, ()));
    }

    function test_allowTee_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.allowTee, (TeeKind.Snp)));
    }

    function test_setTcbFloor_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.setTcbFloor, (TcbStatus.OutOfDate)));
    }

    function test_rotateKeys_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.rotateKeys, (1 hours)));
    }

    function test_addComposeHash_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.addComposeHash, (CODE_2)));
    }

    function test_removeComposeHash_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(app.removeComposeHash, (CODE)));
    }

    function test_addDevice_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.addDevice, (DEVICE_2)));
    }

    function test_removeDevice_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(app.removeDevice, (DEVICE)));
    }

    function test_setNotice_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.setNotice, (NOTICE + 1)));
    }

    function test_setGuardian_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.setGuardian, (STRANGER)));
    }

    function test_transferOwnership_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.transferOwnership, (STRANGER)));
    }

    function test_addCondition_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(app.addCondition, (address(new ConditionStub()))));
    }

    function test_removeCondition_RevertIf_Guardian_G3() external {
        address condition = address(new ConditionStub());
        vm.prank(OWNER);
        app.addCondition(condition);
        _checkOnlyOwner(abi.encodeCall(app.removeCondition, (condition)));
    }

    function test_requireTicket_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(app.requireTicket, (true)));
    }

    function test_requireTicket_RevertIf_GuardianWantsNone_G3() external {
        vm.prank(OWNER);
        app.requireTicket(true);
        _checkOnlyOwner(abi.encodeCall(app.requireTicket, (false)));
    }

    function test_allowTicket_RevertIf_Guardian_G3() external {
        _checkOnlyOwner(abi.encodeCall(app.allowTicket, (keccak256("ticket"))));
    }

    function test_liftAdvisory_RevertIf_Guardian_G3() external {
        vm.prank(GUARDIAN);
        app.denyAdvisory("INTEL-SA-00615");
        _checkOnlyOwner(abi.encodeCall(app.liftAdvisory, ("INTEL-SA-00615")));
    }

    function test_sunset_RevertIf_Guardian() external {
        _checkOnlyOwner(abi.encodeCall(app.sunset, ()));
    }

    /// @dev The owner's call must take effect, or the guardian's would prove nothing.
    function _checkOnlyOwner(bytes memory data) private {
        vm.prank(GUARDIAN);
        (bool success, bytes memory reason) = address(app).call(data);
        vm.assertFalse(success, "the guardian could");
        vm.assertEq(reason, abi.encodeWithSelector(IGoverned.NotAuthorized.selector, GUARDIAN));
        vm.prank(OWNER);
        (success,) = address(app).call(data);
        vm.assertTrue(success, "the owner could not");
    }
}
