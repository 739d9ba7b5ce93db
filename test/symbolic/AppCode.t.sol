// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuthState} from "./support/AppAuthState.sol";

/// @notice G-2 and G-3 of one app's code: any storage of an app that has not upgraded yet, any time, any arguments.
contract AppCodeProofs is AppAuthState {
    function setUp() public override {
        super.setUp();
        app.enterFirstEra();
    }

    /// @notice Of the owner: every call that can touch a version.
    function check_G2_code_scheduleCode(uint40 time, uint40 probeTime, bytes32 probed, bytes32 codeHash) external {
        bytes memory data = abi.encodeCall(app.scheduleCode, (codeHash, "", false, 0));
        _checkNotice(data, time, Part.Code, probed, probeTime);
    }

    function check_G2_code_scheduleCodeSuperseding(
        uint40 time,
        uint40 probeTime,
        bytes32 probed,
        bytes32 codeHash,
        uint40 handover
    ) external {
        bytes memory data = abi.encodeCall(app.scheduleCode, (codeHash, "", true, handover));
        _checkNotice(data, time, Part.Code, probed, probeTime);
    }

    function check_G2_code_scheduleCodeUntil(
        uint40 time,
        uint40 probeTime,
        bytes32 probed,
        bytes32 codeHash,
        uint40 expiresAt
    ) external {
        bytes memory data = abi.encodeCall(app.scheduleCodeUntil, (codeHash, "", false, 0, expiresAt));
        _checkNotice(data, time, Part.Code, probed, probeTime);
    }

    function check_G2_code_scheduleCodeUntilSuperseding(
        uint40 time,
        uint40 probeTime,
        bytes32 probed,
        bytes32 codeHash,
        uint40 handover,
        uint40 expiresAt
    ) external {
        bytes memory data = abi.encodeCall(app.scheduleCodeUntil, (codeHash, "", true, handover, expiresAt));
        _checkNotice(data, time, Part.Code, probed, probeTime);
    }

    function check_G2_code_addComposeHash(uint40 time, uint40 probeTime, bytes32 probed, bytes32 codeHash) external {
        _checkNotice(abi.encodeCall(app.addComposeHash, (codeHash)), time, Part.Code, probed, probeTime);
    }

    function check_G2_code_retireCode(uint40 time, uint40 probeTime, bytes32 probed, bytes32 codeHash, uint40 retireAt)
        external
    {
        _checkNotice(abi.encodeCall(app.retireCode, (codeHash, retireAt)), time, Part.Code, probed, probeTime);
    }

    function check_G2_code_removeComposeHash(uint40 time, uint40 probeTime, bytes32 probed, bytes32 codeHash) external {
        _checkNotice(abi.encodeCall(app.removeComposeHash, (codeHash)), time, Part.Code, probed, probeTime);
    }

    function check_G2_code_revokeCode(uint40 time, uint40 probeTime, bytes32 probed, bytes32 codeHash, bool rotate)
        external
    {
        _checkNotice(abi.encodeCall(app.revokeCode, (codeHash, rotate)), time, Part.Code, probed, probeTime);
    }

    function check_G3_code(address caller, uint40 time, uint40 probeTime, bytes32 codeHash) external {
        _checkNotOwner(caller, time, Part.Code, codeHash, probeTime);
    }
}
