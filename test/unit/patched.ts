// A source with bytes of another over it: what is shown, what is a hole, and what is refused.

import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { aroundHoles } from '../../src/source/around.js';
import { openDiskSource } from '../../src/source/disk.js';
import { memoryTarget } from '../../src/source/memory.js';
import { openTarget } from '../../src/source/open.js';
import { patchedSource } from '../../src/source/patched.js';
import type { Source, SourceExtent } from '../../src/source/types.js';
import { faultySource } from '../support/faulty.js';
import { SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();

async function wholeOf(source: Source): Promise<Buffer> {
  const bytes = Buffer.alloc(source.size);
  await source.read(bytes, 0);
  return bytes;
}

test('any patches over any base, of any size', async () => {
  const piece = fc.record({ gap: fc.integer({ min: 0, max: 90 }), bytes: fc.uint8Array({ maxLength: 90 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 600 }),
      fc.integer({ min: 0, max: 700 }),
      fc.array(piece, { maxLength: 8 }),
      async (base, size, pieces) => {
        const wanted = Buffer.concat([Buffer.from(base), Buffer.alloc(800)]).subarray(0, size);
        const patches: { offset: number; bytes: Buffer }[] = [];
        let position = 0;
        for (const { gap, bytes } of pieces) {
          const offset = position + gap;
          position = offset + bytes.length;
          if (position > size) break;
          patches.push({ offset, bytes: Buffer.from(bytes) });
          wanted.set(bytes, offset);
        }
        const source = patchedSource(memoryTarget(Buffer.from(base)), patches.reverse(), { size });
        assert.ok((await wholeOf(source)).equals(wanted));
      },
    ),
    { seed: SEED, numRuns: rounds({ short: 300, long: 20_000 }) },
  );
});

test('patches make data of holes; behind the end of the base there are zeros', async () => {
  const path = join(folder, 'sparse');
  writeFileSync(path, '');
  truncateSync(path, 4096);
  const base = openDiskSource(path);
  const bytes = Buffer.from('patch');
  const source = patchedSource(base, [{ offset: 9000, bytes }], { size: 20_000 });
  const seen: SourceExtent[] = [];
  for await (const extent of source.extents?.({ offset: 1000, length: 19_000 }) ?? []) seen.push(extent);
  assert.equal(seen, [
    { offset: 1000, length: 3096, kind: 'zero' },
    { offset: 4096, length: 4904, kind: 'zero' },
    { offset: 9000, length: 5, kind: 'data' },
    { offset: 9005, length: 10_995, kind: 'zero' },
  ]);
  await base.close();
});

test('a patched part is no hole, whatever lies under it', async () => {
  const base = aroundHoles(
    faultySource(memoryTarget(Buffer.alloc(4096, 1)), {
      faults: [{ verbs: ['read'], within: { offset: 1024, length: 512 }, errno: 'EIO' }],
    }),
  );
  const source = patchedSource(base, [{ offset: 1100, bytes: Buffer.alloc(100, 7) }]);
  const into = Buffer.alloc(4096);
  assert.equal(await source.readAround?.(into, 0), [
    { offset: 1024, length: 76 },
    { offset: 1200, length: 336 },
  ]);
  assert.equal([into[1023], into[1024], into[1100], into[1199], into[1200], into[1536]], [1, 0, 7, 7, 0, 1]);
});

test('overlapping, outlying and huge patches are bugs, and it is no target', () => {
  const base = memoryTarget(Buffer.alloc(100));
  const bytes = Buffer.alloc(10);
  const refused = (patches: { offset: number; bytes: Buffer }[]): void =>
    assert.throws(() => patchedSource(base, patches), /^internal error: a patch/);
  refused([
    { offset: 0, bytes },
    { offset: 9, bytes },
  ]);
  refused([{ offset: 91, bytes }]);
  refused([{ offset: -1, bytes }]);
  refused([{ offset: 0.5, bytes }]);
  const huge = { offset: 0, bytes: Buffer.alloc(2 ** 20 + 1) };
  assert.throws(() => patchedSource(base, [huge], { size: 2 ** 21 }), /too large/);
  const of = { kind: 'file', path: join(folder, 'none') } as const;
  assert.throws(() => openTarget({ kind: 'patched', of, size: 1, patches: [] }), /no target/);
});

test.run();
