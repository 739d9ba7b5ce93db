// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../contracts/KmsCommittee.sol";
import {IKmsCommittee} from "../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../unit/support/CommitteeFixture.sol";
import {vm} from "../unit/support/Vm.sol";

/// @notice Random lives of a committee of up to six nodes, some of which lie or stay silent.
contract CommitteeHandler is CommitteeFixture {
    uint256 private constant CANDIDATES = 6;
    uint40 private constant PERIOD = 20 days;

    /// @notice How often a call of each kind took effect.
    mapping(string what => uint256) public effective;
    /// @notice What a quorum said last of each node, less what was demanded since.
    mapping(address nodeKey => uint40) public vouchedUntil;
    /// @notice A node took part in a round that was opened without a quorum's word for it.
    bool public strangerTookPart;

    constructor() {
        super.setUp();
        for (uint256 key = 1; key <= NODES; ++key) {
            attest(key - 1, 0);
        }
    }

    /// @dev A step like every other for the campaign, which must not begin a second life that nobody looks at.
    function setUp() public override {}

    function _attestationPeriod() internal pure override returns (uint40) {
        return PERIOD;
    }

    function subject() external view returns (KmsCommittee) {
        return committee;
    }

    function pass(uint256 duration) external {
        skip(duration % (duration % 4 == 0 ? 10 days : 1 hours));
    }

    function admit(uint256 seed) external {
        IKmsCommittee.Node memory node = _node(_key(seed));
        vm.prank(OWNER);
        try committee.admitNode(node) {
            ++effective["admit"];
        } catch {}
    }

    function evict(uint256 seed, bool byGuardian) external {
        if (seed % 5 != 0) return;
        vm.prank(byGuardian ? GUARDIAN : OWNER);
        try committee.evictNode(vm.addr(_key(seed))) {
            delete vouchedUntil[vm.addr(_key(seed))];
            ++effective["evict"];
        } catch {}
    }

    function open(uint256 kind) external {
        vm.prank(OWNER);
        try committee.openCeremony(IKmsCommittee.CeremonyKind(kind % 5), WINDOW, WINDOW) {
            ++effective["open"];
            _checkParticipants();
        } catch {}
    }

    /// @dev Every voter signs; now and then only two do.
    function attest(uint256 seed, uint256 silent) public {
        address nodeKey = vm.addr(_key(seed));
        uint256[] memory voters = _voters(silent % 3 == 1 ? 2 : CANDIDATES);
        (uint64 number,) = committee.attestationOf(nodeKey);
        uint40 until = currentTime() + PERIOD - uint40(seed % 1 days);
        IKmsCommittee.Vouch[] memory vouches = _vouches(voters, _node(_key(seed)), bytes32(seed), number, until);
        try committee.attestNode(nodeKey, bytes32(seed), until, vouches) {
            if (voters.length >= _quorum()) vouchedUntil[nodeKey] = until;
            ++effective["attest"];
        } catch {}
    }

    function demand(uint256 grace, bool byGuardian) external {
        if (grace % 4 != 0) return;
        uint40 until = currentTime() + uint40(grace % PERIOD);
        vm.prank(byGuardian ? GUARDIAN : OWNER);
        committee.demandAttestation(uint40(grace % PERIOD));
        for (uint256 key = 1; key <= CANDIDATES; ++key) {
            if (vouchedUntil[vm.addr(key)] > until) vouchedUntil[vm.addr(key)] = until;
        }
        ++effective["demand"];
    }

    function post(uint256 seed) external {
        uint64 round = committee.round();
        bytes memory log = abi.encode(seed);
        bytes memory signature = _signLog(_key(seed), round, log);
        try committee.postDealerLog(round, vm.addr(_key(seed)), log, signature) {
            ++effective["post"];
        } catch {}
    }

    /// @dev Most of the nodes confirm what is right for the kind; the others a key of their own.
    function confirm(uint256 seed) external {
        uint64 round = committee.round();
        bytes memory group = _rightKey(round);
        if (seed % 6 == 0) group = abi.encodePacked(keccak256(abi.encode(seed)), bytes16(0));
        bytes memory signature = _signOutput(_key(seed >> 8), round, group, polynomial);
        try committee.confirmOutput(round, vm.addr(_key(seed >> 8)), group, polynomial, signature) {
            ++effective["confirm"];
        } catch {}
    }

    /// @dev A whole round in one step, so that epochs come about often.
    function finish() external {
        uint64 round = committee.round();
        IKmsCommittee.Ceremony memory running = committee.ceremony(round);
        if (running.state == IKmsCommittee.CeremonyState.Dealing) vm.warp(running.dealUntil);
        _confirmAll(round, _rightKey(round));
    }

    /// @dev Everybody confirms what the kind does not allow: another key where it must stay, the same where it must not.
    function finishWrongly() external {
        uint64 round = committee.round();
        IKmsCommittee.Ceremony memory running = committee.ceremony(round);
        if (running.state == IKmsCommittee.CeremonyState.Dealing) vm.warp(running.dealUntil);
        bytes memory group = committee.currentEpoch().groupKey;
        if (running.kind != IKmsCommittee.CeremonyKind.Rotate) {
            group = abi.encodePacked(keccak256("other"), bytes16(0));
        }
        if (committee.currentEpoch().number != 0) _confirmAll(round, group);
    }

    function abort() external {
        try committee.abortCeremony(committee.round()) {
            ++effective["abort"];
        } catch {}
    }

    function _checkParticipants() private {
        IKmsCommittee.Ceremony memory opened = committee.ceremony(committee.round());
        for (uint256 i = 0; i < opened.players.length; ++i) {
            if (vouchedUntil[opened.players[i]] <= currentTime()) strangerTookPart = true;
        }
        for (uint256 i = 0; i < opened.dealers.length; ++i) {
            if (vouchedUntil[opened.dealers[i]] <= currentTime()) strangerTookPart = true;
        }
    }

    /// @dev Keys of the epoch's members, or of all listed nodes before the first, that are listed, the first `most` of them.
    function _voters(uint256 most) private view returns (uint256[] memory voters) {
        IKmsCommittee.Node[] memory nodes = committee.nodes();
        address[] memory members = committee.currentEpoch().members;
        voters = new uint256[](CANDIDATES);
        uint256 count = 0;
        for (uint256 key = 1; key <= CANDIDATES; ++key) {
            bool listed = false;
            bool seated = members.length == 0;
            for (uint256 i = 0; i < nodes.length; ++i) {
                listed = listed || nodes[i].nodeKey == vm.addr(key);
            }
            for (uint256 i = 0; i < members.length; ++i) {
                seated = seated || members[i] == vm.addr(key);
            }
            if (listed && seated && count < most) voters[count++] = key;
        }
        // Cut the array to what was filled.
        assembly ("memory-safe") {
            mstore(voters, count)
        }
    }

    function _quorum() private view returns (uint256) {
        IKmsCommittee.Epoch memory current = committee.currentEpoch();
        uint256 listed = committee.nodes().length;
        return current.number == 0 ? listed - (listed - 1) / 3 : current.quorum;
    }

    function _confirmAll(uint64 round, bytes memory group) private {
        for (uint256 key = 1; key <= CANDIDATES; ++key) {
            bytes memory signature = _signOutput(key, round, group, polynomial);
            try committee.confirmOutput(round, vm.addr(key), group, polynomial, signature) {
                ++effective["confirm"];
            } catch {}
        }
    }

    function _rightKey(uint64 round) private view returns (bytes memory) {
        bytes memory present = committee.currentEpoch().groupKey;
        bool isNew = present.length == 0 || committee.ceremony(round).kind == IKmsCommittee.CeremonyKind.Rotate;
        return isNew ? abi.encodePacked(keccak256(abi.encode(round)), bytes16(0)) : present;
    }

    function _key(uint256 seed) private pure returns (uint256) {
        return 1 + seed % CANDIDATES;
    }
}
