// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What each operation of a council costs, as `GasPolicyTest` measures it.
contract GasCouncilTest is Fixture {
    address private constant CORE_1 = address(0xE1);
    address private constant CORE_2 = address(0xE2);
    address private constant AUDITOR = address(0xE4);

    RoleCouncil private council;
    uint256 private open;

    function setUp() public override {
        super.setUp();
        IRoleCouncil.Role[] memory roles = new IRoleCouncil.Role[](2);
        roles[0] = _role("core", 2, CORE_1, CORE_2, address(0xE3));
        roles[1] = _role("auditors", 1, AUDITOR, address(0xE5), address(0xE6));
        council = new RoleCouncil(roles, 14 days);
        vm.prank(OWNER);
        app.transferOwnership(address(council));
        skip(NOTICE);
        vm.prank(address(council));
        app.acceptOwnership();
        open = _propose("open");
        uint256 passed = _propose("passed");
        _approve(CORE_1, passed, 0);
        _approve(CORE_2, passed, 0);
        _approve(AUDITOR, passed, 1);
    }

    function test_gas_propose() external {
        _propose("another");
        vm.snapshotGasLastCall("RoleCouncil.propose, one call");
    }

    function test_gas_approve() external {
        _approve(CORE_2, open, 0);
        vm.snapshotGasLastCall("RoleCouncil.approve, three members");
    }

    function test_gas_execute() external {
        council.execute(_calls(), "passed");
        vm.snapshotGasLastCall("RoleCouncil.execute, scheduleCode");
    }

    function _calls() private view returns (IRoleCouncil.Call[] memory calls) {
        calls = new IRoleCouncil.Call[](1);
        bytes memory data = abi.encodeCall(app.scheduleCode, (CODE_2, "https://code.example/2", false, 0));
        calls[0] = IRoleCouncil.Call({target: address(app), value: 0, data: data});
    }

    function _propose(string memory why) private returns (uint256) {
        IRoleCouncil.Call[] memory calls = _calls();
        vm.prank(CORE_1);
        return council.propose(calls, why);
    }

    function _approve(address member, uint256 id, uint256 role) private {
        vm.prank(member);
        council.approve(id, role);
    }

    function _role(string memory name, uint32 threshold, address a, address b, address c)
        private
        pure
        returns (IRoleCouncil.Role memory)
    {
        address[] memory members = new address[](3);
        (members[0], members[1], members[2]) = (a, b, c);
        return IRoleCouncil.Role({name: name, threshold: threshold, members: members});
    }
}

/// @notice What each operation of a token DAO costs, as `GasPolicyTest` measures it.
contract GasGovernorTest is Fixture {
    address private constant ALICE = address(0xF1);
    address private constant BOB = address(0xF2);
    uint48 private constant DELAY = 1 hours;
    uint32 private constant PERIOD = 3 days;
    uint48 private constant VETO = 1 days;

    AppGovernor private governor;
    GovernanceToken private token;
    uint256 private polling;
    uint256 private startedAt;

    function setUp() public override {
        super.setUp();
        (address[] memory holders, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (holders[0], holders[1], amounts[0], amounts[1]) = (ALICE, BOB, 70, 30);
        token = new GovernanceToken("Votes", "VOTE", holders, amounts);
        vm.prank(ALICE);
        token.delegate(ALICE);
        vm.prank(BOB);
        token.delegate(BOB);
        governor = new AppGovernor("App DAO", token, _settings());
        vm.prank(OWNER);
        app.transferOwnership(address(governor));
        skip(NOTICE);
        vm.prank(address(governor));
        app.acceptOwnership();
        _passProposals();
    }

    /// @dev One is being voted on, one has passed, and one is queued.
    function _passProposals() private {
        polling = _propose("polling");
        uint256 passed = _propose("passed");
        uint256 queued = _propose("queued");
        startedAt = block.timestamp + DELAY + 1;
        vm.warp(startedAt);
        _vote(ALICE, passed);
        _vote(ALICE, queued);
        skip(PERIOD);
        _queue("queued");
    }

    function test_gas_propose() external {
        _propose("another");
        vm.snapshotGasLastCall("AppGovernor.propose, one call");
    }

    function test_gas_castVote() external {
        vm.warp(startedAt);
        _vote(BOB, polling);
        vm.snapshotGasLastCall("AppGovernor.castVote, first, below the quorum");
    }

    function test_gas_castVoteReachingTheQuorum() external {
        vm.warp(startedAt);
        _vote(ALICE, polling);
        vm.snapshotGasLastCall("AppGovernor.castVote, reaching the quorum");
    }

    function test_gas_queue() external {
        _queue("passed");
        vm.snapshotGasLastCall("AppGovernor.queue, one call");
    }

    function test_gas_execute() external {
        skip(VETO);
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls();
        governor.execute(targets, values, datas, keccak256("queued"));
        vm.snapshotGasLastCall("AppGovernor.execute, scheduleCode");
    }

    function test_gas_delegate() external {
        vm.prank(BOB);
        token.delegate(ALICE);
        vm.snapshotGasLastCall("GovernanceToken.delegate");
    }

    function _settings() private pure returns (AppGovernor.Settings memory settings) {
        (settings.votingDelay, settings.votingPeriod, settings.vetoWindow) = (DELAY, PERIOD, VETO);
        (settings.quorumNumerator, settings.lateQuorumExtension) = (40, 1 days);
    }

    function _calls() private view returns (address[] memory targets, uint256[] memory values, bytes[] memory datas) {
        (targets, values, datas) = (new address[](1), new uint256[](1), new bytes[](1));
        targets[0] = address(app);
        datas[0] = abi.encodeCall(app.scheduleCode, (CODE_2, "https://code.example/2", false, 0));
    }

    function _propose(string memory why) private returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls();
        vm.prank(BOB);
        return governor.propose(targets, values, datas, why);
    }

    function _vote(address voter, uint256 id) private {
        vm.prank(voter);
        governor.castVote(id, 1);
    }

    function _queue(string memory why) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls();
        governor.queue(targets, values, datas, keccak256(bytes(why)));
    }
}
