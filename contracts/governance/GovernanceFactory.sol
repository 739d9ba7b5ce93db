// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IAppGovernor} from "../interfaces/IAppGovernor.sol";
import {IAppPolicy} from "../interfaces/IAppPolicy.sol";
import {IGovernanceFactory} from "../interfaces/IGovernanceFactory.sol";
import {IKmsAuth} from "../interfaces/IKmsAuth.sol";
import {IRoleCouncil} from "../interfaces/IRoleCouncil.sol";
import {GovernanceToken} from "./GovernanceToken.sol";
import {GovernorPresets} from "./GovernorPresets.sol";

/// @notice Deploys an app and who governs it. Powers and non-powers: `IGovernanceFactory`.
contract GovernanceFactory is IGovernanceFactory {
    /// @inheritdoc IGovernanceFactory
    address public immutable kmsAuth;
    /// @inheritdoc IGovernanceFactory
    address public immutable governorImplementation;
    /// @inheritdoc IGovernanceFactory
    address public immutable tokenImplementation;
    /// @inheritdoc IGovernanceFactory
    address public immutable councilImplementation;

    /// @param governor an `AppGovernor`, for cloning only
    /// @param token a `GovernanceToken`, likewise
    /// @param council a `RoleCouncil`, likewise
    constructor(address kmsAuth_, address governor, address token, address council) {
        _checkIsContract(kmsAuth_);
        _checkIsContract(governor);
        _checkIsContract(token);
        _checkIsContract(council);
        // Zero has no code.
        // slither-disable-next-line missing-zero-check
        (kmsAuth, governorImplementation) = (kmsAuth_, governor);
        // slither-disable-next-line missing-zero-check
        (tokenImplementation, councilImplementation) = (token, council);
    }

    /// @inheritdoc IGovernanceFactory
    function deployWithNewToken(IAppPolicy.Init calldata init, Dao calldata dao, Token calldata token, bytes32 salt)
        external
        returns (address app, address governor, address votes)
    {
        _checkRequest(init, salt);
        votes = Clones.cloneDeterministic(tokenImplementation, _saltOf(msg.sender, salt));
        GovernanceToken(votes).initialize(token.name, token.symbol, token.holders, token.amounts);
        governor = _deployGovernor(dao, IVotes(votes), salt);
        app = _deployApp(init, governor, votes, salt);
    }

    /// @inheritdoc IGovernanceFactory
    function deployWithToken(IAppPolicy.Init calldata init, Dao calldata dao, IVotes token, bytes32 salt)
        external
        returns (address app, address governor)
    {
        _checkRequest(init, salt);
        governor = _deployGovernor(dao, token, salt);
        app = _deployApp(init, governor, address(token), salt);
    }

    /// @inheritdoc IGovernanceFactory
    function deployWithCouncil(
        IAppPolicy.Init calldata init,
        IRoleCouncil.Role[] calldata roles,
        uint40 motionLifetime,
        bytes32 salt
    ) external returns (address app, address council) {
        _checkRequest(init, salt);
        council = Clones.cloneDeterministic(councilImplementation, _saltOf(msg.sender, salt));
        IRoleCouncil(council).initialize(roles, motionLifetime);
        app = _deployApp(init, council, address(0), salt);
    }

    /// @inheritdoc IGovernanceFactory
    function predict(address deployer, bytes32 salt)
        external
        view
        returns (address app, address governor, address votes, address council)
    {
        bytes32 own = _saltOf(deployer, salt);
        app = IKmsAuth(kmsAuth).predictApp(address(this), own);
        governor = Clones.predictDeterministicAddress(governorImplementation, own);
        votes = Clones.predictDeterministicAddress(tokenImplementation, own);
        council = Clones.predictDeterministicAddress(councilImplementation, own);
    }

    /// @inheritdoc IGovernanceFactory
    function settingsOf(Preset preset, uint256 proposalThreshold, address proposalGuardian)
        external
        pure
        returns (IAppGovernor.Settings memory)
    {
        if (preset == Preset.Demo) return GovernorPresets.demo(proposalThreshold, proposalGuardian);
        if (preset == Preset.Standard) return GovernorPresets.standard(proposalThreshold, proposalGuardian);
        return GovernorPresets.cautious(proposalThreshold, proposalGuardian);
    }

    function _deployGovernor(Dao calldata dao, IVotes token, bytes32 salt) private returns (address governor) {
        governor = Clones.cloneDeterministic(governorImplementation, _saltOf(msg.sender, salt));
        IAppGovernor(governor).initialize(dao.name, token, dao.settings);
    }

    function _deployApp(IAppPolicy.Init calldata init, address owner, address token, bytes32 salt)
        private
        returns (address app)
    {
        IAppPolicy.Init memory owned = init;
        owned.owner = owner;
        app = IKmsAuth(kmsAuth).deployAndRegisterApp(owned, _saltOf(msg.sender, salt));
        // Nothing is stored here, and what was called is code that is known: an app is deployed before it is announced.
        // slither-disable-next-line reentrancy-events
        emit GovernedAppDeployed(app, owner, token, msg.sender, salt);
    }

    /// @dev Before anything is deployed: two contracts at one address would cost the caller all its gas.
    function _checkRequest(IAppPolicy.Init calldata init, bytes32 salt) private view {
        if (init.owner != address(0)) revert OwnerGiven(init.owner);
        address app = IKmsAuth(kmsAuth).predictApp(address(this), _saltOf(msg.sender, salt));
        if (app.code.length != 0) revert AlreadyDeployed(app);
    }

    function _checkIsContract(address given) private view {
        if (given.code.length == 0) revert NotAContract(given);
    }

    /// @dev Bound to the caller: nobody can take an address that another has announced.
    function _saltOf(address deployer, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(deployer, salt));
    }
}
