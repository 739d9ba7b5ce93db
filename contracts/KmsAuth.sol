// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";

import {Governed} from "./Governed.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppPolicy} from "./interfaces/IAppPolicy.sol";
import {IGoverned} from "./interfaces/IGoverned.sol";
import {IKmsAuth} from "./interfaces/IKmsAuth.sol";
import {ForeignApp} from "./libraries/ForeignApp.sol";
import {Reasons} from "./libraries/Reasons.sol";
import {VersionList} from "./libraries/VersionList.sol";
import {AppBootInfo, BootRequest, Reason, TeeKind, Verdict, Version, VersionState} from "./types/Boot.sol";
import {TimedAddress, TimedAddressLib, currentTime} from "./types/Timed.sol";

/// @notice The registry of apps, OS images and system apps of one deployment. Powers and non-powers: `IKmsAuth`.
contract KmsAuth is Governed, IKmsAuth {
    using TimedAddressLib for TimedAddress;
    using VersionList for VersionList.Entry;

    /// @param suspendedUntil 0 when never suspended; the end of time until the suspension is lifted
    struct App {
        bool registered;
        bool foreign;
        uint40 suspendedUntil;
    }

    uint40 private constant FOREVER = type(uint40).max;

    /// @inheritdoc IKmsAuth
    address public immutable appImplementation;

    bytes32 private immutable _cloneCodeHash;

    mapping(address app => App) private _apps;
    mapping(bytes32 osImageHash => VersionList.Entry) private _osImages;
    TimedAddress private _kmsApp;
    TimedAddress private _gatewayApp;

    /// @param appImplementation_ the `AppAuth` whose clones are registered as blessed
    constructor(address appImplementation_, address owner_, address guardian_, uint40 notice_) {
        if (appImplementation_.code.length == 0) revert NotAnAppAuth(appImplementation_);
        appImplementation = appImplementation_;
        _cloneCodeHash = keccak256(
            abi.encodePacked(
                hex"363d3d373d3d3d363d73", appImplementation_, hex"5af43d82803e903d91602b57fd5bf3", address(this)
            )
        );
        _initGoverned(owner_, guardian_, notice_);
    }

    /// @inheritdoc IKmsAuth
    function deployAndRegisterApp(IAppPolicy.Init calldata init, bytes32 salt) external returns (address app) {
        app = Clones.cloneDeterministicWithImmutableArgs(appImplementation, _cloneArgs(), _saltOf(msg.sender, salt));
        _register(app, false);
        IAppPolicy(app).initialize(init);
    }

    /// @inheritdoc IKmsAuth
    function registerApp(address app) external {
        if (!_isClone(app) || IGoverned(app).owner() == address(0)) revert NotAClone(app);
        _register(app, false);
    }

    /// @inheritdoc IKmsAuth
    function registerForeignApp(address app) external {
        if (_isClone(app)) revert IsAClone(app);
        if (!ERC165Checker.supportsInterface(app, type(IAppAuth).interfaceId)) revert NotAnAppAuth(app);
        _register(app, true);
    }

    /// @inheritdoc IKmsAuth
    function suspendApp(address app) external {
        _checkCallerIsOwnerOrGuardian();
        _checkRegistered(app);
        if (_apps[app].suspendedUntil == FOREVER) revert NothingToChange();
        _apps[app].suspendedUntil = FOREVER;
        emit AppSuspensionSet(app, true, currentTime());
    }

    /// @inheritdoc IKmsAuth
    function liftSuspension(address app) external {
        _checkCallerIsOwner();
        if (_apps[app].suspendedUntil != FOREVER) revert NothingToChange();
        uint40 from = _afterNotice();
        _apps[app].suspendedUntil = from;
        emit AppSuspensionSet(app, false, from);
    }

    /// @inheritdoc IKmsAuth
    function scheduleOsImage(bytes32 osImageHash, string calldata sourceUri) external {
        _checkCallerIsOwner();
        if (osImageHash == bytes32(0)) revert ZeroOsImage();
        uint40 activeFrom = _osImages[osImageHash].schedule(_osImage(osImageHash), osImageHash, _afterNotice(), 0, 0);
        emit OsImageScheduled(osImageHash, activeFrom, sourceUri);
    }

    /// @inheritdoc IKmsAuth
    function retireOsImage(bytes32 osImageHash, uint40 retireAt) external {
        _checkCallerIsOwner();
        Version memory present = _osImage(osImageHash);
        if (VersionList.stateAt(present, currentTime()) == VersionState.None) revert UnknownOsImage(osImageHash);
        emit OsImageRetirementSet(osImageHash, _osImages[osImageHash].retire(present, osImageHash, retireAt));
    }

    /// @inheritdoc IKmsAuth
    function revokeOsImage(bytes32 osImageHash) external {
        _checkCallerIsOwnerOrGuardian();
        if (osImageHash == bytes32(0)) revert ZeroOsImage();
        _osImages[osImageHash].revoke();
        emit OsImageRevoked(osImageHash, msg.sender);
    }

    /// @inheritdoc IKmsAuth
    function setKmsApp(address app) external {
        emit KmsAppSet(app, _setSystemApp(_kmsApp, app));
    }

    /// @inheritdoc IKmsAuth
    function setGatewayApp(address app) external {
        emit GatewayAppSet(app, _setSystemApp(_gatewayApp, app));
    }

    /// @inheritdoc IKmsAuth
    function decide(BootRequest calldata request)
        external
        view
        returns (Verdict verdict, Reason reason, uint64 validUntil)
    {
        (reason, validUntil) = _checkRegistryAndImage(request.info);
        if (reason != Reason.Allowed) return (Verdict.Denied, reason, 0);
        address app = request.info.appId;
        if (_apps[app].foreign) {
            reason = _askForeignApp(request);
            return reason == Reason.Allowed ? (Verdict.Allowed, reason, validUntil) : (Verdict.Denied, reason, 0);
        }
        uint64 imageUntil = validUntil;
        (verdict, reason, validUntil) = IAppPolicy(app).decide(request);
        if (verdict == Verdict.Allowed && imageUntil < validUntil) validUntil = imageUntil;
    }

    /// @inheritdoc IKmsAuth
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason) {
        return _isAllowed(bootInfo);
    }

    /// @inheritdoc IKmsAuth
    function isKmsAllowed(AppBootInfo calldata bootInfo) external view returns (bool isAllowed, string memory reason) {
        address app = kmsApp();
        if (app == address(0) || bootInfo.appId != app) return (false, Reasons.text(Reason.NotSystemApp));
        return _isAllowed(bootInfo);
    }

    /// @inheritdoc IKmsAuth
    function predictApp(address deployer, bytes32 salt) external view returns (address) {
        bytes32 ownSalt = _saltOf(deployer, salt);
        return Clones.predictDeterministicAddressWithImmutableArgs(appImplementation, _cloneArgs(), ownSalt);
    }

    /// @inheritdoc IKmsAuth
    function gatewayApp() external view returns (address) {
        return _gatewayApp.valueAt(currentTime());
    }

    /// @inheritdoc IKmsAuth
    function pendingKmsApp() external view returns (address app, uint40 from) {
        return _kmsApp.pending(currentTime());
    }

    /// @inheritdoc IKmsAuth
    function pendingGatewayApp() external view returns (address app, uint40 from) {
        return _gatewayApp.pending(currentTime());
    }

    /// @inheritdoc IKmsAuth
    function isRegistered(address app) external view returns (bool registered, bool foreign) {
        return (_apps[app].registered, _apps[app].foreign);
    }

    /// @inheritdoc IKmsAuth
    function isSuspended(address app) external view returns (bool) {
        return currentTime() < _apps[app].suspendedUntil;
    }

    /// @inheritdoc IKmsAuth
    function suspendedUntil(address app) external view returns (uint40) {
        return _apps[app].suspendedUntil;
    }

    /// @inheritdoc IKmsAuth
    function osImageState(bytes32 osImageHash) external view returns (VersionState state, Version memory version) {
        version = _osImage(osImageHash);
        state = VersionList.stateAt(version, currentTime());
    }

    /// @inheritdoc IKmsAuth
    function kmsApp() public view returns (address) {
        return _kmsApp.valueAt(currentTime());
    }

    function _register(address app, bool foreign) private {
        if (_apps[app].registered) revert AlreadyRegistered(app);
        _apps[app] = App({registered: true, foreign: foreign, suspendedUntil: 0});
        emit AppRegistered(app, msg.sender, foreign);
    }

    function _setSystemApp(TimedAddress storage system, address app) private returns (uint40 from) {
        _checkCallerIsOwner();
        _checkRegistered(app);
        if (!system.isEmpty()) return system.change(app, _afterNotice());
        system.setNow(app);
        return currentTime();
    }

    function _checkRegistered(address app) private view {
        if (!_apps[app].registered) revert NotRegistered(app);
    }

    /// @dev What is decided here rather than by the app.
    function _checkRegistryAndImage(AppBootInfo calldata info) private view returns (Reason reason, uint64 until) {
        App memory app = _apps[info.appId];
        if (!app.registered) return (Reason.AppNotRegistered, 0);
        if (currentTime() < app.suspendedUntil) return (Reason.AppSuspended, 0);
        VersionState state;
        (state, until) = VersionList.inForce(_osImage(info.osImageHash), currentTime());
        reason = Reasons.ofOsImage(state);
    }

    /// @dev Upstream's question does not say the kind of TEE, so that a foreign app can only have meant TDX.
    function _askForeignApp(BootRequest calldata request) private view returns (Reason) {
        if (request.tee != TeeKind.Tdx) return Reason.TeeNotAllowed;
        return ForeignApp.allows(request.info.appId, request.info) ? Reason.Allowed : Reason.ForeignAppRefused;
    }

    function _isAllowed(AppBootInfo calldata info) private view returns (bool, string memory) {
        (Reason reason,) = _checkRegistryAndImage(info);
        if (reason == Reason.Allowed && _apps[info.appId].foreign && !ForeignApp.allows(info.appId, info)) {
            reason = Reason.ForeignAppRefused;
        }
        if (reason != Reason.Allowed) return (false, Reasons.text(reason));
        if (_apps[info.appId].foreign) return (true, "");
        return IAppAuth(info.appId).isAppAllowed(info);
    }

    /// @dev OS images belong to no era: nothing supersedes them.
    function _osImage(bytes32 osImageHash) private view returns (Version memory) {
        VersionList.Entry memory entry = _osImages[osImageHash];
        return entry.endingWith(0);
    }

    /// @dev What stands behind a clone's code, and so is part of its code hash.
    function _cloneArgs() private view returns (bytes memory) {
        return abi.encodePacked(address(this));
    }

    function _isClone(address app) private view returns (bool) {
        return app.codehash == _cloneCodeHash;
    }

    function _saltOf(address deployer, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(deployer, salt));
    }
}
