// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import {IAppGovernor} from "./IAppGovernor.sol";
import {IAppPolicy} from "./IAppPolicy.sol";
import {IRoleCouncil} from "./IRoleCouncil.sol";

/// @notice An app and who governs it, in one transaction: the app's owner from its first block is a governor or a council.
///
/// All of them are clones (EIP-1167), whose code nobody can change. Their addresses follow from the caller and its salt
/// alone, so that nobody else can take them; they say nothing about the settings. The governor and the token carry the
/// names given here in their EIP-712 domains.
///
/// Powers. Anyone: deploy. Non-powers. The factory owns nothing, can change nothing that it has deployed, and has no owner.
/// It does not vouch for what others deployed: look for its event.
interface IGovernanceFactory {
    /// @notice Ready settings: see `GovernorPresets`.
    enum Preset {
        Demo,
        Standard,
        Cautious
    }

    /// @param name of the governor and of its EIP-712 domain
    struct Dao {
        string name;
        IAppGovernor.Settings settings;
    }

    /// @param amounts what each holder receives, in the token's smallest unit
    struct Token {
        string name;
        string symbol;
        address[] holders;
        uint256[] amounts;
    }

    /// @param token whose holders vote; zero with a council
    event GovernedAppDeployed(
        address indexed app, address indexed owner, address indexed token, address deployer, bytes32 salt
    );

    /// @notice `given` is none of the contracts that it should be: it has no code.
    error NotAContract(address given);
    /// @notice The caller has used this salt: `app` is what it made.
    error AlreadyDeployed(address app);
    /// @notice Leave `init.owner` zero: the owner is deployed here.
    error OwnerGiven(address owner);

    /// @notice Deploys a token with all its supply in the hands of `token.holders`, a governor over it, and an app that it
    /// owns. Holders must delegate before they can vote.
    function deployWithNewToken(IAppPolicy.Init calldata init, Dao calldata dao, Token calldata token, bytes32 salt)
        external
        returns (address app, address governor, address votes);

    /// @notice Deploys a governor over a token that exists, and an app that it owns.
    function deployWithToken(IAppPolicy.Init calldata init, Dao calldata dao, IVotes token, bytes32 salt)
        external
        returns (address app, address governor);

    /// @notice Deploys a council and an app that it owns.
    function deployWithCouncil(
        IAppPolicy.Init calldata init,
        IRoleCouncil.Role[] calldata roles,
        uint40 motionLifetime,
        bytes32 salt
    ) external returns (address app, address council);

    /// @notice The addresses that `deployer` gets with `salt`; which of them come to be depends on the function called.
    function predict(address deployer, bytes32 salt)
        external
        view
        returns (address app, address governor, address votes, address council);

    /// @notice The settings of a preset.
    function settingsOf(Preset preset, uint256 proposalThreshold, address proposalGuardian)
        external
        pure
        returns (IAppGovernor.Settings memory);

    /// @notice The registry in which the apps are registered.
    function kmsAuth() external view returns (address);
    /// @notice What the governors, tokens and councils that this deploys are clones of.
    function governorImplementation() external view returns (address);
    /// @notice See `governorImplementation`.
    function tokenImplementation() external view returns (address);
    /// @notice See `governorImplementation`.
    function councilImplementation() external view returns (address);
}
