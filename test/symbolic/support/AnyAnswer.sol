// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice A condition that answers anything: yes, no, some other number, or it reverts; and if asked for, with any of four
/// lengths, each of which is one path more.
contract AnyAnswer {
    bool private immutable ANY_LENGTH;
    uint256 private _word;
    uint256 private _how;

    constructor(bool anyLength) {
        ANY_LENGTH = anyLength;
    }

    fallback() external {
        (uint256 word, uint256 how) = (_word, _how);
        if (!ANY_LENGTH) {
            assembly {
                mstore(0x00, word)
                if how { revert(0x00, 0x20) }
                return(0x00, 0x20)
            }
        }
        uint256 size = how == 1 ? 0x1f : how == 2 ? 0x60 : how == 3 ? 0 : 0x20;
        assembly {
            mstore(0x00, word)
            if eq(how, 4) { revert(0x00, 0x20) }
            return(0x00, size)
        }
    }

    /// @notice Whether that is a yes: one word or more, of which the first is 1.
    function saysYes() external view returns (bool) {
        if (!ANY_LENGTH) return _word == 1 && _how == 0;
        return _word == 1 && _how != 1 && _how != 3 && _how != 4;
    }
}
