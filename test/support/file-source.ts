// A plain buffered file as a Source: for tests of parsers, which must not depend on direct I/O.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { checkedSource } from '../../src/source/checked.js';
import type { Source } from '../../src/source/types.js';

/** Counts what was read, so a test can bound it. */
export interface CountedSource extends Source {
  readonly counted: { reads: number; bytes: number };
}

export function fileSource(path: string, { sectorSize }: { sectorSize?: number } = {}): CountedSource {
  const fd = openSync(path, 'r');
  const size = fstatSync(fd).size;
  const counted = { reads: 0, bytes: 0 };
  const source = checkedSource({
    name: path,
    size,
    sectorSize,
    spec: undefined,
    async read(into, offset) {
      counted.reads += 1;
      counted.bytes += into.length;
      const got = readSync(fd, into, 0, into.length, offset);
      if (got !== into.length) throw new Error(`short read of ${path}`);
    },
    async *extents(within) {
      yield { ...within, kind: 'data' };
    },
    async close() {
      closeSync(fd);
    },
  });
  return { ...source, counted };
}
