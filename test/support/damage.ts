// Damages a volume in memory, lets a plugin do everything with it, and repairs it again.
// Invariant: a damaged volume ends in FormatError, never in another error, a hang or a huge allocation.

import { FormatError } from '../../src/base/u64.js';
import type { FilesystemPlugin } from '../../src/filesystem/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import type { Random } from './random.js';

export interface Outcome {
  readonly recognised: boolean;
  readonly mapped: boolean;
  readonly tokened: boolean;
}

const EXTREMES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff];

/** Changes one to four places of `bytes` near `offset`; the result undoes it. */
export function damage(bytes: Buffer, offset: number, length: number, random: Random): () => void {
  const saved = Buffer.from(bytes.subarray(offset, offset + length));
  for (let change = random.between(1, 4); change > 0; change -= 1) {
    const at = offset + random.below(length - 8);
    const kind = random.below(5);
    if (kind === 0) bytes.writeUInt8(random.below(256), at);
    else if (kind === 1) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at);
    else if (kind === 2) bytes.writeUInt16LE(random.pick(EXTREMES) & 0xffff, at & ~1);
    else if (kind === 3) bytes.writeUInt32LE(random.pick(EXTREMES), at & ~3);
    else random.bytes(random.between(1, 8)).copy(bytes, at);
  }
  return () => {
    saved.copy(bytes, offset);
  };
}

/** A root directory of FAT16 may be as long. */
const LARGEST_READ = 2 ** 21;
/** Each question may read the volume a few times over: chains that lead in circles end. */
const READINGS = 40;

/** Whoever asks for a huge piece, or reads on and on, was led astray by a damaged number. */
export function boundedSource(bytes: Buffer): Source {
  const memory = memoryTarget(bytes);
  let total = 0;
  return {
    ...memory,
    async read(into, offset) {
      total += into.length;
      if (into.length > LARGEST_READ) throw new Error(`a read of ${into.length} bytes`);
      if (total > READINGS * bytes.length + 32 * LARGEST_READ) throw new Error(`${total} bytes were read`);
      await memory.read(into, offset);
    },
  };
}

/** Everything a plugin can be asked of `bytes`. Throws whatever is not a FormatError. */
export async function askEverything(plugin: FilesystemPlugin, bytes: Buffer): Promise<Outcome> {
  const volume = boundedSource(bytes);
  const info = await plugin.probe(volume);
  if (!info) return { recognised: false, mapped: false, tokened: false };
  if (info.size > volume.size || info.size <= 0) throw new Error(`size ${info.size}`);
  await plugin.readState(volume, info);
  const mapped = await allowed(async () => {
    const map = await plugin.openAllocationMap(volume, info);
    let position = -1;
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) {
      if (extent.length <= 0 || extent.offset <= position) throw new Error('extents are not ascending and joined');
      position = extentEnd(extent);
    }
    if (position > volume.size) throw new Error('extents beyond the volume');
  });
  const tokened = await allowed(() => plugin.token(volume, info));
  return { recognised: true, mapped, tokened };
}

async function allowed(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}
