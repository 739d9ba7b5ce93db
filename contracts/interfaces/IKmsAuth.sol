// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppBootInfo, BootRequest, Reason, Verdict, Version, VersionState} from "../types/Boot.sol";
import {IAppPolicy} from "./IAppPolicy.sol";
import {IGoverned} from "./IGoverned.sol";
import {IVersions} from "./IVersions.sol";

/// @notice One per deployment: the registry of apps, the OS images, the system apps and the protocol's notice.
///
/// Powers. Owner: OS images, system apps, suspension. Guardian: `revokeOsImage`, `suspendApp`. Anyone: register an app.
/// Non-powers. Nobody here can let a code hash run in somebody's app, bless another implementation or unregister an app.
interface IKmsAuth is IGoverned, IVersions {
    event AppRegistered(address indexed app, address indexed registrar, bool foreign);
    event AppSuspensionSet(address indexed app, bool suspended, uint40 from);
    event OsImageScheduled(bytes32 indexed osImageHash, uint40 activeFrom, string sourceUri);
    event OsImageRetirementSet(bytes32 indexed osImageHash, uint40 retireAt);
    event OsImageRevoked(bytes32 indexed osImageHash, address indexed by);
    event KmsAppSet(address indexed app, uint40 from);
    event GatewayAppSet(address indexed app, uint40 from);

    error ZeroOsImage();
    error UnknownOsImage(bytes32 osImageHash);
    error AlreadyRegistered(address app);
    error NotRegistered(address app);
    /// @notice `app` is no clone of the blessed implementation that was initialised for this contract. Other code can be
    /// registered as foreign, knowingly.
    error NotAClone(address app);
    /// @notice `app` is a clone of the blessed implementation, which nobody can flag as foreign.
    error IsAClone(address app);
    /// @notice `app` does not answer as an `IAppAuth` (ERC-165 0x1e079198).
    error NotAnAppAuth(address app);

    /// @notice Deploys a clone of the blessed `AppAuth` with `init` and registers it. Its address is the app id. Anyone may.
    function deployAndRegisterApp(IAppPolicy.Init calldata init, bytes32 salt) external returns (address app);

    /// @notice The address that `deployAndRegisterApp` gives to `deployer` and `salt`.
    function predictApp(address deployer, bytes32 salt) external view returns (address);

    /// @notice Registers a clone that was deployed elsewhere for this KmsAuth (`Clones.cloneWithImmutableArgs` with this
    /// address) and initialised. Anyone may.
    function registerApp(address app) external;

    /// @notice Registers a contract whose code is not the blessed one; queries show the flag for good. Anyone may.
    function registerForeignApp(address app) external;

    /// @notice Denies every boot of one app at once, until that is lifted. Does not touch its rules. Owner or guardian.
    function suspendApp(address app) external;
    /// @notice Lifts a suspension after the notice. Owner only.
    function liftSuspension(address app) external;

    /// @notice Lets the OS image boot after the notice; drops its retirement where that lies beyond the notice. Owner only.
    function scheduleOsImage(bytes32 osImageHash, string calldata sourceUri) external;
    /// @notice Lets the OS image retire at `retireAt`, not later than it was going to; a time that is past stands for now.
    /// Owner only.
    function retireOsImage(bytes32 osImageHash, uint40 retireAt) external;
    /// @notice Ends the OS image for good, at once, also when it was never scheduled. Owner or guardian.
    function revokeOsImage(bytes32 osImageHash) external;
    /// @notice Names the KMS's own app. At once while there is none, after the notice otherwise. Owner only.
    function setKmsApp(address app) external;
    /// @notice Names the gateway's own app. At once while there is none, after the notice otherwise. Owner only.
    function setGatewayApp(address app) external;

    /// @notice The whole decision at the block's timestamp: registry, OS image, then the app's own rules. A foreign app is
    /// asked upstream's question, which says neither TEE nor ticket: it gets keys under TDX only.
    /// @return verdict Allowed or Denied
    /// @return reason why
    /// @return validUntil when an Allowed verdict ends by the passing of time alone; 0 with Denied
    function decide(BootRequest calldata request)
        external
        view
        returns (Verdict verdict, Reason reason, uint64 validUntil);

    /// @notice Upstream's question about an app, with upstream's ABI. It does not say the kind of TEE: taken as TDX.
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason);

    /// @notice Upstream's question about a KMS node: the KMS's own app decides.
    function isKmsAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason);

    /// @notice The `AppAuth` whose clones are blessed. Never changes.
    function appImplementation() external view returns (address);
    /// @notice The KMS's own app; zero for none.
    function kmsApp() external view returns (address);
    /// @notice The KMS's next app, and when it takes over; zero for both when none is pending.
    function pendingKmsApp() external view returns (address app, uint40 from);
    /// @notice The gateway's own app; zero for none.
    function gatewayApp() external view returns (address);
    /// @notice The gateway's next app, and when it takes over; zero for both when none is pending.
    function pendingGatewayApp() external view returns (address app, uint40 from);
    /// @notice Whether `app` is registered, and whether as foreign.
    function isRegistered(address app) external view returns (bool registered, bool foreign);
    /// @notice Whether `app` is suspended now.
    function isSuspended(address app) external view returns (bool);
    /// @notice Until when `app` is suspended: zero when it never was, the end of time unless that was lifted.
    function suspendedUntil(address app) external view returns (uint40);
    /// @notice Where an OS image stands now. Which there are is told by the events.
    function osImageState(bytes32 osImageHash) external view returns (VersionState state, Version memory version);
}
