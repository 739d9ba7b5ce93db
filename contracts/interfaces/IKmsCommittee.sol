// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "./IGoverned.sol";

/// @notice The nodes that hold the shares of the root key, the bulletin board of their key ceremonies, and the epochs.
///
/// A node is known by `nodeKey`, a secp256k1 address that it controls: what it wants on chain it signs (EIP-712), and
/// anyone may send it. Admission of a node after the first epoch waits for the notice.
///
/// Where the committee has an attestation period, the owner's word alone admits nobody: a quorum of the members must vouch
/// that they verified the node's evidence and that the policy allows it as the KMS's own app, and must do so again before the
/// period is over. Before the first epoch the nodes in the list vouch for each other. Without a period (0, for development)
/// the owner's word is enough.
///
/// A committee of one member may be replicated: then the member hands copies of its whole share to the other admitted nodes,
/// so that one live node is enough, and each of them can know every secret. Only ever by the owner's explicit word.
///
/// Powers. Owner: admit and evict nodes, open ceremonies, demand attestation, have a single member replicated. Guardian: evict, demand attestation. A quorum of
/// the members: vouch for a node that the owner has admitted. A node's operator: its URL, its own leaving.
/// Non-powers. Neither owner nor members alone can have a node take part. Nobody can change the group key but through a ceremony that the owner opened as `Rotate`, and which a quorum
/// of the nodes confirmed; nobody can evict below the quorum of the current epoch.
///
///   openCeremony --dealer logs until dealUntil--> confirmations until confirmUntil --quorum--> Epoch
///                                                                     \--time--> Aborted (abort)
interface IKmsCommittee is IGoverned {
    enum CeremonyKind {
        None,
        Genesis,
        Refresh,
        Reshare,
        Rotate
    }

    enum CeremonyState {
        None,
        Dealing,
        Confirming,
        Finished,
        Aborted
    }

    /// @param nodeKey address of the node's secp256k1 key
    /// @param operator who may change the URL and remove the node
    /// @param dealingKey Ed25519 public key under which the node deals and acknowledges
    /// @param sealingKey X25519 public key to which messages for the node are sealed (HPKE)
    /// @param url where guests reach the node
    /// @param evidenceDigest SHA-256 of the evidence that was vouched for last; what the owner gave where none was
    /// @param admittedFrom when the node may take part, seconds since the epoch
    /// @param expiresAt when its admission ends unless it is renewed
    /// @param attestedUntil when its attestation ends unless it is vouched for again; 0 before the first time, the end of all
    /// time where the committee has no attestation period
    struct Node {
        address nodeKey;
        address operator;
        bytes32 dealingKey;
        bytes32 sealingKey;
        string url;
        bytes32 evidenceDigest;
        uint40 admittedFrom;
        uint40 expiresAt;
        uint40 attestedUntil;
    }

    /// @param signature EIP-712 by `voter`: Vouch(address nodeKey,bytes32 dealingKey,bytes32 sealingKey,bytes32
    /// evidenceDigest,uint64 demand,uint40 until)
    struct Vouch {
        address voter;
        bytes signature;
    }

    struct Ceremony {
        CeremonyKind kind;
        CeremonyState state;
        uint64 round;
        uint40 dealUntil;
        uint40 confirmUntil;
        address[] dealers;
        address[] players;
        uint32 quorum;
    }

    /// @param groupKey BLS12-381 G1 point, 48 bytes compressed
    /// @param polynomial encoded public polynomial, against which partials are verified
    struct Epoch {
        uint64 number;
        uint64 round;
        uint40 startedAt;
        uint40 validUntil;
        uint32 quorum;
        bytes groupKey;
        bytes polynomial;
        address[] members;
    }

    /// @notice A node was admitted or renewed, with all that is known of it: what is not there is not known of it any more.
    event NodeAdmitted(
        address indexed nodeKey,
        address indexed operator,
        bytes32 indexed evidenceDigest,
        bytes32 dealingKey,
        bytes32 sealingKey,
        string url,
        uint40 admittedFrom,
        uint40 expiresAt,
        uint40 attestedUntil
    );
    /// @notice A quorum verified the node's evidence.
    event NodeAttested(address indexed nodeKey, bytes32 indexed evidenceDigest, uint40 until, address[] voters);
    /// @notice Every attestation ends at `until` or when it would have anyway, and what was vouched for before counts no more.
    event AttestationDemanded(uint64 indexed demand, uint40 until);
    /// @notice The node is in the list no more, and its newest nonce is forgotten.
    event NodeEvicted(address indexed nodeKey, address indexed by);
    /// @notice The single member's share may be handed to the other nodes from `from` on; 0 for no more.
    event ReplicationSet(uint40 from);
    event NodeUrlSet(address indexed nodeKey, string url);
    /// @notice A round begins, with all that decides who may do what in it.
    event CeremonyOpened(
        uint64 indexed round,
        CeremonyKind indexed kind,
        uint40 dealUntil,
        uint40 confirmUntil,
        uint32 quorum,
        address[] dealers,
        address[] players
    );
    /// @notice A dealer's log was taken in. With the last dealer's, the confirmations begin.
    event DealerLogPosted(uint64 indexed round, address indexed dealer, bytes log);
    event OutputConfirmed(uint64 indexed round, address indexed player, bytes32 outputHash);
    /// @notice `epoch` is in force, with the players of `round` for members. The epoch before it is valid until
    /// `previousUntil`, now or, after a `Rotate`, when the handover ends; an earlier root that was in its handover ends now.
    event EpochStarted(
        uint64 indexed epoch, uint64 indexed round, bytes groupKey, bytes polynomial, uint40 previousUntil
    );
    event CeremonyAborted(uint64 indexed round);
    event NoncePublished(address indexed nodeKey, bytes32 nonce);

    error ZeroKey();
    error ZeroOperator();
    /// @notice `nodeKey`, or another node with the same dealing key, is in the list.
    error AlreadyAdmitted(address nodeKey);
    error TooManyNodes(uint256 max);
    error UrlTooLong(uint256 given, uint256 max);
    error ExpiresTooSoon(uint40 given, uint40 least);
    /// @notice The attestation would end too late, or not later than the present one.
    error AttestationEnd(uint40 given, uint40 least, uint40 most);
    error NoAttestationPeriod();
    /// @notice Voters must be given in ascending order, each once.
    error VotersNotAscending(address voter);
    /// @notice `voter` holds no seat in the current epoch or was evicted.
    error NotAVoter(address voter);
    error TooFewVouches(uint256 given, uint256 least);
    /// @notice Copies of a share would take the threshold away from a committee of several.
    error NotASingleMember(uint256 members);
    /// @notice `nonce` was published before: a replayed one would hide the node's newest.
    error NonceSpent(address nodeKey, bytes32 nonce);
    error UnknownNode(address nodeKey);
    error NotADealer(uint64 round, address nodeKey);
    error NotAPlayer(uint64 round, address nodeKey);
    error InvalidSignature(address nodeKey);
    error AlreadyPosted(uint64 round, address nodeKey);
    error WrongState(uint64 round, CeremonyState state);
    error CeremonyRunning(uint64 round);
    error TooFewNodes(uint256 given, uint256 least);
    error LogTooLong(uint256 given, uint256 max);
    error OutputTooLong(uint256 given, uint256 max);
    error WrongKind(CeremonyKind kind);
    error GroupKeyChanged();
    error GroupKeyUnchanged();
    error InvalidGroupKey(uint256 length);
    error BelowQuorum(uint256 remaining, uint256 quorum);
    error WindowTooShort(uint40 given, uint40 least);

    /// @notice Admits a node: at once before the first epoch, after the notice from then on; `admittedFrom` is set here.
    /// Renews the admission of a node that is in the list with the same keys and would be so through the notice anyway.
    /// Owner only.
    function admitNode(Node calldata node) external;
    /// @notice Takes in a quorum's word that the node's evidence was verified, until `until`, at most the attestation period
    /// from now. Anyone may send it. Voters: the current epoch's members that are in the list, whether their own attestation
    /// runs or not; before the first epoch, every node in the list. What was signed before the newest demand does not count.
    function attestNode(address nodeKey, bytes32 evidenceDigest, uint40 until, Vouch[] calldata vouches) external;
    /// @notice Has every node attest itself again within `grace`: nodes whose hardware or code the policy no longer allows
    /// cannot, and take no part from then on. Owner or guardian.
    function demandAttestation(uint40 grace) external;
    /// @notice Evicts a node at once, and aborts a ceremony in which it takes part. Not below the quorum of the current
    /// epoch. Owner, guardian or, while it takes part in no ceremony, the node's operator.
    function evictNode(address nodeKey) external;
    /// @notice Says where guests reach the node. Its operator only.
    function setNodeUrl(address nodeKey, string calldata url) external;

    /// @notice Lets the single member hand its share to every other admitted node, after the notice, or no more, at once. The
    /// copies that are out stay where they are until the next ceremony. Owner only.
    function setReplication(bool replicated) external;

    /// @notice Opens a ceremony. Genesis and Rotate: all admitted nodes deal and play. Reshare: the current epoch's members
    /// that are still admitted deal to all admitted nodes. Refresh: the current members, all of them. Owner only.
    function openCeremony(CeremonyKind kind, uint40 dealWindow, uint40 confirmWindow) external returns (uint64 round);

    /// @notice Posts a dealer's signed log; anyone may send it. EIP-712: DealerLog(uint64 round,bytes32 logHash).
    function postDealerLog(uint64 round, address dealer, bytes calldata log, bytes calldata signature) external;

    /// @notice Confirms the output that a player computed from the logs on chain, after the dealing window. EIP-712:
    /// Confirmation(uint64 round,bytes32 outputHash) with outputHash = keccak256(abi.encode(groupKey, polynomial)).
    /// Accepted as soon as every dealer has posted. The quorum-th confirmation of one output starts the epoch.
    function confirmOutput(
        uint64 round,
        address player,
        bytes calldata groupKey,
        bytes calldata polynomial,
        bytes calldata signature
    ) external;

    /// @notice Ends a ceremony that missed its confirmation window. Anyone may.
    function abortCeremony(uint64 round) external;

    /// @notice Publishes a node's fresh nonce. EIP-712: Nonce(bytes32 nonce). Anyone may send it.
    function publishNonce(address nodeKey, bytes32 nonce, bytes calldata signature) external;

    /// @notice Every node in the list, be its admission present, to come or expired.
    function nodes() external view returns (Node[] memory);
    /// @notice One node; reverts when it is not in the list.
    function node(address nodeKey) external view returns (Node memory);
    /// @notice For how long a quorum's word on a node's evidence is good, seconds; 0 when none is needed.
    function attestationPeriod() external view returns (uint40);
    /// @notice The number of the newest demand for attestation, and when the node's attestation ends: 0 for a node that was
    /// never vouched for or is not in the list.
    function attestationOf(address nodeKey) external view returns (uint64 demand, uint40 until);
    /// @notice From when on the single member may hand its share to other nodes; 0 for never.
    function replicatedFrom() external view returns (uint40);
    /// @notice Whether the node may hold a copy of the single member's share now.
    function isReplica(address nodeKey) external view returns (bool);
    /// @notice Whether the node may take part in a ceremony that is opened now.
    function isAdmitted(address nodeKey) external view returns (bool);
    /// @notice The node's newest nonce; zero when it published none since its admission.
    function nonceOf(address nodeKey) external view returns (bytes32);
    /// @notice The newest round; 0 before the first.
    function round() external view returns (uint64);
    /// @notice One round, with its state at the block's timestamp.
    function ceremony(uint64 round) external view returns (Ceremony memory);
    /// @notice keccak256 of the log that the dealer posted; zero when it posted none.
    function dealerLog(uint64 round, address dealer) external view returns (bytes32 logHash);
    /// @notice How many players confirmed this output.
    function confirmations(uint64 round, bytes32 outputHash) external view returns (uint32);
    /// @notice The epoch in force; number 0 before the first.
    function currentEpoch() external view returns (Epoch memory);
    /// @notice One epoch, past or present; number 0 when there is none.
    function epoch(uint64 number) external view returns (Epoch memory);
    /// @notice The newest epoch of the root before the present one, valid until the end of its handover (G-11); number 0 when
    /// no root was ever replaced.
    function outgoingEpoch() external view returns (Epoch memory);
    /// @notice The EIP-712 domain of what nodes sign for this contract.
    function domainSeparator() external view returns (bytes32);
}
