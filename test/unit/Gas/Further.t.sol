// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {DomainRegistry} from "../../../contracts/DomainRegistry.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {ConditionStub} from "../support/ConditionStub.sol";
import {Fixture} from "../support/Fixture.sol";
import {ForeignAppStub} from "../support/ForeignAppStub.sol";
import {vm} from "../support/Vm.sol";

/// @notice What is done more seldom to an app, to the registries and with domains, as `GasPolicyTest` measures it.
contract GasFurtherTest is Fixture {
    address private constant NEXT = address(0xD2);
    bytes32 private constant TICKET = keccak256("ticket");
    string private constant NAME = "app.example.org";

    AppAuth private used;
    AppAuth private unregistered;
    ForeignAppStub private foreign;
    DomainRegistry private registry;
    ConditionStub private condition;

    /// @dev `used` has one of everything that can be taken back, and an owner to come.
    function setUp() public override {
        super.setUp();
        condition = new ConditionStub();
        foreign = new ForeignAppStub();
        registry = new DomainRegistry(address(kms), OWNER);
        unregistered = AppAuth(Clones.cloneWithImmutableArgs(address(implementation), abi.encodePacked(address(kms))));
        unregistered.initialize(_init());
        IAppPolicy.Init memory init = _init();
        (init.anyDevice, init.conditions, init.tickets) = (true, new address[](1), new bytes32[](1));
        (init.conditions[0], init.tickets[0]) = (address(condition), TICKET);
        used = AppAuth(kms.deployAndRegisterApp(init, bytes32(uint256(7))));
        vm.startPrank(OWNER);
        used.denyAdvisory("INTEL-SA-00615");
        used.transferOwnership(NEXT);
        registry.approveDomain(NAME, address(app));
        registry.setRecorder(GUARDIAN, true);
        registry.transferOwnership(NEXT);
        vm.stopPrank();
        vm.prank(GUARDIAN);
        used.pause(currentTime() + 1 hours);
        vm.prank(KMS_OWNER);
        kms.transferOwnership(NEXT);
        skip(KMS_NOTICE);
    }

    function test_gas_armGuardianPause() external {
        _toUsed(abi.encodeCall(used.armGuardianPause, ()), "armGuardianPause");
    }

    function test_gas_removeAnyDevice() external {
        _toUsed(abi.encodeCall(used.removeAnyDevice, ()), "removeAnyDevice");
    }

    function test_gas_addDevice() external {
        _toUsed(abi.encodeCall(used.addDevice, (DEVICE_2)), "addDevice");
    }

    function test_gas_removeDevice() external {
        _toUsed(abi.encodeCall(used.removeDevice, (DEVICE)), "removeDevice");
    }

    function test_gas_removeCondition() external {
        _toUsed(abi.encodeCall(used.removeCondition, (address(condition))), "removeCondition");
    }

    function test_gas_revokeTicket() external {
        _toUsed(abi.encodeCall(used.revokeTicket, (TICKET)), "revokeTicket");
    }

    function test_gas_liftAdvisory() external {
        _toUsed(abi.encodeCall(used.liftAdvisory, ("INTEL-SA-00615")), "liftAdvisory");
    }

    function test_gas_setGuardian() external {
        _toUsed(abi.encodeCall(used.setGuardian, (STRANGER)), "setGuardian");
    }

    function test_gas_acceptOwnership() external {
        vm.prank(NEXT);
        used.acceptOwnership();
        vm.snapshotGasLastCall("AppAuth.acceptOwnership");
    }

    function test_gas_registerApp() external {
        kms.registerApp(address(unregistered));
        vm.snapshotGasLastCall("KmsAuth.registerApp");
    }

    function test_gas_registerForeignApp() external {
        kms.registerForeignApp(address(foreign));
        vm.snapshotGasLastCall("KmsAuth.registerForeignApp");
    }

    function test_gas_retireOsImage() external {
        vm.prank(KMS_OWNER);
        kms.retireOsImage(IMAGE, currentTime() + 1 days);
        vm.snapshotGasLastCall("KmsAuth.retireOsImage");
    }

    function test_gas_setKmsApp() external {
        vm.prank(KMS_OWNER);
        kms.setKmsApp(address(app));
        vm.snapshotGasLastCall("KmsAuth.setKmsApp, first");
    }

    function test_gas_setGatewayApp() external {
        vm.prank(KMS_OWNER);
        kms.setGatewayApp(address(app));
        vm.snapshotGasLastCall("KmsAuth.setGatewayApp, first");
    }

    function test_gas_setGuardianOfKms() external {
        vm.prank(KMS_OWNER);
        kms.setGuardian(STRANGER);
        vm.snapshotGasLastCall("KmsAuth.setGuardian");
    }

    function test_gas_acceptOwnershipOfKms() external {
        vm.prank(NEXT);
        kms.acceptOwnership();
        vm.snapshotGasLastCall("KmsAuth.acceptOwnership");
    }

    function test_gas_pinAccount() external {
        vm.prank(GUARDIAN);
        registry.pinAccount(NAME, "ca.example", "https://ca.example/acct/1");
        vm.snapshotGasLastCall("DomainRegistry.pinAccount");
    }

    function test_gas_recordCertificate() external {
        vm.prank(GUARDIAN);
        registry.recordCertificate(NAME, keccak256("certificate"), keccak256("key"), currentTime() + 90 days);
        vm.snapshotGasLastCall("DomainRegistry.recordCertificate");
    }

    function test_gas_reportIncident() external {
        _report();
        vm.snapshotGasLastCall("DomainRegistry.reportIncident");
    }

    function test_gas_closeIncident() external {
        _report();
        vm.prank(OWNER);
        registry.closeIncident(NAME, keccak256("certificate"), "ordered by hand for the move to a new issuer");
        vm.snapshotGasLastCall("DomainRegistry.closeIncident");
    }

    function test_gas_setRecorder() external {
        vm.prank(OWNER);
        registry.setRecorder(STRANGER, true);
        vm.snapshotGasLastCall("DomainRegistry.setRecorder, allowing");
    }

    function test_gas_acceptOwnershipOfDomains() external {
        vm.prank(NEXT);
        registry.acceptOwnership();
        vm.snapshotGasLastCall("DomainRegistry.acceptOwnership");
    }

    function _report() private {
        vm.prank(STRANGER);
        registry.reportIncident(NAME, keccak256("certificate"), "https://ct.example/log 123456");
    }

    function _toUsed(bytes memory data, string memory name) private {
        vm.prank(OWNER);
        (bool success,) = address(used).call(data);
        vm.snapshotGasLastCall(string.concat("AppAuth.", name));
        vm.assertTrue(success);
    }
}
