// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice A governor that owns the app: Alice has 60 votes, Bob 30 and Carol 10, and a quorum is 40.
abstract contract GovernorFixture is Fixture {
    uint48 internal constant DELAY = 1 hours;
    uint32 internal constant PERIOD = 3 days;
    uint48 internal constant VETO = 1 days;
    address internal constant VETOER = address(0xF0);
    address internal constant ALICE = address(0xF1);
    address internal constant BOB = address(0xF2);
    address internal constant CAROL = address(0xF3);

    GovernanceToken internal token;
    AppGovernor internal governor;

    function setUp() public virtual override {
        super.setUp();
        (address[] memory holders, uint256[] memory amounts) = (new address[](3), new uint256[](3));
        (holders[0], holders[1], holders[2]) = (ALICE, BOB, CAROL);
        (amounts[0], amounts[1], amounts[2]) = (60, 30, 10);
        token = new GovernanceToken("Votes", "VOTE", holders, amounts);
        for (uint256 i = 0; i < holders.length; ++i) {
            vm.prank(holders[i]);
            token.delegate(holders[i]);
        }
        _govern(token);
    }

    /// @dev A new governor over `votes` becomes the owner of the app.
    function _govern(IVotes votes) internal {
        governor = new AppGovernor("App DAO", votes, _settings());
        address former = app.owner();
        vm.prank(former);
        app.transferOwnership(address(governor));
        skip(NOTICE);
        vm.prank(address(governor));
        app.acceptOwnership();
    }

    function _settings() internal pure returns (IAppGovernor.Settings memory) {
        return IAppGovernor.Settings({
            votingDelay: DELAY,
            votingPeriod: PERIOD,
            proposalThreshold: 10,
            quorumNumerator: 40,
            lateQuorumExtension: 1 days,
            vetoWindow: VETO,
            proposalGuardian: VETOER
        });
    }

    function _calls(address target, bytes memory data)
        internal
        pure
        returns (address[] memory targets, uint256[] memory values, bytes[] memory datas)
    {
        (targets, values, datas) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], datas[0]) = (target, data);
    }

    function _schedule() internal view returns (bytes memory) {
        return abi.encodeCall(app.scheduleCode, (CODE_2, "uri", true, 1 hours));
    }

    function _propose(address target, bytes memory data) internal returns (uint256 id) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        vm.prank(CAROL);
        id = governor.propose(targets, values, datas, "why");
        skip(DELAY + 1);
    }

    function _vote(address voter, uint256 id, uint8 support) internal {
        vm.prank(voter);
        governor.castVote(id, support);
    }

    function _passed(address target, bytes memory data) internal returns (uint256 id) {
        id = _propose(target, data);
        _vote(ALICE, id, 1);
        skip(PERIOD);
    }

    function _queue(address target, bytes memory data) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.queue(targets, values, datas, keccak256("why"));
    }

    function _execute(address target, bytes memory data) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.execute(targets, values, datas, keccak256("why"));
    }

    function assertProposal(uint256 id, IGovernor.ProposalState expected) internal view {
        vm.assertEq(uint256(governor.state(id)), uint256(expected), "proposal state");
    }
}
