// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice A multisig of n owners with a threshold whose `execTransaction` has Safe's shape and hashing (its version 1.3 and
/// later): signatures over EIP-712, sorted by owner, one nonce. For tests only: no modules, refunds or delegate calls.
contract SafeDouble {
    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    bytes32 private constant SAFE_TX_TYPEHASH = keccak256(
        "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
    );

    mapping(address owner => bool) public isOwner;
    uint256 public threshold;
    uint256 public nonce;

    error Refused(string why);

    constructor(address[] memory owners, uint256 threshold_) {
        threshold = threshold_;
        for (uint256 i = 0; i < owners.length; ++i) {
            isOwner[owners[i]] = true;
        }
    }

    function execTransaction(
        address to,
        uint256 value,
        bytes calldata data,
        uint8 operation,
        uint256 safeTxGas,
        uint256 baseGas,
        uint256 gasPrice,
        address gasToken,
        address payable refundReceiver,
        bytes calldata signatures
    ) external payable returns (bool success) {
        if (operation != 0 || gasPrice != 0) revert Refused("plain calls only");
        bytes32 hash = getTransactionHash(
            to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver, nonce++
        );
        _checkSignatures(hash, signatures);
        bytes memory reason;
        (success, reason) = to.call{value: value}(data);
        if (success) return true;
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }

    function getTransactionHash(
        address to,
        uint256 value,
        bytes calldata data,
        uint8 operation,
        uint256 safeTxGas,
        uint256 baseGas,
        uint256 gasPrice,
        address gasToken,
        address refundReceiver,
        uint256 nonce_
    ) public view returns (bytes32) {
        bytes32 fields = keccak256(
            bytes.concat(
                abi.encode(SAFE_TX_TYPEHASH, to, value, keccak256(data), operation, safeTxGas),
                abi.encode(baseGas, gasPrice, gasToken, refundReceiver, nonce_)
            )
        );
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, block.chainid, address(this)));
        return keccak256(abi.encodePacked(hex"1901", domain, fields));
    }

    function _checkSignatures(bytes32 hash, bytes calldata signatures) private view {
        if (signatures.length < threshold * 65) revert Refused("too few signatures");
        address last = address(0);
        for (uint256 i = 0; i < threshold; ++i) {
            bytes calldata one = signatures[i * 65:(i + 1) * 65];
            address signer = ecrecover(hash, uint8(one[64]), bytes32(one[:32]), bytes32(one[32:64]));
            if (signer <= last || !isOwner[signer]) revert Refused("not an owner, or twice");
            last = signer;
        }
    }
}
