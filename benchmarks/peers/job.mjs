// The one job every peer of Node runs: what job.py is for Python.
import { createRequire } from "node:module";
import { openSync, writeSync } from "node:fs";

const PAD = "x".repeat(180);

// The packages live where PGQ_PEERS_NODE says, not beside this file.
export const load = createRequire(`${process.env.PGQ_PEERS_NODE}/`);
export const payload = (number) => ({ n: number, pad: PAD });
export const now = () => (performance.timeOrigin + performance.now()) / 1000;

let log;
export function ran(number) {
  log ??= openSync(process.env.PGQ_PEERS_LOG, "a");
  writeSync(log, `${String(number).padStart(10)} ${now().toFixed(6)}\n`);
  if (process.env.PGQ_PEERS_HANG)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_600_000);
}
