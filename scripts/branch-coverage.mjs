// A Hardhat plugin that adds branches to `hardhat test solidity --coverage`, which by itself knows only statements.
//
// Every decision in contracts/ is made to report its outcome in the way in which Hardhat makes every statement report:
// by a call with a tag. The branches and their tags go to coverage/branches.json; scripts/coverage.mjs judges them.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const DECISIONS = { Conditional: "?:", ForStatement: "for", IfStatement: "if", WhileStatement: "while" };
DECISIONS.DoWhileStatement = "do";
const YUL_DECISIONS = { YulForLoop: "assembly for", YulIf: "assembly if" };

// In front of every assembly block. The word that carries the tag is put back: the block may be using it.
const YUL_FUNCTIONS = `
  function __hit(tag) {
    let kept := mload(0)
    mstore(0, tag)
    pop(staticcall(gas(), 0xc0bEc0BEc0BeC0bEC0beC0bEC0bEC0beC0beC0BE, 0, 32, 0, 0))
    mstore(0, kept)
  }
  function __taken(outcome, yes, no) -> same {
    switch outcome case 0 { __hit(no) } default { __hit(yes) }
    same := outcome
  }`.replace(/\s+/g, " ");

const library = (name) => `
library ${name} {
  function taken(bool outcome, uint256 yes, uint256 no) internal pure returns (bool) {
    __NomicFoundationCoverage.sendHit(outcome ? yes : no);
    return outcome;
  }
}
`;

export default {
  id: "sensetrail-branch-coverage",
  hookHandlers: { solidity: async () => ({ default: async () => ({ preprocessProjectFileBeforeBuilding }) }) },
};

const branchesOfFiles = {};

async function preprocessProjectFileBeforeBuilding(context, sourceName, fsPath, fileContent, solcVersion, next) {
  const text = await next(context, sourceName, fsPath, fileContent, solcVersion);
  if (!context.globalOptions.coverage) return text;
  // An assembly block that reports is no longer pure, and so neither is what calls it, tests included.
  const views = text.replace(/\bpure\b/g, "view");
  if ((await context.solidity.getScope(fsPath)) === "tests") return views;
  const root = context.config.paths.root;
  const file = path.relative(root, fsPath);
  const { source, branches } = instrument(file, views);
  branchesOfFiles[file] = branches;
  mkdirSync(path.join(root, "coverage"), { recursive: true });
  writeFileSync(path.join(root, "coverage", "branches.json"), JSON.stringify(branchesOfFiles, null, 1));
  return source;
}

// Gives the source in which every decision reports, and its branches: line, what, tag.
function instrument(file, text) {
  const bytes = Buffer.from(text);
  const opens = {};
  const closes = {};
  const branches = [];
  const reporter = `__Branches${createHash("sha256").update(file).digest("hex").slice(0, 16)}`;

  const branch = (start, what) => {
    const tag = createHash("sha256").update(`${file} ${branches.length}`).digest("hex");
    branches.push({ line: bytes.subarray(0, start).toString().split("\n").length, what, tag });
    return `0x${tag}`;
  };
  // The tree is walked from the outside in: what opens later opens further in, and closes before.
  const open = (place, addition) => (opens[place] = (opens[place] ?? "") + addition);
  const decide = ({ src, nodeType }, what, taken) => {
    if (nodeType.endsWith("Literal")) return;
    const [start, length] = src.split(":").map(Number);
    open(start, `${taken}(`);
    const close = `, ${branch(start, `${what} true`)}, ${branch(start, `${what} false`)})`;
    closes[start + length] = close + (closes[start + length] ?? "");
  };
  const visit = (node) => {
    const start = Number(node.src.split(":")[0]);
    if (node.nodeType in DECISIONS && node.condition) {
      decide(node.condition, DECISIONS[node.nodeType], `${reporter}.taken`);
    } else if (node.operator === "&&" || node.operator === "||") {
      decide(node.leftExpression, `left of ${node.operator}`, `${reporter}.taken`);
    } else if (node.nodeType === "FunctionCall" && node.expression.name === "require") {
      decide(node.arguments[0], "require", `${reporter}.taken`);
    } else if (node.nodeType in YUL_DECISIONS) {
      decide(node.condition, YUL_DECISIONS[node.nodeType], "__taken");
    } else if (node.nodeType === "YulCase") {
      const body = Number(node.body.src.split(":")[0]);
      const value = node.value === "default" ? "default" : `case ${node.value.value}`;
      open(body + 1, ` __hit(${branch(start, `assembly ${value}`)}) `);
    } else if (node.nodeType === "YulSwitch" && node.cases.every(({ value }) => value !== "default")) {
      const end = start + Number(node.src.split(":")[1]);
      closes[end] = ` default { __hit(${branch(start, "assembly no case")}) } ${closes[end] ?? ""}`;
    } else if (node.nodeType === "InlineAssembly") {
      open(Number(node.AST.src.split(":")[0]) + 1, YUL_FUNCTIONS);
    }
  };
  walk(parse(text), visit);

  let source = "";
  let done = 0;
  for (const place of [...new Set([...Object.keys(opens), ...Object.keys(closes)].map(Number))].sort((a, b) => a - b)) {
    source += bytes.subarray(done, place).toString() + (closes[place] ?? "") + (opens[place] ?? "");
    done = place;
  }
  return { source: source + bytes.subarray(done).toString() + library(reporter), branches };
}

// Gives the compiler's own syntax tree of one file; what it imports is of no interest.
function parse(text) {
  const solc = createRequire(import.meta.url)("solc");
  const settings = { stopAfter: "parsing", outputSelection: { "*": { "": ["ast"] } } };
  const input = { language: "Solidity", sources: { file: { content: text } }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: () => ({ contents: "" }) }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join("\n"));
  return output.sources.file.ast;
}

function walk(node, visit) {
  if (Array.isArray(node)) node.forEach((element) => walk(element, visit));
  if (node === null || typeof node !== "object" || Array.isArray(node)) return;
  if (node.nodeType) visit(node);
  Object.values(node).forEach((child) => walk(child, visit));
}
