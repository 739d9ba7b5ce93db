// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {EarlierEnds, Upgrades} from "../../contracts/types/Upgrades.sol";
import {vm} from "../unit/support/Vm.sol";
import {svm} from "./support/Svm.sol";

/// @notice The ends of eras alone.
contract UpgradesHarness {
    EarlierEnds private _earlier;
    Upgrades private _upgrades;

    function supersede(uint40 end) external {
        _upgrades = _upgrades.supersede(_earlier, end);
    }

    function endOf(uint16 era) external view returns (uint40) {
        return _upgrades.endOf(_earlier, era);
    }

    /// @notice The era for which the ends before the last were written.
    function writtenFor() external view returns (uint16) {
        return uint16(_earlier.word);
    }

    function present() external view returns (uint16) {
        return _upgrades.era();
    }
}

/// @notice An upgrade ends every era that there is at its own end at the latest, and prolongs none: for every content of
/// storage and every time. Of storage it is assumed that no ends are kept for an era to come, as `check_wellFormed_…` has
/// that every upgrade leaves it. With `VersionListProofs`, G-2 of superseding follows.
contract UpgradesProofs {
    uint256 private constant END_OF_TIME = 1 << 39;
    /// @dev One more than the number of ends that are kept; from there on, all ages are alike.
    uint16 private constant MAX_AGE = 8;

    UpgradesHarness private upgrades;

    function setUp() external {
        upgrades = new UpgradesHarness();
        svm.enableSymbolicStorage(address(upgrades));
    }

    function check_G2_supersede_PresentEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(0, end, time, probeTime);
    }

    function check_G2_supersede_LastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(1, end, time, probeTime);
    }

    function check_G2_supersede_SecondLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(2, end, time, probeTime);
    }

    function check_G2_supersede_ThirdLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(3, end, time, probeTime);
    }

    function check_G2_supersede_FourthLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(4, end, time, probeTime);
    }

    function check_G2_supersede_FifthLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(5, end, time, probeTime);
    }

    function check_G2_supersede_SixthLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(6, end, time, probeTime);
    }

    function check_G2_supersede_SeventhLastEra(uint40 end, uint40 time, uint40 probeTime) external {
        _check(7, end, time, probeTime);
    }

    function check_G2_supersede_OlderEras(uint16 age, uint40 end, uint40 time, uint40 probeTime) external {
        vm.assume(age >= MAX_AGE);
        _check(age, end, time, probeTime);
    }

    function check_wellFormed_NoEndsForAnEraToCome(uint40 end, uint40 time) external {
        vm.assume(0 < time && time < END_OF_TIME && upgrades.writtenFor() <= upgrades.present());
        vm.warp(time);
        upgrades.supersede(end);
        assert(upgrades.writtenFor() <= upgrades.present());
    }

    /// @dev What has not ended at `probeTime` after an upgrade at `time` was not going to have ended then, and the upgrade's
    /// own end has not come.
    function _check(uint16 age, uint40 end, uint40 time, uint40 probeTime) private {
        vm.assume(0 < time && time <= end && time <= probeTime && probeTime < END_OF_TIME);
        uint16 present = upgrades.present();
        vm.assume(age <= present && upgrades.writtenFor() <= present);
        uint40 before = upgrades.endOf(present - age);
        vm.warp(time);
        upgrades.supersede(end);
        uint40 later = upgrades.endOf(present - age);
        assert(later != 0);
        if (probeTime >= later) return;
        assert((before == 0 || probeTime < before) && probeTime < end);
    }
}
