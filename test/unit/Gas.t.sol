// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {KmsAuth} from "../../contracts/KmsAuth.sol";
import {IAppPolicy} from "../../contracts/interfaces/IAppPolicy.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";

/// @notice What users pay for, once each, from storage that nothing has touched in the same transaction, and the most it may
/// be. Measured through the clone, which costs up to 6,500 more (two cold accounts) than the call of the implementation that
/// `forge test --match-contract GasTest --match-test NAME --gas-report` shows.
contract GasTest is Fixture {
    uint256 private constant CLONE = 6_500;

    function _check(uint256 before, uint256 limit) private view {
        uint256 spent = before - gasleft();
        vm.assertTrue(spent <= limit, "more gas than allowed");
    }

    function test_gas_isAppAllowed() external view {
        AppAuth target = app;
        uint256 before = gasleft();
        target.isAppAllowed(_info());
        _check(before, 22_500 + CLONE);
    }

    function test_gas_scheduleCode() external {
        AppAuth target = app;
        vm.prank(OWNER);
        uint256 before = gasleft();
        target.scheduleCode(CODE_2, "", false, 0);
        _check(before, 40_000 + CLONE);
    }

    function test_gas_scheduleCodeAndSupersede() external {
        AppAuth target = app;
        vm.prank(OWNER);
        uint256 before = gasleft();
        target.scheduleCode(CODE_2, "https://github.com/x/y/commit/1", true, 1 days);
        _check(before, 40_000 + CLONE);
    }

    function test_gas_revokeCode() external {
        AppAuth target = app;
        vm.prank(OWNER);
        uint256 before = gasleft();
        target.revokeCode(CODE, false);
        _check(before, 12_000 + CLONE);
    }

    function test_gas_revokeCodeByGuardian() external {
        AppAuth target = app;
        vm.prank(GUARDIAN);
        uint256 before = gasleft();
        target.revokeCode(CODE, false);
        _check(before, 12_000 + CLONE);
    }

    /// @dev Any device, one code hash, one kind of TEE, a guardian.
    function test_gas_deployAndRegisterApp() external {
        KmsAuth target = kms;
        IAppPolicy.Init memory init = _init();
        (init.devices, init.anyDevice) = (new bytes32[](0), true);
        uint256 before = gasleft();
        target.deployAndRegisterApp(init, bytes32(uint256(1)));
        _check(before, 169_500);
    }

    /// @dev A device of its own as well.
    function test_gas_deployAndRegisterAppWithADevice() external {
        KmsAuth target = kms;
        IAppPolicy.Init memory init = _init();
        uint256 before = gasleft();
        target.deployAndRegisterApp(init, bytes32(uint256(1)));
        _check(before, 192_700);
    }
}
