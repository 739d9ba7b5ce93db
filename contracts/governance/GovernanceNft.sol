// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Votes} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @notice One vote per NFT, a fixed number of them, and the block's timestamp for a clock (ERC-6372). Votes count once
/// their holder has delegated them, to itself or to another.
///
/// Powers. A holder: transfer, approve, delegate. Non-powers. Nobody can mint, burn, pause or take back.
contract GovernanceNft is ERC721, ERC721Votes {
    /// @param holders who receives the NFTs 1, 2, 3 …, in this order; a holder may be named several times
    constructor(string memory name_, string memory symbol_, address[] memory holders)
        ERC721(name_, symbol_)
        EIP712(name_, "1")
    {
        for (uint256 i = 0; i < holders.length; ++i) {
            _mint(holders[i], i + 1);
        }
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

    function _update(address to, uint256 id, address auth) internal override(ERC721, ERC721Votes) returns (address) {
        return super._update(to, id, auth);
    }

    function _increaseBalance(address account, uint128 value) internal override(ERC721, ERC721Votes) {
        super._increaseBalance(account, value);
    }
}
