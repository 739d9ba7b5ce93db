// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;
import {Fixture} from "./support/Fixture.sol";
import {IAppPolicy} from "../../contracts/interfaces/IAppPolicy.sol";
import {vm} from "./support/Vm.sol";
contract TmpTest is Fixture {
    event G(uint256 g);
    function test_gas_deploy() external {
        IAppPolicy.Init memory init = _init();
        uint256 g = gasleft();
        kms.deployAndRegisterApp(init, bytes32(uint256(1)));
        g -= gasleft();
        emit G(g);
    }
    function test_gas_deploy_plain() external {
        IAppPolicy.Init memory init = _init();
        init.anyDevice = true; init.devices = new bytes32[](0);
        uint256 g = gasleft();
        kms.deployAndRegisterApp(init, bytes32(uint256(1)));
        g -= gasleft();
        emit G(g);
    }
}
