// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, TcbStatus, TeeKind, Verdict, Version, VersionState} from "../types/Boot.sol";
import {IGoverned} from "./IGoverned.sol";
import {IVersions} from "./IVersions.sol";

/// @notice The rules of one app: which code, devices, TEE kinds and TCB levels get its keys, what else is required, and who
/// may change that.
///
/// Loosening waits for the app's notice; tightening is immediate (G-2). The guardian can only tighten (G-3).
///
/// Powers. Owner: all of the below. Guardian: `revokeCode`, `pause` (once per arming), `denyDevice`, `removeTee`,
/// `denyAdvisory`, `revokeTicket`. Anyone: nothing.
/// Non-powers. Nobody can shorten a notice that is running, bring back a revoked code hash, end a pause early, reopen an app
/// after its sunset, let a condition allow what the rules deny, or change the rules of this contract. The guardian can
/// neither allow anything, nor rotate keys, nor pause twice without the owner, nor name its successor.
interface IAppPolicy is IGoverned, IVersions {
    /// @param owner who governs the app: an EOA, a Safe, an AppGovernor or a RoleCouncil
    /// @param guardian who may tighten at once; zero for none
    /// @param notice seconds between the decision to loosen and its effect
    /// @param codeHashes first versions, active at once: nobody relies on the app yet
    /// @param devices first devices, allowed at once
    /// @param anyDevice whether every device that is not denied is allowed
    /// @param teeKinds kinds that are allowed at once
    /// @param tcbFloor the worst status that is still allowed
    /// @param conditions `ICondition` contracts that must say yes as well
    /// @param ticketNeeded whether a boot must carry a launch ticket
    /// @param tickets hashes of launch tickets, allowed at once
    struct Init {
        address owner;
        address guardian;
        uint40 notice;
        bytes32[] codeHashes;
        bytes32[] devices;
        bool anyDevice;
        TeeKind[] teeKinds;
        TcbStatus tcbFloor;
        address[] conditions;
        bool ticketNeeded;
        bytes32[] tickets;
    }

    /// @param endsAt when the condition is no longer required; 0 as long as its removal was not decided
    struct Condition {
        address condition;
        uint40 endsAt;
    }

    /// @notice `codeHash` is in force from `activeFrom`, without an end of its own.
    event CodeScheduled(bytes32 indexed codeHash, uint40 activeFrom, string sourceUri);
    /// @notice `codeHash` retires, or lapses, at `retireAt`.
    event CodeRetirementSet(bytes32 indexed codeHash, uint40 retireAt);
    /// @notice Every other version that was scheduled before and was to end later, or never, retires at `retireAt`.
    event CodesSuperseded(bytes32 indexed by, uint40 retireAt);
    event CodeRevoked(bytes32 indexed codeHash, address indexed by);
    event Paused(address indexed by, uint40 until);
    event GuardianPauseArmed();
    event Sunset(address indexed by);
    event DeviceScheduled(bytes32 indexed deviceId, uint40 allowedFrom);
    event DeviceDenied(bytes32 indexed deviceId, address indexed by);
    event AnyDeviceScheduled(uint40 allowedFrom);
    event AnyDeviceRemoved();
    event TeeScheduled(TeeKind indexed tee, uint40 allowedFrom);
    event TeeRemoved(TeeKind indexed tee, address indexed by);
    event TcbFloorSet(TcbStatus floor, uint40 from);
    event KeysRotated(uint64 indexed generation, uint40 previousUntil);
    /// @notice `condition` must be met from now on; a removal that was pending is dropped.
    event ConditionAdded(address indexed condition);
    /// @notice `condition` must be met until `from` only.
    event ConditionRemoved(address indexed condition, uint40 from);
    /// @notice Whether a launch ticket is needed changes to `needed` at `from`; what was pending is dropped.
    event TicketRequirementSet(bool needed, uint40 from);
    event TicketAllowed(bytes32 indexed ticket, uint40 from);
    event TicketRevoked(bytes32 indexed ticket, address indexed by);
    /// @param advisoryHash keccak256 of `advisoryId`
    event AdvisoryDenied(bytes32 indexed advisoryHash, address indexed by, string advisoryId);
    event AdvisoryLifted(bytes32 indexed advisoryHash, uint40 from);

    /// @notice This was initialised before, or is no clone with a KmsAuth behind its code.
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
    /// @notice There is no code at `given`, which would deny every boot.
    error NotACondition(address given);
    error TooManyConditions(uint256 max);
    error UnknownCondition(address condition);
    error ZeroTicket();
    /// @notice An advisory's name has 1 to 64 bytes.
    error InvalidAdvisory(string advisoryId);

    /// @notice Sets up a clone, once. Whoever deploys a clone calls this in the same transaction, as `KmsAuth` does. Emits the
    /// events that later changes emit.
    function initialize(Init calldata init) external;

    /// @notice Lets `codeHash` run after the notice. With `supersede`, every other version, also one that is only scheduled,
    /// retires `handover` seconds after this one becomes active; without it, `handover` means nothing. A version that retires
    /// no sooner than the notice can be scheduled again: its retirement is dropped. Revoking this one later leaves those
    /// retirements as they are. At most seven upgrades can wait for the versions before them to end. Owner only.
    function scheduleCode(bytes32 codeHash, string calldata sourceUri, bool supersede, uint40 handover) external;

    /// @notice Like `scheduleCode`, with an approval that lapses: unless the owner confirms it, `codeHash` retires at
    /// `expiresAt`. Nothing on chain can tell whether a TEE runs a version, so it is the owner who says that it is used: by
    /// scheduling it again, with a later end or none, while the present end is at least the notice away, since to prolong is
    /// to loosen. What it superseded retires as planned, also when it lapses. Owner only.
    function scheduleCodeUntil(
        bytes32 codeHash,
        string calldata sourceUri,
        bool supersede,
        uint40 handover,
        uint40 expiresAt
    ) external;

    /// @notice Ends `codeHash` for good, at once, also when it was never scheduled. With `rotate`, the key generation is
    /// raised as well, without a handover. Owner or, without `rotate`, guardian.
    function revokeCode(bytes32 codeHash, bool rotate) external;

    /// @notice Lets `codeHash` retire at `retireAt`, not later than it was going to; a time that is past stands for now.
    /// It can be scheduled again, after the notice. Owner only.
    function retireCode(bytes32 codeHash, uint40 retireAt) external;

    /// @notice Stops every release until `until`, which nobody can bring forward. Owner, or guardian once per arming.
    function pause(uint40 until) external;

    /// @notice Gives the guardian its pause again. Does not end one that is on. Owner only.
    function armGuardianPause() external;

    /// @notice Closes the app for good: every boot is denied from now on, and nobody can undo that. Owner only.
    function sunset() external;

    /// @notice Allows the device after the notice, when a denial of it ends as well. Owner only.
    function allowDevice(bytes32 deviceId) external;
    /// @notice Denies the device at once; the denial beats "any device". `allowDevice` lifts it after the notice. Owner or
    /// guardian.
    function denyDevice(bytes32 deviceId) external;
    /// @notice Allows every device that is not denied, after the notice. Owner only.
    function allowAnyDevice() external;
    /// @notice Allows only listed devices again, at once, or drops `allowAnyDevice` while it waits. Owner only.
    function removeAnyDevice() external;
    /// @notice Allows one more kind of TEE after the notice. Owner only.
    function allowTee(TeeKind tee) external;
    /// @notice Removes a kind of TEE at once, be it allowed or only announced. Owner or guardian.
    function removeTee(TeeKind tee) external;
    /// @notice Sets the worst TCB status that is still allowed. Raising takes effect at once and drops a lowering that is
    /// pending; lowering waits for the notice. "Revoked" and unknown texts are never allowed. Owner only.
    function setTcbFloor(TcbStatus floor) external;
    /// @notice Raises the key generation: new instances get new secrets, the previous generation's only for `handover`. Does
    /// not change who is allowed. Owner only.
    function rotateKeys(uint40 handover) external;

    /// @notice Requires from now on that `condition` (an `ICondition`) says yes to every boot; drops its removal where that is
    /// pending. At most four. Owner only.
    function addCondition(address condition) external;
    /// @notice No longer requires `condition` after the notice. Owner only.
    function removeCondition(address condition) external;
    /// @notice Requires at once that every boot carries a launch ticket, or ceases to require one after the notice. Upstream's
    /// question has no ticket: `isAppAllowed` denies while one is needed. Owner only.
    function requireTicket(bool needed) external;
    /// @notice Lets the launch ticket with this hash be used after the notice, any number of times. Owner only.
    function allowTicket(bytes32 ticket) external;
    /// @notice Ends a launch ticket at once, be it allowed or only announced; it may be allowed again. Owner or guardian.
    function revokeTicket(bytes32 ticket) external;
    /// @notice Refuses at once every boot whose TCB carries the advisory, and every boot with more than 64 advisories. Spelled
    /// as in the evidence, e.g. "INTEL-SA-00615". Owner or guardian.
    function denyAdvisory(string calldata advisoryId) external;
    /// @notice No longer refuses the advisory after the notice. Owner only.
    function liftAdvisory(string calldata advisoryId) external;

    /// @notice The app's own part of the decision at the block's timestamp.
    /// @return verdict Allowed or Denied
    /// @return reason why
    /// @return validUntil when an Allowed verdict ends by the passing of time alone; 0 with Denied. A condition may end it
    /// sooner.
    function decide(BootRequest calldata request)
        external
        view
        returns (Verdict verdict, Reason reason, uint64 validUntil);

    /// @notice The deployment that the app was cloned for; zero for the implementation.
    function kmsAuth() external view returns (address);
    /// @notice Until when nothing is released; past or zero when there is no pause.
    function pausedUntil() external view returns (uint40);
    /// @notice Whether the guardian has its pause.
    function isGuardianPauseArmed() external view returns (bool);
    /// @notice Whether the app is closed for good.
    function isSunset() external view returns (bool);
    /// @notice The worst TCB status that is allowed now.
    function tcbFloor() external view returns (TcbStatus);
    /// @notice The lower floor that is pending, and when it begins; zero for the second when none is.
    function pendingTcbFloor() external view returns (TcbStatus floor, uint40 from);
    /// @notice The present key generation, and until when the one before is given out.
    function generation() external view returns (uint64 current, uint40 previousUntil);
    /// @notice Where a version stands now, with its end by upgrades taken into account. Which versions there are is told by
    /// the events.
    function codeState(bytes32 codeHash) external view returns (VersionState state, Version memory version);
    /// @notice Whether the device is allowed now, listed or as any device.
    function isDeviceAllowed(bytes32 deviceId) external view returns (bool);
    /// @notice From when the device is listed, and until when it is denied; zero for not at all.
    function deviceState(bytes32 deviceId) external view returns (uint40 allowedFrom, uint40 deniedUntil);
    /// @notice Whether any device is allowed now; `from` says since or from when, zero if from the start or not at all.
    function isAnyDeviceAllowed() external view returns (bool allowed, uint40 from);
    /// @notice Whether the kind of TEE is allowed now.
    function isTeeAllowed(TeeKind tee) external view returns (bool);
    /// @notice From when a kind of TEE that is not allowed yet will be; zero when that is not pending.
    function pendingTee(TeeKind tee) external view returns (uint40 from);
    /// @notice The conditions in force, those included whose removal is pending.
    function conditions() external view returns (Condition[] memory);
    /// @notice Whether a boot needs a launch ticket now, and when that ends; zero for the second when no end is pending.
    function ticketRequirement() external view returns (bool needed, uint40 endsAt);
    /// @notice From when the launch ticket can be used; zero when it cannot.
    function ticketAllowedFrom(bytes32 ticket) external view returns (uint40);
    /// @notice Until when the advisory is denied: zero when it never was, the end of time unless that was lifted.
    function advisoryDeniedUntil(string calldata advisoryId) external view returns (uint40);
}
