// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {RoleCouncil} from "../../../contracts/governance/RoleCouncil.sol";
import {IRoleCouncil} from "../../../contracts/interfaces/IRoleCouncil.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice A council that owns the app: two of three core members and one of two auditors. Member n's key is n.
abstract contract CouncilFixture is Fixture {
    uint40 internal constant LIFETIME = 14 days;
    bytes32 internal constant SALT = keccak256("salt");
    uint256 internal constant CORE = 0;
    uint256 internal constant AUDITORS = 1;

    address internal immutable CORE_1 = vm.addr(1);
    address internal immutable CORE_2 = vm.addr(2);
    address internal immutable CORE_3 = vm.addr(3);
    address internal immutable AUDITOR = vm.addr(4);
    address internal immutable AUDITOR_2 = vm.addr(5);

    RoleCouncil internal council;

    function setUp() public virtual override {
        super.setUp();
        council = new RoleCouncil(_roles(), LIFETIME);
        _giveAppTo(address(council));
    }

    function _giveAppTo(address owner) internal {
        address former = app.owner();
        vm.prank(former);
        app.transferOwnership(owner);
        skip(NOTICE);
        vm.prank(owner);
        app.acceptOwnership();
    }

    function _roles() internal view returns (IRoleCouncil.Role[] memory roles) {
        roles = new IRoleCouncil.Role[](2);
        roles[CORE] = _role("core", 2, CORE_1, CORE_2, CORE_3);
        roles[AUDITORS] = _role("auditors", 1, AUDITOR, AUDITOR_2);
    }

    function _role(string memory name, uint32 threshold, address a, address b, address c)
        internal
        pure
        returns (IRoleCouncil.Role memory role)
    {
        (role.name, role.threshold, role.members) = (name, threshold, new address[](3));
        (role.members[0], role.members[1], role.members[2]) = (a, b, c);
    }

    function _role(string memory name, uint32 threshold, address a, address b)
        internal
        pure
        returns (IRoleCouncil.Role memory role)
    {
        (role.name, role.threshold, role.members) = (name, threshold, new address[](2));
        (role.members[0], role.members[1]) = (a, b);
    }

    function _call(address target, bytes memory data) internal pure returns (IRoleCouncil.Call[] memory calls) {
        calls = new IRoleCouncil.Call[](1);
        calls[0] = IRoleCouncil.Call({target: target, value: 0, data: data});
    }

    function _revocation() internal view returns (IRoleCouncil.Call[] memory) {
        return _call(address(app), abi.encodeCall(app.revokeCode, (CODE, false)));
    }

    function _change(uint256 role, IRoleCouncil.Role memory to) internal view returns (IRoleCouncil.Call[] memory) {
        return _call(address(council), abi.encodeCall(council.setRole, (role, to)));
    }

    function _proposed(IRoleCouncil.Call[] memory calls) internal returns (uint256) {
        vm.prank(CORE_1);
        return council.propose(calls, "why", SALT);
    }

    function _approve(address member, uint256 id, uint256 role) internal {
        vm.prank(member);
        council.approve(id, role);
    }

    function _withdraw(address member, uint256 id, uint256 role) internal {
        vm.prank(member);
        council.withdraw(id, role);
    }

    function _passed(IRoleCouncil.Call[] memory calls) internal returns (uint256 id) {
        id = _proposed(calls);
        _approve(CORE_1, id, CORE);
        _approve(CORE_2, id, CORE);
        _approve(AUDITOR, id, AUDITORS);
    }

    function _setRole(uint256 role, IRoleCouncil.Role memory to) internal {
        vm.prank(address(council));
        council.setRole(role, to);
    }

    /// @dev Written out, so that the council's hashing is compared with the standard and not with itself.
    function _digest(
        RoleCouncil verifier,
        string memory kind,
        uint256 id,
        uint256 role,
        address member,
        uint256 nonce,
        uint256 deadline
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            abi.encodePacked(kind, "(uint256 motionId,uint256 role,address member,uint256 nonce,uint256 deadline)")
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Mandate RoleCouncil"),
                keccak256("1"),
                block.chainid,
                address(verifier)
            )
        );
        bytes32 structHash = keccak256(abi.encode(typeHash, id, role, member, nonce, deadline));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function assertMotion(uint256 id, IRoleCouncil.MotionState expected) internal view {
        vm.assertEq(uint256(council.state(id)), uint256(expected), "motion state");
    }
}
