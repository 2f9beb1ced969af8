// Group descriptors of a failing disk: what the primary copies do not tell is taken from their backups.
// Invariant: a descriptor that comes out of here is whole and points inside the file system. Backups are written when a
// file system is made or grown, so of them only the places are believed, never what was in use.

import type { Source } from '../../source/types.js';
import { attempt } from '../best-effort.js';
import { descriptorBackups, descriptorsPerBlock } from './geometry.js';
import { type GroupDescriptor, readDescriptors } from './group-descriptors.js';
import type { Superblock } from './superblock.js';

/** How many descriptors are read at once. */
const STRIDE = 1024;

export interface SurvivingDescriptor extends GroupDescriptor {
  /** What it says of the use of its group is old. */
  readonly stale: boolean;
}

/** All groups whose descriptor survives somewhere, ascending, a batch at a time. */
export async function* survivingDescriptors(
  volume: Source,
  superblock: Superblock,
): AsyncGenerator<readonly SurvivingDescriptor[]> {
  const stride = Math.max(1, STRIDE - (STRIDE % descriptorsPerBlock(superblock)));
  for (let first = 0; first < superblock.groupCount; first += stride) {
    const count = Math.min(stride, superblock.groupCount - first);
    yield await readSurviving(volume, superblock, { first, count });
  }
}

/** Undefined if no copy of it can be read. */
export async function survivingDescriptor(
  volume: Source,
  superblock: Superblock,
  group: number,
): Promise<SurvivingDescriptor | undefined> {
  if (group >= superblock.groupCount) return undefined;
  return (await readSurviving(volume, superblock, { first: group, count: 1 }))[0];
}

async function readSurviving(
  volume: Source,
  superblock: Superblock,
  { first, count }: { first: number; count: number },
): Promise<SurvivingDescriptor[]> {
  const whole = await attempt(() => readDescriptors(volume, superblock, { first, count }));
  if (whole?.every(({ problem }) => problem === undefined)) {
    return whole.map((descriptor) => ({ ...descriptor, stale: false }));
  }
  const perBlock = descriptorsPerBlock(superblock);
  const found: SurvivingDescriptor[] = [];
  for (let at = first; at < first + count; ) {
    const next = Math.min(first + count, (Math.floor(at / perBlock) + 1) * perBlock);
    found.push(...(await readBlockOf(volume, superblock, { first: at, count: next - at })));
    at = next;
  }
  return found;
}

/** Descriptors of one descriptor block, each from the first copy that is right. */
async function readBlockOf(
  volume: Source,
  superblock: Superblock,
  range: { first: number; count: number },
): Promise<SurvivingDescriptor[]> {
  const found = new Map<number, SurvivingDescriptor>();
  const add = (descriptors: readonly GroupDescriptor[] | undefined, stale: boolean): void => {
    for (const descriptor of descriptors ?? []) {
      if (descriptor.problem !== undefined || found.has(descriptor.group)) continue;
      found.set(descriptor.group, { ...descriptor, stale, unusedInodes: stale ? 0 : descriptor.unusedInodes });
    }
  };
  add(await attempt(() => readDescriptors(volume, superblock, range)), false);
  for (const block of descriptorBackups(superblock, Math.floor(range.first / descriptorsPerBlock(superblock)))) {
    if (found.size === range.count) break;
    add(await attempt(() => readDescriptors(volume, superblock, { ...range, blockOf: () => block })), true);
  }
  return [...found.values()].sort((a, b) => a.group - b.group);
}
