// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {GovernanceFactory} from "../../../contracts/governance/GovernanceFactory.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {GovernorPresets} from "../../../contracts/governance/GovernorPresets.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGovernanceFactory} from "../../../contracts/interfaces/IGovernanceFactory.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What an app and its governance cost in one transaction, as `GasPolicyTest` measures it: one code hash, any device.
contract GasFactoryTest is CouncilFixture {
    address private constant ALICE = address(0xF1);

    GovernanceFactory private factory;
    GovernanceToken private existing;

    function setUp() public override {
        super.setUp();
        (address[] memory holders, uint256[] memory amounts) = _holding();
        existing = new GovernanceToken("Existing", "EX", holders, amounts);
        address governor = address(new AppGovernor("", existing, GovernorPresets.demo(0, address(0))));
        address token = address(new GovernanceToken("Implementation", "", new address[](0), new uint256[](0)));
        factory = new GovernanceFactory(address(kms), governor, token, address(council));
    }

    function test_gas_deployWithNewToken() external {
        IGovernanceFactory.Token memory token;
        (token.name, token.symbol) = ("Notes vote", "NOTE");
        (token.holders, token.amounts) = _holding();
        factory.deployWithNewToken(_ownerless(), _dao(), token, SALT);
        vm.snapshotGasLastCall("GovernanceFactory.deployWithNewToken, one holder");
    }

    function test_gas_deployWithToken() external {
        IVotes token = existing;
        factory.deployWithToken(_ownerless(), _dao(), token, SALT);
        vm.snapshotGasLastCall("GovernanceFactory.deployWithToken");
    }

    function test_gas_deployWithCouncil() external {
        factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, SALT);
        vm.snapshotGasLastCall("GovernanceFactory.deployWithCouncil, three and two members");
    }

    function _holding() private pure returns (address[] memory holders, uint256[] memory amounts) {
        (holders, amounts) = (new address[](1), new uint256[](1));
        (holders[0], amounts[0]) = (ALICE, 100);
    }

    function _dao() private pure returns (IGovernanceFactory.Dao memory) {
        return IGovernanceFactory.Dao({name: "Notes DAO", settings: GovernorPresets.standard(1, ALICE)});
    }

    function _ownerless() private pure returns (IAppPolicy.Init memory init) {
        init = _init();
        (init.owner, init.devices, init.anyDevice) = (address(0), new bytes32[](0), true);
    }
}
