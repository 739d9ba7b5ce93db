// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {KmsCommittee} from "../../../contracts/KmsCommittee.sol";
import {IKmsCommittee} from "../../../contracts/interfaces/IKmsCommittee.sol";
import {vm} from "./Vm.sol";

/// @notice A committee with four admitted nodes, whose keys are 1 to 4, and a fifth that is not admitted.
abstract contract CommitteeFixture {
    uint40 internal constant NOTICE = 7 days;
    uint40 internal constant WINDOW = 1 hours;
    uint256 internal constant NODES = 4;

    address internal constant OWNER = address(0xA0);
    address internal constant GUARDIAN = address(0xA1);
    address internal constant OPERATOR = address(0xA2);
    address internal constant STRANGER = address(0xC0);

    bytes internal groupKey = abi.encodePacked(keccak256("group key"), bytes16("0123456789abcdef"));
    bytes internal polynomial = "polynomial";

    KmsCommittee internal committee;

    function setUp() public virtual {
        committee = new KmsCommittee(OWNER, GUARDIAN, NOTICE, _attestationPeriod());
        for (uint256 i = 1; i <= NODES; ++i) {
            _admit(i);
        }
    }

    /// @dev 0: the owner's word alone admits. Tests of attestation say otherwise.
    function _attestationPeriod() internal view virtual returns (uint40) {
        return 0;
    }

    function _node(uint256 key) internal view returns (IKmsCommittee.Node memory node) {
        node.nodeKey = vm.addr(key);
        node.operator = OPERATOR;
        node.dealingKey = keccak256(abi.encode("dealing", key));
        node.sealingKey = keccak256(abi.encode("sealing", key));
        node.url = "https://node.example";
        node.evidenceDigest = keccak256(abi.encode("evidence", key));
        node.expiresAt = uint40(block.timestamp) + 365 days;
    }

    function _admit(uint256 key) internal {
        IKmsCommittee.Node memory node = _node(key);
        vm.prank(OWNER);
        committee.admitNode(node);
    }

    function _open(IKmsCommittee.CeremonyKind kind) internal returns (uint64 round) {
        vm.prank(OWNER);
        return committee.openCeremony(kind, WINDOW, WINDOW);
    }

    /// @dev Written out, so that the committee's hashing is compared with the standard and not with itself.
    function _sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Mandate KmsCommittee"),
                keccak256("1"),
                block.chainid,
                address(committee)
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function _signLog(uint256 key, uint64 round, bytes memory log) internal view returns (bytes memory) {
        bytes32 typeHash = keccak256("DealerLog(uint64 round,bytes32 logHash)");
        return _sign(key, keccak256(abi.encode(typeHash, round, keccak256(log))));
    }

    function _signNonce(uint256 key, bytes32 nonce) internal view returns (bytes memory) {
        return _sign(key, keccak256(abi.encode(keccak256("Nonce(bytes32 nonce)"), nonce)));
    }

    function _signVouch(uint256 voter, IKmsCommittee.Node memory node, bytes32 digest, uint64 demand, uint40 until)
        internal
        view
        returns (IKmsCommittee.Vouch memory)
    {
        bytes32 typeHash = keccak256(
            "Vouch(address nodeKey,bytes32 dealingKey,bytes32 sealingKey,bytes32 evidenceDigest,uint64 demand,uint40 until)"
        );
        bytes32 structHash =
            keccak256(abi.encode(typeHash, node.nodeKey, node.dealingKey, node.sealingKey, digest, demand, until));
        return IKmsCommittee.Vouch(vm.addr(voter), _sign(voter, structHash));
    }

    /// @dev By the nodes with these keys, in the order that the committee wants.
    function _vouches(
        uint256[] memory voters,
        IKmsCommittee.Node memory node,
        bytes32 digest,
        uint64 demand,
        uint40 until
    ) internal view returns (IKmsCommittee.Vouch[] memory vouches) {
        vouches = new IKmsCommittee.Vouch[](voters.length);
        for (uint256 i = 0; i < voters.length; ++i) {
            IKmsCommittee.Vouch memory vouch = _signVouch(voters[i], node, digest, demand, until);
            uint256 j = i;
            for (; j > 0 && vouches[j - 1].voter > vouch.voter; --j) {
                vouches[j] = vouches[j - 1];
            }
            vouches[j] = vouch;
        }
    }

    function _outputHash(bytes memory key, bytes memory poly) internal pure returns (bytes32) {
        return keccak256(abi.encode(key, poly));
    }

    function _signOutput(uint256 key, uint64 round, bytes memory group, bytes memory poly)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash = keccak256("Confirmation(uint64 round,bytes32 outputHash)");
        return _sign(key, keccak256(abi.encode(typeHash, round, _outputHash(group, poly))));
    }

    function _post(uint256 key, uint64 round) internal {
        bytes memory log = abi.encodePacked("log of ", key);
        bytes memory signature = _signLog(key, round, log);
        committee.postDealerLog(round, vm.addr(key), log, signature);
    }

    function _confirm(uint256 key, uint64 round, bytes memory group, bytes memory poly) internal {
        bytes memory signature = _signOutput(key, round, group, poly);
        committee.confirmOutput(round, vm.addr(key), group, poly, signature);
    }

    /// @dev A whole ceremony of nodes 1 to `players`, of which `dealers` deal.
    function _run(IKmsCommittee.CeremonyKind kind, uint256 dealers, uint256 players, bytes memory group)
        internal
        returns (uint64 round)
    {
        round = _open(kind);
        for (uint256 i = 1; i <= dealers; ++i) {
            _post(i, round);
        }
        uint256 quorum = players - (players - 1) / 3;
        for (uint256 i = 1; i <= quorum; ++i) {
            _confirm(i, round, group, polynomial);
        }
    }

    function _genesis() internal returns (uint64) {
        return _run(IKmsCommittee.CeremonyKind.Genesis, NODES, NODES, groupKey);
    }

    function assertState(uint64 round, IKmsCommittee.CeremonyState expected) internal view {
        vm.assertEq(uint256(committee.ceremony(round).state), uint256(expected), "ceremony state");
    }

    function currentTime() internal view returns (uint40) {
        return uint40(block.timestamp);
    }

    function skip(uint256 duration) internal {
        vm.warp(block.timestamp + duration);
    }
}
