// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {AppAuth} from "../../../contracts/AppAuth.sol";
import {AppGovernor} from "../../../contracts/governance/AppGovernor.sol";
import {GovernanceFactory} from "../../../contracts/governance/GovernanceFactory.sol";
import {GovernanceToken} from "../../../contracts/governance/GovernanceToken.sol";
import {GovernorPresets} from "../../../contracts/governance/GovernorPresets.sol";
import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IAppGovernor} from "../../../contracts/interfaces/IAppGovernor.sol";
import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGovernanceFactory} from "../../../contracts/interfaces/IGovernanceFactory.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {CouncilFixture} from "../support/CouncilFixture.sol";
import {vmMore} from "../support/SignerStubs.sol";
import {vm} from "../support/Vm.sol";

contract GovernanceFactoryTest is CouncilFixture {
    address private constant ALICE = address(0xF1);
    address private constant VETOER = address(0xF0);
    address private constant DEPLOYER = address(0xD0);

    GovernanceFactory private factory;
    GovernanceToken private existing;

    function setUp() public override {
        super.setUp();
        (address[] memory holders, uint256[] memory amounts) = _holding();
        existing = new GovernanceToken("Existing", "EX", holders, amounts);
        address governor = address(new AppGovernor("", existing, GovernorPresets.demo(0, address(0))));
        address token = address(new GovernanceToken("Implementation", "", new address[](0), new uint256[](0)));
        factory = new GovernanceFactory(address(kms), governor, token, address(council));
    }

    function _holding() private pure returns (address[] memory holders, uint256[] memory amounts) {
        (holders, amounts) = (new address[](1), new uint256[](1));
        (holders[0], amounts[0]) = (ALICE, 100);
    }

    function _token() private pure returns (IGovernanceFactory.Token memory token) {
        (token.name, token.symbol) = ("Notes vote", "NOTE");
        (token.holders, token.amounts) = _holding();
    }

    function _dao() private view returns (IGovernanceFactory.Dao memory) {
        IAppGovernor.Settings memory settings = factory.settingsOf(IGovernanceFactory.Preset.Standard, 1, VETOER);
        return IGovernanceFactory.Dao({name: "Notes DAO", settings: settings});
    }

    function _ownerless() private pure returns (IAppPolicy.Init memory init) {
        init = _init();
        init.owner = address(0);
    }

    function _decides(address deployed) private {
        app = AppAuth(deployed);
        assertReason(_reason(_request()), Reason.Allowed);
        (bool registered, bool foreign) = kms.isRegistered(deployed);
        vm.assertTrue(registered && !foreign);
    }

    function test_deployWithNewToken_TheDaoOwnsTheApp() external {
        (address wantedApp, address wantedGovernor, address wantedVotes,) = factory.predict(DEPLOYER, SALT);
        IGovernanceFactory.Dao memory dao = _dao();
        vm.expectEmit(address(factory));
        emit IGovernanceFactory.GovernedAppDeployed(wantedApp, wantedGovernor, wantedVotes, DEPLOYER, SALT);
        vm.prank(DEPLOYER);
        (address deployed, address governor, address votes) =
            factory.deployWithNewToken(_ownerless(), dao, _token(), SALT);
        vm.assertEq(deployed, wantedApp);
        vm.assertEq(governor, wantedGovernor);
        vm.assertEq(votes, wantedVotes);
        _decides(deployed);
        vm.assertEq(app.owner(), governor);
        vm.assertEq(app.guardian(), GUARDIAN);
        _checkGovernor(AppGovernor(payable(governor)), votes);
        _checkToken(GovernanceToken(votes));
        _passAVote(AppGovernor(payable(governor)), GovernanceToken(votes));
    }

    function test_deployWithToken_TheDaoOwnsTheApp() external {
        (address wantedApp, address wantedGovernor,,) = factory.predict(DEPLOYER, SALT);
        IGovernanceFactory.Dao memory dao = _dao();
        vm.expectEmit(address(factory));
        emit IGovernanceFactory.GovernedAppDeployed(wantedApp, wantedGovernor, address(existing), DEPLOYER, SALT);
        vm.prank(DEPLOYER);
        (address deployed, address governor) = factory.deployWithToken(_ownerless(), dao, existing, SALT);
        _decides(deployed);
        vm.assertEq(app.owner(), governor);
        _checkGovernor(AppGovernor(payable(governor)), address(existing));
        _passAVote(AppGovernor(payable(governor)), existing);
    }

    function test_deployWithCouncil_TheCouncilOwnsTheApp() external {
        (address wantedApp,,, address wantedCouncil) = factory.predict(DEPLOYER, SALT);
        IRoleCouncil.Role[] memory roles = _roles();
        vm.expectEmit(address(factory));
        emit IGovernanceFactory.GovernedAppDeployed(wantedApp, wantedCouncil, address(0), DEPLOYER, SALT);
        vm.prank(DEPLOYER);
        (address deployed, address made) = factory.deployWithCouncil(_ownerless(), roles, LIFETIME, SALT);
        vm.assertEq(made, wantedCouncil);
        _decides(deployed);
        vm.assertEq(app.owner(), made);
        council = RoleCouncil(payable(made));
        vm.assertEq(keccak256(abi.encode(council.roles())), keccak256(abi.encode(roles)));

        uint256 id = _proposed(_revocation());
        bytes memory signature = _sign(1, _digest(council, "Approval", id, CORE, CORE_1, 0, block.timestamp));
        council.approveBySig(id, CORE, CORE_1, block.timestamp, signature);
        _approve(CORE_2, id, CORE);
        _approve(AUDITOR, id, AUDITORS);
        council.execute(_revocation(), "why", SALT);
        assertReason(_reasonFor(CODE), Reason.CodeRevoked);
    }

    function test_deploy_TheClonesCannotBeSetUpAgain() external {
        (, address governor, address votes) = factory.deployWithNewToken(_ownerless(), _dao(), _token(), SALT);
        (, address made) = factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, keccak256("another"));
        IAppGovernor.Settings memory settings = _dao().settings;
        vm.expectRevert(IAppGovernor.AlreadyInitialized.selector);
        AppGovernor(payable(governor)).initialize("Mine", existing, settings);
        vm.expectRevert(GovernanceToken.AlreadyInitialized.selector);
        GovernanceToken(votes).initialize("Mine", "ME", new address[](0), new uint256[](0));
        IRoleCouncil.Role[] memory roles = _roles();
        vm.expectRevert(IRoleCouncil.AlreadyInitialized.selector);
        RoleCouncil(payable(made)).initialize(roles, LIFETIME);
    }

    function test_deploy_NobodyTakesAnAddressThatAnotherAnnounced() external {
        (address wanted,,, address wantedCouncil) = factory.predict(DEPLOYER, SALT);
        vm.prank(STRANGER);
        (address taken, address takenCouncil) = factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, SALT);
        vm.assertTrue(taken != wanted && takenCouncil != wantedCouncil);
        vm.prank(DEPLOYER);
        (address deployed,) = factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, SALT);
        vm.assertEq(deployed, wanted);
    }

    function test_deploy_RevertIf_TheSaltIsSpent() external {
        (address deployed,) = factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, SALT);
        IRoleCouncil.Role[] memory roles = _roles();
        IGovernanceFactory.Dao memory dao = _dao();
        bytes memory refusal = abi.encodeWithSelector(IGovernanceFactory.AlreadyDeployed.selector, deployed);
        vm.expectRevert(refusal);
        factory.deployWithCouncil(_ownerless(), roles, LIFETIME, SALT);
        // The app's address is the same whoever governs it.
        vm.expectRevert(refusal);
        factory.deployWithToken(_ownerless(), dao, existing, SALT);
        vm.expectRevert(refusal);
        factory.deployWithNewToken(_ownerless(), dao, _token(), SALT);
    }

    function test_deploy_RevertIf_AnOwnerIsGiven() external {
        IGovernanceFactory.Dao memory dao = _dao();
        vm.expectRevert(abi.encodeWithSelector(IGovernanceFactory.OwnerGiven.selector, OWNER));
        factory.deployWithToken(_init(), dao, existing, SALT);
    }

    function test_deployWithToken_RevertIf_NoVotesToken() external {
        IGovernanceFactory.Dao memory dao = _dao();
        vm.expectRevert(abi.encodeWithSelector(IAppGovernor.NotAVotesToken.selector, address(kms)));
        factory.deployWithToken(_ownerless(), dao, IVotes(address(kms)), SALT);
    }

    function test_deployWithCouncil_RevertIf_TheRolesAreMalformed() external {
        IRoleCouncil.Role[] memory roles = _roles();
        roles[1].members[0] = CORE_1;
        vm.expectRevert(abi.encodeWithSelector(IRoleCouncil.AlreadyAMember.selector, CORE, CORE_1));
        factory.deployWithCouncil(_ownerless(), roles, LIFETIME, SALT);
    }

    function test_constructor_RevertIf_NotAContract() external {
        (address governor, address token) = (factory.governorImplementation(), factory.tokenImplementation());
        bytes memory refusal = abi.encodeWithSelector(IGovernanceFactory.NotAContract.selector, STRANGER);
        vm.expectRevert(refusal);
        new GovernanceFactory(STRANGER, governor, token, address(council));
        vm.expectRevert(refusal);
        new GovernanceFactory(address(kms), STRANGER, token, address(council));
        vm.expectRevert(refusal);
        new GovernanceFactory(address(kms), governor, STRANGER, address(council));
        vm.expectRevert(refusal);
        new GovernanceFactory(address(kms), governor, token, STRANGER);
    }

    function test_constructor_KeepsWhatItWasGiven() external view {
        vm.assertEq(factory.kmsAuth(), address(kms));
        vm.assertEq(factory.councilImplementation(), address(council));
    }

    function test_settingsOf_AreThePresets() external view {
        _checkSettings(IGovernanceFactory.Preset.Demo, GovernorPresets.demo(3, VETOER));
        _checkSettings(IGovernanceFactory.Preset.Standard, GovernorPresets.standard(3, VETOER));
        _checkSettings(IGovernanceFactory.Preset.Cautious, GovernorPresets.cautious(3, VETOER));
    }

    /// @dev Deploying the governor's and the token's code anew would take some six million.
    function test_deploy_CostsAFractionOfNewCode() external {
        IAppPolicy.Init memory init = _ownerless();
        uint256 cost = _costOf(abi.encodeCall(factory.deployWithNewToken, (init, _dao(), _token(), bytes32(0))));
        vm.assertTrue(cost <= 1_000_000, "new token");
        cost = _costOf(abi.encodeCall(factory.deployWithToken, (init, _dao(), existing, bytes32(uint256(1)))));
        vm.assertTrue(cost <= 750_000, "existing token");
        cost = _costOf(abi.encodeCall(factory.deployWithCouncil, (init, _roles(), LIFETIME, bytes32(uint256(2)))));
        vm.assertTrue(cost <= 850_000, "council");
    }

    /// @dev A clone's approval forwards to the implementation: one cold account more.
    function test_approve_OfAClonedCouncilCostsAtMost35000() external {
        (address deployed, address made) = factory.deployWithCouncil(_ownerless(), _roles(), LIFETIME, SALT);
        address code = address(council);
        (app, council) = (AppAuth(deployed), RoleCouncil(payable(made)));
        uint256 id = _proposed(_revocation());
        vmMore.cool(made);
        vmMore.cool(code);
        vm.prank(CORE_1);
        uint256 cost = gasleft();
        council.approve(id, CORE);
        cost -= gasleft();
        vm.assertTrue(cost <= 35_000, "approve");
    }

    function _costOf(bytes memory data) private returns (uint256 cost) {
        vmMore.cool(address(factory));
        vmMore.cool(address(kms));
        vmMore.cool(address(implementation));
        vmMore.cool(address(council));
        vmMore.cool(factory.governorImplementation());
        vmMore.cool(factory.tokenImplementation());
        cost = gasleft();
        (bool success,) = address(factory).call(data);
        cost -= gasleft();
        vm.assertTrue(success);
    }

    function _checkSettings(IGovernanceFactory.Preset preset, IAppGovernor.Settings memory expected) private view {
        bytes memory given = abi.encode(factory.settingsOf(preset, 3, VETOER));
        vm.assertEq(keccak256(given), keccak256(abi.encode(expected)));
    }

    function _checkGovernor(AppGovernor governor, address votes) private view {
        IAppGovernor.Settings memory wanted = _dao().settings;
        vm.assertEq(address(governor.token()), votes);
        vm.assertEq(governor.name(), "Notes DAO");
        vm.assertEq(governor.votingDelay(), wanted.votingDelay);
        vm.assertEq(governor.votingPeriod(), wanted.votingPeriod);
        vm.assertEq(governor.proposalThreshold(), wanted.proposalThreshold);
        vm.assertEq(governor.quorumNumerator(), wanted.quorumNumerator);
        vm.assertEq(governor.lateQuorumVoteExtension(), wanted.lateQuorumExtension);
        vm.assertEq(governor.vetoWindow(), wanted.vetoWindow);
        vm.assertEq(governor.proposalGuardian(), VETOER);
        (, string memory name,,, address verifier,,) = governor.eip712Domain();
        vm.assertEq(name, "Notes DAO");
        vm.assertEq(verifier, address(governor));
    }

    function _checkToken(GovernanceToken token) private view {
        vm.assertEq(token.name(), "Notes vote");
        vm.assertEq(token.symbol(), "NOTE");
        vm.assertEq(token.totalSupply(), 100);
        vm.assertEq(token.balanceOf(ALICE), 100);
    }

    function _passAVote(AppGovernor governor, GovernanceToken token) private {
        vm.prank(ALICE);
        token.delegate(ALICE);
        skip(1);
        vm.prank(ALICE);
        uint256 id = governor.proposeCode(address(app), CODE_2, "https://example.org/v2", false, 0, "");
        skip(1 days + 1);
        vm.prank(ALICE);
        governor.castVote(id, 1);
        skip(5 days);
        address[] memory targets = new address[](1);
        bytes[] memory datas = new bytes[](1);
        targets[0] = address(app);
        datas[0] = abi.encodeCall(app.scheduleCode, (CODE_2, "https://example.org/v2", false, 0));
        bytes32 text = keccak256(bytes(governor.describe(address(app), CODE_2, "https://example.org/v2", "")));
        governor.queue(targets, new uint256[](1), datas, text);
        skip(2 days);
        governor.execute(targets, new uint256[](1), datas, text);
        vm.assertEq(_version(CODE_2).activeFrom, currentTime() + NOTICE);
    }
}
