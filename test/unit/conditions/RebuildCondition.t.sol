// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RebuildCondition} from "../../../contracts/conditions/RebuildCondition.sol";
import {IRebuildCondition} from "../../../contracts/interfaces/IRebuildCondition.sol";
import {BootRequest} from "../../../contracts/types/Boot.sol";
import {ContractSigner, vmMore} from "../support/SignerStubs.sol";
import {vm} from "../support/Vm.sol";

/// @notice Two of three rebuilders, whose keys are 1 to 3, and a notice of two days.
contract RebuildConditionTest {
    uint40 private constant NOTICE = 2 days;
    bytes32 private constant CODE = keccak256("code");
    bytes32 private constant OTHER = keccak256("other code");
    string private constant SOURCE = "https://example.org/notes/v2";
    address private constant STRANGER = address(0xC0);

    address private immutable ANN = vm.addr(1);
    address private immutable BEN = vm.addr(2);
    address private immutable CAT = vm.addr(3);

    RebuildCondition private condition;
    uint256 private deadline;

    function setUp() external {
        condition = new RebuildCondition(_three(ANN, BEN, CAT), 2, NOTICE);
        deadline = block.timestamp + 1 days;
    }

    function test_constructor_KeepsWhatItWasGiven() external view {
        vm.assertEq(condition.threshold(), 2);
        vm.assertEq(condition.notice(), NOTICE);
        vm.assertEq(keccak256(abi.encode(condition.rebuilders())), keccak256(abi.encode(_three(ANN, BEN, CAT))));
    }

    function test_constructor_RevertIf_TheQuorumCannotBe() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidQuorum.selector, 0, 3, 64));
        new RebuildCondition(_three(ANN, BEN, CAT), 0, NOTICE);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidQuorum.selector, 4, 3, 64));
        new RebuildCondition(_three(ANN, BEN, CAT), 4, NOTICE);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidQuorum.selector, 1, 65, 64));
        new RebuildCondition(new address[](65), 1, NOTICE);
    }

    function test_constructor_RevertIf_ARebuilderIsZeroOrTwice() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidRebuilder.selector, address(0)));
        new RebuildCondition(_three(ANN, address(0), CAT), 2, NOTICE);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidRebuilder.selector, ANN));
        new RebuildCondition(_three(ANN, BEN, ANN), 2, NOTICE);
    }

    function test_constructor_RevertIf_TheNoticeIsTooLong() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.NoticeTooLong.selector, 365 days + 1, 365 days));
        new RebuildCondition(_three(ANN, BEN, CAT), 2, 365 days + 1);
    }

    function test_constructor_TakesAsManyAsThereAreBits() external {
        address[] memory many = new address[](64);
        for (uint256 i = 0; i < 64; ++i) {
            many[i] = address(uint160(i + 1));
        }
        condition = new RebuildCondition(many, 64, 0);
        for (uint256 i = 0; i < 64; ++i) {
            vm.assertFalse(_isAllowed(CODE));
            _attest(many[i]);
        }
        vm.assertTrue(_isAllowed(CODE));
        _withdraw(many[63]);
        vm.assertFalse(_isAllowed(CODE));
    }

    function test_attest_AQuorumIsMetAfterTheNotice_G2() external {
        vm.expectEmit(address(condition));
        emit IRebuildCondition.Attested(CODE, ANN, SOURCE);
        _attest(ANN);
        _assertQuorum(1, 0);
        uint40 metFrom = uint40(block.timestamp) + NOTICE;
        vm.expectEmit(address(condition));
        emit IRebuildCondition.Attested(CODE, BEN, SOURCE);
        vm.expectEmit(address(condition));
        emit IRebuildCondition.QuorumReached(CODE, metFrom);
        _attest(BEN);
        _assertQuorum(2, metFrom);
        vm.assertFalse(_isAllowed(CODE));
        vm.warp(metFrom - 1);
        vm.assertFalse(_isAllowed(CODE));
        vm.warp(metFrom);
        vm.assertTrue(_isAllowed(CODE));
        vm.assertFalse(_isAllowed(OTHER));
    }

    function test_attest_AThirdDoesNotStartTheNoticeAnew() external {
        _attest(ANN);
        _attest(BEN);
        uint40 metFrom = uint40(block.timestamp) + NOTICE;
        vm.warp(block.timestamp + 1 days);
        _attest(CAT);
        _assertQuorum(3, metFrom);
    }

    function test_attest_RevertIf_NotARebuilder() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.NotARebuilder.selector, STRANGER));
        _attest(STRANGER);
    }

    function test_attest_RevertIf_Twice() external {
        _attest(ANN);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.AlreadyAttested.selector, CODE, ANN));
        _attest(ANN);
    }

    function test_attest_RevertIf_NoHashOrNoSource() external {
        vm.prank(ANN);
        vm.expectRevert(IRebuildCondition.ZeroCodeHash.selector);
        condition.attest(bytes32(0), SOURCE);
        vm.prank(ANN);
        vm.expectRevert(IRebuildCondition.EmptySource.selector);
        condition.attest(CODE, "");
    }

    function test_withdraw_EndsAQuorumAtOnce_G2() external {
        _attest(ANN);
        _attest(BEN);
        vm.warp(block.timestamp + NOTICE);
        vm.assertTrue(_isAllowed(CODE));
        vm.expectEmit(address(condition));
        emit IRebuildCondition.AttestationWithdrawn(CODE, ANN);
        vm.expectEmit(address(condition));
        emit IRebuildCondition.QuorumLost(CODE);
        _withdraw(ANN);
        vm.assertFalse(_isAllowed(CODE));
        _assertQuorum(1, 0);
        (bool attested, bool withdrawn) = condition.attestation(CODE, ANN);
        vm.assertFalse(attested);
        vm.assertTrue(withdrawn);

        _attest(CAT);
        _assertQuorum(2, uint40(block.timestamp) + NOTICE);
        vm.assertFalse(_isAllowed(CODE));
    }

    function test_withdraw_LeavesALargerQuorum() external {
        _attest(ANN);
        _attest(BEN);
        uint40 metFrom = uint40(block.timestamp) + NOTICE;
        _attest(CAT);
        vm.recordLogs();
        _withdraw(BEN);
        vm.assertEq(vm.getRecordedLogs().length, 1);
        _assertQuorum(2, metFrom);
    }

    function test_withdraw_IsForGood() external {
        _attest(ANN);
        _withdraw(ANN);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.AlreadyWithdrawn.selector, CODE, ANN));
        _attest(ANN);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.AlreadyWithdrawn.selector, CODE, ANN));
        _withdraw(ANN);
    }

    function test_withdraw_BeforehandRefusesForGood() external {
        bytes memory signature = _sign(1, _attestation(ANN));
        _withdraw(ANN);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.AlreadyWithdrawn.selector, CODE, ANN));
        condition.attestBySig(CODE, SOURCE, ANN, deadline, signature);
        _assertQuorum(0, 0);
    }

    function test_withdraw_RevertIf_NotARebuilderOrNoHash() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.NotARebuilder.selector, STRANGER));
        _withdraw(STRANGER);
        vm.prank(ANN);
        vm.expectRevert(IRebuildCondition.ZeroCodeHash.selector);
        condition.withdraw(bytes32(0));
    }

    function test_attestBySig_AnyoneMaySendIt() external {
        bytes memory signature = _sign(1, _attestation(ANN));
        vm.expectEmit(address(condition));
        emit IRebuildCondition.Attested(CODE, ANN, SOURCE);
        vm.prank(STRANGER);
        condition.attestBySig(CODE, SOURCE, ANN, deadline, signature);
        (bool attested,) = condition.attestation(CODE, ANN);
        vm.assertTrue(attested);
        _withdraw(ANN);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.AlreadyWithdrawn.selector, CODE, ANN));
        condition.attestBySig(CODE, SOURCE, ANN, deadline, signature);
    }

    function test_attestBySig_RevertIf_SomethingElseWasSigned() external {
        bytes memory signature = _sign(1, _attestation(ANN));
        _expectInvalid(OTHER, SOURCE, ANN, signature);
        _expectInvalid(CODE, "https://example.org/other", ANN, signature);
        _expectInvalid(CODE, SOURCE, BEN, signature);
        _expectInvalid(CODE, SOURCE, ANN, _sign(1, _withdrawal(ANN)));
        _expectInvalid(CODE, SOURCE, ANN, _sign(2, _attestation(ANN)));
        _expectInvalid(CODE, SOURCE, ANN, "");
        vmMore.chainId(block.chainid + 1);
        _expectInvalid(CODE, SOURCE, ANN, signature);
    }

    function test_attestBySig_RevertIf_TooLate() external {
        bytes memory signature = _sign(1, _attestation(ANN));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.SignatureExpired.selector, deadline));
        condition.attestBySig(CODE, SOURCE, ANN, deadline, signature);
        vm.warp(deadline);
        condition.attestBySig(CODE, SOURCE, ANN, deadline, signature);
    }

    function test_attestBySig_OfAContract() external {
        ContractSigner signer = new ContractSigner();
        condition = new RebuildCondition(_three(address(signer), BEN, CAT), 1, 0);
        _expectInvalid(CODE, SOURCE, address(signer), "");
        signer.sign(_attestation(address(signer)));
        condition.attestBySig(CODE, SOURCE, address(signer), deadline, "");
        vm.assertTrue(_isAllowed(CODE));
    }

    function test_withdrawBySig_AnyoneMaySendIt() external {
        _attest(ANN);
        bytes memory signature = _sign(1, _withdrawal(ANN));
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidSignature.selector, ANN));
        condition.withdrawBySig(OTHER, ANN, deadline, signature);
        vm.expectEmit(address(condition));
        emit IRebuildCondition.AttestationWithdrawn(CODE, ANN);
        vm.prank(STRANGER);
        condition.withdrawBySig(CODE, ANN, deadline, signature);
        _assertQuorum(0, 0);
    }

    function test_withdrawBySig_RevertIf_TooLateOrAnAttestationsSignature() external {
        _attest(ANN);
        bytes memory signature = _sign(1, _attestation(ANN));
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidSignature.selector, ANN));
        condition.withdrawBySig(CODE, ANN, deadline, signature);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.SignatureExpired.selector, deadline));
        condition.withdrawBySig(CODE, ANN, deadline, signature);
    }

    function test_attestation_RevertIf_NotARebuilder() external {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.NotARebuilder.selector, STRANGER));
        condition.attestation(CODE, STRANGER);
    }

    function test_isAllowed_CostsOneSlot() external {
        _attest(ANN);
        _attest(BEN);
        vm.warp(block.timestamp + NOTICE);
        BootRequest memory request;
        request.info.composeHash = CODE;
        vmMore.cool(address(condition));
        uint256 cost = gasleft();
        bool allowed = condition.isAllowed(request);
        cost -= gasleft();
        vm.assertTrue(allowed);
        vm.assertTrue(cost <= 12_000, "more than one cold slot");
    }

    /// @dev Against a plain model, over random attestations, withdrawals and times.
    function testFuzz_isAllowed_FollowsTheRule(uint256 seed) external {
        bool[3] memory attests;
        bool[3] memory gone;
        uint256 metFrom = 0;
        for (uint256 step = 0; step < 12; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 who = seed % 3;
            uint256 before = _count(attests);
            bool withdraws = (seed >> 8) % 4 == 0;
            vm.prank(vm.addr(who + 1));
            (bool success,) = address(condition)
                .call(
                    withdraws
                        ? abi.encodeCall(condition.withdraw, (CODE))
                        : abi.encodeCall(condition.attest, (CODE, SOURCE))
                );
            vm.assertEq(success, !gone[who] && (withdraws || !attests[who]));
            if (success) (attests[who], gone[who]) = (!withdraws, withdraws);
            if (before < 2 && _count(attests) >= 2) metFrom = block.timestamp + NOTICE;
            if (_count(attests) < 2) metFrom = 0;
            vm.warp(block.timestamp + (seed >> 16) % 3 days);
            vm.assertEq(_isAllowed(CODE), metFrom != 0 && block.timestamp >= metFrom);
        }
    }

    function _count(bool[3] memory attests) private pure returns (uint256 count) {
        for (uint256 i = 0; i < 3; ++i) {
            if (attests[i]) ++count;
        }
    }

    function _three(address a, address b, address c) private pure returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _attest(address who) private {
        vm.prank(who);
        condition.attest(CODE, SOURCE);
    }

    function _withdraw(address who) private {
        vm.prank(who);
        condition.withdraw(CODE);
    }

    function _isAllowed(bytes32 codeHash) private view returns (bool) {
        BootRequest memory request;
        request.info.composeHash = codeHash;
        return condition.isAllowed(request);
    }

    function _expectInvalid(bytes32 codeHash, string memory source, address who, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IRebuildCondition.InvalidSignature.selector, who));
        condition.attestBySig(codeHash, source, who, deadline, signature);
    }

    function _attestation(address who) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("Attestation(bytes32 codeHash,string sourceUri,address rebuilder,uint256 deadline)");
        return _digest(keccak256(abi.encode(typeHash, CODE, keccak256(bytes(SOURCE)), who, deadline)));
    }

    function _withdrawal(address who) private view returns (bytes32) {
        bytes32 typeHash = keccak256("Withdrawal(bytes32 codeHash,address rebuilder,uint256 deadline)");
        return _digest(keccak256(abi.encode(typeHash, CODE, who, deadline)));
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Mandate RebuildCondition"),
                keccak256("1"),
                block.chainid,
                address(condition)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _assertQuorum(uint256 attestations, uint40 metFrom) private view {
        (uint256 givenAttestations, uint40 givenMetFrom) = condition.quorum(CODE);
        vm.assertEq(givenAttestations, attestations, "attestations");
        vm.assertEq(uint256(givenMetFrom), uint256(metFrom), "metFrom");
    }
}
