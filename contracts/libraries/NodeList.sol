// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IKmsCommittee} from "../interfaces/IKmsCommittee.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice The nodes that may take part in ceremonies, and their newest nonces.
library NodeList {
    /// @notice Bounds every loop over nodes, dealers and players.
    uint256 internal constant MAX_NODES = 64;
    uint256 internal constant MAX_URL = 256;

    /// @notice Where no attestation is needed, it never ends.
    uint40 internal constant FOREVER = type(uint40).max;

    /// @param holders which node has a dealing key
    /// @param spent nonces that were published
    /// @param demand how often attestation was demanded
    struct Context {
        address[] keys;
        mapping(address nodeKey => IKmsCommittee.Node) nodes;
        mapping(bytes32 dealingKey => address) holders;
        mapping(address nodeKey => bytes32) nonces;
        mapping(address nodeKey => mapping(bytes32 nonce => bool)) spent;
        uint64 demand;
    }

    /// @notice Puts `node` into the list, or renews it.
    /// @param from when a new node may take part
    /// @param attestedUntil the attestation of a new node
    function admit(Context storage self, IKmsCommittee.Node calldata node, uint40 from, uint40 attestedUntil) internal {
        _checkNode(node, from);
        IKmsCommittee.Node storage present = self.nodes[node.nodeKey];
        IKmsCommittee.Node memory admitted = node;
        (admitted.admittedFrom, admitted.attestedUntil) = (from, attestedUntil);
        if (present.nodeKey == address(0)) {
            if (self.keys.length == MAX_NODES) revert IKmsCommittee.TooManyNodes(MAX_NODES);
            self.keys.push(node.nodeKey);
        } else if (currentTime() < present.expiresAt) {
            _checkRenewal(present, node, from);
            admitted.admittedFrom = present.admittedFrom;
            admitted.attestedUntil = present.attestedUntil;
            if (attestedUntil != FOREVER) admitted.evidenceDigest = present.evidenceDigest;
        }
        delete self.holders[present.dealingKey];
        _takeDealingKey(self, node);
        self.nodes[node.nodeKey] = admitted;
        _emitAdmitted(admitted);
    }

    /// @notice Takes in that `nodeKey` was vouched for until `until`.
    /// @param most the latest end that the attestation may have
    function attest(Context storage self, address nodeKey, bytes32 evidenceDigest, uint40 until, uint40 most) internal {
        IKmsCommittee.Node storage node = self.nodes[nodeKey];
        uint40 present = node.attestedUntil > currentTime() ? node.attestedUntil : currentTime();
        if (until <= present || until > most) revert IKmsCommittee.AttestationEnd(until, present + 1, most);
        node.attestedUntil = until;
        node.evidenceDigest = evidenceDigest;
    }

    /// @notice Ends every attestation at `until` at the latest.
    function demandAttestation(Context storage self, uint40 until) internal returns (uint64 demand) {
        demand = ++self.demand;
        uint256 length = self.keys.length;
        for (uint256 i = 0; i < length; ++i) {
            IKmsCommittee.Node storage node = self.nodes[self.keys[i]];
            if (node.attestedUntil > until) node.attestedUntil = until;
        }
    }

    /// @notice Takes `nodeKey` out of the list.
    function remove(Context storage self, address nodeKey) internal {
        uint256 last = self.keys.length - 1;
        for (uint256 i = 0; i < last; ++i) {
            if (self.keys[i] != nodeKey) continue;
            self.keys[i] = self.keys[last];
            break;
        }
        self.keys.pop();
        delete self.holders[self.nodes[nodeKey].dealingKey];
        delete self.nodes[nodeKey];
        delete self.nonces[nodeKey];
    }

    /// @notice Makes `nonce` the newest of `nodeKey`.
    function publish(Context storage self, address nodeKey, bytes32 nonce) internal {
        if (self.spent[nodeKey][nonce]) revert IKmsCommittee.NonceSpent(nodeKey, nonce);
        self.spent[nodeKey][nonce] = true;
        self.nonces[nodeKey] = nonce;
    }

    /// @notice Whether `nodeKey` may take part now.
    function isAdmitted(Context storage self, address nodeKey) internal view returns (bool) {
        IKmsCommittee.Node storage node = self.nodes[nodeKey];
        uint40 time = currentTime();
        return node.admittedFrom != 0 && time >= node.admittedFrom && time < node.expiresAt && time < node.attestedUntil;
    }

    /// @notice Whether `nodeKey` is in the list, be its admission present, to come or expired.
    function isListed(Context storage self, address nodeKey) internal view returns (bool) {
        return self.nodes[nodeKey].nodeKey != address(0);
    }

    /// @notice Those of `keys` that may take part now, in the same order.
    function onlyAdmitted(Context storage self, address[] memory keys)
        internal
        view
        returns (address[] memory admitted)
    {
        admitted = new address[](keys.length);
        uint256 count = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (isAdmitted(self, keys[i])) admitted[count++] = keys[i];
        }
        // Cut the array to what was filled.
        assembly ("memory-safe") {
            mstore(admitted, count)
        }
    }

    /// @notice How many of `keys` are in the list.
    function countListed(Context storage self, address[] memory keys) internal view returns (uint256 count) {
        for (uint256 i = 0; i < keys.length; ++i) {
            if (isListed(self, keys[i])) ++count;
        }
    }

    function checkUrl(string calldata url) internal pure {
        if (bytes(url).length > MAX_URL) revert IKmsCommittee.UrlTooLong(bytes(url).length, MAX_URL);
    }

    /// @dev Two nodes with one dealing key would be one participant with two votes.
    function _takeDealingKey(Context storage self, IKmsCommittee.Node calldata node) private {
        address holder = self.holders[node.dealingKey];
        if (holder != address(0)) revert IKmsCommittee.AlreadyAdmitted(holder);
        self.holders[node.dealingKey] = node.nodeKey;
    }

    function _emitAdmitted(IKmsCommittee.Node memory node) private {
        emit IKmsCommittee.NodeAdmitted(
            node.nodeKey,
            node.operator,
            node.evidenceDigest,
            node.dealingKey,
            node.sealingKey,
            node.url,
            node.admittedFrom,
            node.expiresAt,
            node.attestedUntil
        );
    }

    function _checkNode(IKmsCommittee.Node calldata node, uint40 from) private pure {
        if (node.nodeKey == address(0) || node.dealingKey == bytes32(0) || node.sealingKey == bytes32(0)) {
            revert IKmsCommittee.ZeroKey();
        }
        if (node.operator == address(0)) revert IKmsCommittee.ZeroOperator();
        if (node.expiresAt <= from) revert IKmsCommittee.ExpiresTooSoon(node.expiresAt, from + 1);
        checkUrl(node.url);
    }

    /// @dev A renewal must not let the node take part sooner than announced, nor become another node.
    function _checkRenewal(IKmsCommittee.Node storage present, IKmsCommittee.Node calldata node, uint40 from)
        private
        view
    {
        bool same = node.dealingKey == present.dealingKey && node.sealingKey == present.sealingKey
            && node.operator == present.operator;
        bool throughNotice = present.expiresAt >= from && node.expiresAt > present.expiresAt;
        if (!same || !throughNotice) revert IKmsCommittee.AlreadyAdmitted(node.nodeKey);
    }
}
