// One of every kind of medium, filled with the same bytes: what the conformance suite runs over.

import { truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { openDiskTarget } from '../../src/source/disk.js';
import { memoryTarget } from '../../src/source/memory.js';
import { openSource, openTarget } from '../../src/source/open.js';
import { type Change, saveChanges } from '../../src/source/overlay.js';
import { type Patch, patchedSource } from '../../src/source/patched.js';
import { readOnlyTarget } from '../../src/source/read-only.js';
import { sliceTarget } from '../../src/source/slice.js';
import type { Source, SourceSpec, Target } from '../../src/source/types.js';
import { faultySource, faultyTarget } from './faulty.js';
import { run } from './run.js';
import { volatileTarget } from './volatile.js';

/** An open medium, and the bytes it holds as somebody else sees them. */
export interface OpenMedium<T extends Source> {
  readonly medium: T;
  close(): Promise<void>;
}

export interface MediumKind<T extends Source = Target> {
  readonly name: string;
  /** True if the medium may be any number of bytes long. */
  readonly ragged: boolean;
  readonly sectorSize: number | undefined;
  /** A medium that holds `bytes`. */
  open(bytes: Buffer, folder: string): Promise<OpenMedium<T>>;
}

let files = 0;

function file(folder: string, bytes: Buffer): string {
  files += 1;
  const path = join(folder, `medium-${files}`);
  writeFileSync(path, bytes);
  return path;
}

async function alone<T extends Source>(medium: T): Promise<OpenMedium<T>> {
  return { medium, close: () => medium.close() };
}

function loop(sectorSize: number): MediumKind {
  return {
    name: `loop device with sectors of ${sectorSize}`,
    ragged: false,
    sectorSize,
    async open(bytes, folder) {
      const path = file(folder, bytes);
      const device = run('losetup', ['-f', '--show', '-b', String(sectorSize), path]).trim();
      const medium = openDiskTarget(device, { exclusive: true });
      const close = async (): Promise<void> => {
        await medium.close();
        run('losetup', ['-d', device]);
      };
      return { medium, close };
    },
  };
}

function slice(make: (folder: string, bytes: Buffer) => Target, name: string): MediumKind {
  return {
    name,
    ragged: true,
    sectorSize: undefined,
    async open(bytes, folder) {
      const before = 3 * 512 + 7;
      const whole = make(folder, Buffer.concat([Buffer.alloc(before, 0xee), bytes, Buffer.alloc(900, 0xee)]));
      const medium = sliceTarget(whole, { offset: before, length: bytes.length }, 'slice');
      const close = async (): Promise<void> => {
        await medium.close();
        const around = Buffer.alloc(whole.size);
        await whole.read(around, 0);
        around.fill(0xee, before, before + bytes.length);
        if (!around.every((byte) => byte === 0xee)) throw new Error('a slice changed its neighbours');
        await whole.close();
      };
      return { medium, close };
    },
  };
}

const simple = (name: string, make: (bytes: Buffer, folder: string) => Target): MediumKind => ({
  name,
  ragged: true,
  sectorSize: undefined,
  open: (bytes, folder) => alone(make(bytes, folder)),
});

/** What becomes `bytes` through patches: other content here and there, and zeros at the end missing. */
function unpatched(bytes: Buffer): { base: Buffer; patches: Patch[] } {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  const base = Buffer.from(bytes.subarray(0, Math.max(1, end - 700)));
  const patches: Patch[] = [{ offset: base.length, bytes: bytes.subarray(base.length, end) }];
  for (const [offset, length] of [
    [0, 1],
    [3, 500],
    [511, 4098],
    [600_000, 90_000],
  ] as const) {
    const limit = Math.min(offset + length, base.length);
    if (limit <= offset) continue;
    patches.push({ offset, bytes: bytes.subarray(offset, limit) });
    // Holes under a patch, too: they are data then.
    base.fill(offset === 600_000 ? 0 : 0xaa, offset, limit);
  }
  return { base, patches };
}

/** Everything that can be written. */
export const TARGETS: readonly MediumKind[] = [
  simple('memory', (bytes) => memoryTarget(Buffer.from(bytes))),
  simple('file', (bytes, folder) => openDiskTarget(file(folder, bytes), { exclusive: true })),
  simple('file through the page cache', (bytes, folder) => openDiskTarget(file(folder, bytes), { direct: false })),
  simple('sparse file', (bytes, folder) => {
    const path = file(folder, Buffer.alloc(0));
    truncateSync(path, bytes.length);
    const target = openDiskTarget(path, { direct: false });
    for (let at = 0; at < bytes.length; at += 4096) {
      const part = bytes.subarray(at, at + 4096);
      if (part.some((byte) => byte !== 0)) void target.write(part, at);
    }
    return target;
  }),
  simple('file opened from its spec', (bytes, folder) => openTarget({ kind: 'file', path: file(folder, bytes) })),
  slice((folder, bytes) => openDiskTarget(file(folder, bytes)), 'slice of a file at an odd offset'),
  slice((_, bytes) => memoryTarget(bytes), 'slice of memory'),
  loop(512),
  loop(4096),
  simple('fault wrapper without faults', (bytes, folder) => faultyTarget(openDiskTarget(file(folder, bytes)))),
  simple('volatile target', (bytes) => volatileTarget(Buffer.from(bytes))),
];

/** What can only be read. */
export const SOURCES: readonly MediumKind<Source>[] = [
  {
    ...simple('read-only wrapper', (bytes) => readOnlyTarget(memoryTarget(bytes))),
    open: (bytes) => alone(readOnlyTarget(memoryTarget(Buffer.from(bytes)))),
  },
  {
    name: 'file source',
    ragged: true,
    sectorSize: undefined,
    open: (bytes, folder) => alone(openSource({ kind: 'file', path: file(folder, bytes) })),
  },
  {
    name: 'slice source from its spec',
    ragged: true,
    sectorSize: undefined,
    open(bytes, folder) {
      const path = file(folder, Buffer.concat([Buffer.alloc(1000), bytes]));
      const extent = { offset: 1000, length: bytes.length };
      return alone(openSource({ kind: 'slice', of: { kind: 'file', path }, extent }));
    },
  },
  {
    name: 'patched source from its spec',
    ragged: true,
    sectorSize: undefined,
    async open(bytes, folder) {
      const { base, patches } = unpatched(bytes);
      const source = openSource({ kind: 'file', path: file(folder, base) });
      const { spec } = patchedSource(source, patches, { size: bytes.length });
      await source.close();
      if (!spec) throw new Error('no spec');
      return alone(openSource(structuredClone(spec)));
    },
  },
  {
    name: 'patched memory, cut',
    ragged: true,
    sectorSize: undefined,
    open(bytes) {
      const base = memoryTarget(Buffer.concat([bytes, Buffer.alloc(5000, 0xee)]));
      return alone(patchedSource(base, [{ offset: 0, bytes: bytes.subarray(0, 1) }], { size: bytes.length }));
    },
  },
  {
    name: 'fault wrapper of a source without faults',
    ragged: true,
    sectorSize: undefined,
    open: (bytes, folder) => alone(faultySource(openSource({ kind: 'file', path: file(folder, bytes) }))),
  },
  {
    name: 'overlay from its spec',
    ragged: true,
    sectorSize: undefined,
    open: (bytes, folder) => alone(openSource(overlaid(bytes, folder))),
  },
];

/** `bytes` in odd turns of base, changes and zeros; what the base holds under the others, and behind its part, is wrong. */
function overlaid(bytes: Buffer, folder: string): SourceSpec {
  const base = Buffer.from(bytes.subarray(0, Math.ceil(bytes.length * 0.7)));
  const changed: Buffer[] = [Buffer.alloc(333, 0xee)];
  const changes: Change[] = [];
  let place = 333;
  for (let offset = 0, turn = 0; offset < bytes.length; turn += 1) {
    const length = Math.min(bytes.length - offset, 1 + ((turn * 77_777) % 150_001));
    const part = bytes.subarray(offset, offset + length);
    const isZero = part.every((byte) => byte === 0);
    if (isZero && offset >= base.length) {
      // Nothing says so: there are zeros behind the base.
    } else if (isZero) {
      changes.push({ offset, length, place: undefined });
      base.subarray(offset, offset + length).fill(0xdd);
    } else if (turn % 2 === 1 || offset + length > base.length) {
      changes.push({ offset, length, place });
      changed.push(part);
      place += length;
      base.subarray(offset, offset + length).fill(0xdd);
    }
    offset += length;
  }
  const list = file(folder, Buffer.alloc(0));
  saveChanges(list, basename(file(folder, Buffer.concat(changed))), changes);
  return { kind: 'overlay', base: { kind: 'file', path: file(folder, base) }, changes: list, size: bytes.length };
}
