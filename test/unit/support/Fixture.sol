// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {KmsAuth} from "../../../contracts/KmsAuth.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {
    AppBootInfo,
    BootRequest,
    Reason,
    TcbStatus,
    TeeKind,
    Verdict,
    Version,
    VersionState
} from "../../../contracts/types/Boot.sol";
import {vm} from "./Vm.sol";

/// @notice A KmsAuth with one active OS image, and one app with one active code hash, on a device and under TDX.
abstract contract Fixture {
    uint40 internal constant KMS_NOTICE = 7 days;
    uint40 internal constant NOTICE = 2 days;

    address internal constant KMS_OWNER = address(0xA0);
    address internal constant KMS_GUARDIAN = address(0xA1);
    address internal constant OWNER = address(0xB0);
    address internal constant GUARDIAN = address(0xB1);
    address internal constant STRANGER = address(0xC0);

    bytes32 internal constant IMAGE = keccak256("image");
    bytes32 internal constant CODE = keccak256("code v1");
    bytes32 internal constant CODE_2 = keccak256("code v2");
    bytes32 internal constant CODE_3 = keccak256("code v3");
    bytes32 internal constant DEVICE = keccak256("device 1");
    bytes32 internal constant DEVICE_2 = keccak256("device 2");

    AppAuth internal implementation;
    KmsAuth internal kms;
    AppAuth internal app;

    function setUp() public virtual {
        implementation = new AppAuth();
        kms = new KmsAuth(address(implementation), KMS_OWNER, KMS_GUARDIAN, KMS_NOTICE);
        vm.prank(KMS_OWNER);
        kms.scheduleOsImage(IMAGE, "https://images.example/1");
        skip(KMS_NOTICE);
        vm.prank(OWNER);
        app = AppAuth(kms.deployAndRegisterApp(_init(), bytes32(0)));
    }

    function _init() internal pure returns (IAppPolicy.Init memory init) {
        init.owner = OWNER;
        init.guardian = GUARDIAN;
        init.notice = NOTICE;
        init.codeHashes = new bytes32[](1);
        init.codeHashes[0] = CODE;
        init.devices = new bytes32[](1);
        init.devices[0] = DEVICE;
        init.teeKinds = new TeeKind[](1);
        init.teeKinds[0] = TeeKind.Tdx;
        init.tcbFloor = TcbStatus.SWHardeningNeeded;
    }

    function _info() internal view returns (AppBootInfo memory info) {
        info.appId = address(app);
        info.composeHash = CODE;
        info.instanceId = address(0x11);
        info.deviceId = DEVICE;
        info.osImageHash = IMAGE;
        info.tcbStatus = "UpToDate";
    }

    function _request() internal view returns (BootRequest memory request) {
        request.info = _info();
        request.tee = TeeKind.Tdx;
    }

    function _requestFor(bytes32 codeHash) internal view returns (BootRequest memory request) {
        request = _request();
        request.info.composeHash = codeHash;
    }

    function _reason(BootRequest memory request) internal view returns (Reason reason) {
        (, reason,) = app.decide(request);
    }

    function _reasonFor(bytes32 codeHash) internal view returns (Reason) {
        return _reason(_requestFor(codeHash));
    }

    function _state(bytes32 codeHash) internal view returns (VersionState state) {
        (state,) = app.codeState(codeHash);
    }

    function _version(bytes32 codeHash) internal view returns (Version memory version) {
        (, version) = app.codeState(codeHash);
    }

    function assertReason(Reason given, Reason expected) internal pure {
        vm.assertEq(uint256(given), uint256(expected), "reason");
    }

    function assertState(VersionState given, VersionState expected) internal pure {
        vm.assertEq(uint256(given), uint256(expected), "state");
    }

    function assertVerdict(BootRequest memory request, Verdict verdict, Reason reason, uint64 validUntil)
        internal
        view
    {
        (Verdict givenVerdict, Reason givenReason, uint64 givenUntil) = kms.decide(request);
        vm.assertEq(uint256(givenReason), uint256(reason), "reason");
        vm.assertEq(uint256(givenVerdict), uint256(verdict), "verdict");
        vm.assertEq(uint256(givenUntil), uint256(validUntil), "validUntil");
    }

    function currentTime() internal view returns (uint40) {
        return uint40(block.timestamp);
    }

    function skip(uint256 duration) internal {
        vm.warp(block.timestamp + duration);
    }
}
