// The volume label: the root directory's if it has one, else the boot sector's.
// Invariant: reads a bounded part of the root directory; damage there, or of the disk, means no label, never an error.

import { type Bytes, KiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { attempt } from '../best-effort.js';
import type { BootSector } from './boot-sector.js';
import { parseDirectory } from './directory.js';
import { FIRST_CLUSTER, openTable } from './table.js';

/** Formatters put the label first; it hardly ever moves far. */
const SEARCHED: Bytes = 256 * KiB;
/** What formatters write when nobody gave a label. */
const NO_LABEL = 'NO NAME';

/** Empty if there is none. */
export async function readLabel(volume: Source, boot: BootSector): Promise<string> {
  const read = boot.bits === 32 ? labelInChain : labelInRoot;
  const label = (await attempt(() => read(volume, boot))) ?? boot.label;
  return label === NO_LABEL ? '' : label;
}

async function labelInRoot(volume: Source, { root }: BootSector): Promise<string | undefined> {
  const length = Math.min(root.length, SEARCHED, volume.size - root.offset);
  if (length <= 0) return undefined;
  const bytes = Buffer.alloc(length);
  await volume.read(bytes, root.offset);
  return parseDirectory(bytes, { wide: false }).label;
}

async function labelInChain(volume: Source, boot: BootSector): Promise<string | undefined> {
  const table = openTable(volume, boot, boot.tablesInUse[0] ?? 0);
  const bytes = Buffer.alloc(boot.clusterSize);
  let cluster: number | 'end' | 'broken' = boot.rootCluster;
  for (let read = 0; read < SEARCHED && typeof cluster === 'number'; read += bytes.length) {
    const offset = boot.dataOffset + (cluster - FIRST_CLUSTER) * boot.clusterSize;
    if (offset + bytes.length > volume.size) return undefined;
    await volume.read(bytes, offset);
    const { label, ended } = parseDirectory(bytes, { wide: true });
    if (label !== undefined || ended) return label;
    cluster = await table.next(cluster);
  }
  return undefined;
}
