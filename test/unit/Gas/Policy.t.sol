// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {DomainRegistry} from "../../../contracts/DomainRegistry.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {AppBootInfo, BootRequest, TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What each operation on an app costs: execution gas of the call, as the first in its transaction, everything
/// cold, by name in `test/snapshots/gas.txt`. Preparations belong into `setUp`: what a test touches before is warm.
contract GasPolicyTest is Fixture {
    string private constant URI = "https://code.example/2";

    AppAuth private upgrading;
    DomainRegistry private registry;

    function setUp() public override {
        super.setUp();
        registry = new DomainRegistry(address(kms), OWNER);
        upgrading = AppAuth(kms.deployAndRegisterApp(_init(), bytes32(uint256(7))));
        vm.startPrank(OWNER);
        registry.approveDomain("old.example.org", address(app));
        upgrading.scheduleCode(CODE_2, URI, false, 0);
        upgrading.retireCode(CODE, currentTime() + 30 days);
        vm.stopPrank();
        vm.prank(KMS_OWNER);
        kms.suspendApp(address(upgrading));
    }

    function test_gas_decide() external {
        BootRequest memory request = _request();
        kms.decide(request);
        vm.snapshotGasLastCall("KmsAuth.decide, active hash");
    }

    function test_gas_decideOfApp() external {
        BootRequest memory request = _request();
        app.decide(request);
        vm.snapshotGasLastCall("AppAuth.decide, active hash");
    }

    function test_gas_isAppAllowed() external {
        AppBootInfo memory info = _info();
        app.isAppAllowed(info);
        vm.snapshotGasLastCall("AppAuth.isAppAllowed, active hash");
    }

    function test_gas_isAppAllowedByKms() external {
        AppBootInfo memory info = _info();
        kms.isAppAllowed(info);
        vm.snapshotGasLastCall("KmsAuth.isAppAllowed, active hash");
    }

    function test_gas_isAppAllowedForAnUnknownHash() external {
        AppBootInfo memory info = _info();
        info.composeHash = CODE_3;
        app.isAppAllowed(info);
        vm.snapshotGasLastCall("AppAuth.isAppAllowed, unknown hash");
    }

    function test_gas_deployAndRegisterApp() external {
        IAppPolicy.Init memory init = _init();
        init.devices = new bytes32[](0);
        init.anyDevice = true;
        kms.deployAndRegisterApp(init, bytes32(uint256(8)));
        vm.snapshotGasLastCall("KmsAuth.deployAndRegisterApp, one hash, any device");
    }

    function test_gas_suspendApp() external {
        vm.prank(KMS_GUARDIAN);
        kms.suspendApp(address(app));
        vm.snapshotGasLastCall("KmsAuth.suspendApp");
    }

    function test_gas_liftSuspension() external {
        vm.prank(KMS_OWNER);
        kms.liftSuspension(address(upgrading));
        vm.snapshotGasLastCall("KmsAuth.liftSuspension");
    }

    function test_gas_scheduleOsImage() external {
        vm.prank(KMS_OWNER);
        kms.scheduleOsImage(keccak256("image 2"), URI);
        vm.snapshotGasLastCall("KmsAuth.scheduleOsImage");
    }

    function test_gas_revokeOsImage() external {
        vm.prank(KMS_GUARDIAN);
        kms.revokeOsImage(IMAGE);
        vm.snapshotGasLastCall("KmsAuth.revokeOsImage");
    }

    function test_gas_scheduleCode() external {
        _asOwner(abi.encodeCall(app.scheduleCode, (CODE_2, URI, false, 0)), "scheduleCode");
    }

    function test_gas_scheduleCodeSuperseding() external {
        _asOwner(abi.encodeCall(app.scheduleCode, (CODE_2, URI, true, 1 days)), "scheduleCode, superseding one");
    }

    function test_gas_scheduleCodeAgain() external {
        vm.prank(OWNER);
        upgrading.scheduleCode(CODE, URI, false, 0);
        vm.snapshotGasLastCall("AppAuth.scheduleCode, dropping a retirement");
    }

    function test_gas_addComposeHash() external {
        _asOwner(abi.encodeCall(app.addComposeHash, (CODE_2)), "addComposeHash");
    }

    function test_gas_removeComposeHash() external {
        _asOwner(abi.encodeCall(app.removeComposeHash, (CODE)), "removeComposeHash");
    }

    function test_gas_retireCode() external {
        _asOwner(abi.encodeCall(app.retireCode, (CODE, currentTime() + 1 days)), "retireCode");
    }

    function test_gas_revokeCode() external {
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        vm.snapshotGasLastCall("AppAuth.revokeCode");
    }

    function test_gas_revokeCodeOfTwo() external {
        vm.prank(GUARDIAN);
        upgrading.revokeCode(CODE, false);
        vm.snapshotGasLastCall("AppAuth.revokeCode, first of two");
    }

    function test_gas_revokeCodeRotating() external {
        _asOwner(abi.encodeCall(app.revokeCode, (CODE, true)), "revokeCode, rotating");
    }

    function test_gas_rotateKeys() external {
        _asOwner(abi.encodeCall(app.rotateKeys, (1 days)), "rotateKeys");
    }

    function test_gas_pause() external {
        vm.prank(GUARDIAN);
        app.pause(currentTime() + 1 days);
        vm.snapshotGasLastCall("AppAuth.pause, by the guardian");
    }

    function test_gas_allowDevice() external {
        _asOwner(abi.encodeCall(app.allowDevice, (DEVICE_2)), "allowDevice");
    }

    function test_gas_denyDevice() external {
        _asOwner(abi.encodeCall(app.denyDevice, (DEVICE)), "denyDevice");
    }

    function test_gas_allowAnyDevice() external {
        _asOwner(abi.encodeCall(app.allowAnyDevice, ()), "allowAnyDevice");
    }

    function test_gas_allowTee() external {
        _asOwner(abi.encodeCall(app.allowTee, (TeeKind.Snp)), "allowTee");
    }

    function test_gas_removeTee() external {
        _asOwner(abi.encodeCall(app.removeTee, (TeeKind.Tdx)), "removeTee");
    }

    function test_gas_setTcbFloor() external {
        _asOwner(abi.encodeCall(app.setTcbFloor, (TcbStatus.UpToDate)), "setTcbFloor, raising");
    }

    function test_gas_setNotice() external {
        _asOwner(abi.encodeCall(app.setNotice, (NOTICE + 1)), "setNotice, lengthening");
    }

    function test_gas_transferOwnership() external {
        _asOwner(abi.encodeCall(app.transferOwnership, (STRANGER)), "transferOwnership");
    }

    function test_gas_approveDomain() external {
        vm.prank(OWNER);
        registry.approveDomain("app.example.org", address(app));
        vm.snapshotGasLastCall("DomainRegistry.approveDomain");
    }

    function test_gas_releaseDomain() external {
        vm.prank(OWNER);
        registry.releaseDomain("old.example.org");
        vm.snapshotGasLastCall("DomainRegistry.releaseDomain");
    }

    function _asOwner(bytes memory data, string memory name) private {
        vm.prank(OWNER);
        (bool success,) = address(app).call(data);
        vm.snapshotGasLastCall(string.concat("AppAuth.", name));
        vm.assertTrue(success);
    }
}
