// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {DomainRegistry} from "../../contracts/DomainRegistry.sol";
import {KmsAuth} from "../../contracts/KmsAuth.sol";
import {KmsCommittee} from "../../contracts/KmsCommittee.sol";
import {AppGovernor} from "../../contracts/governance/AppGovernor.sol";
import {GovernanceToken} from "../../contracts/governance/GovernanceToken.sol";
import {RoleCouncil} from "../../contracts/governance/RoleCouncil.sol";
import {vm} from "./support/Vm.sol";

/// @notice What is tested here is what is deployed: forge's bytecode is the committed artifacts' bytecode.
contract ArtifactsTest {
    function test_artifacts_AreWhatForgeTests() external view {
        _check("AppAuth", type(AppAuth).creationCode);
        _check("AppGovernor", type(AppGovernor).creationCode);
        _check("DomainRegistry", type(DomainRegistry).creationCode);
        _check("GovernanceToken", type(GovernanceToken).creationCode);
        _check("KmsAuth", type(KmsAuth).creationCode);
        _check("KmsCommittee", type(KmsCommittee).creationCode);
        _check("RoleCouncil", type(RoleCouncil).creationCode);
    }

    function _check(string memory name, bytes memory creationCode) private view {
        string memory json = vm.readFile(string.concat("contracts/artifacts/", name, ".json"));
        bytes memory committed = vm.parseJsonBytes(json, ".bytecode.object");
        vm.assertTrue(
            keccak256(committed) == keccak256(creationCode),
            string.concat(name, ": the committed artifact is stale; run script/build-contracts")
        );
    }
}
