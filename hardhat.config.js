import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { defineConfig } from "hardhat/config";
import branchCoverage from "./scripts/branch-coverage.mjs";

// The compiler's settings live in one file that Python's build reads as well: that is why both give the same bytecode.
const settings = JSON.parse(readFileSync(new URL("./contracts/solc.json", import.meta.url), "utf8"));

export default defineConfig({
  plugins: [branchCoverage],
  paths: { sources: "./contracts", tests: { solidity: "./tests/contracts" } },
  solidity: {
    version: settings.version,
    path: createRequire(import.meta.url).resolve("solc/soljson.js"),
    settings: settings.settings,
  },
  test: {
    solidity: {
      fsPermissions: { readFile: ["./tests/vectors/judge.json", "./tests/vectors/merkle.json"] },
      fuzz: { runs: 1000 },
      invariant: { runs: 8, depth: 60, failOnRevert: true },
    },
  },
});
