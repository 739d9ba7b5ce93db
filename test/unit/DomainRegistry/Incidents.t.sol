// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {DomainRegistry} from "../../../contracts/DomainRegistry.sol";
import {IDomainRegistry} from "../../../contracts/interfaces/IDomainRegistry.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract DomainRegistryIncidentsTest is Fixture {
    address private constant REGISTRAR = address(0xD0);
    address private constant RECORDER = address(0xD1);
    string private constant NAME = "app.example.org";
    string private constant EVIDENCE = "https://ct.example/log 123456";
    string private constant REASON = "ordered by hand for the move to a new issuer";
    bytes32 private constant SEEN = keccak256("certificate");
    bytes32 private constant OTHER = keccak256("another certificate");

    DomainRegistry private registry;

    function setUp() public override {
        super.setUp();
        registry = new DomainRegistry(address(kms), REGISTRAR);
        vm.prank(REGISTRAR);
        registry.setRecorder(RECORDER, true);
        _approve(address(app));
    }

    function _approve(address served) private {
        vm.prank(OWNER);
        registry.approveDomain(NAME, served);
    }

    function _release() private {
        vm.prank(OWNER);
        registry.releaseDomain(NAME);
    }

    function _report(bytes32 fingerprint) private {
        vm.prank(STRANGER);
        registry.reportIncident(NAME, fingerprint, EVIDENCE);
    }

    function _close(bytes32 fingerprint) private {
        vm.prank(OWNER);
        registry.closeIncident(NAME, fingerprint, REASON);
    }

    function _record(bytes32 fingerprint) private {
        vm.prank(RECORDER);
        registry.recordCertificate(NAME, fingerprint, CODE_2, 123);
    }

    function _expectNotOpen(IDomainRegistry.IncidentState state) private {
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.IncidentNotOpen.selector, NAME, SEEN, state));
    }

    function _assertIncident(IDomainRegistry.IncidentState state, uint40 reportedAt, uint40 closedAt, address reporter)
        private
        view
    {
        (IDomainRegistry.IncidentState told, uint40 reported, uint40 closed, address by) = registry.incident(NAME, SEEN);
        vm.assertEq(uint256(told), uint256(state));
        vm.assertEq(reported, reportedAt);
        vm.assertEq(closed, closedAt);
        vm.assertEq(by, reporter);
    }

    function test_reportIncident_ByAnyoneOpensOne() external {
        _assertIncident(IDomainRegistry.IncidentState.None, 0, 0, address(0));
        vm.expectEmit(address(registry));
        emit IDomainRegistry.IncidentReported(keccak256(bytes(NAME)), SEEN, STRANGER, address(app), NAME, EVIDENCE);
        _report(SEEN);
        _assertIncident(IDomainRegistry.IncidentState.Open, currentTime(), 0, STRANGER);
        vm.assertEq(registry.openIncidents(NAME), 1);
        vm.assertEq(registry.openIncidents("example.org"), 0);
    }

    function test_reportIncident_DecidesNothing() external {
        _record(OTHER);
        bytes memory before = abi.encode(registry.domain(NAME));
        _report(SEEN);
        vm.assertEq(abi.encode(registry.domain(NAME)), before);
    }

    function test_reportIncident_RevertIf_NotApproved() external {
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotApproved.selector, "example.org"));
        registry.reportIncident("example.org", SEEN, EVIDENCE);
    }

    function test_reportIncident_RevertIf_ZeroFingerprint() external {
        vm.expectRevert(IDomainRegistry.ZeroFingerprint.selector);
        registry.reportIncident(NAME, 0, EVIDENCE);
    }

    function test_reportIncident_RevertIf_EvidenceTooLong() external {
        registry.reportIncident(NAME, OTHER, string(new bytes(512)));
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.TextTooLong.selector, 513, 512));
        registry.reportIncident(NAME, SEEN, string(new bytes(513)));
    }

    function test_reportIncident_RevertIf_EverRecordedForTheApp() external {
        _record(SEEN);
        _record(OTHER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.AlreadyRecorded.selector, NAME, SEEN));
        registry.reportIncident(NAME, SEEN, EVIDENCE);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.AlreadyRecorded.selector, NAME, OTHER));
        registry.reportIncident(NAME, OTHER, EVIDENCE);
    }

    function test_reportIncident_RevertIf_OpenOrClosed() external {
        _report(SEEN);
        uint40 reportedAt = currentTime();
        bytes memory refusal = abi.encodeWithSelector(IDomainRegistry.AlreadyReported.selector, NAME, SEEN, reportedAt);
        skip(1);
        vm.expectRevert(refusal);
        registry.reportIncident(NAME, SEEN, EVIDENCE);
        _close(SEEN);
        vm.expectRevert(refusal);
        registry.reportIncident(NAME, SEEN, EVIDENCE);
    }

    function test_recordCertificate_LeavesAnIncidentOpen() external {
        _report(SEEN);
        uint40 reportedAt = currentTime();
        skip(1);
        _record(SEEN);
        _assertIncident(IDomainRegistry.IncidentState.Open, reportedAt, 0, STRANGER);
        vm.assertEq(registry.openIncidents(NAME), 1);
        _close(SEEN);
        vm.assertEq(registry.openIncidents(NAME), 0);
    }

    function test_closeIncident_KeepsTheRecord() external {
        _report(SEEN);
        _report(OTHER);
        uint40 reportedAt = currentTime();
        skip(1 hours);
        vm.expectEmit(address(registry));
        emit IDomainRegistry.IncidentClosed(keccak256(bytes(NAME)), SEEN, OWNER, address(app), REASON);
        _close(SEEN);
        _assertIncident(IDomainRegistry.IncidentState.Closed, reportedAt, currentTime(), STRANGER);
        vm.assertEq(registry.openIncidents(NAME), 1);
    }

    function test_closeIncident_RevertIf_NotTheAppsOwner() external {
        _report(SEEN);
        address[3] memory others = [REGISTRAR, RECORDER, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotAuthorized.selector, others[i]));
            registry.closeIncident(NAME, SEEN, REASON);
        }
    }

    function test_closeIncident_RevertIf_NotApproved() external {
        _report(SEEN);
        _release();
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.NotApproved.selector, NAME));
        registry.closeIncident(NAME, SEEN, REASON);
    }

    function test_closeIncident_RevertIf_NoReasonOrTooLong() external {
        _report(SEEN);
        vm.startPrank(OWNER);
        vm.expectRevert(IDomainRegistry.EmptyReason.selector);
        registry.closeIncident(NAME, SEEN, "");
        vm.expectRevert(abi.encodeWithSelector(IDomainRegistry.TextTooLong.selector, 513, 512));
        registry.closeIncident(NAME, SEEN, string(new bytes(513)));
        registry.closeIncident(NAME, SEEN, string(new bytes(512)));
    }

    function test_closeIncident_RevertIf_NotOpen() external {
        vm.startPrank(OWNER);
        _expectNotOpen(IDomainRegistry.IncidentState.None);
        registry.closeIncident(NAME, SEEN, REASON);
        vm.stopPrank();
        _report(SEEN);
        _close(SEEN);
        vm.prank(OWNER);
        _expectNotOpen(IDomainRegistry.IncidentState.Closed);
        registry.closeIncident(NAME, SEEN, REASON);
    }

    function test_releaseDomain_DoesNotRidTheAppOfItsIncidents() external {
        _report(SEEN);
        uint40 reportedAt = currentTime();
        _release();
        _assertIncident(IDomainRegistry.IncidentState.None, 0, 0, address(0));
        vm.assertEq(registry.openIncidents(NAME), 0);
        skip(1);
        _approve(address(app));
        _assertIncident(IDomainRegistry.IncidentState.Open, reportedAt, 0, STRANGER);
        vm.assertEq(registry.openIncidents(NAME), 1);
    }

    /// @dev Otherwise a squatter could make its certificates pass for known ones of who comes next.
    function test_reportIncident_OfWhatAnEarlierAppRecordedOrClosed() external {
        _record(OTHER);
        _report(SEEN);
        _close(SEEN);
        _release();
        _approve(kms.deployAndRegisterApp(_init(), bytes32(uint256(1))));
        _report(SEEN);
        _report(OTHER);
        vm.assertEq(registry.openIncidents(NAME), 2);
    }

    function testFuzz_openIncidents_CountsWhatWasReportedAndNotClosed(bytes32[8] memory seeds, uint8 steps) external {
        uint256 open;
        for (uint256 i = 0; i < seeds.length; ++i) {
            // A few fingerprints, so that some are reported twice.
            bytes32 fingerprint = bytes32(uint256(seeds[i]) % 4 + 1);
            (IDomainRegistry.IncidentState before,,,) = registry.incident(NAME, fingerprint);
            bool closing = steps >> i & 1 == 1;
            vm.prank(OWNER);
            (bool success,) = address(registry)
                .call(
                    closing
                        ? abi.encodeCall(registry.closeIncident, (NAME, fingerprint, REASON))
                        : abi.encodeCall(registry.reportIncident, (NAME, fingerprint, EVIDENCE))
                );
            bool expected =
                before == (closing ? IDomainRegistry.IncidentState.Open : IDomainRegistry.IncidentState.None);
            vm.assertEq(success, expected);
            if (success) open = closing ? open - 1 : open + 1;
            vm.assertEq(registry.openIncidents(NAME), open);
        }
    }
}
