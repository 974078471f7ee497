// npm's solc behind the two options of the native compiler that py-solc-x and Forge use: --version and --standard-json.
import { readFileSync } from "node:fs";
import solc from "solc";

// Forge also names folders (--base-path, --include-path, --allow-paths): the sources are in its input all the same.
const options = process.argv.slice(2);
if (options[0] === "--version") {
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${solc.version()}`);
} else if (options.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error(`solc-launcher: only --version and --standard-json, not ${options.join(" ")}`);
  process.exitCode = 1;
}
