// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice The syntax of a host name, in the one spelling that is accepted.
library DomainNames {
    uint256 private constant MAX_NAME = 253;
    uint256 private constant MAX_LABEL = 63;

    /// @notice Whether `name` is labels of lower-case letters, digits and inner hyphens, joined by dots.
    function isValid(string calldata name) internal pure returns (bool) {
        bytes calldata text = bytes(name);
        if (text.length == 0 || text.length > MAX_NAME) return false;
        uint256 start = 0;
        for (uint256 i = 0; i <= text.length; ++i) {
            if (i < text.length && text[i] != ".") continue;
            if (!_isLabel(text[start:i])) return false;
            start = i + 1;
        }
        return true;
    }

    function _isLabel(bytes calldata label) private pure returns (bool) {
        if (label.length == 0 || label.length > MAX_LABEL) return false;
        if (label[0] == "-" || label[label.length - 1] == "-") return false;
        for (uint256 i = 0; i < label.length; ++i) {
            if (!_isLetterDigitHyphen(label[i])) return false;
        }
        return true;
    }

    function _isLetterDigitHyphen(bytes1 char) private pure returns (bool) {
        return (char >= "a" && char <= "z") || (char >= "0" && char <= "9") || char == "-";
    }
}
