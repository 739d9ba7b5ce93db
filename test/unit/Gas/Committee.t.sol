// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What each operation on the committee costs, as `GasPolicyTest` measures it.
contract GasCommitteeTest is CommitteeFixture {
    uint64 private round;

    function setUp() public override {
        super.setUp();
        _genesis();
        round = _open(IKmsCommittee.CeremonyKind.Refresh);
        for (uint256 key = 1; key < NODES; ++key) {
            _post(key, round);
        }
    }

    function test_gas_admitNode() external {
        IKmsCommittee.Node memory node = _node(5);
        vm.prank(OWNER);
        committee.admitNode(node);
        vm.snapshotGasLastCall("KmsCommittee.admitNode");
    }

    function test_gas_evictNode() external {
        address node = vm.addr(1);
        vm.prank(GUARDIAN);
        committee.evictNode(node);
        vm.snapshotGasLastCall("KmsCommittee.evictNode, in a ceremony");
    }

    function test_gas_openCeremony() external {
        skip(2 * WINDOW);
        vm.prank(OWNER);
        committee.openCeremony(IKmsCommittee.CeremonyKind.Refresh, WINDOW, WINDOW);
        vm.snapshotGasLastCall("KmsCommittee.openCeremony, four nodes");
    }

    function test_gas_abortCeremony() external {
        skip(2 * WINDOW);
        committee.abortCeremony(round);
        vm.snapshotGasLastCall("KmsCommittee.abortCeremony");
    }

    function test_gas_setNodeUrl() external {
        IKmsCommittee.Node memory node = _node(1);
        vm.prank(node.operator);
        committee.setNodeUrl(node.nodeKey, "https://elsewhere.example");
        vm.snapshotGasLastCall("KmsCommittee.setNodeUrl");
    }

    function test_gas_postDealerLog() external {
        // The size of a log of four nodes.
        bytes memory log = new bytes(632);
        bytes memory signature = _signLog(NODES, round, log);
        committee.postDealerLog(round, vm.addr(NODES), log, signature);
        vm.snapshotGasLastCall("KmsCommittee.postDealerLog, 632 bytes");
    }

    function test_gas_confirmOutput() external {
        skip(WINDOW);
        bytes memory signature = _signOutput(1, round, groupKey, polynomial);
        committee.confirmOutput(round, vm.addr(1), groupKey, polynomial, signature);
        vm.snapshotGasLastCall("KmsCommittee.confirmOutput, first");
    }

    function test_gas_publishNonce() external {
        bytes32 nonce = keccak256("nonce");
        bytes memory signature = _signNonce(1, nonce);
        committee.publishNonce(vm.addr(1), nonce, signature);
        vm.snapshotGasLastCall("KmsCommittee.publishNonce");
    }
}

/// @notice The same for a committee whose members vouch for each other.
contract GasAttestationTest is CommitteeFixture {
    function _attestationPeriod() internal pure override returns (uint40) {
        return 30 days;
    }

    function test_gas_attestNode() external {
        uint256[] memory voters = new uint256[](3);
        (voters[0], voters[1], voters[2]) = (1, 2, 3);
        uint40 until = currentTime() + 30 days;
        IKmsCommittee.Vouch[] memory vouches = _vouches(voters, _node(4), keccak256("evidence"), 0, until);
        committee.attestNode(vm.addr(4), keccak256("evidence"), until, vouches);
        vm.snapshotGasLastCall("KmsCommittee.attestNode, three vouches");
    }

    function test_gas_demandAttestation() external {
        vm.prank(GUARDIAN);
        committee.demandAttestation(1 hours);
        vm.snapshotGasLastCall("KmsCommittee.demandAttestation, four nodes that are not attested");
    }
}
