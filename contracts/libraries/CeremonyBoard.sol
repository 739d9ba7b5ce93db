// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../interfaces/IKmsCommittee.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice The bulletin board of key ceremonies, one at a time, and the epochs that they start.
///
///   Dealing --all dealers posted, or dealUntil--> Confirming --quorum of equal confirmations--> Finished (an epoch)
///       \-----------------------------------------------\--confirmUntil, or a participant evicted--> Aborted
library CeremonyBoard {
    uint256 internal constant MAX_LOG = 16 * 1024;
    uint256 internal constant MAX_POLYNOMIAL = 8 * 1024;
    /// @notice A compressed point of BLS12-381's G1.
    uint256 internal constant GROUP_KEY_LENGTH = 48;
    uint40 internal constant FOREVER = type(uint40).max;

    /// @param round the newest round's number; never reused, failed rounds included
    /// @param epoch the current epoch's number
    /// @param outgoing the newest epoch of the root before the present one, which may be valid for its handover
    struct Context {
        uint64 round;
        uint64 epoch;
        uint64 outgoing;
        mapping(uint64 round => IKmsCommittee.Ceremony) ceremonies;
        mapping(uint64 round => uint256) posted;
        mapping(uint64 round => mapping(address dealer => bytes32)) logs;
        mapping(uint64 round => mapping(address player => bool)) confirmed;
        mapping(uint64 round => mapping(bytes32 outputHash => uint32)) confirmations;
        mapping(uint64 epoch => IKmsCommittee.Epoch) epochs;
    }

    /// @notice Opens the next round. The caller has chosen who takes part.
    function open(
        Context storage self,
        IKmsCommittee.CeremonyKind kind,
        address[] memory dealers,
        address[] memory players,
        uint40 dealUntil,
        uint40 confirmUntil
    ) internal returns (uint64 round) {
        round = ++self.round;
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        ceremony.kind = kind;
        ceremony.state = IKmsCommittee.CeremonyState.Dealing;
        ceremony.round = round;
        (ceremony.dealUntil, ceremony.confirmUntil) = (dealUntil, confirmUntil);
        (ceremony.dealers, ceremony.players) = (dealers, players);
        ceremony.quorum = quorumOf(players.length);
        emit IKmsCommittee.CeremonyOpened(round, kind, dealUntil, confirmUntil, ceremony.quorum, dealers, players);
    }

    /// @notice Takes in a dealer's log, whose signature the caller has checked.
    function post(Context storage self, uint64 round, address dealer, bytes calldata log) internal {
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        _checkState(self, round, IKmsCommittee.CeremonyState.Dealing);
        if (!contains(ceremony.dealers, dealer)) revert IKmsCommittee.NotADealer(round, dealer);
        if (self.logs[round][dealer] != bytes32(0)) revert IKmsCommittee.AlreadyPosted(round, dealer);
        self.logs[round][dealer] = keccak256(log);
        if (++self.posted[round] == ceremony.dealers.length) {
            ceremony.state = IKmsCommittee.CeremonyState.Confirming;
        }
        emit IKmsCommittee.DealerLogPosted(round, dealer, log);
    }

    /// @notice Takes in a player's confirmation, whose signature the caller has checked.
    /// @return reached whether this was the quorum-th confirmation of that output
    function confirm(Context storage self, uint64 round, address player, bytes32 outputHash)
        internal
        returns (bool reached)
    {
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        _checkState(self, round, IKmsCommittee.CeremonyState.Confirming);
        if (!contains(ceremony.players, player)) revert IKmsCommittee.NotAPlayer(round, player);
        if (self.confirmed[round][player]) revert IKmsCommittee.AlreadyPosted(round, player);
        self.confirmed[round][player] = true;
        reached = ++self.confirmations[round][outputHash] == ceremony.quorum;
        emit IKmsCommittee.OutputConfirmed(round, player, outputHash);
    }

    /// @notice Starts the next epoch with what a quorum confirmed.
    /// @param handover how long the previous epoch stays valid when the root is another one
    function start(
        Context storage self,
        uint64 round,
        bytes calldata groupKey,
        bytes calldata polynomial,
        uint40 handover
    ) internal {
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        ceremony.state = IKmsCommittee.CeremonyState.Finished;
        uint40 time = currentTime();
        uint40 previousUntil = time;
        if (ceremony.kind == IKmsCommittee.CeremonyKind.Rotate) {
            previousUntil = time + handover;
            _handOver(self, previousUntil);
        } else if (self.epoch != 0) {
            self.epochs[self.epoch].validUntil = time;
        }
        uint64 number = ++self.epoch;
        self.epochs[number] = IKmsCommittee.Epoch({
            number: number,
            round: round,
            startedAt: time,
            validUntil: FOREVER,
            quorum: ceremony.quorum,
            groupKey: groupKey,
            polynomial: polynomial,
            members: ceremony.players
        });
        emit IKmsCommittee.EpochStarted(number, round, groupKey, polynomial, previousUntil);
    }

    /// @notice Ends the newest round without an epoch.
    function abort(Context storage self) internal {
        self.ceremonies[self.round].state = IKmsCommittee.CeremonyState.Aborted;
        emit IKmsCommittee.CeremonyAborted(self.round);
    }

    /// @notice The state of `round` now; time counts, also where no transaction has recorded it.
    function stateOf(Context storage self, uint64 round) internal view returns (IKmsCommittee.CeremonyState state) {
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        state = ceremony.state;
        if (!isOpen(self, round)) return state;
        if (currentTime() >= ceremony.confirmUntil) return IKmsCommittee.CeremonyState.Aborted;
        if (currentTime() >= ceremony.dealUntil) return IKmsCommittee.CeremonyState.Confirming;
    }

    /// @notice Whether `round` was opened and neither finished nor aborted by a transaction.
    function isOpen(Context storage self, uint64 round) internal view returns (bool) {
        IKmsCommittee.CeremonyState state = self.ceremonies[round].state;
        return state == IKmsCommittee.CeremonyState.Dealing || state == IKmsCommittee.CeremonyState.Confirming;
    }

    /// @notice Whether `nodeKey` deals or plays in `round`.
    function takesPart(Context storage self, uint64 round, address nodeKey) internal view returns (bool) {
        IKmsCommittee.Ceremony storage ceremony = self.ceremonies[round];
        return contains(ceremony.dealers, nodeKey) || contains(ceremony.players, nodeKey);
    }

    /// @notice Refuses an output that does not fit the ceremony's kind.
    function checkOutput(Context storage self, uint64 round, bytes calldata groupKey, bytes calldata polynomial)
        internal
        view
    {
        if (groupKey.length != GROUP_KEY_LENGTH) revert IKmsCommittee.InvalidGroupKey(groupKey.length);
        if (polynomial.length > MAX_POLYNOMIAL) revert IKmsCommittee.OutputTooLong(polynomial.length, MAX_POLYNOMIAL);
        if (self.epoch == 0) return;
        bool same = keccak256(groupKey) == keccak256(self.epochs[self.epoch].groupKey);
        bool rotates = self.ceremonies[round].kind == IKmsCommittee.CeremonyKind.Rotate;
        if (!same && !rotates) revert IKmsCommittee.GroupKeyChanged();
        if (same && rotates) revert IKmsCommittee.GroupKeyUnchanged();
    }

    /// @notice n − f with n = 3f + 1: how many of `count` must agree.
    function quorumOf(uint256 count) internal pure returns (uint32) {
        return uint32(count - (count - 1) / 3);
    }

    /// @dev At most two roots are valid at once: one that was on its way out ends now.
    function _handOver(Context storage self, uint40 until) private {
        uint40 time = currentTime();
        if (self.epochs[self.outgoing].validUntil > time) self.epochs[self.outgoing].validUntil = time;
        self.outgoing = self.epoch;
        self.epochs[self.epoch].validUntil = until;
    }

    function _checkState(Context storage self, uint64 round, IKmsCommittee.CeremonyState expected) private view {
        IKmsCommittee.CeremonyState state = stateOf(self, round);
        if (state != expected) revert IKmsCommittee.WrongState(round, state);
    }

    /// @notice Whether `wanted` is in `list`.
    function contains(address[] storage list, address wanted) internal view returns (bool) {
        uint256 length = list.length;
        for (uint256 i = 0; i < length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }
}
