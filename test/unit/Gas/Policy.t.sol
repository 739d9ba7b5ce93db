// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {DomainRegistry} from "../../../contracts/DomainRegistry.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {AppBootInfo, BootRequest, TcbStatus, TeeKind} from "../../../contracts/types/Boot.sol";
import {ConditionStub} from "../support/ConditionStub.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What each operation on an app costs: execution gas of the call, as the first in its transaction, everything
/// cold, by name in `test/snapshots/gas.txt`. Preparations belong into `setUp`: what a test touches before is warm. Where a
/// limit is promised, it is asserted.
///
/// `forge test --gas-report` shows other numbers for the same calls. It makes a transaction of each, so that what the tests
/// call themselves (`KmsAuth`, councils, the factory) costs 21,000 and the calldata more than here. Of an app, it shows what
/// the implementation spends, which is `CLONE` less than the call of the clone that users make and that is measured here:
/// `isAppAllowed` 13,941 (here 16,691), `scheduleCode` 32,224 (34,923), superseding 37,479 (40,178), `revokeCode` 9,532
/// (12,207), `deployAndRegisterApp` 189,208 (164,960), `RoleCouncil.approve` 51,552 (29,848).
contract GasPolicyTest is Fixture {
    /// @dev The implementation's account is cold (2,600), and the question is copied. Limits are those of the implementation.
    uint256 private constant CLONE = 2_800;

    string private constant URI = "https://code.example/2";

    AppAuth private upgrading;
    AppAuth private superseding;
    DomainRegistry private registry;
    ConditionStub private condition;

    function setUp() public override {
        super.setUp();
        condition = new ConditionStub();
        registry = new DomainRegistry(address(kms), OWNER);
        upgrading = AppAuth(kms.deployAndRegisterApp(_init(), bytes32(uint256(7))));
        superseding = AppAuth(kms.deployAndRegisterApp(_init(), bytes32(uint256(9))));
        vm.startPrank(OWNER);
        registry.approveDomain("old.example.org", address(app));
        upgrading.scheduleCode(CODE_2, URI, false, 0);
        upgrading.retireCode(CODE, currentTime() + 30 days);
        superseding.scheduleCode(CODE_2, URI, true, 1 days);
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
        _check(vm.snapshotGasLastCall("AppAuth.isAppAllowed, active hash"), 22_500 + CLONE);
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
        _check(vm.snapshotGasLastCall("KmsAuth.deployAndRegisterApp, one hash, any device"), 190_000);
    }

    function test_gas_deployAndRegisterAppWithADevice() external {
        kms.deployAndRegisterApp(_init(), bytes32(uint256(8)));
        vm.snapshotGasLastCall("KmsAuth.deployAndRegisterApp, one hash, one device");
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
        _check(_asOwner(abi.encodeCall(app.scheduleCode, (CODE_2, URI, false, 0)), "scheduleCode"), 40_000 + CLONE);
    }

    function test_gas_scheduleCodeSuperseding() external {
        bytes memory data = abi.encodeCall(app.scheduleCode, (CODE_2, URI, true, 1 days));
        _check(_asOwner(data, "scheduleCode, superseding"), 40_000 + CLONE);
    }

    function test_gas_scheduleCodeSupersedingWhileOneWaits() external {
        vm.prank(OWNER);
        superseding.scheduleCode(CODE_3, URI, true, 1 days);
        vm.snapshotGasLastCall("AppAuth.scheduleCode, superseding while an upgrade waits");
    }

    function test_gas_scheduleCodeUntil() external {
        uint40 expiresAt = currentTime() + 30 days;
        _asOwner(abi.encodeCall(app.scheduleCodeUntil, (CODE_2, URI, false, 0, expiresAt)), "scheduleCodeUntil");
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
        _check(vm.snapshotGasLastCall("AppAuth.revokeCode, by the guardian"), 12_000 + CLONE);
    }

    function test_gas_revokeCodeByTheOwner() external {
        _check(_asOwner(abi.encodeCall(app.revokeCode, (CODE, false)), "revokeCode"), 12_000 + CLONE);
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

    function test_gas_addCondition() external {
        _asOwner(abi.encodeCall(app.addCondition, (address(condition))), "addCondition");
    }

    function test_gas_requireTicket() external {
        _asOwner(abi.encodeCall(app.requireTicket, (true)), "requireTicket");
    }

    function test_gas_allowTicket() external {
        _asOwner(abi.encodeCall(app.allowTicket, (keccak256("ticket"))), "allowTicket");
    }

    function test_gas_denyAdvisory() external {
        _asOwner(abi.encodeCall(app.denyAdvisory, ("INTEL-SA-00615")), "denyAdvisory");
    }

    function test_gas_sunset() external {
        _asOwner(abi.encodeCall(app.sunset, ()), "sunset");
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

    function _asOwner(bytes memory data, string memory name) private returns (uint256 spent) {
        vm.prank(OWNER);
        (bool success,) = address(app).call(data);
        spent = vm.snapshotGasLastCall(string.concat("AppAuth.", name));
        vm.assertTrue(success);
    }

    function _check(uint256 spent, uint256 limit) private pure {
        vm.assertTrue(spent <= limit, "more gas than allowed");
    }
}
