// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {KmsAuth} from "../../contracts/KmsAuth.sol";
import {IAppPolicy} from "../../contracts/interfaces/IAppPolicy.sol";
import {AppBootInfo, BootRequest, TcbStatus, TeeKind, Verdict, Version} from "../../contracts/types/Boot.sol";
import {ConditionStub} from "../unit/support/ConditionStub.sol";
import {vm} from "../unit/support/Vm.sol";
import {StrangerCalls} from "./StrangerCalls.sol";

/// @notice Does whatever owner, guardian and strangers may do, and compares before and after each transaction what is going
/// to be allowed at times to come. A boot is one bit: (code, device, TEE, TCB, OS image) with the first ticket, or (code,
/// ticket or none, advisory or none, instance that the condition refuses or not) with the rest as at first.
contract PolicyHandler {
    uint256 private constant CODES = 3;
    uint256 private constant MAX_TIMES = 16;
    uint256 private constant FAR = 800 days;
    uint256 private constant PLATFORM_BITS = CODES * 16;
    string private constant ADVISORY = "INTEL-SA-00615";

    KmsAuth public immutable kms;
    AppAuth public immutable app;

    /// @notice What went wrong, empty as long as nothing did.
    string public violation;
    /// @notice How many transactions took effect.
    uint256 public effective;
    /// @notice How often the guardian paused since it was armed last.
    uint256 public guardianPauses;
    /// @notice Whether a sunset took effect.
    bool public closed;

    ConditionStub private immutable condition;

    /// @dev What was going to be allowed at some times within the notice when `rely` looked: users rely on it until then,
    /// whatever transactions follow, a shortening of the notice included.
    uint256[] private promisedTimes;
    uint256[] private promisedSets;
    /// @dev Until then a shorter notice, announced long enough before, may be about to come into force.
    uint256 private noticeSettlesAt;

    address private constant KMS_OWNER = address(0xA0);
    address private constant KMS_GUARDIAN = address(0xA1);
    address private constant OWNER = address(0xB0);
    address private constant GUARDIAN = address(0xB1);
    address private constant OTHER_OWNER = address(0xB2);
    address private constant OTHER_GUARDIAN = address(0xB3);
    address private constant STRANGER = address(0xC0);

    constructor() {
        kms = new KmsAuth(address(new AppAuth()), KMS_OWNER, KMS_GUARDIAN, 3 days);
        vm.prank(KMS_OWNER);
        kms.scheduleOsImage(_image(0), "");
        vm.warp(block.timestamp + 3 days);
        IAppPolicy.Init memory init;
        (init.owner, init.guardian, init.notice) = (OWNER, GUARDIAN, 2 days);
        (init.codeHashes, init.devices, init.teeKinds) = (new bytes32[](1), new bytes32[](1), new TeeKind[](1));
        (init.codeHashes[0], init.devices[0], init.teeKinds[0]) = (_code(0), _device(0), TeeKind.Tdx);
        init.tcbFloor = TcbStatus.SWHardeningNeeded;
        init.tickets = new bytes32[](1);
        init.tickets[0] = _ticket(0);
        condition = new ConditionStub();
        app = AppAuth(kms.deployAndRegisterApp(init, 0));
    }

    function pass(uint256 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 3 days);
    }

    function rely(uint256 seed) external {
        uint256 notice = app.notice() < kms.notice() ? app.notice() : kms.notice();
        bool isRunning = promisedTimes.length > 1 && promisedTimes[1] > block.timestamp;
        if (notice == 0 || block.timestamp < noticeSettlesAt || (isRunning && seed % 4 != 0)) return;
        promisedTimes = _times(notice, seed);
        promisedSets = _allowedAt(promisedTimes);
    }

    /// @dev To a moment just before or at which something changes by itself: where mistakes of one second would show.
    function passToABoundary(uint256 seed) external {
        Version memory version = _version(seed % CODES);
        uint256 to = seed % 2 == 0 ? version.activeFrom : version.retireAt;
        to -= to == 0 ? 0 : (seed >> 8) % 2;
        if (to > block.timestamp) vm.warp(to);
    }

    function scheduleCode(uint256 code, bool supersede, uint256 handover) external {
        _byOwner(abi.encodeCall(app.scheduleCode, (_code(code), "", supersede, uint40(handover % 4 days))), code);
    }

    function scheduleCodeUntil(uint256 code, bool supersede, uint256 life) external {
        uint40 expiresAt = uint40(block.timestamp + app.notice() + life % 5 days);
        bytes memory data = abi.encodeCall(app.scheduleCodeUntil, (_code(code), "", supersede, 1 hours, expiresAt));
        _byOwner(data, code);
    }

    function retireCode(uint256 code, uint256 delay) external {
        uint40 retireAt = uint40(block.timestamp + delay % 6 days);
        _byOwner(abi.encodeCall(app.retireCode, (_code(code), retireAt)), delay);
    }

    function revokeCode(uint256 code, bool rotate, bool byGuardian) external {
        // Rarely, since it is for good.
        if (code % 7 != 0) return;
        bytes memory data = abi.encodeCall(app.revokeCode, (_code(code), rotate));
        byGuardian ? _byGuardian(data, code) : _byOwner(data, code);
    }

    function pause(uint256 duration, bool byGuardian) external {
        // Mostly short: an app that is paused all the time shows no mistakes.
        uint256 longest = duration % 16 == 0 ? 40 days : 6 hours;
        bytes memory data = abi.encodeCall(app.pause, (uint40(block.timestamp + duration % longest)));
        uint256 count = effective;
        byGuardian ? _byGuardian(data, duration) : _byOwner(data, duration);
        if (byGuardian && app.guardian() != app.owner()) guardianPauses += effective - count;
    }

    function armGuardianPause() external {
        uint256 count = effective;
        _byOwner(abi.encodeCall(app.armGuardianPause, ()), 0);
        if (effective != count) guardianPauses = 0;
    }

    function changeCondition(uint256 how) external {
        bytes memory data = how % 3 == 0
            ? abi.encodeCall(app.addCondition, (address(condition)))
            : abi.encodeCall(app.removeCondition, (address(condition)));
        _byOwner(data, how);
    }

    function changeTicketRequirement(uint256 how) external {
        _byOwner(abi.encodeCall(app.requireTicket, (how % 3 == 0)), how);
    }

    function changeTicket(uint256 ticket, uint256 how, bool byGuardian) external {
        bytes memory data = how % 4 != 0
            ? abi.encodeCall(app.allowTicket, (_ticket(ticket)))
            : abi.encodeCall(app.revokeTicket, (_ticket(ticket)));
        byGuardian ? _byGuardian(data, how) : _byOwner(data, how);
    }

    function changeAdvisory(uint256 how, bool byGuardian) external {
        bytes memory data =
            how % 3 == 0 ? abi.encodeCall(app.denyAdvisory, (ADVISORY)) : abi.encodeCall(app.liftAdvisory, (ADVISORY));
        byGuardian ? _byGuardian(data, how) : _byOwner(data, how);
    }

    function changeGuardian(uint256 seed) external {
        _byOwner(abi.encodeCall(app.setGuardian, (seed % 2 == 0 ? GUARDIAN : OTHER_GUARDIAN)), seed);
    }

    function sunset(uint256 seed) external {
        // Rarely, since nothing is allowed any more.
        if (seed % 101 != 0) return;
        uint256 count = effective;
        _byOwner(abi.encodeCall(app.sunset, ()), seed);
        if (effective != count) closed = true;
    }

    /// @dev Whatever a stranger sends, to whichever contract, no decision changes at any time.
    function strangerCalls(uint256 kind, uint256 seed) external {
        bytes memory data = kind % 3 == 0
            ? StrangerCalls.toKms(kms, seed, _image(seed), address(app))
            : StrangerCalls.toApp(app, seed, _code(seed), _device(seed), _ticket(seed), address(condition));
        uint256[] memory times = _times(FAR, seed);
        uint256[] memory before = _allowedAt(times);
        vm.prank(STRANGER);
        (bool success,) = (kind % 3 == 0 ? address(kms) : address(app)).call(data);
        uint256[] memory afterwards = _allowedAt(times);
        if (success) violation = "a stranger's transaction took effect";
        for (uint256 i = 0; i < times.length; ++i) {
            if (afterwards[i] != before[i]) violation = "a stranger changed a decision";
        }
    }

    function changeDevice(uint256 device, uint256 how, bool byGuardian) external {
        bytes memory data = how % 3 != 0
            ? abi.encodeCall(app.allowDevice, (_device(device)))
            : abi.encodeCall(app.denyDevice, (_device(device)));
        byGuardian ? _byGuardian(data, how) : _byOwner(data, how);
    }

    function changeAnyDevice(uint256 how) external {
        bytes memory data =
            how % 4 == 3 ? abi.encodeCall(app.removeAnyDevice, ()) : abi.encodeCall(app.allowAnyDevice, ());
        _byOwner(data, how);
    }

    function changeTee(uint256 tee, uint256 how, bool byGuardian) external {
        TeeKind kind = TeeKind(1 + tee % 2);
        bytes memory data = how % 4 != 0 ? abi.encodeCall(app.allowTee, (kind)) : abi.encodeCall(app.removeTee, (kind));
        byGuardian ? _byGuardian(data, how) : _byOwner(data, how);
    }

    function setTcbFloor(uint256 floor) external {
        _byOwner(abi.encodeCall(app.setTcbFloor, (TcbStatus(1 + floor % 6))), floor);
    }

    function setNotice(uint256 notice) external {
        _noteNoticeChange();
        _byOwner(abi.encodeCall(app.setNotice, (uint40(notice % 5 days))), notice);
    }

    function changeOwner(uint256 seed, bool accept) external {
        (address pending,) = app.pendingOwner();
        address next = app.owner() == OTHER_OWNER ? OWNER : OTHER_OWNER;
        if (accept) _check(pending, address(app), abi.encodeCall(app.acceptOwnership, ()), app.notice(), seed);
        else _byOwner(abi.encodeCall(app.transferOwnership, (next)), seed);
    }

    function changeOsImage(uint256 image, uint256 how, uint256 delay) external {
        bytes memory data = abi.encodeCall(kms.scheduleOsImage, (_image(image), ""));
        if (how % 5 == 0) {
            data = abi.encodeCall(kms.retireOsImage, (_image(image), uint40(block.timestamp + delay % 6 days)));
        }
        if (how % 41 == 0) data = abi.encodeCall(kms.revokeOsImage, (_image(image)));
        _check(KMS_OWNER, address(kms), data, kms.notice(), delay);
    }

    function changeSuspension(bool suspend, bool byGuardian, uint256 seed) external {
        bytes memory data = suspend && seed % 4 == 0
            ? abi.encodeCall(kms.suspendApp, (address(app)))
            : abi.encodeCall(kms.liftSuspension, (address(app)));
        _check(byGuardian ? KMS_GUARDIAN : KMS_OWNER, address(kms), data, byGuardian ? FAR : kms.notice(), seed);
    }

    function setKmsNotice(uint256 notice) external {
        _noteNoticeChange();
        _check(KMS_OWNER, address(kms), abi.encodeCall(kms.setNotice, (uint40(notice % 5 days))), kms.notice(), notice);
    }

    /// @notice What is allowed now and in the far future.
    function isAnythingAllowed() external returns (bool) {
        uint256[] memory times = new uint256[](2);
        (times[0], times[1]) = (block.timestamp, block.timestamp + FAR);
        uint256[] memory sets = _allowedAt(times);
        return sets[0] | sets[1] != 0;
    }

    function _byOwner(bytes memory data, uint256 seed) private {
        // Half of the transactions come some hours after the one before.
        if (seed % 2 == 0) vm.warp(block.timestamp + uint256(keccak256(abi.encode(seed))) % 12 hours);
        _check(app.owner(), address(app), data, app.notice(), seed);
    }

    /// @dev The guardian must not enlarge what is allowed at any time (G-3), not only within the notice.
    function _byGuardian(bytes memory data, uint256 seed) private {
        _check(app.guardian(), address(app), data, FAR, seed);
    }

    function _check(address actor, address target, bytes memory data, uint256 horizon, uint256 seed) private {
        uint256[] memory times = _times(horizon, seed);
        uint256[] memory before = _allowedAt(times);
        vm.prank(actor);
        (bool success,) = target.call(data);
        if (!success) return;
        ++effective;
        uint256[] memory afterwards = _allowedAt(times);
        for (uint256 i = 0; i < times.length; ++i) {
            if (afterwards[i] & ~before[i] == 0) continue;
            violation =
                horizon == FAR ? "G-3: the guardian enlarged what is allowed" : "G-2: loosened before the notice";
        }
        _checkPromise();
    }

    /// @dev No notice of the two, and no shortening of either, takes longer than this.
    function _noteNoticeChange() private {
        noticeSettlesAt = block.timestamp + 6 days;
    }

    function _checkPromise() private {
        uint256[] memory sets = _allowedAt(promisedTimes);
        for (uint256 i = 0; i < sets.length; ++i) {
            if (promisedTimes[i] < block.timestamp || sets[i] & ~promisedSets[i] == 0) continue;
            violation = "G-2: several transactions together loosened before the notice";
        }
    }

    /// @dev Times in [now, now + horizon): both ends, some in between, and around every known change of a version.
    function _times(uint256 horizon, uint256 seed) private view returns (uint256[] memory times) {
        times = new uint256[](MAX_TIMES);
        uint256 count = 0;
        uint256[10] memory wanted;
        (wanted[0], wanted[1]) = (block.timestamp, block.timestamp + horizon - 1);
        wanted[2] = block.timestamp + seed % (horizon + 1);
        wanted[3] = block.timestamp + uint256(keccak256(abi.encode(seed))) % (horizon + 1);
        for (uint256 i = 0; i < CODES; ++i) {
            Version memory version = _version(i);
            (wanted[4 + 2 * i], wanted[5 + 2 * i]) = (version.activeFrom, version.retireAt);
        }
        for (uint256 i = 0; i < wanted.length; ++i) {
            if (wanted[i] >= block.timestamp && wanted[i] < block.timestamp + horizon) times[count++] = wanted[i];
        }
        assembly ("memory-safe") {
            mstore(times, count)
        }
    }

    function _allowedAt(uint256[] memory times) private returns (uint256[] memory sets) {
        sets = new uint256[](times.length);
        uint256 present = block.timestamp;
        for (uint256 i = 0; i < times.length; ++i) {
            if (times[i] < present) continue;
            vm.warp(times[i]);
            sets[i] = _allowedNow();
        }
        vm.warp(present);
    }

    function _allowedNow() private view returns (uint256 set) {
        for (uint256 bit = 0; bit < PLATFORM_BITS + CODES * 8; ++bit) {
            BootRequest memory request = bit < PLATFORM_BITS ? _platform(bit) : _required(bit - PLATFORM_BITS);
            (Verdict verdict,,) = kms.decide(request);
            if (verdict == Verdict.Allowed) set |= 1 << bit;
        }
    }

    function _platform(uint256 bit) private view returns (BootRequest memory request) {
        request.info.appId = address(app);
        request.info.composeHash = _code(bit / 16);
        request.info.deviceId = _device(bit);
        request.tee = bit & 2 == 0 ? TeeKind.Tdx : TeeKind.Snp;
        request.info.tcbStatus = bit & 4 == 0 ? "UpToDate" : "OutOfDate";
        request.info.osImageHash = _image(bit >> 3);
        request.ticket = _ticket(0);
    }

    function _required(uint256 bit) private view returns (BootRequest memory request) {
        request = _platform(bit / 8 * 16);
        request.ticket = bit & 1 == 0 ? _ticket(1) : bytes32(0);
        if (bit & 4 != 0) request.info.instanceId = condition.OUTCAST();
        if (bit & 2 == 0) return request;
        request.info.advisoryIds = new string[](1);
        request.info.advisoryIds[0] = ADVISORY;
    }

    function _version(uint256 code) private view returns (Version memory version) {
        (, version) = app.codeState(_code(code));
    }

    function _code(uint256 seed) private pure returns (bytes32) {
        return keccak256(abi.encode("code", seed % CODES));
    }

    function _device(uint256 seed) private pure returns (bytes32) {
        return keccak256(abi.encode("device", seed % 2));
    }

    function _ticket(uint256 seed) private pure returns (bytes32) {
        return keccak256(abi.encode("ticket", seed % 2));
    }

    function _image(uint256 seed) private pure returns (bytes32) {
        return keccak256(abi.encode("image", seed % 2));
    }
}
