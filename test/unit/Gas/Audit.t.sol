// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReceiptAnchor} from "../../../contracts/ReceiptAnchor.sol";
import {RebuildCondition} from "../../../contracts/conditions/RebuildCondition.sol";
import {CommitteeFixture} from "../support/CommitteeFixture.sol";
import {vm} from "../support/Vm.sol";

/// @notice What receipts and rebuilds cost, as `GasPolicyTest` measures it.
contract GasAuditTest is CommitteeFixture {
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant ROOT_2 = keccak256("root 2");
    bytes32 private constant CODE = keccak256("code");
    bytes32 private constant CODE_2 = keccak256("code 2");
    string private constant SOURCE = "https://code.example/2";

    ReceiptAnchor private anchor;
    RebuildCondition private condition;

    function setUp() public override {
        super.setUp();
        anchor = new ReceiptAnchor(address(committee));
        anchor.postRoot(vm.addr(1), 0, 0, ROOT, 5, _signRoot(0, 0, ROOT, 5));
        address[] memory rebuilders = new address[](2);
        (rebuilders[0], rebuilders[1]) = (vm.addr(1), vm.addr(2));
        condition = new RebuildCondition(rebuilders, 2, 2 days);
        vm.prank(vm.addr(1));
        condition.attest(CODE, SOURCE);
    }

    function test_gas_postRoot() external {
        bytes memory signature = _signRoot(1, ROOT, ROOT_2, 6);
        anchor.postRoot(vm.addr(1), 1, ROOT, ROOT_2, 6, signature);
        vm.snapshotGasLastCall("ReceiptAnchor.postRoot");
    }

    function test_gas_attest() external {
        vm.prank(vm.addr(1));
        condition.attest(CODE_2, SOURCE);
        vm.snapshotGasLastCall("RebuildCondition.attest, first");
    }

    function test_gas_attestReachingTheQuorum() external {
        vm.prank(vm.addr(2));
        condition.attest(CODE, SOURCE);
        vm.snapshotGasLastCall("RebuildCondition.attest, reaching the quorum");
    }

    function test_gas_withdraw() external {
        vm.prank(vm.addr(1));
        condition.withdraw(CODE);
        vm.snapshotGasLastCall("RebuildCondition.withdraw");
    }

    function test_gas_attestBySig() external {
        bytes32 typeHash =
            keccak256("Attestation(bytes32 codeHash,string sourceUri,address rebuilder,uint256 deadline)");
        bytes32 structHash =
            keccak256(abi.encode(typeHash, CODE_2, keccak256(bytes(SOURCE)), vm.addr(1), block.timestamp));
        bytes memory signature = _sign("Mandate RebuildCondition", address(condition), structHash);
        condition.attestBySig(CODE_2, SOURCE, vm.addr(1), block.timestamp, signature);
        vm.snapshotGasLastCall("RebuildCondition.attestBySig, first");
    }

    function test_gas_withdrawBySig() external {
        bytes32 typeHash = keccak256("Withdrawal(bytes32 codeHash,address rebuilder,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, CODE, vm.addr(1), block.timestamp));
        bytes memory signature = _sign("Mandate RebuildCondition", address(condition), structHash);
        condition.withdrawBySig(CODE, vm.addr(1), block.timestamp, signature);
        vm.snapshotGasLastCall("RebuildCondition.withdrawBySig");
    }

    function _signRoot(uint64 index, bytes32 previous, bytes32 root, uint64 count) private view returns (bytes memory) {
        bytes32 typeHash = keccak256("ReceiptRoot(uint64 index,bytes32 previousRoot,bytes32 root,uint64 count)");
        bytes32 structHash = keccak256(abi.encode(typeHash, index, previous, root, count));
        return _sign("Mandate ReceiptAnchor", address(anchor), structHash);
    }

    function _sign(string memory name, address verifier, bytes32 structHash) private view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                verifier
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(1, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }
}
