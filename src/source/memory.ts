// A target in memory: composed partition tables, and the tests' cheapest medium.

import { checked } from './checked.js';
import type { Target } from './types.js';

/** Reads and writes `bytes` itself. Lives in this thread only. */
export function memoryTarget(bytes: Buffer, name = 'memory'): Target {
  return checked({
    name,
    size: bytes.length,
    sectorSize: undefined,
    spec: undefined,
    async read(into, offset) {
      bytes.copy(into, 0, offset, offset + into.length);
    },
    extents: undefined,
    async write(from, offset) {
      from.copy(bytes, offset);
    },
    async zero({ offset, length }) {
      bytes.fill(0, offset, offset + length);
    },
    async discard() {},
    async flush() {},
    async close() {},
  });
}
