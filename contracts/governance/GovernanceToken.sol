// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

import {CloneDomain} from "./CloneDomain.sol";

/// @notice A voting token with a fixed supply whose clock is the block's timestamp (ERC-6372). Votes count once their holder
/// has delegated them, to itself or to another, also by signature (EIP-712).
///
/// Powers. A holder: transfer, approve, delegate. Non-powers. Nobody can mint, pause or take back.
contract GovernanceToken is ERC20, ERC20Votes, CloneDomain {
    string private _title;
    string private _ticker;

    error AlreadyInitialized();
    error EmptyName();
    /// @notice Each holder needs one amount.
    error LengthMismatch(uint256 holders, uint256 amounts);

    /// @param holders who receives the supply
    /// @param amounts how much each of them receives, in the token's smallest unit
    constructor(string memory name_, string memory symbol_, address[] memory holders, uint256[] memory amounts)
        ERC20("", "")
        EIP712("", "1")
    {
        _initialize(name_, symbol_, holders, amounts);
    }

    /// @notice Sets up a clone, once. Whoever deploys a clone calls this in the same transaction, as `GovernanceFactory`
    /// does.
    function initialize(
        string calldata name_,
        string calldata symbol_,
        address[] calldata holders,
        uint256[] calldata amounts
    ) external {
        if (bytes(_title).length != 0) revert AlreadyInitialized();
        _initialize(name_, symbol_, holders, amounts);
    }

    /// @inheritdoc ERC20
    function name() public view override returns (string memory) {
        return _title;
    }

    /// @inheritdoc ERC20
    function symbol() public view override returns (string memory) {
        return _ticker;
    }

    /// @notice Seconds since the epoch.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    /// @notice ERC-6372's name of that clock.
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @inheritdoc CloneDomain
    function eip712Domain()
        public
        view
        override(EIP712, CloneDomain)
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return super.eip712Domain();
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function _hashTypedDataV4(bytes32 structHash) internal view override(EIP712, CloneDomain) returns (bytes32) {
        return super._hashTypedDataV4(structHash);
    }

    function _domainName() internal view override returns (string memory) {
        return _title;
    }

    function _initialize(string memory name_, string memory symbol_, address[] memory holders, uint256[] memory amounts)
        private
    {
        if (bytes(name_).length == 0) revert EmptyName();
        if (holders.length != amounts.length) revert LengthMismatch(holders.length, amounts.length);
        (_title, _ticker) = (name_, symbol_);
        for (uint256 i = 0; i < holders.length; ++i) {
            _mint(holders[i], amounts[i]);
        }
    }
}
