// Who owns a damaged stretch of a FAT volume: every chain is followed once, from the root directory down.
// Invariant: every asked byte is in exactly one owner. A cluster belongs to one chain, so the walk takes no more
// steps than twice the clusters, for crossed chains; what cannot be read ends the chain or directory it lies in, and nothing else.

import type { Bytes } from '../../base/units.js';
import { type Extent, extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { attempt, tryRead } from '../best-effort.js';
import { type Claims, openClaims, ownersFrom } from '../claims.js';
import type { Owner } from '../plugin.js';
import { wellFormed } from '../well-formed.js';
import { BOOT_SECTOR_LENGTH, type BootSector } from './boot-sector.js';
import { type NamedEntry, type NameReader, nameReader } from './long-names.js';
import { FIRST_CLUSTER, openTable, type Table } from './table.js';

type Described = Omit<Owner, 'extent'>;

/** More are damage. */
const MOST_DIRECTORIES = 2 ** 20;
const FREE: Described = { kind: 'free', names: [] };

interface Walk {
  readonly volume: Source;
  readonly boot: BootSector;
  readonly claims: Claims<Described>;
  /** The tables that can be asked, the one in use first. */
  readonly tables: readonly Table[];
  /** Chain links that may still be followed. */
  left: number;
  /** First clusters of the directories that were met. */
  readonly met: Set<number>;
}

interface Folder {
  /** Without a slash at the end: the root is the empty path. */
  readonly path: string;
  /** 0: the root directory of FAT12/16, which is no chain. */
  readonly firstCluster: number;
}

export async function ownersOf(volume: Source, boot: BootSector, asked: readonly Extent[]): Promise<readonly Owner[]> {
  const claims = openClaims<Described>(asked);
  claimKnownPlaces(claims, boot);
  const walk: Walk = {
    volume,
    boot,
    claims,
    tables: readableTables(volume, boot),
    left: boot.clusterCount * 2,
    met: new Set(),
  };
  const pending: Folder[] = [{ path: '', firstCluster: boot.rootCluster }];
  for (let folder = pending.pop(); folder && claims.left.length > 0; folder = pending.pop()) {
    for (const folders of await walkFolder(walk, folder)) pending.push(folders);
  }
  await claimFree(walk);
  return ownersFrom(claims, (described) => described);
}

/** If the first table cannot be read, its copies tell the same. */
function readableTables(volume: Source, boot: BootSector): Table[] {
  const numbers = new Set([...boot.tablesInUse, ...Array.from({ length: boot.tableCount }, (_, number) => number)]);
  return [...numbers].flatMap((number) => {
    const needed = Math.ceil(((boot.clusterCount + FIRST_CLUSTER) * boot.bits) / 8);
    return needed <= boot.tableSize ? [openTable(volume, boot, number)] : [];
  });
}

function claimKnownPlaces(claims: Claims<Described>, boot: BootSector): void {
  const { tableOffset, tableSize, tableCount, root, dataOffset, clusterCount, clusterSize } = boot;
  const claim = (name: string, offset: Bytes, length: Bytes): void => {
    claims.claim({ offset, length }, { kind: 'structure', names: [name] });
  };
  claim('boot sector', 0, Math.max(BOOT_SECTOR_LENGTH, boot.sectorSize));
  claim('reserved sectors', 0, tableOffset);
  for (let number = 0; number < tableCount; number += 1) {
    claim(`file allocation table ${number + 1}`, tableOffset + number * tableSize, tableSize);
  }
  claim('directory /', root.offset, root.length);
  claims.claim({ offset: dataOffset + clusterCount * clusterSize, length: Number.MAX_SAFE_INTEGER / 2 }, FREE);
}

/** Claims what the directory and its files own; its subdirectories. */
async function walkFolder(walk: Walk, { path, firstCluster }: Folder): Promise<Folder[]> {
  const { volume, boot } = walk;
  const reader = nameReader({ wide: boot.bits === 32 });
  const folders: Folder[] = [];
  if (firstCluster === 0) {
    const bytes = Buffer.alloc(boot.root.length);
    if (await tryRead(volume, bytes, boot.root.offset)) await walkEntries(walk, { path, reader, bytes, folders });
    return folders;
  }
  const described: Described = { kind: 'structure', names: [`directory ${path === '' ? '/' : path}`] };
  const bytes = Buffer.alloc(boot.clusterSize);
  for await (const cluster of chain(walk, firstCluster)) {
    const extent = clusterExtent(boot, cluster);
    walk.claims.claim(extent, described);
    if (!(await tryRead(volume, bytes, extent.offset))) continue;
    await walkEntries(walk, { path, reader, bytes, folders });
  }
  return folders;
}

async function walkEntries(
  walk: Walk,
  { path, reader, bytes, folders }: { path: string; reader: NameReader; bytes: Buffer; folders: Folder[] },
): Promise<void> {
  for (const entry of reader.add(bytes)) {
    const own = `${path}/${wellFormed(entry.name)}`;
    if (!entry.isDirectory) await claimFile(walk, own, entry);
    else if (isNew(walk, entry.firstCluster)) folders.push({ path: own, firstCluster: entry.firstCluster });
  }
}

/** A directory that holds itself would have endless paths. */
function isNew({ met, boot }: Walk, cluster: number): boolean {
  if (!isCluster(boot, cluster) || met.has(cluster) || met.size >= MOST_DIRECTORIES) return false;
  met.add(cluster);
  return true;
}

async function claimFile(walk: Walk, path: string, { firstCluster }: NamedEntry): Promise<void> {
  const described: Described = { kind: 'file', names: [path] };
  for await (const cluster of chain(walk, firstCluster))
    walk.claims.claim(clusterExtent(walk.boot, cluster), described);
}

async function* chain(walk: Walk, first: number): AsyncGenerator<number> {
  let cluster: number | undefined = first;
  while (cluster !== undefined && isCluster(walk.boot, cluster) && walk.left > 0) {
    walk.left -= 1;
    yield cluster;
    const at: number = cluster;
    const next = await askTables(walk, (table) => table.next(at));
    cluster = typeof next === 'number' ? next : undefined;
  }
}

async function askTables<T>({ tables }: Walk, ask: (table: Table) => Promise<T>): Promise<T | undefined> {
  for (const table of tables) {
    const answer = await attempt(() => ask(table));
    if (answer !== undefined) return answer;
  }
  return undefined;
}

/** Entries of the table that are zero, of the clusters asked for. */
async function claimFree(walk: Walk): Promise<void> {
  const { claims, boot } = walk;
  for (const part of [...claims.left]) {
    const first = Math.floor((part.offset - boot.dataOffset) / boot.clusterSize) + FIRST_CLUSTER;
    const last = Math.ceil((extentEnd(part) - boot.dataOffset) / boot.clusterSize) + FIRST_CLUSTER;
    for (let cluster = Math.max(first, FIRST_CLUSTER); cluster < last && isCluster(boot, cluster); cluster += 1) {
      const value = await askTables(walk, (table) => table.entry(cluster));
      if (value === 0) claims.claim(clusterExtent(boot, cluster), FREE);
    }
  }
}

function isCluster({ clusterCount }: BootSector, cluster: number): boolean {
  return cluster >= FIRST_CLUSTER && cluster < clusterCount + FIRST_CLUSTER;
}

function clusterExtent({ dataOffset, clusterSize }: BootSector, cluster: number): Extent {
  return { offset: dataOffset + (cluster - FIRST_CLUSTER) * clusterSize, length: clusterSize };
}
