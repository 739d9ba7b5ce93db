// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {Vm, vm} from "../support/Vm.sol";

/// @notice G-9: nodes, ceremonies and epochs rebuilt from the events alone are those in storage.
contract CommitteeEventsTest is CommitteeFixture {
    uint40 private constant FOREVER = type(uint40).max;
    uint40 private constant PERIOD = 365 days;

    mapping(address nodeKey => IKmsCommittee.Node) private nodes;
    mapping(address nodeKey => bytes32) private nonces;
    mapping(uint64 round => IKmsCommittee.Ceremony) private ceremonies;
    mapping(uint64 round => uint256) private posted;
    mapping(uint64 number => IKmsCommittee.Epoch) private epochs;
    uint256 private listed;
    uint64 private rounds;
    uint64 private current;
    uint64 private outgoing;
    uint64 private demands;

    function _attestationPeriod() internal pure override returns (uint40) {
        return PERIOD;
    }

    function setUp() public override {
        vm.recordLogs();
        super.setUp();
        _fold();
    }

    function test_events_TellEverythingThatStorageHolds_G9() external {
        vm.recordLogs();
        _live();
        _fold();
        vm.assertEq(listed, committee.nodes().length);
        for (uint256 key = 1; key <= NODES + 1; ++key) {
            _compareNode(vm.addr(key));
        }
        (uint64 demand,) = committee.attestationOf(vm.addr(1));
        vm.assertEq(demands, demand);
        vm.assertEq(rounds, committee.round());
        for (uint64 round = 1; round <= rounds; ++round) {
            _compareCeremony(round);
        }
        vm.assertEq(current, committee.currentEpoch().number);
        for (uint64 number = 1; number <= current; ++number) {
            vm.assertEq(abi.encode(epochs[number]), abi.encode(committee.epoch(number)));
        }
    }

    /// @dev Every call that changes something, at least once.
    function _live() private {
        for (uint256 key = 1; key <= NODES; ++key) {
            _attest(key, 0, PERIOD);
        }
        _genesis();
        vm.prank(OPERATOR);
        committee.setNodeUrl(vm.addr(2), "https://elsewhere.example");
        _publish(3, keccak256("nonce"));
        _publish(4, keccak256("nonce"));
        IKmsCommittee.Node memory renewed = _node(1);
        renewed.expiresAt += 100 days;
        renewed.url = "https://renewed.example";
        vm.prank(OWNER);
        committee.admitNode(renewed);
        _admit(5);
        _attest(5, 0, 100 days);
        vm.prank(GUARDIAN);
        committee.demandAttestation(100 days);
        vm.prank(OWNER);
        committee.demandAttestation(PERIOD);
        _attest(1, 2, 200 days);
        skip(NOTICE);
        bytes memory other = abi.encodePacked(keccak256("other key"), bytes16(0));
        _run(IKmsCommittee.CeremonyKind.Rotate, 5, 5, other);
        _run(IKmsCommittee.CeremonyKind.Refresh, 5, 5, other);
        _run(IKmsCommittee.CeremonyKind.Rotate, 5, 5, groupKey);
        uint64 round = _open(IKmsCommittee.CeremonyKind.Reshare);
        _post(1, round);
        vm.prank(GUARDIAN);
        committee.evictNode(vm.addr(4));
        _open(IKmsCommittee.CeremonyKind.Reshare);
        skip(2 * WINDOW);
        round = _open(IKmsCommittee.CeremonyKind.Reshare);
        for (uint256 key = 1; key <= 5; ++key) {
            if (key != 4) _post(key, round);
        }
    }

    function _attest(uint256 key, uint64 demand, uint40 duration) private {
        uint256[] memory voters = new uint256[](NODES);
        for (uint256 i = 0; i < NODES; ++i) {
            voters[i] = i + 1;
        }
        bytes32 digest = keccak256(abi.encode(key, demand));
        uint40 until = currentTime() + duration;
        committee.attestNode(vm.addr(key), digest, until, _vouches(voters, _node(key), digest, demand, until));
    }

    function _publish(uint256 key, bytes32 nonce) private {
        bytes memory signature = _signNonce(key, nonce);
        committee.publishNonce(vm.addr(key), nonce, signature);
    }

    function _fold() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 kind = logs[i].topics[0];
            if (kind == IKmsCommittee.NodeAdmitted.selector) _admitted(logs[i]);
            if (kind == IKmsCommittee.NodeAttested.selector) {
                IKmsCommittee.Node storage node = nodes[_toAddress(logs[i].topics[1])];
                node.evidenceDigest = logs[i].topics[2];
                (node.attestedUntil,) = abi.decode(logs[i].data, (uint40, address[]));
            }
            if (kind == IKmsCommittee.AttestationDemanded.selector) _demanded(logs[i]);
            if (kind == IKmsCommittee.NodeEvicted.selector) _evicted(_toAddress(logs[i].topics[1]));
            if (kind == IKmsCommittee.NodeUrlSet.selector) {
                nodes[_toAddress(logs[i].topics[1])].url = abi.decode(logs[i].data, (string));
            }
            if (kind == IKmsCommittee.NoncePublished.selector) {
                nonces[_toAddress(logs[i].topics[1])] = abi.decode(logs[i].data, (bytes32));
            }
            if (kind == IKmsCommittee.CeremonyOpened.selector) _opened(logs[i]);
            if (kind == IKmsCommittee.DealerLogPosted.selector) _posted(uint64(uint256(logs[i].topics[1])));
            if (kind == IKmsCommittee.CeremonyAborted.selector) {
                ceremonies[uint64(uint256(logs[i].topics[1]))].state = IKmsCommittee.CeremonyState.Aborted;
            }
            if (kind == IKmsCommittee.EpochStarted.selector) _started(logs[i]);
        }
    }

    function _demanded(Vm.Log memory log) private {
        demands = uint64(uint256(log.topics[1]));
        uint40 until = abi.decode(log.data, (uint40));
        for (uint256 key = 1; key <= NODES + 1; ++key) {
            IKmsCommittee.Node storage node = nodes[vm.addr(key)];
            if (node.attestedUntil > until) node.attestedUntil = until;
        }
    }

    function _admitted(Vm.Log memory log) private {
        address key = _toAddress(log.topics[1]);
        if (nodes[key].nodeKey == address(0)) ++listed;
        IKmsCommittee.Node memory node;
        (node.nodeKey, node.operator, node.evidenceDigest) = (key, _toAddress(log.topics[2]), log.topics[3]);
        (node.dealingKey, node.sealingKey, node.url, node.admittedFrom, node.expiresAt, node.attestedUntil) =
            abi.decode(log.data, (bytes32, bytes32, string, uint40, uint40, uint40));
        nodes[key] = node;
    }

    function _evicted(address key) private {
        --listed;
        delete nodes[key];
        delete nonces[key];
    }

    function _opened(Vm.Log memory log) private {
        rounds = uint64(uint256(log.topics[1]));
        IKmsCommittee.Ceremony storage opened = ceremonies[rounds];
        (opened.round, opened.state) = (rounds, IKmsCommittee.CeremonyState.Dealing);
        opened.kind = IKmsCommittee.CeremonyKind(uint256(log.topics[2]));
        (opened.dealUntil, opened.confirmUntil, opened.quorum, opened.dealers, opened.players) =
            abi.decode(log.data, (uint40, uint40, uint32, address[], address[]));
    }

    function _posted(uint64 round) private {
        if (++posted[round] == ceremonies[round].dealers.length) {
            ceremonies[round].state = IKmsCommittee.CeremonyState.Confirming;
        }
    }

    function _started(Vm.Log memory log) private {
        (uint64 number, uint64 round) = (uint64(uint256(log.topics[1])), uint64(uint256(log.topics[2])));
        (bytes memory key, bytes memory poly, uint40 previousUntil) = abi.decode(log.data, (bytes, bytes, uint40));
        // The time of the block that holds the event, which its log does not repeat.
        uint40 time = committee.epoch(number).startedAt;
        ceremonies[round].state = IKmsCommittee.CeremonyState.Finished;
        if (ceremonies[round].kind == IKmsCommittee.CeremonyKind.Rotate) {
            if (epochs[outgoing].validUntil > time) epochs[outgoing].validUntil = time;
            outgoing = current;
        }
        epochs[current].validUntil = previousUntil;
        current = number;
        epochs[number] = IKmsCommittee.Epoch({
            number: number,
            round: round,
            startedAt: time,
            validUntil: FOREVER,
            quorum: ceremonies[round].quorum,
            groupKey: key,
            polynomial: poly,
            members: ceremonies[round].players
        });
    }

    function _compareNode(address key) private view {
        if (nodes[key].nodeKey != address(0)) {
            vm.assertEq(abi.encode(nodes[key]), abi.encode(committee.node(key)));
        }
        vm.assertEq(nonces[key], committee.nonceOf(key));
    }

    function _compareCeremony(uint64 round) private view {
        vm.assertEq(abi.encode(ceremonies[round]), abi.encode(committee.ceremony(round)));
    }

    function _toAddress(bytes32 word) private pure returns (address) {
        return address(uint160(uint256(word)));
    }
}
