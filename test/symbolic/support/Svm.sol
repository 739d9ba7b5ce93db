// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What halmos, the symbolic executor, offers beside forge's cheat codes, as far as the proofs use it.
interface Svm {
    /// @notice Calldata for any state-changing function of the contract of that name: the path splits, one for each.
    function createCalldata(string calldata contractName) external pure returns (bytes memory);
    function createBytes32(string calldata name) external pure returns (bytes32);
    function enableSymbolicStorage(address account) external;
}

/// @notice Cheat codes of forge that only the proofs use.
interface StorageVm {
    function store(address account, bytes32 slot, bytes32 value) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
}

Svm constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
StorageVm constant storageVm = StorageVm(address(uint160(uint256(keccak256("hevm cheat code")))));
