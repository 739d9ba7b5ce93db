// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {ICondition} from "../interfaces/ICondition.sol";
import {IRebuildCondition} from "../interfaces/IRebuildCondition.sol";
import {BootRequest} from "../types/Boot.sol";
import {currentTime} from "../types/Timed.sol";

/// @notice n of m rebuilders attest a code hash. Powers and non-powers: `IRebuildCondition`.
contract RebuildCondition is IRebuildCondition, EIP712 {
    /// @notice One bit each, twice, beside a time and a count in one slot.
    uint256 public constant MAX_REBUILDERS = 64;
    uint40 public constant MAX_NOTICE = 365 days;

    bytes32 private constant ATTESTATION_TYPEHASH =
        keccak256("Attestation(bytes32 codeHash,string sourceUri,address rebuilder,uint256 deadline)");
    bytes32 private constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(bytes32 codeHash,address rebuilder,uint256 deadline)");

    /// @dev One slot per code hash, of which a decision reads `metFrom` alone.
    /// @param attested who attests now, a bit per rebuilder
    /// @param withdrawn who has withdrawn, for good
    /// @param count how many bits of `attested` are set
    /// @param metFrom when the condition is met; 0 while fewer than the threshold attest
    struct Record {
        uint64 attested;
        uint64 withdrawn;
        uint8 count;
        uint40 metFrom;
    }

    /// @inheritdoc IRebuildCondition
    uint8 public immutable threshold;
    /// @inheritdoc IRebuildCondition
    uint40 public immutable notice;

    address[] private _rebuilders;
    /// @dev One more than the place in the list, so that zero stands for nobody.
    mapping(address rebuilder => uint256) private _places;
    mapping(bytes32 codeHash => Record) private _records;

    /// @param rebuilders_ who may attest, for good
    /// @param threshold_ how many of them must
    /// @param notice_ seconds between a quorum and its effect; no shorter than the notice of the apps that require this
    constructor(address[] memory rebuilders_, uint8 threshold_, uint40 notice_)
        EIP712("Mandate RebuildCondition", "1")
    {
        uint256 length = rebuilders_.length;
        if (threshold_ == 0 || threshold_ > length || length > MAX_REBUILDERS) {
            revert InvalidQuorum(threshold_, length, MAX_REBUILDERS);
        }
        if (notice_ > MAX_NOTICE) revert NoticeTooLong(notice_, MAX_NOTICE);
        for (uint256 i = 0; i < length; ++i) {
            address rebuilder = rebuilders_[i];
            if (rebuilder == address(0) || _places[rebuilder] != 0) revert InvalidRebuilder(rebuilder);
            _places[rebuilder] = i + 1;
        }
        _rebuilders = rebuilders_;
        (threshold, notice) = (threshold_, notice_);
    }

    /// @inheritdoc IRebuildCondition
    function attest(bytes32 codeHash, string calldata sourceUri) external {
        _attest(codeHash, sourceUri, msg.sender);
    }

    /// @inheritdoc IRebuildCondition
    function attestBySig(
        bytes32 codeHash,
        string calldata sourceUri,
        address rebuilder,
        uint256 deadline,
        bytes calldata signature
    ) external {
        bytes32 source = keccak256(bytes(sourceUri));
        bytes32 structHash = keccak256(abi.encode(ATTESTATION_TYPEHASH, codeHash, source, rebuilder, deadline));
        _checkSignature(rebuilder, structHash, deadline, signature);
        _attest(codeHash, sourceUri, rebuilder);
    }

    /// @inheritdoc IRebuildCondition
    function withdraw(bytes32 codeHash) external {
        _withdraw(codeHash, msg.sender);
    }

    /// @inheritdoc IRebuildCondition
    function withdrawBySig(bytes32 codeHash, address rebuilder, uint256 deadline, bytes calldata signature) external {
        bytes32 structHash = keccak256(abi.encode(WITHDRAWAL_TYPEHASH, codeHash, rebuilder, deadline));
        _checkSignature(rebuilder, structHash, deadline, signature);
        _withdraw(codeHash, rebuilder);
    }

    /// @inheritdoc ICondition
    function isAllowed(BootRequest calldata request) external view returns (bool) {
        uint40 metFrom = _records[request.info.composeHash].metFrom;
        return metFrom != 0 && currentTime() >= metFrom;
    }

    /// @inheritdoc IRebuildCondition
    function rebuilders() external view returns (address[] memory) {
        return _rebuilders;
    }

    /// @inheritdoc IRebuildCondition
    function attestation(bytes32 codeHash, address rebuilder) external view returns (bool attested, bool withdrawn) {
        uint64 bit = _bitOf(rebuilder);
        Record storage record = _records[codeHash];
        return (record.attested & bit != 0, record.withdrawn & bit != 0);
    }

    /// @inheritdoc IRebuildCondition
    function quorum(bytes32 codeHash) external view returns (uint256 attestations, uint40 metFrom) {
        Record storage record = _records[codeHash];
        return (record.count, record.metFrom);
    }

    function _attest(bytes32 codeHash, string calldata sourceUri, address rebuilder) private {
        uint64 bit = _bitOf(rebuilder);
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        if (bytes(sourceUri).length == 0) revert EmptySource();
        Record memory record = _records[codeHash];
        if (record.withdrawn & bit != 0) revert AlreadyWithdrawn(codeHash, rebuilder);
        if (record.attested & bit != 0) revert AlreadyAttested(codeHash, rebuilder);
        record.attested |= bit;
        bool completes = ++record.count == threshold;
        if (completes) record.metFrom = currentTime() + notice;
        _records[codeHash] = record;
        emit Attested(codeHash, rebuilder, sourceUri);
        if (completes) emit QuorumReached(codeHash, record.metFrom);
    }

    function _withdraw(bytes32 codeHash, address rebuilder) private {
        uint64 bit = _bitOf(rebuilder);
        if (codeHash == bytes32(0)) revert ZeroCodeHash();
        Record memory record = _records[codeHash];
        if (record.withdrawn & bit != 0) revert AlreadyWithdrawn(codeHash, rebuilder);
        record.withdrawn |= bit;
        bool breaks = record.attested & bit != 0 && record.count-- == threshold;
        record.attested &= ~bit;
        if (breaks) record.metFrom = 0;
        _records[codeHash] = record;
        emit AttestationWithdrawn(codeHash, rebuilder);
        if (breaks) emit QuorumLost(codeHash);
    }

    function _bitOf(address rebuilder) private view returns (uint64) {
        uint256 place = _places[rebuilder];
        if (place == 0) revert NotARebuilder(rebuilder);
        return uint64(1 << (place - 1));
    }

    function _checkSignature(address rebuilder, bytes32 structHash, uint256 deadline, bytes calldata signature)
        private
        view
    {
        // Whoever signed chose the deadline, with room for the seconds that a block proposer can shift.
        // slither-disable-next-line timestamp
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        bytes32 digest = _hashTypedDataV4(structHash);
        if (!SignatureChecker.isValidSignatureNowCalldata(rebuilder, digest, signature)) {
            revert InvalidSignature(rebuilder);
        }
    }
}
