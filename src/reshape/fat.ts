// FAT16 and FAT32, without a tool: libparted, which fatresize uses, refuses the usual cases (an EFI partition that grows).
// Invariant: kind and cluster size stay, so an EFI firmware or a camera that read the old one reads the new one.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

import { belowMinimum, resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { type Bytes, formatBytes, MiB } from '../base/units.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from '../filesystem/fat/boot-sector.js';
import { FIRST_CLUSTER } from '../filesystem/fat/table.js';
import { openDiskTarget } from '../source/disk.js';
import type { Source, Target } from '../source/types.js';
import { rewriteDirectories } from './fat-directories.js';
import { type FatLayout, layoutFor, leastClusters, sizeFor } from './fat-layout.js';
import { countUsed, loadTable, type Relocation, relocations, renumber } from './fat-table.js';
import type { Minimum, Resizer, Volume } from './resizer.js';

type Boot = BootSector & { readonly bits: 16 | 32 };

const AT = {
  totalSectors16: 19,
  tableSectors16: 22,
  totalSectors32: 32,
  tableSectors32: 36,
  rootCluster: 44,
  infoSector: 48,
  backupSector: 50,
} as const;
/** FSInfo of FAT32: three signatures, the number of free clusters, where to look for the next one. */
const INFO = { lead: 0, structure: 484, free: 488, next: 492 } as const;
const LEAD_SIGNATURE = 0x41615252;
const STRUCTURE_SIGNATURE = 0x61417272;
/** The table is held in memory; this many entries take half a gigabyte. */
const MOST_CLUSTERS = 2 ** 27;

export const fat: Resizer = {
  async accept({ name, kind, source }) {
    const { bits, tablesInUse, clusterCount } = await readBoot(source);
    const refuse = (reason: string): never => {
      throw resizeUnsupported(name, kind, reason);
    };
    if (bits === 12) refuse('FAT12 has no room to grow, and nobody shrinks a floppy');
    if (tablesInUse.length > 1) refuse('its tables are not copies of each other');
    if (clusterCount > MOST_CLUSTERS) refuse(`it has more than ${MOST_CLUSTERS} clusters`);
  },
  minimum: { by: 'reading', find: findMinimum },
  async resize(volume, bench, size) {
    const boot = await requireBoot(volume.source);
    const layout = layoutFor(boot, size);
    const table = await loadTable(volume.source, boot);
    const moves = layout && relocations(table, layout);
    if (!layout || !moves) {
      throw belowMinimum(volume.name, volume.kind, { wanted: size, ...(await findMinimum(volume)) });
    }
    if (layout.totalSectors * boot.sectorSize + boot.clusterSize < size) {
      const most = formatBytes(layout.totalSectors * boot.sectorSize);
      bench.note(
        `${volume.name}: with its clusters of ${formatBytes(boot.clusterSize)} it cannot be larger than ${most}`,
      );
    }
    const view = openDiskTarget(bench.path, { direct: false });
    try {
      await apply(view, { boot, layout, moves, table });
      await view.flush();
    } finally {
      await view.close();
    }
  },
};

async function findMinimum({ source, kind }: Volume): Promise<Minimum> {
  const boot = await requireBoot(source);
  const used = countUsed(await loadTable(source, boot));
  const least = leastClusters(boot);
  // Bad clusters keep their places: a hundred of them, and what is rounded, cost no more than this.
  const bytes = sizeFor(boot, Math.max(least, used)) + MiB;
  const reason =
    used > least ? 'its files' : `${kind} has ${least} clusters at least, here of ${formatBytes(boot.clusterSize)}`;
  return { minimum: Math.min(boot.span, Math.ceil(bytes / MiB) * MiB), reason };
}

interface Change {
  readonly boot: Boot;
  readonly layout: FatLayout;
  readonly moves: readonly Relocation[];
  readonly table: Awaited<ReturnType<typeof loadTable>>;
}

/** Content first, then directories, then the tables, which may lie where content was. */
async function apply(view: Target, { boot, layout, moves, table }: Change): Promise<void> {
  const { clusterSize, sectorSize } = boot;
  const placeOf = (cluster: number): Bytes => boot.dataOffset + (cluster - FIRST_CLUSTER) * clusterSize;
  const tableSize = layout.tableSectors * sectorSize;
  const renumbered = renumber(table, layout, { moves, tableSize });
  for (const { from, to } of moves) {
    const content = Buffer.alloc(clusterSize);
    await view.read(content, placeOf(from));
    await view.write(content, placeOf(to));
  }
  const root = Buffer.alloc(boot.root.length);
  if (root.length > 0) await view.read(root, boot.root.offset);
  if (moves.length > 0 || layout.swallowed > 0) {
    const moved = new Map(moves.map(({ from, to }) => [from, to]));
    const offsetOf = (cluster: number): Bytes => placeOf(moved.get(cluster) ?? cluster);
    await rewriteDirectories(view, { table, boot, offsetOf, numberOf: renumbered.numberOf }, root);
  }
  for (let number = 0; number < boot.tableCount; number += 1) {
    await view.write(renumbered.bytes, boot.tableOffset + number * tableSize);
  }
  if (root.length > 0) await view.write(root, boot.tableOffset + boot.tableCount * tableSize);
  const rootCluster = boot.bits === 32 ? renumbered.numberOf(boot.rootCluster) : 0;
  await writeHeads(view, { boot, layout, rootCluster, free: renumbered.free, next: renumbered.firstFree });
}

interface Heads {
  readonly boot: Boot;
  readonly layout: FatLayout;
  readonly rootCluster: number;
  readonly free: number;
  readonly next: number;
}

/** Boot sector and FSInfo, and their backups. */
async function writeHeads(view: Target, heads: Heads): Promise<void> {
  const { sectorSize, bits } = heads.boot;
  const head = Buffer.alloc(sectorSize);
  await view.read(head, 0);
  const backup = bits === 32 ? head.readUInt16LE(AT.backupSector) : 0;
  const reserved = heads.boot.tableOffset / sectorSize;
  const starts = backup > 0 && backup < reserved ? [0, backup] : [0];
  for (const start of starts) {
    const sector = Buffer.alloc(sectorSize);
    await view.read(sector, start * sectorSize);
    if (!parseBootSector(sector)) continue; // a backup that is none
    setSizes(sector, heads);
    await view.write(sector, start * sectorSize);
    const info = bits === 32 ? sector.readUInt16LE(AT.infoSector) : 0;
    if (info > 0 && start + info < reserved) await writeInfo(view, (start + info) * sectorSize, heads);
  }
}

function setSizes(sector: Buffer, { boot, layout, rootCluster }: Heads): void {
  const { totalSectors, tableSectors } = layout;
  const isShort = boot.bits === 16 && totalSectors < 2 ** 16;
  sector.writeUInt16LE(isShort ? totalSectors : 0, AT.totalSectors16);
  sector.writeUInt32LE(isShort ? 0 : totalSectors, AT.totalSectors32);
  if (boot.bits === 16) {
    sector.writeUInt16LE(tableSectors, AT.tableSectors16);
  } else {
    sector.writeUInt32LE(tableSectors, AT.tableSectors32);
    sector.writeUInt32LE(rootCluster, AT.rootCluster);
  }
}

async function writeInfo(view: Target, offset: Bytes, { free, next }: Heads): Promise<void> {
  const info = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await view.read(info, offset);
  if (info.readUInt32LE(INFO.lead) !== LEAD_SIGNATURE) return;
  if (info.readUInt32LE(INFO.structure) !== STRUCTURE_SIGNATURE) return;
  info.writeUInt32LE(free, INFO.free);
  info.writeUInt32LE(next, INFO.next);
  await view.write(info, offset);
}

async function readBoot(source: Source): Promise<BootSector> {
  const head = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await source.read(head, 0);
  const boot = parseBootSector(head);
  if (!boot) throw new FormatError('no FAT boot sector');
  return boot;
}

async function requireBoot(source: Source): Promise<Boot> {
  const boot = await readBoot(source);
  if (boot.bits === 12) throw new FormatError('a FAT12');
  return { ...boot, bits: boot.bits };
}
