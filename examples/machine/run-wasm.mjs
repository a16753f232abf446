// Runs a WebAssembly program of the crate `machine` under Node: `node run-wasm.mjs PROGRAM.wasm`.
//
// A program may export the globals `counted_instructions` and `counted_dot_products`, which it counts up itself. Then
// every mark prints what they rose by between starts and stops since the mark before.
import { readFileSync, writeSync } from "node:fs";

const decoder = new TextDecoder();
let text = "";
const zero = [0n, 0n];
let before = zero;
let sums = zero;
const counts = () => {
  const { counted_instructions, counted_dot_products } = instance.exports;
  return counted_instructions ? [counted_instructions.value, counted_dot_products.value] : zero;
};
const host = {
  print(address, length) {
    text += decoder.decode(new Uint8Array(instance.exports.memory.buffer, address, length));
    const end = text.lastIndexOf("\n") + 1;
    writeSync(1, text.slice(0, end));
    text = text.slice(end);
  },
  start() {
    before = counts();
  },
  stop() {
    sums = counts().map((count, i) => sums[i] + count - before[i]);
  },
  mark() {
    if (instance.exports.counted_instructions) {
      writeSync(1, `counted instructions=${sums[0]} dot_products=${sums[1]}\n`);
    }
    sums = zero;
  },
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { host });
process.exit(instance.exports.run());
