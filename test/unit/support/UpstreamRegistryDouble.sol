// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

/// @notice Upstream's boot information, spelled out here so that nothing of this suite is imported.
struct ForeignBootInfo {
    address appId;
    bytes32 composeHash;
    address instanceId;
    bytes32 deviceId;
    bytes32 mrAggregated;
    bytes32 mrSystem;
    bytes32 osImageHash;
    string tcbStatus;
    string[] advisoryIds;
}

interface IForeignAppAuth {
    function isAppAllowed(ForeignBootInfo calldata bootInfo)
        external
        view
        returns (bool isAllowed, string memory reason);
}

/// @notice A registry as upstream's KMS contract is one: permissionless, checks ERC-165, knows OS images, asks the app.
contract UpstreamRegistryDouble {
    mapping(address app => bool) public registered;
    bytes32 private immutable _osImage;

    error NotAnAppAuth(address app);

    constructor(bytes32 osImage) {
        _osImage = osImage;
    }

    function registerApp(address app) external {
        if (app.code.length == 0 || !IERC165(app).supportsInterface(0x1e079198)) revert NotAnAppAuth(app);
        registered[app] = true;
    }

    function isAppAllowed(ForeignBootInfo calldata info) external view returns (bool, string memory) {
        if (!registered[info.appId]) return (false, "app is not registered");
        if (info.osImageHash != _osImage) return (false, "OS image is not known");
        return IForeignAppAuth(info.appId).isAppAllowed(info);
    }
}
