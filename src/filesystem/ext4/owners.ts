// Who owns a damaged stretch of ext2/3/4: known places first, then one pass over all inodes, then their names.
// Invariant: every asked byte is in exactly one owner; memory grows with the answer, not with the file system. What
// cannot be read is left out; then a stretch has no name, never a wrong one.

import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { type Claims, openClaims, ownersFrom } from '../claims.js';
import type { Owner } from '../plugin.js';
import { type MapReader, mappedRanges, mapReader, shortMap } from './block-map.js';
import type { BlockRange } from './geometry.js';
import { type Inode, ROOT_INODE, reservedNames } from './inode.js';
import { inodePieces, inodesIn } from './inode-table.js';
import { findPaths, type Paths } from './paths.js';
import { isCleanlyUnmounted } from './state.js';
import { claimFree, claimStructures, type FreeClaimant, type StructureClaimant } from './structures.js';
import type { Superblock } from './superblock.js';

type Role = 'data' | 'map' | 'xattr';

interface InodeClaimant {
  readonly kind: 'inode';
  readonly role: Role;
  readonly inode: FoundInode;
}

type Claimant = StructureClaimant | FreeClaimant | InodeClaimant;

/** What is kept of an inode that owns something asked for. */
type FoundInode = Pick<Inode, 'number' | 'type' | 'links' | 'holdsAttribute'>;

/** Directories may be read this often over: once for the pass, the rest for climbing to the root. */
const CONTENT_READS = 8;

export async function ownersOf(volume: Source, found: Superblock, asked: readonly Extent[]): Promise<readonly Owner[]> {
  const superblock = clipped(found, volume);
  const claims = openClaims<Claimant>(asked);
  await claimStructures(claims, volume, superblock);
  // While a journal waits for its replay a bitmap may not know of a file yet.
  if (isCleanlyUnmounted(superblock)) await claimFree(claims, volume, superblock);
  const reader = mapReader(volume, superblock);
  const scan = await scanInodes(claims, reader);
  await claimFree(claims, volume, superblock);
  const special = reservedNames(superblock);
  const sought = new Map<number, number>();
  for (const { number, type, links } of scan.owning) {
    if (!special.has(number)) sought.set(number, type === 'directory' ? 1 : links);
  }
  const content = { left: superblock.blockCount * CONTENT_READS };
  const paths = await findPaths({ ...reader, content }, sought, (first) => scan.directories.has(first));
  return ownersFrom(claims, namerOf(paths, special));
}

/** A file system that is larger than its volume: what lies beyond is not looked for. */
function clipped(superblock: Superblock, volume: Source): Superblock {
  const { blockSize, blocksPerGroup, firstDataBlock, blockCount } = superblock;
  const there = Math.max(firstDataBlock + 1, Math.floor(volume.size / blockSize));
  if (there >= blockCount) return superblock;
  return { ...superblock, blockCount: there, groupCount: Math.ceil((there - firstDataBlock) / blocksPerGroup) };
}

interface Scan {
  readonly owning: ReadonlySet<FoundInode>;
  /** First inodes of the pieces with directories. */
  readonly directories: ReadonlySet<number>;
}

async function scanInodes(claims: Claims<Claimant>, reader: MapReader): Promise<Scan> {
  const owning = new Set<FoundInode>();
  const directories = new Set<number>();
  if (claims.left.length === 0) return { owning, directories };
  for await (const piece of inodePieces(reader.volume, reader.superblock)) {
    for (const inode of inodesIn(reader.superblock, piece)) {
      if (inode.type === 'directory') directories.add(piece.first);
      const kept = await claimFor(claims, reader, inode);
      if (kept) owning.add(kept);
    }
  }
  return { owning, directories };
}

/** Claims what the inode owns of the asked bytes; what to keep of it, if that is anything. */
async function claimFor(claims: Claims<Claimant>, reader: MapReader, inode: Inode): Promise<FoundInode | undefined> {
  const { superblock } = reader;
  const short = shortMap(superblock, inode);
  const owns = (range: BlockRange): boolean => claims.meets(clusters(superblock, range));
  // Almost all inodes of a disk leave here.
  if (short && inode.xattrBlock === 0 && !short.some(owns)) return undefined;
  const { number, type, links, holdsAttribute } = inode;
  const kept: FoundInode = { number, type, links, holdsAttribute };
  const claimants = new Map<Role, InodeClaimant>();
  const claim = (range: BlockRange, role: Role): void => {
    if (!owns(range)) return;
    const claimant = claimants.get(role) ?? { kind: 'inode', role, inode: kept };
    claimants.set(role, claimant);
    claims.claim(clusters(superblock, range), claimant);
  };
  if (short) for (const range of short) claim(range, 'data');
  else for await (const range of mappedRanges(reader, inode)) claim(range, range.role);
  if (inode.xattrBlock > 0) claim({ start: inode.xattrBlock, end: inode.xattrBlock + 1 }, 'xattr');
  return claimants.size > 0 ? kept : undefined;
}

/** With bigalloc whoever has a block of a cluster has all of it. */
function clusters({ blocksPerCluster, firstDataBlock, blockSize }: Superblock, { start, end }: BlockRange): Extent {
  const first = firstDataBlock + Math.floor((start - firstDataBlock) / blocksPerCluster) * blocksPerCluster;
  const last = firstDataBlock + Math.ceil((end - firstDataBlock) / blocksPerCluster) * blocksPerCluster;
  return { offset: first * blockSize, length: (last - first) * blockSize };
}

function namerOf(paths: Paths, special: ReadonlyMap<number, string>): (claimant: Claimant) => Omit<Owner, 'extent'> {
  return (claimant) => {
    if (claimant.kind === 'free') return { kind: 'free', names: [] };
    if (claimant.kind === 'structure') return { kind: 'structure', names: [claimant.name] };
    const { inode, role } = claimant;
    const own = special.get(inode.number);
    const names = own === undefined ? pathsOf(inode, paths) : [own];
    if (role === 'map') return { kind: 'structure', names: names.map((name) => `block map of ${name}`) };
    if (role === 'xattr') return { kind: 'structure', names: names.map((name) => `extended attributes of ${name}`) };
    if (own !== undefined) return { kind: 'structure', names };
    if (inode.type !== 'directory') return { kind: 'file', names };
    return { kind: 'structure', names: names.map((name) => `directory ${name}`) };
  };
}

function pathsOf(inode: FoundInode, paths: Paths): readonly string[] {
  const { number, links, holdsAttribute } = inode;
  if (number === ROOT_INODE) return ['/'];
  const found = paths.of(number);
  if (found.length > 0) return found;
  if (holdsAttribute) return [`inode ${number} (value of an extended attribute)`];
  return [links === 0 ? `inode ${number} (deleted while it was open)` : `inode ${number}`];
}
