// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice The calls with which upstream's tools manage an app. ERC-165 id 0x8fd37527.
interface IAppAuthBasicManagement {
    event ComposeHashAdded(bytes32 composeHash);
    event ComposeHashRemoved(bytes32 composeHash);
    event DeviceAdded(bytes32 deviceId);
    event DeviceRemoved(bytes32 deviceId);

    /// @notice Lets the code run, here: after the notice and beside the present versions.
    function addComposeHash(bytes32 composeHash) external;

    /// @notice Ends the code at once, here: it retires, so that it may be added again.
    function removeComposeHash(bytes32 composeHash) external;

    /// @notice Allows the device, here: after the notice.
    function addDevice(bytes32 deviceId) external;

    /// @notice Denies the device at once, here: also where any device is allowed.
    function removeDevice(bytes32 deviceId) external;
}
