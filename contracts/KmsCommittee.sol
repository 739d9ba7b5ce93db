// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Governed} from "./Governed.sol";
import {IKmsCommittee} from "./interfaces/IKmsCommittee.sol";
import {CeremonyBoard} from "./libraries/CeremonyBoard.sol";
import {NodeList} from "./libraries/NodeList.sol";
import {currentTime} from "./types/Timed.sol";

/// @notice Nodes, ceremonies and epochs. Powers and non-powers: `IKmsCommittee`.
contract KmsCommittee is Governed, EIP712, IKmsCommittee {
    using CeremonyBoard for CeremonyBoard.Context;
    using NodeList for NodeList.Context;

    /// @notice Shorter windows would be over before the nodes saw the ceremony.
    uint40 public constant MIN_WINDOW = 30 seconds;

    bytes32 private constant DEALER_LOG_TYPEHASH = keccak256("DealerLog(uint64 round,bytes32 logHash)");
    bytes32 private constant CONFIRMATION_TYPEHASH = keccak256("Confirmation(uint64 round,bytes32 outputHash)");
    bytes32 private constant NONCE_TYPEHASH = keccak256("Nonce(bytes32 nonce)");
    bytes32 private constant VOUCH_TYPEHASH = keccak256(
        "Vouch(address nodeKey,bytes32 dealingKey,bytes32 sealingKey,bytes32 evidenceDigest,uint64 demand,uint40 until)"
    );

    /// @inheritdoc IKmsCommittee
    uint40 public immutable attestationPeriod;

    NodeList.Context private _nodes;
    CeremonyBoard.Context private _board;

    /// @inheritdoc IKmsCommittee
    uint40 public replicatedFrom;

    /// @param attestationPeriod_ seconds; 0 for a committee whose owner's word alone admits nodes
    constructor(address owner_, address guardian_, uint40 notice_, uint40 attestationPeriod_)
        EIP712("Mandate KmsCommittee", "1")
    {
        _initGoverned(owner_, guardian_, notice_);
        if (attestationPeriod_ != 0) _checkDuration(attestationPeriod_);
        attestationPeriod = attestationPeriod_;
    }

    /// @inheritdoc IKmsCommittee
    function admitNode(Node calldata node_) external {
        _checkCallerIsOwner();
        uint40 from = _board.epoch == 0 ? currentTime() : _afterNotice();
        _nodes.admit(node_, from, attestationPeriod == 0 ? NodeList.FOREVER : 0);
    }

    /// @inheritdoc IKmsCommittee
    function attestNode(address nodeKey, bytes32 evidenceDigest, uint40 until, Vouch[] calldata vouches) external {
        _checkPeriod();
        _checkListed(nodeKey);
        Node storage candidate = _nodes.nodes[nodeKey];
        bytes32 structHash = keccak256(
            abi.encode(
                VOUCH_TYPEHASH,
                nodeKey,
                candidate.dealingKey,
                candidate.sealingKey,
                evidenceDigest,
                _nodes.demand,
                until
            )
        );
        address[] memory voters = _checkVouches(structHash, vouches);
        _nodes.attest(nodeKey, evidenceDigest, until, currentTime() + attestationPeriod);
        emit NodeAttested(nodeKey, evidenceDigest, until, voters);
    }

    /// @inheritdoc IKmsCommittee
    function demandAttestation(uint40 grace) external {
        _checkCallerIsOwnerOrGuardian();
        _checkPeriod();
        if (grace > attestationPeriod) revert AttestationEnd(grace, 0, attestationPeriod);
        uint40 until = currentTime() + grace;
        emit AttestationDemanded(_nodes.demandAttestation(until), until);
    }

    /// @inheritdoc IKmsCommittee
    function evictNode(address nodeKey) external {
        _checkListed(nodeKey);
        bool inCeremony = _board.isOpen(_board.round) && _board.takesPart(_board.round, nodeKey);
        if (msg.sender != _nodes.nodes[nodeKey].operator) _checkCallerIsOwnerOrGuardian();
        else if (inCeremony) revert CeremonyRunning(_board.round);
        _nodes.remove(nodeKey);
        _checkQuorumRemains();
        emit NodeEvicted(nodeKey, msg.sender);
        if (inCeremony) _board.abort();
    }

    /// @inheritdoc IKmsCommittee
    function setNodeUrl(address nodeKey, string calldata url) external {
        _checkListed(nodeKey);
        if (msg.sender != _nodes.nodes[nodeKey].operator) revert NotAuthorized(msg.sender);
        NodeList.checkUrl(url);
        if (keccak256(bytes(url)) == keccak256(bytes(_nodes.nodes[nodeKey].url))) revert NothingToChange();
        _nodes.nodes[nodeKey].url = url;
        emit NodeUrlSet(nodeKey, url);
    }

    /// @inheritdoc IKmsCommittee
    function setReplication(bool replicated) external {
        _checkCallerIsOwner();
        if (replicated == (replicatedFrom != 0)) revert NothingToChange();
        uint256 members = _board.epochs[_board.epoch].members.length;
        if (replicated && members != 1) revert NotASingleMember(members);
        replicatedFrom = replicated ? _afterNotice() : 0;
        emit ReplicationSet(replicatedFrom);
    }

    /// @inheritdoc IKmsCommittee
    function openCeremony(CeremonyKind kind, uint40 dealWindow, uint40 confirmWindow) external returns (uint64) {
        _checkCallerIsOwner();
        _checkWindow(dealWindow);
        _checkWindow(confirmWindow);
        _checkKind(kind);
        _closeOverdue();
        (address[] memory dealers, address[] memory players) = _participants(kind);
        uint40 dealUntil = currentTime() + dealWindow;
        return _board.open(kind, dealers, players, dealUntil, dealUntil + confirmWindow);
    }

    /// @inheritdoc IKmsCommittee
    function postDealerLog(uint64 round_, address dealer, bytes calldata log, bytes calldata signature) external {
        if (log.length > CeremonyBoard.MAX_LOG) revert LogTooLong(log.length, CeremonyBoard.MAX_LOG);
        _checkSignature(dealer, keccak256(abi.encode(DEALER_LOG_TYPEHASH, round_, keccak256(log))), signature);
        _board.post(round_, dealer, log);
    }

    /// @inheritdoc IKmsCommittee
    function confirmOutput(
        uint64 round_,
        address player,
        bytes calldata groupKey,
        bytes calldata polynomial,
        bytes calldata signature
    ) external {
        bytes32 outputHash = keccak256(abi.encode(groupKey, polynomial));
        _checkSignature(player, keccak256(abi.encode(CONFIRMATION_TYPEHASH, round_, outputHash)), signature);
        _board.checkOutput(round_, groupKey, polynomial);
        if (!_board.confirm(round_, player, outputHash)) return;
        _board.start(round_, groupKey, polynomial, notice());
    }

    /// @inheritdoc IKmsCommittee
    function abortCeremony(uint64 round_) external {
        if (!_board.isOpen(round_)) revert WrongState(round_, _board.stateOf(round_));
        if (_board.stateOf(round_) != CeremonyState.Aborted) revert CeremonyRunning(round_);
        _board.abort();
    }

    /// @inheritdoc IKmsCommittee
    function publishNonce(address nodeKey, bytes32 nonce, bytes calldata signature) external {
        _checkListed(nodeKey);
        _checkSignature(nodeKey, keccak256(abi.encode(NONCE_TYPEHASH, nonce)), signature);
        _nodes.publish(nodeKey, nonce);
        emit NoncePublished(nodeKey, nonce);
    }

    /// @inheritdoc IKmsCommittee
    function nodes() external view returns (Node[] memory list) {
        uint256 length = _nodes.keys.length;
        list = new Node[](length);
        for (uint256 i = 0; i < length; ++i) {
            list[i] = _nodes.nodes[_nodes.keys[i]];
        }
    }

    /// @inheritdoc IKmsCommittee
    function node(address nodeKey) external view returns (Node memory) {
        _checkListed(nodeKey);
        return _nodes.nodes[nodeKey];
    }

    /// @inheritdoc IKmsCommittee
    function attestationOf(address nodeKey) external view returns (uint64 demand, uint40 until) {
        return (_nodes.demand, _nodes.nodes[nodeKey].attestedUntil);
    }

    /// @inheritdoc IKmsCommittee
    function isAdmitted(address nodeKey) external view returns (bool) {
        return _nodes.isAdmitted(nodeKey);
    }

    /// @inheritdoc IKmsCommittee
    function isReplica(address nodeKey) external view returns (bool) {
        address[] storage members = _board.epochs[_board.epoch].members;
        bool allowed = replicatedFrom != 0 && currentTime() >= replicatedFrom && members.length == 1;
        return allowed && nodeKey != members[0] && _nodes.isAdmitted(nodeKey);
    }

    /// @inheritdoc IKmsCommittee
    function nonceOf(address nodeKey) external view returns (bytes32) {
        return _nodes.nonces[nodeKey];
    }

    /// @inheritdoc IKmsCommittee
    function round() external view returns (uint64) {
        return _board.round;
    }

    /// @inheritdoc IKmsCommittee
    function ceremony(uint64 round_) external view returns (Ceremony memory found) {
        found = _board.ceremonies[round_];
        found.state = _board.stateOf(round_);
    }

    /// @inheritdoc IKmsCommittee
    function dealerLog(uint64 round_, address dealer) external view returns (bytes32 logHash) {
        return _board.logs[round_][dealer];
    }

    /// @inheritdoc IKmsCommittee
    function confirmations(uint64 round_, bytes32 outputHash) external view returns (uint32) {
        return _board.confirmations[round_][outputHash];
    }

    /// @inheritdoc IKmsCommittee
    function currentEpoch() external view returns (Epoch memory) {
        return _board.epochs[_board.epoch];
    }

    /// @inheritdoc IKmsCommittee
    function epoch(uint64 number) external view returns (Epoch memory) {
        return _board.epochs[number];
    }

    /// @inheritdoc IKmsCommittee
    function outgoingEpoch() external view returns (Epoch memory) {
        return _board.epochs[_board.outgoing];
    }

    /// @inheritdoc IKmsCommittee
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @dev A round that missed its last window gives way to the next one.
    function _closeOverdue() private {
        uint64 newest = _board.round;
        if (!_board.isOpen(newest)) return;
        if (_board.stateOf(newest) != CeremonyState.Aborted) revert CeremonyRunning(newest);
        _board.abort();
    }

    function _participants(CeremonyKind kind)
        private
        view
        returns (address[] memory dealers, address[] memory players)
    {
        players = _nodes.onlyAdmitted(_nodes.keys);
        if (kind == CeremonyKind.Genesis || kind == CeremonyKind.Rotate) {
            _checkEnough(players.length, 1);
            return (players, players);
        }
        Epoch storage current = _board.epochs[_board.epoch];
        dealers = _nodes.onlyAdmitted(current.members);
        if (kind == CeremonyKind.Refresh) {
            _checkEnough(dealers.length, current.members.length);
            return (dealers, dealers);
        }
        _checkEnough(dealers.length, current.quorum);
    }

    /// @dev Before the first epoch nobody holds a share, and the nodes that the owner listed vouch for each other.
    function _checkVouches(bytes32 structHash, Vouch[] calldata vouches)
        private
        view
        returns (address[] memory voters)
    {
        Epoch storage current = _board.epochs[_board.epoch];
        bool first = _board.epoch == 0;
        uint256 quorum = first ? CeremonyBoard.quorumOf(_nodes.keys.length) : current.quorum;
        if (vouches.length < quorum) revert TooFewVouches(vouches.length, quorum);
        voters = new address[](vouches.length);
        address last = address(0);
        for (uint256 i = 0; i < vouches.length; ++i) {
            address voter = vouches[i].voter;
            if (voter <= last) revert VotersNotAscending(voter);
            bool seated = first || CeremonyBoard.contains(current.members, voter);
            if (!seated || !_nodes.isListed(voter)) revert NotAVoter(voter);
            _checkSignature(voter, structHash, vouches[i].signature);
            (voters[i], last) = (voter, voter);
        }
    }

    function _checkPeriod() private view {
        if (attestationPeriod == 0) revert NoAttestationPeriod();
    }

    function _checkListed(address nodeKey) private view {
        if (!_nodes.isListed(nodeKey)) revert UnknownNode(nodeKey);
    }

    function _checkKind(CeremonyKind kind) private view {
        bool first = _board.epoch == 0;
        if (kind == CeremonyKind.None || (kind == CeremonyKind.Genesis) != first) revert WrongKind(kind);
    }

    /// @dev Called after the removal of a node: those that remain must still be able to use and reshare the key.
    function _checkQuorumRemains() private view {
        Epoch storage current = _board.epochs[_board.epoch];
        uint256 remaining = _nodes.countListed(current.members);
        if (remaining < current.quorum) revert BelowQuorum(remaining, current.quorum);
    }

    function _checkSignature(address signer, bytes32 structHash, bytes calldata signature) private view {
        // What is left out repeats the signature.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failure,) =
            ECDSA.tryRecoverCalldata(_hashTypedDataV4(structHash), signature);
        if (failure != ECDSA.RecoverError.NoError || recovered != signer) revert InvalidSignature(signer);
    }

    function _checkWindow(uint40 window) private pure {
        if (window < MIN_WINDOW) revert WindowTooShort(window, MIN_WINDOW);
        _checkDuration(window);
    }

    function _checkEnough(uint256 given, uint256 least) private pure {
        if (given < least) revert TooFewNodes(given, least);
    }
}
