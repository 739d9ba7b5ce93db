// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What each operation of a council costs, as `GasPolicyTest` measures it.
contract GasCouncilTest is CouncilFixture {
    uint256 private constant NO_DEADLINE = type(uint256).max;

    uint256 private open;

    function setUp() public override {
        super.setUp();
        _passed(_revocation());
        vm.prank(CORE_1);
        open = council.propose(_revocation(), "open", SALT);
        _approve(CORE_1, open, CORE);
    }

    function test_gas_propose() external {
        vm.prank(CORE_1);
        council.propose(_revocation(), "another", SALT);
        vm.snapshotGasLastCall("RoleCouncil.propose, one call");
    }

    function test_gas_approve() external {
        _approve(CORE_2, open, CORE);
        uint256 spent = vm.snapshotGasLastCall("RoleCouncil.approve");
        vm.assertTrue(spent <= 35_000, "more gas than allowed");
    }

    function test_gas_approveBySig() external {
        bytes memory signature = _sign(2, _digest(council, "Approval", open, CORE, CORE_2, 0, NO_DEADLINE));
        council.approveBySig(open, CORE, CORE_2, NO_DEADLINE, signature);
        vm.snapshotGasLastCall("RoleCouncil.approveBySig");
    }

    function test_gas_withdraw() external {
        _withdraw(CORE_1, open, CORE);
        vm.snapshotGasLastCall("RoleCouncil.withdraw");
    }

    function test_gas_withdrawBySig() external {
        bytes memory signature = _sign(1, _digest(council, "Withdrawal", open, CORE, CORE_1, 1, NO_DEADLINE));
        council.withdrawBySig(open, CORE, CORE_1, NO_DEADLINE, signature);
        vm.snapshotGasLastCall("RoleCouncil.withdrawBySig");
    }

    function test_gas_setRole() external {
        IRoleCouncil.Role memory role = _role("auditors", 1, AUDITOR, STRANGER);
        vm.prank(address(council));
        council.setRole(AUDITORS, role);
        vm.snapshotGasLastCall("RoleCouncil.setRole, one of two members replaced");
    }

    function test_gas_execute() external {
        council.execute(_revocation(), "why", SALT);
        vm.snapshotGasLastCall("RoleCouncil.execute, revokeCode");
    }
}

/// @notice What each operation of a token DAO costs, as `GasPolicyTest` measures it.
contract GasGovernorTest is GovernorFixture {
    uint256 private polling;
    uint256 private startedAt;

    /// @dev One is being voted on, one has passed, and one is queued.
    function setUp() public override {
        super.setUp();
        polling = _proposeAs("polling");
        uint256 passed = _proposeAs("passed");
        uint256 queued = _proposeAs("queued");
        startedAt = block.timestamp + DELAY + 1;
        vm.warp(startedAt);
        _vote(ALICE, passed, 1);
        _vote(ALICE, queued, 1);
        skip(PERIOD);
        _queueAs("queued");
    }

    function test_gas_propose() external {
        _proposeAs("another");
        vm.snapshotGasLastCall("AppGovernor.propose, one call");
    }

    function test_gas_proposeCode() external {
        vm.prank(CAROL);
        governor.proposeCode(address(app), CODE_2, "https://code.example/2", true, 1 days, "");
        vm.snapshotGasLastCall("AppGovernor.proposeCode");
    }

    function test_gas_castVote() external {
        vm.warp(startedAt);
        _vote(BOB, polling, 1);
        vm.snapshotGasLastCall("AppGovernor.castVote, first, below the quorum");
    }

    function test_gas_castVoteReachingTheQuorum() external {
        vm.warp(startedAt);
        _vote(ALICE, polling, 1);
        vm.snapshotGasLastCall("AppGovernor.castVote, reaching the quorum");
    }

    function test_gas_castVoteWithReason() external {
        vm.warp(startedAt);
        vm.prank(BOB);
        governor.castVoteWithReason(polling, 1, "rebuilt it, same hash");
        vm.snapshotGasLastCall("AppGovernor.castVoteWithReason, first, below the quorum");
    }

    function test_gas_castVoteBySig() external {
        vm.warp(startedAt);
        bytes memory signature = _signBallot(7, polling);
        governor.castVoteBySig(polling, 1, vm.addr(7), signature);
        vm.snapshotGasLastCall("AppGovernor.castVoteBySig, without votes");
    }

    function test_gas_cancel() external {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _scheduling();
        vm.prank(VETOER);
        governor.cancel(targets, values, datas, keccak256("queued"));
        vm.snapshotGasLastCall("AppGovernor.cancel, by the proposal guardian");
    }

    function test_gas_queue() external {
        _queueAs("passed");
        vm.snapshotGasLastCall("AppGovernor.queue, one call");
    }

    function test_gas_execute() external {
        skip(VETO);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _scheduling();
        governor.execute(targets, values, datas, keccak256("queued"));
        vm.snapshotGasLastCall("AppGovernor.execute, scheduleCode");
    }

    function test_gas_delegate() external {
        vm.prank(BOB);
        token.delegate(ALICE);
        vm.snapshotGasLastCall("GovernanceToken.delegate");
    }

    function _scheduling() private view returns (address[] memory, uint256[] memory, bytes[] memory) {
        return _calls(address(app), abi.encodeCall(app.scheduleCode, (CODE_2, "https://code.example/2", false, 0)));
    }

    function _signBallot(uint256 key, uint256 id) private view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("App DAO"),
                keccak256("1"),
                block.chainid,
                address(governor)
            )
        );
        bytes32 typeHash = keccak256("Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)");
        bytes32 structHash = keccak256(abi.encode(typeHash, id, 1, vm.addr(key), 0));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function _proposeAs(string memory why) private returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _scheduling();
        vm.prank(CAROL);
        return governor.propose(targets, values, datas, why);
    }

    function _queueAs(string memory why) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _scheduling();
        governor.queue(targets, values, datas, keccak256(bytes(why)));
    }
}
