// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppBootInfo} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {UpstreamRegistryDouble} from "../support/UpstreamRegistryDouble.sol";
import {vm} from "../support/Vm.sol";

/// @notice A registry that knows nothing of this suite but upstream's ABI can register an `AppAuth`, ask it and manage it.
contract UpstreamRegistryTest is Fixture {
    UpstreamRegistryDouble internal registry;

    function setUp() public override {
        super.setUp();
        registry = new UpstreamRegistryDouble(IMAGE);
    }

    function test_registerApp_TakesAnAppAuth() external {
        registry.registerApp(address(app));
        (bool allowed, string memory reason) = _ask(_info());
        vm.assertTrue(allowed);
        vm.assertEq(reason, "");
    }

    function test_registerApp_RevertIf_ItIsNoAppAuth() external {
        vm.expectRevert(abi.encodeWithSelector(UpstreamRegistryDouble.NotAnAppAuth.selector, address(0xbeef)));
        registry.registerApp(address(0xbeef));
    }

    function test_isAppAllowed_PassesRefusalsOn() external {
        registry.registerApp(address(app));
        AppBootInfo memory info = _info();
        info.composeHash = CODE_2;
        (bool allowed, string memory reason) = _ask(info);
        vm.assertFalse(allowed);
        vm.assertEq(reason, "code is not known");
    }

    /// @dev Upstream's management calls, in upstream's words: what loosens still waits for the notice.
    function test_addComposeHash_WaitsForTheNoticeUnderUpstreamsAbiToo() external {
        registry.registerApp(address(app));
        AppBootInfo memory info = _info();
        info.composeHash = CODE_2;
        vm.prank(OWNER);
        app.addComposeHash(CODE_2);
        (bool allowed,) = _ask(info);
        vm.assertFalse(allowed);
        skip(NOTICE);
        (allowed,) = _ask(info);
        vm.assertTrue(allowed);
        vm.prank(OWNER);
        app.removeComposeHash(CODE_2);
        (allowed,) = _ask(info);
        vm.assertFalse(allowed);
    }

    /// @dev By selector: the registry has structs of its own.
    function _ask(AppBootInfo memory info) private view returns (bool allowed, string memory reason) {
        bytes memory question = abi.encodeWithSelector(UpstreamRegistryDouble.isAppAllowed.selector, info);
        (bool answered, bytes memory answer) = address(registry).staticcall(question);
        vm.assertTrue(answered);
        return abi.decode(answer, (bool, string));
    }
}
