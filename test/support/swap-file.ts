// Swap files as mkswap makes them, full of what can be told from everything else, and what has to become of them.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Bytes, KiB } from '../../src/base/units.js';
import { identify } from '../../src/device/identity.js';
import { withExclusions } from '../../src/plan/exclusions.js';
import { inspectDisk } from '../../src/plan/inspect.js';
import { digestFolder } from './ext4-corpus.js';
import { fileSource } from './file-source.js';
import { writePaged } from './paged.js';
import { run } from './run.js';

const PAGE: Bytes = 4 * KiB;

/** A swap file full of paged memory behind its header. */
export function makeSwapFile(path: string, size: Bytes): void {
  writeFileSync(path, Buffer.alloc(size), { mode: 0o600 });
  run('mkswap', ['-q', path]);
  writePaged(path, { offset: PAGE, length: size - PAGE });
}

/** What of a disk may be left out, as the plan's first step sees it. */
export async function excludablePaths(image: string): Promise<string[]> {
  const disk = fileSource(image);
  try {
    const report = await withExclusions(disk, await inspectDisk(disk, identify(image, statSync(image).size)));
    return report.volumes.flatMap((each) => each.excludable.map(({ path }) => path));
  } finally {
    await disk.close();
  }
}

type Mounted = <T>(image: string, work: (folder: string) => T, options: string) => T;

/** All files but `name` are the same, and that one is a swap area of nothing but its header. */
export function demandSameButSwapped(
  source: string,
  target: string,
  { name, mounted }: { name: string; mounted: Mounted },
): void {
  const look = (folder: string): { digests: Map<string, string>; swap: Buffer } => {
    const digests = digestFolder(folder);
    assert.ok(digests.delete(name));
    return { digests, swap: readFileSync(join(folder, name)) };
  };
  const [wanted, found] = [mounted(source, look, 'ro'), mounted(target, look, 'ro')];
  assert.equal(found.digests, wanted.digests);
  assert.equal(found.swap.subarray(0, PAGE), wanted.swap.subarray(0, PAGE), 'the header');
  assert.is(found.swap.length, wanted.swap.length);
  assert.ok(found.swap.subarray(PAGE).every((byte) => byte === 0));
}
