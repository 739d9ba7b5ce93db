// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../contracts/KmsCommittee.sol";
import {IKmsCommittee} from "../../contracts/interfaces/IKmsCommittee.sol";
import {CommitteeFixture} from "../unit/support/CommitteeFixture.sol";
import {vm} from "../unit/support/Vm.sol";

/// @notice Random lives of a committee of up to six nodes, some of which lie or stay silent.
contract CommitteeHandler is CommitteeFixture {
    uint256 private constant CANDIDATES = 6;

    /// @notice How often a call of each kind took effect.
    mapping(string what => uint256) public effective;

    constructor() {
        setUp();
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
            ++effective["evict"];
        } catch {}
    }

    function open(uint256 kind) external {
        vm.prank(OWNER);
        try committee.openCeremony(IKmsCommittee.CeremonyKind(kind % 5), WINDOW, WINDOW) {
            ++effective["open"];
        } catch {}
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
