// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AppAuth} from "../../contracts/AppAuth.sol";
import {KmsAuth} from "../../contracts/KmsAuth.sol";
import {TcbStatus, TeeKind} from "../../contracts/types/Boot.sol";

/// @notice Whatever changes an app or a KmsAuth, as somebody would send it who has no power there. Registering one's own app,
/// which anyone may, is not among it.
library StrangerCalls {
    function toApp(AppAuth app, uint256 seed, bytes32 code, bytes32 device, bytes32 ticket, address condition)
        internal
        view
        returns (bytes memory)
    {
        bytes[30] memory calls;
        uint40 later = uint40(block.timestamp + 1 + (seed >> 8) % 1 days);
        calls[0] = abi.encodeCall(app.scheduleCode, (code, "", seed & 1 == 0, 0));
        calls[1] = abi.encodeCall(app.scheduleCodeUntil, (code, "", seed & 1 == 0, 0, later + 366 days));
        calls[2] = abi.encodeCall(app.retireCode, (code, later));
        calls[3] = abi.encodeCall(app.revokeCode, (code, seed & 1 == 0));
        calls[4] = abi.encodeCall(app.pause, (later));
        calls[5] = abi.encodeCall(app.armGuardianPause, ());
        calls[6] = abi.encodeCall(app.sunset, ());
        calls[7] = abi.encodeCall(app.rotateKeys, (0));
        calls[8] = abi.encodeCall(app.addComposeHash, (code));
        calls[9] = abi.encodeCall(app.removeComposeHash, (code));
        calls[10] = abi.encodeCall(app.addDevice, (device));
        calls[11] = abi.encodeCall(app.removeDevice, (device));
        calls[12] = abi.encodeCall(app.allowDevice, (device));
        calls[13] = abi.encodeCall(app.denyDevice, (device));
        calls[14] = abi.encodeCall(app.allowAnyDevice, ());
        calls[15] = abi.encodeCall(app.removeAnyDevice, ());
        calls[16] = abi.encodeCall(app.allowTee, (TeeKind.Snp));
        calls[17] = abi.encodeCall(app.removeTee, (TeeKind.Tdx));
        calls[18] = abi.encodeCall(app.setTcbFloor, (TcbStatus.OutOfDate));
        calls[19] = abi.encodeCall(app.addCondition, (condition));
        calls[20] = abi.encodeCall(app.removeCondition, (condition));
        calls[21] = abi.encodeCall(app.requireTicket, (seed & 1 == 0));
        calls[22] = abi.encodeCall(app.allowTicket, (ticket));
        calls[23] = abi.encodeCall(app.revokeTicket, (ticket));
        calls[24] = abi.encodeCall(app.denyAdvisory, ("INTEL-SA-00615"));
        calls[25] = abi.encodeCall(app.liftAdvisory, ("INTEL-SA-00615"));
        calls[26] = abi.encodeCall(app.setNotice, (uint40(seed % 5 days)));
        calls[27] = abi.encodeCall(app.acceptOwnership, ());
        calls[28] = abi.encodeCall(app.setGuardian, (address(uint160(seed))));
        calls[29] = abi.encodeCall(app.transferOwnership, (address(uint160(seed | 1))));
        return calls[(seed >> 128) % calls.length];
    }

    function toKms(KmsAuth kms, uint256 seed, bytes32 image, address app) internal view returns (bytes memory) {
        bytes[11] memory calls;
        calls[0] = abi.encodeCall(kms.suspendApp, (app));
        calls[1] = abi.encodeCall(kms.liftSuspension, (app));
        calls[2] = abi.encodeCall(kms.scheduleOsImage, (image, ""));
        calls[3] = abi.encodeCall(kms.retireOsImage, (image, uint40(block.timestamp)));
        calls[4] = abi.encodeCall(kms.revokeOsImage, (image));
        calls[5] = abi.encodeCall(kms.setKmsApp, (app));
        calls[6] = abi.encodeCall(kms.setGatewayApp, (app));
        calls[7] = abi.encodeCall(kms.setNotice, (uint40(seed % 5 days)));
        calls[8] = abi.encodeCall(kms.setGuardian, (address(uint160(seed))));
        calls[9] = abi.encodeCall(kms.transferOwnership, (address(uint160(seed | 1))));
        calls[10] = abi.encodeCall(kms.acceptOwnership, ());
        return calls[(seed >> 128) % calls.length];
    }
}
