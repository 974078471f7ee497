// Writes the Merkle vectors to standard output: trees of dataset rows by npm's @openzeppelin/merkle-tree.
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

// The leaf types of sensetrail.core.dataset; Python's test compares.
const LEAF_TYPES = ["address", "uint24", "uint32", "int16", "uint16"];
const DEVICES = ["0x1111111111111111111111111111111111111111", "0xD8dA6BF26964aF9D7eEd9e03E53415D37aA96045"];
const EDGES = [
  ["0x0000000000000000000000000000000000000000", 0, 0, -32768, 0],
  ["0xfFfFFffFFfFFffffFfffffffffFfFFFffFFFFFFf", 16777215, 4294967295, 32767, 65535],
  ["0x0000000000000000000000000000000000000001", 1, 1, -1, 1],
];

function row(i) {
  return [DEVICES[i % 2], i >> 1, 1790000000 + 30 * i, 2500 - 37 * i, 4000 + 11 * i];
}

function vector(rows) {
  const tree = StandardMerkleTree.of(rows, LEAF_TYPES);
  const proofs = rows.map((values, i) => ({ leaf: tree.leafHash(values), proof: tree.getProof(i) }));
  return { rows, root: tree.root, proofs };
}

const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 17];
const trees = [EDGES, ...sizes.map((size) => Array.from({ length: size }, (_, i) => row(i)))];
const vectors = { leaf_types: LEAF_TYPES, count: trees.length, vectors: trees.map(vector) };
process.stdout.write(JSON.stringify(vectors, null, 1) + "\n");
