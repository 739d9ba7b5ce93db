// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contracts as a compiler makes them: nested mappings, arrays, strings, structs, delegation, transient storage, errors.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use alloy::{hex, sol};
use serde_json::{Value, json};

const SOURCE: &str = r"
// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

struct Pair { uint128 left; uint64 right; bool set; }

contract Library {
    mapping(address => mapping(uint256 => Pair)) internal nested;
    uint256[] internal list;
    string internal text;

    function sum(uint256 upTo) external view returns (uint256 total) {
        for (uint256 i = 0; i < list.length && i < upTo; ++i) total += list[i];
    }
}

contract Differ {
    mapping(address => mapping(uint256 => Pair)) internal nested;
    uint256[] internal list;
    string internal text;
    mapping(bytes32 => bytes) internal blobs;
    address internal immutable lib;
    uint256 transient depth;

    error TooFar(uint256 given, uint256 length);
    error Nothing(string what);

    constructor(address lib_) payable { lib = lib_; }

    function put(address who, uint256 n, uint128 left, uint64 right) external { nested[who][n] = Pair(left, right, true); }
    function add(uint256 value) external { list.push(value); }
    function drop() external { list.pop(); }
    function say(string calldata text_) external { text = text_; }
    function store(bytes32 key, bytes calldata value) external { blobs[key] = value; }

    function pair(address who, uint256 n) external view returns (uint128, uint64, bool) {
        Pair storage p = nested[who][n];
        if (!p.set) revert Nothing('pair');
        return (p.left, p.right, p.set);
    }
    function at(uint256 n) external view returns (uint256) {
        if (n > list.length) revert TooFar(n, list.length);
        return list[n];
    }
    function all() external view returns (uint256[] memory, string memory) { return (list, text); }
    function blob(bytes32 key) external view returns (bytes memory, bytes32) { return (blobs[key], keccak256(blobs[key])); }
    function delegated(uint256 upTo) external returns (uint256) {
        (bool ok, bytes memory answer) = lib.delegatecall(abi.encodeWithSignature('sum(uint256)', upTo));
        require(ok, 'failed');
        return abi.decode(answer, (uint256));
    }
    function looks(address who) external view returns (uint256, bytes32, uint256, uint256, bytes32) {
        return (who.balance, who.codehash, who.code.length, address(this).balance, keccak256(who.code));
    }
    function dive(uint256 n) external returns (uint256) {
        depth += 1;
        if (n == 0) return depth;
        return this.dive(n - 1);
    }
    function recover(bytes32 hash, uint8 v, bytes32 r, bytes32 s) external pure returns (address, bytes32, bytes32) {
        return (ecrecover(hash, v, r, s), sha256(abi.encode(r)), ripemd160(abi.encode(s)));
    }
    function tries(uint256 n) external view returns (bool, bytes memory) {
        try this.at(n) returns (uint256 value) { return (true, abi.encode(value)); }
        catch (bytes memory reason) { return (false, reason); }
    }
}
";

sol! {
    interface Differ {
        function put(address who, uint256 n, uint128 left, uint64 right) external;
        function add(uint256 value) external;
        function drop() external;
        function say(string text) external;
        function store(bytes32 key, bytes value) external;
        function pair(address who, uint256 n) external view returns (uint128, uint64, bool);
        function at(uint256 n) external view returns (uint256);
        function all() external view returns (uint256[] memory, string memory);
        function blob(bytes32 key) external view returns (bytes memory, bytes32);
        function delegated(uint256 upTo) external returns (uint256);
        function looks(address who) external view returns (uint256, bytes32, uint256, uint256, bytes32);
        function dive(uint256 n) external returns (uint256);
        function recover(bytes32 hash, uint8 v, bytes32 r, bytes32 s) external pure returns (address, bytes32, bytes32);
        function tries(uint256 n) external view returns (bool, bytes memory);
    }
}

/// Creation codes of `Library` and `Differ`, by the compiler that the contracts are built with.
pub(crate) fn compile() -> (Vec<u8>, Vec<u8>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let input = json!({
        "language": "Solidity",
        "sources": { "Differ.sol": { "content": SOURCE } },
        "settings": {
            "evmVersion": "cancun",
            "optimizer": { "enabled": true, "runs": 200 },
            "outputSelection": { "*": { "*": ["evm.bytecode.object"] } },
        },
    });
    let mut compiler = Command::new("node")
        .arg(root.join("script/solc.cjs"))
        .arg("--standard-json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output: Value = serde_json::from_slice(&compiler.wait_with_output().unwrap().stdout).unwrap();
    let code = |name: &str| {
        let object = &output["contracts"]["Differ.sol"][name]["evm"]["bytecode"]["object"];
        hex::decode(object.as_str().unwrap_or_else(|| panic!("{output}"))).unwrap()
    };
    (code("Library"), code("Differ"))
}
