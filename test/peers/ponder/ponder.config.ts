// SPDX-License-Identifier: Apache-2.0 OR MIT
// Told by the benchmark: BENCH_RPC_URL, BENCH_CHAIN_ID, BENCH_END_BLOCK, BENCH_APPS (comma separated), BENCH_REGISTRY,
// BENCH_COMMITTEE.
import { createConfig } from "ponder";
import { parseAbi } from "viem";

const told = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
const address = (name: string) => told(name).split(",") as `0x${string}`[];
const span = { chain: "dev", startBlock: 0, endBlock: Number(told("BENCH_END_BLOCK")) } as const;

export default createConfig({
  chains: { dev: { id: Number(told("BENCH_CHAIN_ID")), rpc: told("BENCH_RPC_URL"), disableCache: true } },
  contracts: {
    App: {
      abi: parseAbi(["event Paused(address indexed by, uint40 until)"]),
      address: address("BENCH_APPS"),
      ...span,
    },
    Registry: {
      abi: parseAbi(["event AccountPinned(bytes32 indexed domainHash, string issuer, string accountUri)"]),
      address: address("BENCH_REGISTRY"),
      ...span,
    },
    Committee: {
      abi: parseAbi(["event NodeUrlSet(address indexed nodeKey, string url)"]),
      address: address("BENCH_COMMITTEE"),
      ...span,
    },
  },
});
