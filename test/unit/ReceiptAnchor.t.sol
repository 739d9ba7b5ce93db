// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {ReceiptAnchor} from "../../contracts/ReceiptAnchor.sol";
import {IReceiptAnchor} from "../../contracts/interfaces/IReceiptAnchor.sol";
import {CommitteeFixture} from "./support/CommitteeFixture.sol";
import {vmMore} from "./support/SignerStubs.sol";
import {vm} from "./support/Vm.sol";

contract ReceiptAnchorTest is CommitteeFixture {
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant ROOT_2 = keccak256("root 2");

    ReceiptAnchor private anchor;

    function setUp() public override {
        super.setUp();
        anchor = new ReceiptAnchor(address(committee));
    }

    function test_constructor_RevertIf_NotAContract() external {
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.NotACommittee.selector, STRANGER));
        new ReceiptAnchor(STRANGER);
    }

    function test_postRoot_AnyoneMaySendIt_G8() external {
        address node = vm.addr(1);
        bytes memory signature = _signRoot(1, 0, 0, ROOT, 5);
        vm.expectEmit(address(anchor));
        emit IReceiptAnchor.RootPosted(node, 0, ROOT, 0, 5);
        vm.prank(STRANGER);
        anchor.postRoot(node, 0, 0, ROOT, 5, signature);
        _assertLatest(node, ROOT, 5);
        vm.assertEq(anchor.anchorCount(node), 1);

        skip(1 hours);
        signature = _signRoot(1, 1, ROOT, ROOT_2, 6);
        vm.expectEmit(address(anchor));
        emit IReceiptAnchor.RootPosted(node, 1, ROOT_2, ROOT, 6);
        anchor.postRoot(node, 1, ROOT, ROOT_2, 6, signature);
        _assertLatest(node, ROOT_2, 6);
        vm.assertEq(anchor.anchor(node, 0).root, ROOT);
        vm.assertEq(anchor.committee(), address(committee));
    }

    function test_postRoot_EachNodeHasItsOwnLog() external {
        _post(1, 0, 0, ROOT, 5);
        _post(2, 0, 0, ROOT_2, 1);
        _assertLatest(vm.addr(1), ROOT, 5);
        _assertLatest(vm.addr(2), ROOT_2, 1);
        vm.assertEq(anchor.latest(vm.addr(3)).root, 0);
        vm.assertEq(anchor.anchorCount(vm.addr(3)), 0);
    }

    function test_postRoot_RevertIf_NotAdmitted() external {
        bytes memory signature = _signRoot(5, 0, 0, ROOT, 5);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.NotAdmitted.selector, vm.addr(5)));
        anchor.postRoot(vm.addr(5), 0, 0, ROOT, 5, signature);
    }

    function test_postRoot_RevertIf_Evicted() external {
        _post(1, 0, 0, ROOT, 5);
        vm.prank(OWNER);
        committee.evictNode(vm.addr(1));
        bytes memory signature = _signRoot(1, 1, ROOT, ROOT_2, 6);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.NotAdmitted.selector, vm.addr(1)));
        anchor.postRoot(vm.addr(1), 1, ROOT, ROOT_2, 6, signature);
        _assertLatest(vm.addr(1), ROOT, 5);
    }

    function test_postRoot_RevertIf_TheIndexIsNotTheNext() external {
        _expectWrongIndex(1, 0);
        _post(1, 0, 0, ROOT, 5);
        _expectWrongIndex(0, 1);
        _expectWrongIndex(2, 1);
    }

    function test_postRoot_RevertIf_Replayed() external {
        bytes memory signature = _signRoot(1, 0, 0, ROOT, 5);
        anchor.postRoot(vm.addr(1), 0, 0, ROOT, 5, signature);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.WrongIndex.selector, vm.addr(1), 0, 1));
        anchor.postRoot(vm.addr(1), 0, 0, ROOT, 5, signature);
    }

    function test_postRoot_RevertIf_AnotherHistory() external {
        bytes memory signature = _signRoot(1, 0, ROOT_2, ROOT, 5);
        vm.expectRevert(
            abi.encodeWithSelector(IReceiptAnchor.WrongPreviousRoot.selector, vm.addr(1), ROOT_2, bytes32(0))
        );
        anchor.postRoot(vm.addr(1), 0, ROOT_2, ROOT, 5, signature);
        _post(1, 0, 0, ROOT, 5);
        signature = _signRoot(1, 1, 0, ROOT_2, 6);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.WrongPreviousRoot.selector, vm.addr(1), bytes32(0), ROOT));
        anchor.postRoot(vm.addr(1), 1, 0, ROOT_2, 6, signature);
    }

    function testFuzz_postRoot_RevertIf_TheCountDoesNotRise(uint64 count, uint64 next) external {
        vm.assume(count != 0 && next <= count);
        _post(1, 0, 0, ROOT, count);
        bytes memory signature = _signRoot(1, 1, ROOT, ROOT_2, next);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.CountNotRising.selector, vm.addr(1), next, count));
        anchor.postRoot(vm.addr(1), 1, ROOT, ROOT_2, next, signature);
    }

    function test_postRoot_RevertIf_Empty() external {
        bytes memory signature = _signRoot(1, 0, 0, ROOT, 0);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.CountNotRising.selector, vm.addr(1), 0, 0));
        anchor.postRoot(vm.addr(1), 0, 0, ROOT, 0, signature);
        signature = _signRoot(1, 0, 0, 0, 1);
        vm.expectRevert(IReceiptAnchor.ZeroRoot.selector);
        anchor.postRoot(vm.addr(1), 0, 0, 0, 1, signature);
    }

    function test_postRoot_RevertIf_SomethingElseWasSigned() external {
        bytes memory signature = _signRoot(1, 0, 0, ROOT, 5);
        _expectInvalid(1, 0, 0, ROOT_2, 5, signature);
        _expectInvalid(1, 0, 0, ROOT, 6, signature);
        _expectInvalid(1, 1, 0, ROOT, 5, signature);
        _expectInvalid(1, 0, ROOT, ROOT, 5, signature);
        _expectInvalid(2, 0, 0, ROOT, 5, signature);
        _expectInvalid(1, 0, 0, ROOT, 5, "");
        vmMore.chainId(block.chainid + 1);
        _expectInvalid(1, 0, 0, ROOT, 5, signature);
    }

    function test_verify_FindsReceiptsAndNothingElse() external {
        bytes32[4] memory leaves;
        for (uint256 i = 0; i < 4; ++i) {
            leaves[i] = anchor.leafOf(bytes32(i + 1));
        }
        bytes32 left = Hashes.commutativeKeccak256(leaves[0], leaves[1]);
        bytes32 right = Hashes.commutativeKeccak256(leaves[2], leaves[3]);
        _post(1, 0, 0, Hashes.commutativeKeccak256(left, right), 4);
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (leaves[3], left);
        vm.assertTrue(anchor.verify(vm.addr(1), 0, bytes32(uint256(3)), proof));
        vm.assertFalse(anchor.verify(vm.addr(1), 0, bytes32(uint256(4)), proof));
        vm.assertFalse(anchor.verify(vm.addr(1), 0, leaves[2], proof));

        // No inner node passes for a receipt.
        bytes32[] memory short = new bytes32[](1);
        short[0] = left;
        vm.assertFalse(anchor.verify(vm.addr(1), 0, right, short));
        vm.assertFalse(anchor.verify(vm.addr(1), 0, anchor.anchor(vm.addr(1), 0).root, new bytes32[](0)));
    }

    /// @dev Logs of any length; where the nodes of a level are odd, the last one moves up.
    function testFuzz_verify_FindsEveryReceiptOfALog(uint256 seed, uint256 size, uint256 place) external {
        size = 1 + size % 20;
        place %= size;
        bytes32[] memory level = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            level[i] = anchor.leafOf(keccak256(abi.encode(seed, i)));
        }
        (bytes32 root, bytes32[] memory proof) = _prove(level, place);
        _post(1, 0, 0, root, uint64(size));
        vm.assertTrue(anchor.verify(vm.addr(1), 0, keccak256(abi.encode(seed, place)), proof));
        vm.assertFalse(anchor.verify(vm.addr(1), 0, keccak256(abi.encode(seed, size)), proof));
    }

    function _prove(bytes32[] memory level, uint256 place) private pure returns (bytes32 root, bytes32[] memory proof) {
        while (level.length > 1) {
            if (place ^ 1 < level.length) {
                bytes32[] memory longer = new bytes32[](proof.length + 1);
                for (uint256 i = 0; i < proof.length; ++i) {
                    longer[i] = proof[i];
                }
                longer[proof.length] = level[place ^ 1];
                proof = longer;
            }
            bytes32[] memory next = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < next.length; ++i) {
                bool paired = 2 * i + 1 < level.length;
                next[i] = paired ? Hashes.commutativeKeccak256(level[2 * i], level[2 * i + 1]) : level[2 * i];
            }
            (level, place) = (next, place / 2);
        }
        root = level[0];
    }

    function test_verify_TheOnlyReceipt() external {
        _post(1, 0, 0, anchor.leafOf(ROOT), 1);
        vm.assertTrue(anchor.verify(vm.addr(1), 0, ROOT, new bytes32[](0)));
        vm.assertEq(anchor.leafOf(ROOT), keccak256(abi.encode(keccak256(abi.encode(ROOT)))));
    }

    function test_verify_RevertIf_NotPosted() external {
        _post(1, 0, 0, ROOT, 1);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.UnknownAnchor.selector, vm.addr(1), 1));
        anchor.verify(vm.addr(1), 1, ROOT, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.UnknownAnchor.selector, vm.addr(2), 0));
        anchor.anchor(vm.addr(2), 0);
    }

    function _post(uint256 key, uint64 index, bytes32 previous, bytes32 root, uint64 count) private {
        anchor.postRoot(vm.addr(key), index, previous, root, count, _signRoot(key, index, previous, root, count));
    }

    function _expectWrongIndex(uint64 given, uint64 expected) private {
        bytes memory signature = _signRoot(1, given, ROOT, ROOT_2, 9);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.WrongIndex.selector, vm.addr(1), given, expected));
        anchor.postRoot(vm.addr(1), given, ROOT, ROOT_2, 9, signature);
    }

    function _expectInvalid(
        uint256 key,
        uint64 index,
        bytes32 previous,
        bytes32 root,
        uint64 count,
        bytes memory signature
    ) private {
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.InvalidSignature.selector, vm.addr(key)));
        anchor.postRoot(vm.addr(key), index, previous, root, count, signature);
    }

    /// @dev Written out, so that the contract's hashing is compared with the standard and not with itself.
    function _signRoot(uint256 key, uint64 index, bytes32 previous, bytes32 root, uint64 count)
        private
        view
        returns (bytes memory)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Mandate ReceiptAnchor"),
                keccak256("1"),
                block.chainid,
                address(anchor)
            )
        );
        bytes32 typeHash = keccak256("ReceiptRoot(uint64 index,bytes32 previousRoot,bytes32 root,uint64 count)");
        bytes32 structHash = keccak256(abi.encode(typeHash, index, previous, root, count));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function _assertLatest(address node, bytes32 root, uint64 count) private view {
        IReceiptAnchor.Anchor memory newest = anchor.latest(node);
        vm.assertEq(newest.root, root);
        vm.assertEq(newest.count, count);
        vm.assertEq(newest.postedAt, block.timestamp);
    }
}
