// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IDomainRegistry} from "./interfaces/IDomainRegistry.sol";
import {IGoverned} from "./interfaces/IGoverned.sol";
import {IKmsAuth} from "./interfaces/IKmsAuth.sol";
import {DomainNames} from "./libraries/DomainNames.sol";
import {currentTime} from "./types/Timed.sol";

/// @notice Domains, ACME accounts, certificates and incidents. Powers and non-powers: `IDomainRegistry`.
contract DomainRegistry is IDomainRegistry {
    /// @dev What is known of a certificate.
    struct Sighting {
        bool recorded;
        uint40 reportedAt;
        uint40 closedAt;
        address reporter;
    }

    /// @notice An ACME account's URI, an issuer's name, evidence and a reason are no longer than this.
    uint256 public constant MAX_TEXT = 512;

    /// @notice Where apps are registered.
    IKmsAuth public immutable kmsAuth;

    /// @inheritdoc IDomainRegistry
    address public owner;
    /// @inheritdoc IDomainRegistry
    address public pendingOwner;
    /// @inheritdoc IDomainRegistry
    mapping(address recorder => bool) public isRecorder;

    bytes32[] private _approved;
    mapping(bytes32 domainHash => Domain) private _domains;
    mapping(bytes32 domainHash => uint256) private _positions;
    /// @dev By app, so that who served a domain before cannot record or close anything for who serves it now.
    mapping(bytes32 domainHash => mapping(address app => mapping(bytes32 fingerprint => Sighting))) private _sightings;
    mapping(bytes32 domainHash => mapping(address app => uint256)) private _openIncidents;

    constructor(address kmsAuth_, address owner_) {
        if (owner_ == address(0)) revert ZeroOwner();
        kmsAuth = IKmsAuth(kmsAuth_);
        owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
    }

    /// @inheritdoc IDomainRegistry
    function approveDomain(string calldata name, address app) external {
        if (!DomainNames.isValid(name)) revert InvalidDomain(name);
        // Foreign apps may have domains as well.
        // slither-disable-next-line unused-return
        (bool registered,) = kmsAuth.isRegistered(app);
        if (!registered) revert NotRegistered(app);
        _checkCallerOwnsApp(app);
        bytes32 hash = _hash(name);
        Domain storage found = _domains[hash];
        if (found.app != address(0)) revert AlreadyApproved(name, found.app);
        (found.name, found.app, found.approvedAt) = (name, app, currentTime());
        _positions[hash] = _approved.length;
        _approved.push(hash);
        emit DomainApproved(hash, app, name);
    }

    /// @inheritdoc IDomainRegistry
    function releaseDomain(string calldata name) external {
        bytes32 hash = _hash(name);
        address app = _approvedApp(name);
        if (msg.sender != owner) _checkCallerOwnsApp(app);
        _removeApproved(hash);
        delete _domains[hash];
        emit DomainReleased(hash, app, msg.sender);
    }

    /// @inheritdoc IDomainRegistry
    function pinAccount(string calldata name, string calldata issuer, string calldata accountUri) external {
        address app = _approvedApp(name);
        if (!isRecorder[msg.sender]) _checkCallerOwnsApp(app);
        _checkLength(issuer);
        _checkLength(accountUri);
        Domain storage found = _domains[_hash(name)];
        if (_equal(found.issuer, issuer) && _equal(found.accountUri, accountUri)) revert NothingToChange();
        (found.issuer, found.accountUri) = (issuer, accountUri);
        emit AccountPinned(_hash(name), issuer, accountUri);
    }

    /// @inheritdoc IDomainRegistry
    function recordCertificate(string calldata name, bytes32 fingerprint, bytes32 spkiHash, uint40 notAfter) external {
        if (!isRecorder[msg.sender]) revert NotAuthorized(msg.sender);
        address app = _approvedApp(name);
        Domain storage found = _domains[_hash(name)];
        if (found.certificate == fingerprint) revert NothingToChange();
        (found.certificate, found.spkiHash, found.notAfter) = (fingerprint, spkiHash, notAfter);
        // An incident stays open: that a certificate was recorded after somebody saw it is for the owner to explain.
        _sightings[_hash(name)][app][fingerprint].recorded = true;
        emit CertificateRecorded(_hash(name), fingerprint, spkiHash, notAfter);
    }

    /// @inheritdoc IDomainRegistry
    function reportIncident(string calldata name, bytes32 fingerprint, string calldata evidence) external {
        address app = _approvedApp(name);
        if (fingerprint == 0) revert ZeroFingerprint();
        _checkLength(evidence);
        bytes32 hash = _hash(name);
        Sighting storage found = _sightings[hash][app][fingerprint];
        if (found.recorded) revert AlreadyRecorded(name, fingerprint);
        if (found.reportedAt != 0) revert AlreadyReported(name, fingerprint, found.reportedAt);
        (found.reportedAt, found.reporter) = (currentTime(), msg.sender);
        ++_openIncidents[hash][app];
        emit IncidentReported(hash, fingerprint, msg.sender, app, name, evidence);
    }

    /// @inheritdoc IDomainRegistry
    function closeIncident(string calldata name, bytes32 fingerprint, string calldata reason) external {
        address app = _approvedApp(name);
        _checkCallerOwnsApp(app);
        if (bytes(reason).length == 0) revert EmptyReason();
        _checkLength(reason);
        bytes32 hash = _hash(name);
        Sighting storage found = _sightings[hash][app][fingerprint];
        IncidentState state = _state(found);
        if (state != IncidentState.Open) revert IncidentNotOpen(name, fingerprint, state);
        found.closedAt = currentTime();
        --_openIncidents[hash][app];
        emit IncidentClosed(hash, fingerprint, msg.sender, app, reason);
    }

    /// @inheritdoc IDomainRegistry
    function setRecorder(address recorder, bool allowed) external {
        _checkCallerIsOwner();
        if (isRecorder[recorder] == allowed) revert NothingToChange();
        isRecorder[recorder] = allowed;
        emit RecorderSet(recorder, allowed);
    }

    /// @inheritdoc IDomainRegistry
    function transferOwnership(address newOwner) external {
        _checkCallerIsOwner();
        if (newOwner == pendingOwner) revert NothingToChange();
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(newOwner);
    }

    /// @inheritdoc IDomainRegistry
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotAuthorized(msg.sender);
        address previous = owner;
        (owner, pendingOwner) = (msg.sender, address(0));
        emit OwnershipTransferred(previous, msg.sender);
    }

    /// @inheritdoc IDomainRegistry
    function domain(string calldata name) external view returns (Domain memory) {
        return _domains[_hash(name)];
    }

    /// @inheritdoc IDomainRegistry
    function appOf(string calldata name) external view returns (address) {
        return _domains[_hash(name)].app;
    }

    /// @inheritdoc IDomainRegistry
    function domains(uint256 offset, uint256 limit) external view returns (Domain[] memory page, uint256 total) {
        total = _approved.length;
        uint256 rest = offset < total ? total - offset : 0;
        page = new Domain[](limit < rest ? limit : rest);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = _domains[_approved[offset + i]];
        }
    }

    /// @inheritdoc IDomainRegistry
    function incident(string calldata name, bytes32 fingerprint)
        external
        view
        returns (IncidentState state, uint40 reportedAt, uint40 closedAt, address reporter)
    {
        bytes32 hash = _hash(name);
        Sighting storage found = _sightings[hash][_domains[hash].app][fingerprint];
        return (_state(found), found.reportedAt, found.closedAt, found.reporter);
    }

    /// @inheritdoc IDomainRegistry
    function openIncidents(string calldata name) external view returns (uint256) {
        bytes32 hash = _hash(name);
        return _openIncidents[hash][_domains[hash].app];
    }

    /// @dev The last one takes the place of the one that goes.
    function _removeApproved(bytes32 hash) private {
        uint256 position = _positions[hash];
        bytes32 last = _approved[_approved.length - 1];
        _approved[position] = last;
        _positions[last] = position;
        _approved.pop();
        delete _positions[hash];
    }

    function _checkCallerIsOwner() private view {
        if (msg.sender != owner) revert NotAuthorized(msg.sender);
    }

    /// @dev A foreign app that has no `owner()` cannot have domains.
    function _checkCallerOwnsApp(address app) private view {
        try IGoverned(app).owner() returns (address appOwner) {
            if (msg.sender != appOwner) revert NotAuthorized(msg.sender);
        } catch {
            revert NotAuthorized(msg.sender);
        }
    }

    function _approvedApp(string calldata name) private view returns (address app) {
        app = _domains[_hash(name)].app;
        if (app == address(0)) revert NotApproved(name);
    }

    function _state(Sighting storage found) private view returns (IncidentState) {
        if (found.reportedAt == 0) return IncidentState.None;
        return found.closedAt == 0 ? IncidentState.Open : IncidentState.Closed;
    }

    function _checkLength(string calldata text) private pure {
        if (bytes(text).length > MAX_TEXT) revert TextTooLong(bytes(text).length, MAX_TEXT);
    }

    function _equal(string storage stored, string calldata given) private pure returns (bool) {
        return keccak256(bytes(stored)) == keccak256(bytes(given));
    }

    function _hash(string calldata name) private pure returns (bytes32) {
        return keccak256(bytes(name));
    }
}
