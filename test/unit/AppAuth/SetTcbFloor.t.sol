// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IGoverned} from "../../../contracts/interfaces/IGoverned.sol";
import {BootRequest, Reason, TcbStatus} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {vm} from "../support/Vm.sol";

contract SetTcbFloorTest is Fixture {
    function _at(string memory status) private view returns (Reason) {
        BootRequest memory request = _request();
        request.info.tcbStatus = status;
        return _reason(request);
    }

    function test_decide_ReadsEveryStatusAsIntelWritesIt() external {
        string[6] memory texts = [
            "UpToDate",
            "SWHardeningNeeded",
            "ConfigurationNeeded",
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded"
        ];
        vm.prank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDateConfigurationNeeded);
        skip(NOTICE);
        for (uint256 floor = texts.length; floor >= 1; --floor) {
            if (floor < texts.length) {
                vm.prank(OWNER);
                app.setTcbFloor(TcbStatus(floor));
            }
            for (uint256 i = 0; i < texts.length; ++i) {
                assertReason(_at(texts[i]), i < floor ? Reason.Allowed : Reason.TcbTooLow);
            }
        }
    }

    function test_decide_RefusesRevokedAndUnknownTexts() external view {
        assertReason(_at("Revoked"), Reason.TcbTooLow);
        assertReason(_at(""), Reason.TcbTooLow);
        assertReason(_at("uptodate"), Reason.TcbTooLow);
        assertReason(_at("UpToDate "), Reason.TcbTooLow);
    }

    function test_setTcbFloor_RaisesAtOnce_G2() external {
        vm.expectEmit(address(app));
        emit IAppPolicy.TcbFloorSet(TcbStatus.UpToDate, currentTime());
        vm.prank(OWNER);
        app.setTcbFloor(TcbStatus.UpToDate);
        assertReason(_at("SWHardeningNeeded"), Reason.TcbTooLow);
    }

    function test_setTcbFloor_LowersAfterTheNotice_G2() external {
        uint40 from = currentTime() + NOTICE;
        vm.expectEmit(address(app));
        emit IAppPolicy.TcbFloorSet(TcbStatus.OutOfDate, from);
        vm.prank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDate);
        vm.warp(from - 1);
        assertReason(_at("OutOfDate"), Reason.TcbTooLow);
        vm.warp(from);
        assertReason(_at("OutOfDate"), Reason.Allowed);
    }

    function test_setTcbFloor_RaisingCancelsALoweringThatIsPending() external {
        vm.startPrank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDate);
        app.setTcbFloor(TcbStatus.UpToDate);
        skip(NOTICE);
        vm.assertEq(uint256(app.tcbFloor()), uint256(TcbStatus.UpToDate));
    }

    function test_setTcbFloor_AskingForThePresentOneCancelsWhatIsPending() external {
        vm.startPrank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDate);
        app.setTcbFloor(TcbStatus.SWHardeningNeeded);
        skip(NOTICE);
        vm.assertEq(uint256(app.tcbFloor()), uint256(TcbStatus.SWHardeningNeeded));
    }

    function test_setTcbFloor_AnotherLoweringWaitsAnew() external {
        vm.startPrank(OWNER);
        app.setTcbFloor(TcbStatus.OutOfDateConfigurationNeeded);
        skip(NOTICE - 1);
        app.setTcbFloor(TcbStatus.OutOfDate);
        skip(1);
        vm.assertEq(uint256(app.tcbFloor()), uint256(TcbStatus.SWHardeningNeeded));
        skip(NOTICE - 1);
        vm.assertEq(uint256(app.tcbFloor()), uint256(TcbStatus.OutOfDate));
    }

    function test_setTcbFloor_RevertIf_SameAsPresentOrPending() external {
        vm.startPrank(OWNER);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setTcbFloor(TcbStatus.SWHardeningNeeded);
        app.setTcbFloor(TcbStatus.OutOfDate);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setTcbFloor(TcbStatus.OutOfDate);
        skip(NOTICE);
        vm.expectRevert(IGoverned.NothingToChange.selector);
        app.setTcbFloor(TcbStatus.OutOfDate);
    }

    function test_setTcbFloor_RevertIf_None() external {
        vm.prank(OWNER);
        vm.expectRevert(IAppPolicy.InvalidTcbFloor.selector);
        app.setTcbFloor(TcbStatus.None);
    }

    function testFuzz_setTcbFloor_RevertIf_NotOwner(address caller) external {
        vm.assume(caller != OWNER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotAuthorized.selector, caller));
        app.setTcbFloor(TcbStatus.UpToDate);
    }
}
