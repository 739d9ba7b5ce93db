// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {Reason} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {SafeDouble} from "../support/SafeDouble.sol";
import {vm} from "../support/Vm.sol";

/// @notice An app whose owner is a plain account, and one whose owner is a Safe: 2 of 3, whose keys are 1 to 3.
contract OwnersTest is Fixture {
    SafeDouble private safe;

    function setUp() public override {
        super.setUp();
        address[] memory owners = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            owners[i] = vm.addr(i + 1);
        }
        safe = new SafeDouble(owners, 2);
    }

    function test_eoa_LoosensAfterTheNoticeAndTightensAtOnce_G2() external {
        vm.prank(OWNER);
        app.scheduleCode(CODE_2, "uri", false, 0);
        assertReason(_reasonFor(CODE_2), Reason.CodeScheduled);
        skip(NOTICE);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        vm.prank(OWNER);
        app.revokeCode(CODE_2, false);
        assertReason(_reasonFor(CODE_2), Reason.CodeRevoked);
    }

    function test_safe_TakesTheAppOverAfterTheNotice() external {
        vm.prank(OWNER);
        app.transferOwnership(address(safe));
        bytes memory accept = abi.encodeCall(app.acceptOwnership, ());
        bytes memory early = _signatures(1, 2, accept);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotYetAcceptable.selector, currentTime() + NOTICE));
        _send(accept, early);
        skip(NOTICE);
        _send(accept, early);
        vm.assertEq(app.owner(), address(safe));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, OWNER));
        app.setNotice(NOTICE + 1);
    }

    function test_safe_LoosensAfterTheNoticeAndTightensAtOnce_G2() external {
        _giveToSafe();
        bytes memory data = abi.encodeCall(app.scheduleCode, (CODE_2, "uri", true, 1 hours));
        vm.assertTrue(_send(data, _signatures(1, 3, data)));
        assertReason(_reasonFor(CODE_2), Reason.CodeScheduled);
        skip(NOTICE);
        assertReason(_reasonFor(CODE_2), Reason.Allowed);
        data = abi.encodeCall(app.revokeCode, (CODE_2, true));
        vm.assertTrue(_send(data, _signatures(2, 3, data)));
        assertReason(_reasonFor(CODE_2), Reason.CodeRevoked);
    }

    function test_safe_OneSignatureDoesNothing() external {
        _giveToSafe();
        bytes memory data = abi.encodeCall(app.revokeCode, (CODE, false));
        bytes memory one = _signature(1, data);
        vm.expectRevert(abi.encodeWithSelector(SafeDouble.Refused.selector, "too few signatures"));
        _send(data, one);
        vm.expectRevert(abi.encodeWithSelector(SafeDouble.Refused.selector, "not an owner, or twice"));
        _send(data, bytes.concat(one, one));
        vm.prank(vm.addr(1));
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, vm.addr(1)));
        app.revokeCode(CODE, false);
        assertReason(_reasonFor(CODE), Reason.Allowed);
    }

    function test_safe_TheGuardianStillTightensAlone_G3() external {
        _giveToSafe();
        vm.prank(GUARDIAN);
        app.revokeCode(CODE, false);
        assertReason(_reasonFor(CODE), Reason.CodeRevoked);
    }

    function _giveToSafe() private {
        vm.prank(OWNER);
        app.transferOwnership(address(safe));
        skip(NOTICE);
        bytes memory accept = abi.encodeCall(app.acceptOwnership, ());
        _send(accept, _signatures(1, 2, accept));
    }

    function _send(bytes memory data, bytes memory signatures) private returns (bool) {
        return safe.execTransaction(address(app), 0, data, 0, 0, 0, 0, address(0), payable(0), signatures);
    }

    /// @dev Safe wants them sorted by owner.
    function _signatures(uint256 a, uint256 b, bytes memory data) private view returns (bytes memory) {
        if (vm.addr(a) > vm.addr(b)) (a, b) = (b, a);
        return bytes.concat(_signature(a, data), _signature(b, data));
    }

    function _signature(uint256 key, bytes memory data) private view returns (bytes memory) {
        bytes32 hash = safe.getTransactionHash(address(app), 0, data, 0, 0, 0, 0, address(0), address(0), safe.nonce());
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        return abi.encodePacked(r, s, v);
    }
}
