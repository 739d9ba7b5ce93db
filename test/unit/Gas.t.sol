// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {KmsAuth} from "../../contracts/KmsAuth.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";

/// @notice What users pay for, once each, from storage that nothing has touched in the same transaction: the input of
/// `forge test --match-contract GasTest --gas-report`, whose figures are those in `docs/performance.md`.
contract GasTest is Fixture {
    function test_gas_isAppAllowed() external view {
        app.isAppAllowed(_info());
    }

    function test_gas_decideOfTheRegistry() external view {
        kms.decide(_request());
    }

    function test_gas_scheduleCode() external {
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "", false, 0);
    }

    function test_gas_revokeCode() external {
        vm.prank(OWNER);
        app.revokeCode(CODE, false);
    }

    function test_gas_deployAndRegisterApp() external {
        kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
    }
}
