// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @notice An EIP-712 domain whose name is in storage. OpenZeppelin keeps it in the code, where all clones would share the
/// implementation's name, and wallets that take `name()` for the domain's would sign what nobody accepts.
abstract contract CloneDomain is EIP712 {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @inheritdoc EIP712
    function eip712Domain()
        public
        view
        virtual
        override
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        (fields,, version, chainId, verifyingContract, salt, extensions) = super.eip712Domain();
        name = _domainName();
    }

    function _hashTypedDataV4(bytes32 structHash) internal view virtual override returns (bytes32) {
        bytes32 nameHash = keccak256(bytes(_domainName()));
        bytes32 versionHash = keccak256(bytes(_EIP712Version()));
        bytes32 separator = keccak256(abi.encode(DOMAIN_TYPEHASH, nameHash, versionHash, block.chainid, address(this)));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    function _domainName() internal view virtual returns (string memory);
}
