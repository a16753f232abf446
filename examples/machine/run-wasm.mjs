// Runs a WebAssembly program of the crate `machine` under Node: `node run-wasm.mjs PROGRAM.wasm`.
import { readFileSync, writeSync } from "node:fs";

const decoder = new TextDecoder();
let text = "";
const host = {
  print(address, length) {
    text += decoder.decode(new Uint8Array(instance.exports.memory.buffer, address, length));
    const end = text.lastIndexOf("\n") + 1;
    writeSync(1, text.slice(0, end));
    text = text.slice(end);
  },
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { host });
process.exit(instance.exports.run());
