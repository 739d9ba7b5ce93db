// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {GovernorPresets} from "../../../contracts/governance/GovernorPresets.sol";
import {ProposalText} from "../../../contracts/governance/ProposalText.sol";
import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {GovernorFixture} from "../support/GovernorFixture.sol";
import {vm} from "../support/Vm.sol";

contract ProposalTextTest is GovernorFixture {
    address private constant NAMED = 0x52908400098527886E0F7030069857D2E4169EE7;
    string private constant SOURCE = "https://example.org/notes/v2";
    string private constant FACTS = "mandate: schedule code\nchain: 31337\n"
        "app: 0x52908400098527886E0F7030069857D2E4169EE7\n"
        "code: 0x0000000000000000000000000000000000000000000000000000000000000a0b\n"
        "source: https://example.org/notes/v2";

    function test_describe_ReadsAsDocumented() external view {
        vm.assertEq(governor.describe(NAMED, bytes32(uint256(0xa0b)), SOURCE, ""), FACTS);
        string memory noted = governor.describe(NAMED, bytes32(uint256(0xa0b)), SOURCE, "Fixes\nall.");
        vm.assertEq(noted, string.concat(FACTS, "\n\nFixes\nall."));
    }

    function test_describe_RevertIf_TheSourceCouldForgeALine() external {
        _expectInvalid("https://example.org\ncode: 0x00", 19);
        _expectInvalid("a b", 1);
        _expectInvalid("a\x7f", 1);
        _expectInvalid(unicode"aé", 1);
        vm.expectRevert(ProposalText.EmptySource.selector);
        governor.describe(NAMED, CODE_2, "", "");
    }

    function testFuzz_describe_TakesVisibleAsciiOnly(bytes1 character) external {
        bool visible = character > 0x20 && character < 0x7f;
        string memory source = string(abi.encodePacked("x", character));
        if (!visible) vm.expectRevert(abi.encodeWithSelector(ProposalText.InvalidSource.selector, 1));
        governor.describe(NAMED, CODE_2, source, "");
    }

    function test_proposeCode_TextAndCallAgree() external {
        string memory text = governor.describe(address(app), CODE_2, SOURCE, "why");
        bytes memory data = abi.encodeCall(app.scheduleCode, (CODE_2, SOURCE, true, 1 hours));
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(address(app), data);
        uint256 expected = governor.hashProposal(targets, values, datas, keccak256(bytes(text)));
        uint256 start = block.timestamp + DELAY;
        vm.expectEmit(address(governor));
        emit IGovernor.ProposalCreated(
            expected, CAROL, targets, values, new string[](1), datas, start, start + PERIOD, text
        );
        vm.prank(CAROL);
        uint256 id = governor.proposeCode(address(app), CODE_2, SOURCE, true, 1 hours, "why");
        vm.assertEq(id, expected);
        skip(DELAY + 1);
        _vote(ALICE, id, 1);
        skip(PERIOD);
        governor.queue(targets, values, datas, keccak256(bytes(text)));
        skip(VETO);
        governor.execute(targets, values, datas, keccak256(bytes(text)));
        vm.assertEq(_version(CODE_2).activeFrom, currentTime() + NOTICE);
    }

    function test_proposeCode_RevertIf_TooFewVotes() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, STRANGER, 0, 10));
        governor.proposeCode(address(app), CODE_2, SOURCE, true, 1 hours, "why");
    }

    function test_presets_MakeGovernors() external {
        _checkPreset(GovernorPresets.demo(1, VETOER), 1 minutes, 5 minutes, 1, 1 minutes, 1 minutes);
        _checkPreset(GovernorPresets.standard(1, VETOER), 1 days, 5 days, 4, 2 days, 2 days);
        _checkPreset(GovernorPresets.cautious(1, VETOER), 2 days, 7 days, 10, 3 days, 5 days);
    }

    function _checkPreset(
        IAppGovernor.Settings memory settings,
        uint256 delay,
        uint256 period,
        uint256 quorum,
        uint256 late,
        uint256 veto
    ) private {
        AppGovernor made = new AppGovernor("Preset", token, settings);
        vm.assertEq(made.votingDelay(), delay);
        vm.assertEq(made.votingPeriod(), period);
        vm.assertEq(made.proposalThreshold(), 1);
        vm.assertEq(made.quorumNumerator(), quorum);
        vm.assertEq(made.lateQuorumVoteExtension(), late);
        vm.assertEq(made.vetoWindow(), veto);
        vm.assertEq(made.proposalGuardian(), VETOER);
    }

    function _expectInvalid(string memory source, uint256 position) private {
        vm.expectRevert(abi.encodeWithSelector(ProposalText.InvalidSource.selector, position));
        governor.describe(NAMED, CODE_2, source, "");
    }
}
