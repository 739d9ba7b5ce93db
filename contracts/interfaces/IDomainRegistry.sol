// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Which app may serve a domain, what CAA must pin for it, every certificate that was issued, and incidents: unknown
/// certificates that somebody saw in a CT log.
///
///   None --reportIncident, by anyone--> Open --closeIncident, by the app's owner--> Closed (for good)
///
/// Incidents are counted for the app that serves the domain. They stay when it is released: an app that comes back has its
/// incidents again, another app has none of them.
///
/// Powers. The owner of a registered app: approve and release that app's domains, close their incidents. The registry's
/// owner: evict a squatter, name who may record certificates. Recorder: pin accounts and record certificates. Anyone: report
/// an incident.
/// Non-powers: nobody can approve a domain for somebody else's app, and nothing here decides who gets keys. A report decides
/// nothing: it is a flag for people to look at, nobody checked its evidence, and anyone who pays for the gas can raise one.
/// Neither the registry's owner nor a recorder can close an incident, also not by recording the certificate later. Nobody can
/// delete one or open it again.
interface IDomainRegistry {
    enum IncidentState {
        None,
        Open,
        Closed
    }

    struct Domain {
        string name;
        address app;
        uint40 approvedAt;
        string issuer;
        string accountUri;
        bytes32 certificate;
        bytes32 spkiHash;
        uint40 notAfter;
    }

    event DomainApproved(bytes32 indexed domainHash, address indexed app, string name);
    event DomainReleased(bytes32 indexed domainHash, address indexed app, address indexed by);
    event AccountPinned(bytes32 indexed domainHash, string issuer, string accountUri);
    event CertificateRecorded(
        bytes32 indexed domainHash, bytes32 indexed fingerprint, bytes32 spkiHash, uint40 notAfter
    );
    /// @notice `reporter` saw a certificate of `name` that is not recorded for `app`; where, says `evidence`, unchecked.
    event IncidentReported(
        bytes32 indexed domainHash,
        bytes32 indexed fingerprint,
        address indexed reporter,
        address app,
        string name,
        string evidence
    );
    /// @notice `by`, who owns `app`, looked at it; `reason` is the record of that.
    event IncidentClosed(
        bytes32 indexed domainHash, bytes32 indexed fingerprint, address indexed by, address app, string reason
    );
    event RecorderSet(address indexed recorder, bool allowed);
    event OwnershipTransferStarted(address indexed newOwner);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    error NotAuthorized(address caller);
    error NotRegistered(address app);
    /// @notice A name is 1 to 253 bytes of lower-case letters, digits, hyphens and dots. Its labels have 1 to 63 of them and
    /// neither begin nor end with a hyphen. Wildcards are no names here.
    error InvalidDomain(string name);
    error AlreadyApproved(string name, address app);
    error NotApproved(string name);
    error NothingToChange();
    error ZeroOwner();
    error TextTooLong(uint256 given, uint256 max);
    error ZeroFingerprint();
    /// @notice The certificate is recorded for the app: no incident.
    error AlreadyRecorded(string name, bytes32 fingerprint);
    error AlreadyReported(string name, bytes32 fingerprint, uint40 reportedAt);
    error IncidentNotOpen(string name, bytes32 fingerprint, IncidentState state);
    error EmptyReason();

    /// @notice Lets `app` serve `name`. Only by the app's owner.
    function approveDomain(string calldata name, address app) external;
    /// @notice Ends that at once. App owner or the registry's owner.
    function releaseDomain(string calldata name) external;
    /// @notice Pins the ACME account that CAA names (RFC 8657). App owner or recorder.
    function pinAccount(string calldata name, string calldata issuer, string calldata accountUri) external;
    /// @notice Records a certificate: SHA-256 of its DER and of its SPKI. Recorder only.
    function recordCertificate(string calldata name, bytes32 fingerprint, bytes32 spkiHash, uint40 notAfter) external;
    /// @notice Flags a certificate of an approved domain that is not recorded: SHA-256 of its DER, and where it was seen (log
    /// and index), at most 512 bytes. Anyone, since anyone can watch the logs; once per certificate.
    function reportIncident(string calldata name, bytes32 fingerprint, string calldata evidence) external;
    /// @notice Says why an incident needs no more attention, in 1 to 512 bytes. Only by the app's owner; for good.
    function closeIncident(string calldata name, bytes32 fingerprint, string calldata reason) external;
    /// @notice Names, or no longer names, somebody who may record certificates and pin accounts. The registry's owner only.
    function setRecorder(address recorder, bool allowed) external;

    /// @notice Lets `newOwner` accept at once; zero drops that. The registry's owner only.
    function transferOwnership(address newOwner) external;
    /// @notice Makes the caller the owner. Only who was named.
    function acceptOwnership() external;

    /// @notice Who may evict squatters and name recorders; never zero.
    function owner() external view returns (address);
    /// @notice Who may accept the ownership; zero for nobody.
    function pendingOwner() external view returns (address);
    /// @notice Whether `recorder` may record certificates and pin accounts.
    function isRecorder(address recorder) external view returns (bool);
    /// @notice What is known of `name`; all zero when it is not approved.
    function domain(string calldata name) external view returns (Domain memory);
    /// @notice The app that may serve `name`, zero for none.
    function appOf(string calldata name) external view returns (address);
    /// @notice Whether the certificate was reported for the app that serves `name` now, when that was, when it was closed, and
    /// who reported it; zero for what did not happen. That it was recorded since changes nothing.
    function incident(string calldata name, bytes32 fingerprint)
        external
        view
        returns (IncidentState state, uint40 reportedAt, uint40 closedAt, address reporter);
    /// @notice How many incidents of `name` are open for the app that serves it now. Anyone can add to it.
    function openIncidents(string calldata name) external view returns (uint256);
    /// @notice Approved domains, `limit` of them from `offset` on, in an order that changes when one is released; and how many
    /// there are.
    function domains(uint256 offset, uint256 limit) external view returns (Domain[] memory page, uint256 total);
}
