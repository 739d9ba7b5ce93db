// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAppPolicy} from "../../../contracts/interfaces/IAppPolicy.sol";
import {IVersions} from "../../../contracts/interfaces/IVersions.sol";
import {Reason, Version, VersionState} from "../../../contracts/types/Boot.sol";
import {EarlierEnds, Upgrades} from "../../../contracts/types/Upgrades.sol";
import {Fixture} from "../support/Fixture.sol";
import {Vm, vm} from "../support/Vm.sol";

/// @notice Superseding at a constant cost does what superseding one by one does: random lives of six versions beside two
/// naive books of them, one kept by the rules in words, one kept from the events alone (G-9).
contract UpgradesTest is Fixture {
    uint256 private constant CODES = 6;

    struct Book {
        uint40[CODES] activeFrom;
        uint40[CODES] retireAt;
        bool[CODES] revoked;
    }

    Book private model;
    Book private folded;
    EarlierEnds private ends;
    bool private tookEffect;

    function setUp() public override {
        super.setUp();
        (model.activeFrom[0], folded.activeFrom[0]) = (currentTime(), currentTime());
    }

    function testFuzz_supersede_EqualsTheNaiveModel_G9(uint256[40] calldata seeds) external {
        for (uint256 i = 0; i < seeds.length; ++i) {
            _step(uint256(keccak256(abi.encode(seeds[i], i))));
            for (uint256 code = 0; code < CODES; ++code) {
                _compare(code, model);
                _compare(code, folded);
            }
        }
    }

    function test_supersede_SevenCanBeUnderWay_RevertIf_AnEighth() external {
        vm.startPrank(OWNER);
        for (uint256 i = 1; i <= 7; ++i) {
            app.scheduleCode(bytes32(i), "", true, uint40(i) * 1 hours);
        }
        vm.expectRevert(abi.encodeWithSelector(IVersions.TooManyUpgrades.selector, 7));
        app.scheduleCode(bytes32(uint256(8)), "", true, 8 hours);
        for (uint256 i = 1; i < 7; ++i) {
            vm.assertEq(_version(bytes32(i)).retireAt, currentTime() + NOTICE + (i + 1) * 1 hours);
        }
        skip(NOTICE + 1 hours);
        app.scheduleCode(bytes32(uint256(8)), "", true, 8 hours);
        assertReason(_reasonFor(CODE), Reason.CodeRetired);
        assertReason(_reasonFor(bytes32(uint256(1))), Reason.Allowed);
    }

    function test_supersede_AnEarlierEndBringsThoseBeforeItForward() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 30 days);
        app.scheduleCode(CODE_3, "", true, 1 hours);
        uint40 retireAt = currentTime() + NOTICE + 1 hours;
        vm.assertEq(_version(CODE).retireAt, retireAt);
        vm.assertEq(_version(CODE_2).retireAt, retireAt);
        vm.assertEq(_version(CODE_3).retireAt, 0);
    }

    function test_supersede_LongAgoStaysRetired() external {
        vm.startPrank(OWNER);
        for (uint256 i = 1; i <= 20; ++i) {
            app.scheduleCode(bytes32(i), "", true, 0);
            skip(NOTICE);
        }
        assertState(_state(CODE), VersionState.Retired);
        vm.assertEq(_version(CODE).retireAt, 1);
        assertState(_state(bytes32(uint256(19))), VersionState.Retired);
        assertState(_state(bytes32(uint256(20))), VersionState.Active);
    }

    /// @dev The ends that were kept for an earlier upgrade are those of other eras by now.
    function test_supersede_ForgetsATimeRatherThanTellAWrongOne() external {
        vm.startPrank(OWNER);
        app.scheduleCode(CODE_2, "", true, 0);
        app.scheduleCode(CODE_3, "", true, 1 hours);
        vm.assertEq(_version(CODE_2).retireAt, currentTime() + NOTICE + 1 hours);
        skip(NOTICE + 1 hours);
        app.scheduleCode(bytes32(uint256(4)), "", true, 0);
        vm.assertEq(_version(CODE).retireAt, 1);
        vm.assertEq(_version(CODE_2).retireAt, 1);
        vm.assertEq(_version(CODE_3).retireAt, currentTime() + NOTICE);
        // Nor does the next one take them over.
        app.scheduleCode(bytes32(uint256(5)), "", true, 1 hours);
        vm.assertEq(_version(CODE_2).retireAt, 1);
        vm.assertEq(_version(CODE_3).retireAt, currentTime() + NOTICE);
        vm.assertEq(_version(bytes32(uint256(4))).retireAt, currentTime() + NOTICE + 1 hours);
    }

    function test_nextEra_RevertIf_AllAreUsed() external {
        Upgrades last = Upgrades.wrap(uint56(type(uint16).max) << 40);
        vm.expectRevert(abi.encodeWithSelector(IVersions.TooManyUpgrades.selector, type(uint16).max));
        this.supersede(last);
        Upgrades before = Upgrades.wrap(uint56(type(uint16).max - 1) << 40);
        vm.assertEq(this.supersede(before).era(), type(uint16).max);
    }

    function supersede(Upgrades from) external returns (Upgrades) {
        return from.supersede(ends, currentTime());
    }

    function _step(uint256 seed) private {
        uint256 code = (seed >> 8) % CODES;
        uint40 delay = uint40((seed >> 16) % (6 days));
        skip((seed >> 64) % (seed & 0x80 == 0 ? 1 hours : 1 days));
        uint256 kind = seed % 16;
        vm.recordLogs();
        if (kind < 8) _schedule(code, false, 0, 0);
        else if (kind < 13) _schedule(code, true, delay, kind == 12 ? currentTime() + 3 days : 0);
        else if (kind < 15) _retire(code, currentTime() + delay);
        else if ((seed >> 100) % 4 == 0) _revoke(code);
        // Forge records the events of calls that revert as well.
        if (tookEffect) _fold();
        tookEffect = false;
    }

    function _schedule(uint256 code, bool replace, uint40 handover, uint40 expiresAt) private {
        bytes memory data = expiresAt == 0
            ? abi.encodeCall(app.scheduleCode, (_code(code), "", replace, handover))
            : abi.encodeCall(app.scheduleCodeUntil, (_code(code), "", replace, handover, expiresAt));
        (bool success, bytes4 selector) = _try(data);
        if (selector == IVersions.TooManyUpgrades.selector) return;
        (bool expected, uint40 from) = _modelSchedule(code, expiresAt);
        vm.assertEq(success, expected);
        if (!success || !replace) return;
        uint40 end = (from < currentTime() ? currentTime() : from) + handover;
        _supersede(model, code, end);
    }

    function _modelSchedule(uint256 code, uint40 expiresAt) private returns (bool, uint40 from) {
        (uint40 end, uint40 soonest) = (model.retireAt[code], currentTime() + NOTICE);
        if (model.revoked[code]) return (false, 0);
        from = model.activeFrom[code];
        bool over = from == 0 || (end != 0 && end <= currentTime());
        if (over) from = soonest;
        else if (end == 0 || end < soonest || (expiresAt != 0 && expiresAt <= end)) return (false, 0);
        if (expiresAt != 0 && expiresAt <= from) return (false, 0);
        (model.activeFrom[code], model.retireAt[code]) = (from, expiresAt);
        return (true, from);
    }

    function _retire(uint256 code, uint40 time) private {
        (bool success,) = _try(abi.encodeCall(app.retireCode, (_code(code), time)));
        uint40 end = model.retireAt[code];
        bool expected = !model.revoked[code] && model.activeFrom[code] != 0 && (end == 0 || end > time);
        vm.assertEq(success, expected);
        if (success) model.retireAt[code] = time;
    }

    function _revoke(uint256 code) private {
        (bool success,) = _try(abi.encodeCall(app.revokeCode, (_code(code), false)));
        vm.assertEq(success, !model.revoked[code]);
        model.revoked[code] = true;
    }

    function _try(bytes memory data) private returns (bool success, bytes4 selector) {
        bytes memory answer;
        vm.prank(OWNER);
        (success, answer) = address(app).call(data);
        tookEffect = success;
        if (!success) selector = bytes4(answer);
    }

    function _supersede(Book storage book, uint256 by, uint40 end) private {
        for (uint256 i = 0; i < CODES; ++i) {
            if (i == by || book.activeFrom[i] == 0) continue;
            if (book.retireAt[i] == 0 || book.retireAt[i] > end) book.retireAt[i] = end;
        }
    }

    function _fold() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            (bytes32 kind, uint256 code) = (logs[i].topics[0], _indexOf(logs[i].topics[1]));
            if (kind == IAppPolicy.CodeScheduled.selector) {
                (uint40 from,) = abi.decode(logs[i].data, (uint40, string));
                (folded.activeFrom[code], folded.retireAt[code]) = (from, 0);
            }
            if (kind == IAppPolicy.CodeRetirementSet.selector) {
                folded.retireAt[code] = abi.decode(logs[i].data, (uint40));
            }
            if (kind == IAppPolicy.CodesSuperseded.selector) {
                _supersede(folded, code, abi.decode(logs[i].data, (uint40)));
            }
            if (kind == IAppPolicy.CodeRevoked.selector) folded.revoked[code] = true;
        }
    }

    /// @dev The time of an end that is past may be forgotten, that it is past may not.
    function _compare(uint256 code, Book storage book) private view {
        (VersionState state, Version memory version) = app.codeState(_code(code));
        (uint40 from, uint40 end) = (book.activeFrom[code], book.retireAt[code]);
        VersionState expected = VersionState.Active;
        if (book.revoked[code]) expected = VersionState.Revoked;
        else if (from == 0) expected = VersionState.None;
        else if (end != 0 && end <= currentTime()) expected = VersionState.Retired;
        else if (currentTime() < from) expected = VersionState.Scheduled;
        else if (end != 0) expected = VersionState.Retiring;
        assertState(state, expected);
        vm.assertEq(version.activeFrom, from, "activeFrom");
        bool past = end != 0 && end <= currentTime();
        if (past) vm.assertTrue(version.retireAt != 0 && version.retireAt <= currentTime(), "a past end");
        else vm.assertEq(version.retireAt, end, "retireAt");
    }

    function _indexOf(bytes32 hash) private pure returns (uint256 code) {
        while (_code(code) != hash) ++code;
    }

    function _code(uint256 code) private pure returns (bytes32) {
        return code == 0 ? CODE : bytes32(code);
    }
}
