// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice A contract that signs (ERC-1271) what it was told to sign, or answers otherwise.
contract ContractSigner {
    mapping(bytes32 digest => bool) public signed;
    bool public broken;

    function sign(bytes32 digest) external {
        signed[digest] = true;
    }

    function breakDown() external {
        broken = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        if (broken) revert("broken");
        return signed[digest] ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @dev Cheat codes that only a few tests need.
interface VmMore {
    function cool(address target) external;
    function roll(uint256 number) external;
    function chainId(uint256 id) external;
}

VmMore constant vmMore = VmMore(address(uint160(uint256(keccak256("hevm cheat code")))));
