// npm's solc behind the two options of the native compiler that py-solc-x uses: --version and --standard-json.
import { readFileSync } from "node:fs";
import solc from "solc";

const option = process.argv[2];
if (option === "--version") {
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${solc.version()}`);
} else if (option === "--standard-json") {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error(`solc-launcher: only --version and --standard-json, not ${option}`);
  process.exitCode = 1;
}
