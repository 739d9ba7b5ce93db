// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Which app may serve a domain, what CAA must pin for it, and every certificate that was issued.
///
/// Powers. The owner of a registered app: approve and release that app's domains. The registry's owner: evict a squatter,
/// name who may record certificates. Recorder: pin accounts and record certificates.
/// Non-powers: nobody can approve a domain for somebody else's app, and nothing here decides who gets keys.
interface IDomainRegistry {
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

    /// @notice Lets `app` serve `name`. Only by the app's owner.
    function approveDomain(string calldata name, address app) external;
    /// @notice Ends that at once. App owner or the registry's owner.
    function releaseDomain(string calldata name) external;
    /// @notice Pins the ACME account that CAA names (RFC 8657). App owner or recorder.
    function pinAccount(string calldata name, string calldata issuer, string calldata accountUri) external;
    /// @notice Records a certificate: SHA-256 of its DER and of its SPKI. Recorder only.
    function recordCertificate(string calldata name, bytes32 fingerprint, bytes32 spkiHash, uint40 notAfter) external;
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
    /// @notice Approved domains, `limit` of them from `offset` on, in an order that changes when one is released; and how many
    /// there are.
    function domains(uint256 offset, uint256 limit) external view returns (Domain[] memory page, uint256 total);
}
