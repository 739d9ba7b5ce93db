// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BootRequest, Reason, Verdict} from "../../../contracts/types/Boot.sol";
import {Fixture} from "../support/Fixture.sol";
import {ForeignAppStub} from "../support/ForeignAppStub.sol";
import {vm} from "../support/Vm.sol";

contract ForeignGasTest is Fixture {
    function test_decide_CostsNoMoreThanTheCapWhenAForeignAppBurnsAllGas() external {
        ForeignAppStub foreign = new ForeignAppStub();
        foreign.set(ForeignAppStub.Answer.BurnsAllGas);
        kms.registerForeignApp(address(foreign));
        BootRequest memory request = _request();
        request.info.appId = address(foreign);
        uint256 gasBefore = gasleft();
        (Verdict verdict, Reason reason,) = kms.decide(request);
        uint256 spent = gasBefore - gasleft();
        vm.assertEq(uint256(verdict), uint256(Verdict.Denied));
        assertReason(reason, Reason.ForeignAppRefused);
        vm.assertTrue(spent > 1_000_000 && spent < 1_200_000, "the cap is a million, and little comes on top");
    }
}
