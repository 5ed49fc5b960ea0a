// The same events from the same node into the same Postgres (DATABASE_URL).
import { readFileSync } from "node:fs";
import { createConfig } from "ponder";

const { abi } = JSON.parse(readFileSync(process.env.CONTRACT, "utf8"));

export default createConfig({
  chains: { replay: { id: 7264017, rpc: process.env.RPC_URL } },
  contracts: {
    Registry: { chain: "replay", abi, address: "0x00000000000000000000000000000000000c0de5", startBlock: 0 },
  },
});
