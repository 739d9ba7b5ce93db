// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {DomainRegistry} from "../../contracts/DomainRegistry.sol";
import {IDomainRegistry} from "../../contracts/interfaces/IDomainRegistry.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";
import {ForeignAppStub} from "./support/ForeignAppStub.sol";

contract DomainRegistryTest is Fixture {
    address private constant REGISTRAR = address(0xD0);
    address private constant RECORDER = address(0xD1);
    string private constant NAME = "app.example.org";

    DomainRegistry private registry;

    function setUp() public override {
        super.setUp();
        registry = new DomainRegistry(address(kms), REGISTRAR);
        vm.prank(REGISTRAR);
        registry.setRecorder(RECORDER, true);
    }

    function _approve(string memory name) private {
        vm.prank(OWNER);
        registry.approveDomain(name, address(app));
    }

    function test_approveDomain_LetsTheAppServeIt() external {
        vm.expectEmit(address(registry));
        emit IDomainRegistry.DomainApproved(keccak256(bytes(NAME)), address(app), NAME);
        _approve(NAME);
        vm.assertEq(registry.appOf(NAME), address(app));
        IDomainRegistry.Domain memory found = registry.domain(NAME);
        vm.assertEq(found.name, NAME);
        vm.assertEq(found.app, address(app));
        vm.assertEq(found.approvedAt, currentTime());
        vm.assertEq(registry.appOf("example.org"), address(0));
    }

    function test_approveDomain_RevertIf_NotTheAppsOwner() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, STRANGER));
        registry.approveDomain(NAME, address(app));
    }

    function test_approveDomain_RevertIf_NotRegistered() external {
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotRegistered.selector, STRANGER));
        registry.approveDomain(NAME, STRANGER);
    }

    function test_approveDomain_RevertIf_AForeignAppHasNoOwner() external {
        ForeignAppStub foreign = new ForeignAppStub();
        kms.registerForeignApp(address(foreign));
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, address(this)));
        registry.approveDomain(NAME, address(foreign));
    }

    function test_approveDomain_RevertIf_Approved() external {
        _approve(NAME);
        address other = kms.deployAndRegisterApp(_init(), bytes32(uint256(1)));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.AlreadyApproved.selector, NAME, address(app)));
        registry.approveDomain(NAME, other);
    }

    function test_approveDomain_TakesOnlyNamesInTheOneSpelling() external {
        string[4] memory good = ["a", "xn--bcher-kva.example", "1.2.3", "a-b.c"];
        for (uint256 i = 0; i < good.length; ++i) {
            _approve(good[i]);
        }
        string[12] memory bad = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "A.example",
            "-a.example",
            "a-.example",
            "*.example",
            "a_b.example",
            "a b",
            "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcd.example"
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.prank(OWNER);
            vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.InvalidDomain.selector, bad[i]));
            registry.approveDomain(bad[i], address(app));
        }
    }

    function test_approveDomain_BoundsTheLength() external {
        bytes memory longest = new bytes(253);
        for (uint256 i = 0; i < longest.length; ++i) {
            longest[i] = i % 2 == 0 ? bytes1("a") : bytes1(".");
        }
        _approve(string(longest));
        string memory longer = string.concat(string(longest), "b");
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.InvalidDomain.selector, longer));
        registry.approveDomain(longer, address(app));
    }

    function test_releaseDomain_ByTheAppsOwnerOrTheRegistrysOwner() external {
        _approve(NAME);
        vm.expectEmit(address(registry));
        emit IDomainRegistry.DomainReleased(keccak256(bytes(NAME)), address(app), OWNER);
        vm.prank(OWNER);
        registry.releaseDomain(NAME);
        vm.assertEq(registry.appOf(NAME), address(0));
        _approve(NAME);
        vm.prank(REGISTRAR);
        registry.releaseDomain(NAME);
        vm.assertEq(registry.domain(NAME).name, "");
    }

    function test_releaseDomain_KeepsTheOthersInTheList() external {
        _approve("one.example");
        _approve("two.example");
        _approve("three.example");
        vm.prank(OWNER);
        registry.releaseDomain("one.example");
        (IDomainRegistry.Domain[] memory page, uint256 total) = registry.domains(0, 10);
        vm.assertEq(total, 2);
        vm.assertEq(page[0].name, "three.example");
        vm.assertEq(page[1].name, "two.example");
        vm.startPrank(OWNER);
        registry.releaseDomain("two.example");
        registry.releaseDomain("three.example");
        (page, total) = registry.domains(0, 10);
        vm.assertEq(total, 0);
    }

    function test_releaseDomain_RevertIf_NeitherOwner() external {
        _approve(NAME);
        vm.prank(RECORDER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, RECORDER));
        registry.releaseDomain(NAME);
    }

    function test_releaseDomain_RevertIf_NotApproved() external {
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotApproved.selector, NAME));
        registry.releaseDomain(NAME);
    }

    function test_domains_Pages() external {
        _approve("one.example");
        _approve("two.example");
        (IDomainRegistry.Domain[] memory page, uint256 total) = registry.domains(1, 5);
        vm.assertEq(total, 2);
        vm.assertEq(page.length, 1);
        vm.assertEq(page[0].name, "two.example");
        (page, total) = registry.domains(5, 5);
        vm.assertEq(page.length, 0);
        (page, total) = registry.domains(0, type(uint256).max);
        vm.assertEq(page.length, 2);
    }

    function test_pinAccount_ByRecorderOrAppOwner() external {
        _approve(NAME);
        vm.expectEmit(address(registry));
        emit IDomainRegistry.AccountPinned(keccak256(bytes(NAME)), "ca.example", "https://ca.example/acct/1");
        vm.prank(RECORDER);
        registry.pinAccount(NAME, "ca.example", "https://ca.example/acct/1");
        vm.prank(OWNER);
        registry.pinAccount(NAME, "ca.example", "https://ca.example/acct/2");
        vm.assertEq(registry.domain(NAME).accountUri, "https://ca.example/acct/2");
    }

    function test_pinAccount_RevertIf_Stranger() external {
        _approve(NAME);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, STRANGER));
        registry.pinAccount(NAME, "ca.example", "");
    }

    function test_pinAccount_RevertIf_Same() external {
        _approve(NAME);
        vm.startPrank(OWNER);
        registry.pinAccount(NAME, "ca.example", "x");
        vm.expectRevert(IDomainRegistry.NothingToChange.selector);
        registry.pinAccount(NAME, "ca.example", "x");
    }

    function test_pinAccount_RevertIf_TooLong() external {
        _approve(NAME);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.TextTooLong.selector, 513, 512));
        registry.pinAccount(NAME, string(new bytes(513)), "x");
    }

    function test_recordCertificate_ByRecorders() external {
        _approve(NAME);
        vm.expectEmit(address(registry));
        emit IDomainRegistry.CertificateRecorded(keccak256(bytes(NAME)), CODE, CODE_2, 123);
        vm.prank(RECORDER);
        registry.recordCertificate(NAME, CODE, CODE_2, 123);
        IDomainRegistry.Domain memory found = registry.domain(NAME);
        vm.assertEq(found.certificate, CODE);
        vm.assertEq(found.spkiHash, CODE_2);
        vm.assertEq(found.notAfter, 123);
        vm.prank(RECORDER);
        vm.expectRevert(IDomainRegistry.NothingToChange.selector);
        registry.recordCertificate(NAME, CODE, CODE_2, 123);
    }

    function test_recordCertificate_RevertIf_NotRecorder() external {
        _approve(NAME);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, OWNER));
        registry.recordCertificate(NAME, CODE, CODE_2, 123);
    }

    function test_recordCertificate_RevertIf_NotApproved() external {
        vm.prank(RECORDER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotApproved.selector, NAME));
        registry.recordCertificate(NAME, CODE, CODE_2, 123);
    }

    function test_setRecorder_ByTheOwnerOnly() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, STRANGER));
        registry.setRecorder(STRANGER, true);
        vm.startPrank(REGISTRAR);
        vm.expectRevert(IDomainRegistry.NothingToChange.selector);
        registry.setRecorder(RECORDER, true);
        vm.expectEmit(address(registry));
        emit IDomainRegistry.RecorderSet(RECORDER, false);
        registry.setRecorder(RECORDER, false);
        vm.assertFalse(registry.isRecorder(RECORDER));
    }

    function test_acceptOwnership_InTwoSteps() external {
        vm.expectEmit(address(registry));
        emit IDomainRegistry.OwnershipTransferStarted(STRANGER);
        vm.prank(REGISTRAR);
        registry.transferOwnership(STRANGER);
        vm.assertEq(registry.owner(), REGISTRAR);
        vm.prank(RECORDER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, RECORDER));
        registry.acceptOwnership();
        vm.expectEmit(address(registry));
        emit IDomainRegistry.OwnershipTransferred(REGISTRAR, STRANGER);
        vm.prank(STRANGER);
        registry.acceptOwnership();
        vm.assertEq(registry.owner(), STRANGER);
        vm.assertEq(registry.pendingOwner(), address(0));
    }

    function test_constructor_RevertIf_ZeroOwner() external {
        vm.expectRevert(IDomainRegistry.ZeroOwner.selector);
        new DomainRegistry(address(kms), address(0));
    }
}
