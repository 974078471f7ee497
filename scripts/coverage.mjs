// Runs the Solidity tests by Hardhat with coverage and judges it: 100 % of contracts/'s lines and branches, or exit 1.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, "coverage");
rmSync(folder, { recursive: true, force: true });
const hardhat = path.join(root, "node_modules/.bin/hardhat");
const run = spawnSync(hardhat, ["test", "solidity", "--coverage"], { cwd: root, encoding: "utf8", maxBuffer: 2 ** 30 });
if (run.status !== 0) {
  // The compiler's warnings, which come first, are about what the plugin made of the sources.
  process.stdout.write(run.stdout.split("Running Solidity tests").at(-1) + run.stderr);
  process.exit(1);
}
console.log(run.stdout.match(/^ *\d+ passing.*$/m)?.[0] ?? "  no test ran");

const files = (where, ending) =>
  readdirSync(path.join(root, where), { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(where, name))
    .sort();

// Lines: lcov's records, "DA:line,hits" under "SF:file".
const lines = {};
for (const record of readFileSync(path.join(folder, "lcov.info"), "utf8").split("end_of_record")) {
  const file = record.match(/^SF:(.*)$/m)?.[1];
  if (file) lines[file] = [...record.matchAll(/^DA:(\d+),(\d+)$/gm)].map(([, line, hits]) => ({ line, hit: hits > 0 }));
}

// Branches: what the plugin wrote, against the tags that Hardhat collected.
const tags = new Set(
  files("coverage/data", ".json").flatMap((name) =>
    Object.keys(JSON.parse(readFileSync(path.join(root, name), "utf8"))),
  ),
);
const branches = JSON.parse(readFileSync(path.join(folder, "branches.json"), "utf8"));

const total = { lines: [], branches: [] };
const missed = [];
const share = (things) => {
  const hit = things.filter(({ hit }) => hit).length;
  const percent = Math.floor((10_000 * hit) / things.length) / 100;
  return things.length === 0 ? "no code" : `${percent.toFixed(2)} % (${hit}/${things.length})`;
};
const row = (name, of) => console.log(name.padEnd(44), share(of.lines).padStart(20), share(of.branches).padStart(20));

console.log(`${"file".padEnd(44)} ${"lines".padStart(20)} ${"branches".padStart(20)}`);
for (const file of files("contracts", ".sol")) {
  const of = {
    lines: lines[file] ?? [],
    branches: (branches[file] ?? []).map((branch) => ({ ...branch, hit: tags.has(branch.tag) })),
  };
  row(file, of);
  total.lines.push(...of.lines);
  total.branches.push(...of.branches);
  missed.push(...of.lines.filter(({ hit }) => !hit).map(({ line }) => `${file}:${line}: line`));
  missed.push(...of.branches.filter(({ hit }) => !hit).map(({ line, what }) => `${file}:${line}: ${what}`));
}
row("total", total);
console.log(`A line is one with a statement on it; an assembly block is one statement.
A branch is one outcome, true or false, of an if, a loop's condition, a ?:, a require, or the left side of && or ||; in
assembly, of an if or a for's condition, and each case of a switch (a missing default is one too).`);
missed.forEach((place) => console.log(`not reached: ${place}`));
if (missed.length > 0 || total.lines.length === 0 || total.branches.length === 0) process.exitCode = 1;
