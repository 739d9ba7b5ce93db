// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, TcbStatus, TeeKind, Verdict, Version, VersionState} from "../types/Boot.sol";
import {IGoverned} from "./IGoverned.sol";
import {IVersions} from "./IVersions.sol";

/// @notice The rules of one app: which code, devices, TEE kinds and TCB levels get its keys, and who may change that.
///
/// Loosening waits for the app's notice; tightening is immediate (G-2). The guardian can only tighten (G-3).
///
/// Powers. Owner: all of the below. Guardian: `revokeCode`, `pause` (once per arming), `denyDevice`, `removeTee`.
/// Non-powers. Nobody can shorten a notice that is running, bring back a revoked code hash, end a pause early, or
/// change the rules of this contract.
interface IAppPolicy is IGoverned, IVersions {
    /// @param owner who governs the app: an EOA, a Safe, an AppGovernor or a RoleCouncil
    /// @param guardian who may tighten at once; zero for none
    /// @param notice seconds between the decision to loosen and its effect
    /// @param codeHashes first versions, active at once: nobody relies on the app yet
    /// @param devices first devices, allowed at once
    /// @param anyDevice whether every device that is not denied is allowed
    /// @param teeKinds kinds that are allowed at once
    /// @param tcbFloor the worst status that is still allowed
    struct Init {
        address owner;
        address guardian;
        uint40 notice;
        bytes32[] codeHashes;
        bytes32[] devices;
        bool anyDevice;
        TeeKind[] teeKinds;
        TcbStatus tcbFloor;
    }

    event CodeScheduled(bytes32 indexed codeHash, uint40 activeFrom, string sourceUri);
    event CodeRetirementSet(bytes32 indexed codeHash, uint40 retireAt);
    event CodeRevoked(bytes32 indexed codeHash, address indexed by);
    event Paused(address indexed by, uint40 until);
    event GuardianPauseArmed();
    event DeviceScheduled(bytes32 indexed deviceId, uint40 allowedFrom);
    event DeviceDenied(bytes32 indexed deviceId, address indexed by);
    event AnyDeviceScheduled(uint40 allowedFrom);
    event AnyDeviceRemoved();
    event TeeScheduled(TeeKind indexed tee, uint40 allowedFrom);
    event TeeRemoved(TeeKind indexed tee, address indexed by);
    event TcbFloorSet(TcbStatus floor, uint40 from);
    event KeysRotated(uint64 indexed generation, uint40 previousUntil);

    error InvalidInitialization();
    error ZeroCodeHash();
    error ZeroDevice();
    error InvalidTee();
    error InvalidTcbFloor();
    /// @notice `codeHash` is not known here.
    error UnknownCode(bytes32 codeHash);
    error PauseTooLong(uint40 until, uint40 max);
    /// @notice The guardian has used its pause; the owner must arm it again.
    error GuardianPauseNotArmed();

    /// @notice Sets up a clone, once. Whoever deploys a clone calls this in the same transaction, as `KmsAuth` does.
    function initialize(address kmsAuth, Init calldata init) external;

    /// @notice Lets `codeHash` run after the notice. With `supersede`, every other live version retires `handover` seconds
    /// after this one becomes active; without it, `handover` means nothing. A version that retires no sooner than the
    /// notice can be scheduled again: its retirement is dropped. Revoking this one later leaves those retirements as they are.
    function scheduleCode(bytes32 codeHash, string calldata sourceUri, bool supersede, uint40 handover) external;

    /// @notice Ends `codeHash` for good, at once, also when it was never scheduled. With `rotate`, the key generation is
    /// raised as well, without a handover; that takes the owner.
    function revokeCode(bytes32 codeHash, bool rotate) external;

    /// @notice Lets `codeHash` retire at `retireAt`, not later than it was going to; a time that is past stands for now.
    function retireCode(bytes32 codeHash, uint40 retireAt) external;

    /// @notice Stops every release until `until`, which nobody can bring forward. The guardian can do this once per arming.
    function pause(uint40 until) external;

    /// @notice Gives the guardian its pause again. Owner only.
    function armGuardianPause() external;

    function allowDevice(bytes32 deviceId) external;
    /// @notice Denies the device at once; the denial beats "any device". `allowDevice` lifts it after the notice.
    function denyDevice(bytes32 deviceId) external;
    function allowAnyDevice() external;
    function removeAnyDevice() external;
    function allowTee(TeeKind tee) external;
    function removeTee(TeeKind tee) external;
    /// @notice Raising takes effect at once, lowering after the notice.
    function setTcbFloor(TcbStatus floor) external;
    /// @notice Raises the key generation: new instances get new secrets, the previous generation's only for `handover`.
    function rotateKeys(uint40 handover) external;

    /// @notice The app's own part of the decision at the block's timestamp.
    /// @return verdict Allowed or Denied
    /// @return reason why
    /// @return validUntil when an Allowed verdict ends by the passing of time alone; 0 with Denied
    function decide(BootRequest calldata request)
        external
        view
        returns (Verdict verdict, Reason reason, uint64 validUntil);

    function kmsAuth() external view returns (address);
    function pausedUntil() external view returns (uint40);
    function tcbFloor() external view returns (TcbStatus);
    function generation() external view returns (uint64 current, uint40 previousUntil);
    function codeState(bytes32 codeHash) external view returns (VersionState state, Version memory version);
    /// @notice Versions that are scheduled, active or retiring, and those that retired without being swept yet.
    function liveCodes() external view returns (bytes32[] memory);
    function isDeviceAllowed(bytes32 deviceId) external view returns (bool);
    function isTeeAllowed(TeeKind tee) external view returns (bool);
}
