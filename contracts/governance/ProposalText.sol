// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @notice The text of a proposal to run code, so that voters, and machines, read what they vote on:
///
///   mandate: schedule code
///   chain: 1
///   app: 0x52908400098527886E0F7030069857D2E4169EE7
///   code: 0x0000000000000000000000000000000000000000000000000000000000000001
///   source: https://example.org/notes/v2
///
///   Whatever the proposer has to say.
///
/// Five lines in this order, each `key: value`; then, if there is a note, an empty line and the note. A source cannot
/// forge a line: it consists of visible ASCII characters. Only the lines before the first empty one are facts.
library ProposalText {
    error EmptySource();
    /// @notice The source has a blank, a line break or a character beyond ASCII at `position`.
    error InvalidSource(uint256 position);

    /// @notice The text of a proposal to let `codeHash`, built from `sourceUri`, run in `app` on this chain.
    function describe(address app, bytes32 codeHash, string memory sourceUri, string memory note)
        internal
        view
        returns (string memory text)
    {
        _checkSource(sourceUri);
        text = string.concat(
            "mandate: schedule code\nchain: ",
            Strings.toString(block.chainid),
            "\napp: ",
            Strings.toChecksumHexString(app),
            "\ncode: ",
            Strings.toHexString(uint256(codeHash), 32),
            "\nsource: ",
            sourceUri
        );
        if (bytes(note).length != 0) text = string.concat(text, "\n\n", note);
    }

    function _checkSource(string memory sourceUri) private pure {
        bytes memory source = bytes(sourceUri);
        if (source.length == 0) revert EmptySource();
        for (uint256 i = 0; i < source.length; ++i) {
            if (source[i] < 0x21 || source[i] > 0x7e) revert InvalidSource(i);
        }
    }
}
