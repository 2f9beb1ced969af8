// A FAT made anew with the sectors of the target, with all files of the old one: in place it cannot be converted.
// Invariant: the same volume and options give the same bytes; the result was read back and compared before it is returned.
// The programs are mkfs.fat and mtools; what they run on are files of ours, never the source.

import { closeSync, ftruncateSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { assert } from '../../base/assert.js';
import { cannotRebuild, notMovable, rebuildDiffers } from '../../base/errors/after-move.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, formatBytes, MiB } from '../../base/units.js';
import { openFatAllocationMap } from '../../filesystem/fat/allocation-map.js';
import {
  BOOT_SECTOR_LENGTH,
  type BootSector,
  type FatBits,
  parseBootSector,
} from '../../filesystem/fat/boot-sector.js';
import { inUnits } from '../../map/extent.js';
import { openDiskSource } from '../../source/disk.js';
import type { Source } from '../../source/types.js';
import { type Fallback, planFallback } from './fallback-loader.js';
import { chooseGeometry, type FatGeometry } from './fat-geometry.js';
import { type FatNode, readFatTree } from './fat-tree.js';
import { readAt } from './move.js';

/** Runs an outside program with these variables added to the environment. Throws ToolError if it is missing or fails. */
export type RunProgram = (
  program: 'mkfs.fat' | 'mcopy' | 'mmd',
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
) => Promise<unknown>;

export interface RebuildOptions {
  /** The old file system; only read. */
  readonly volume: Source;
  /** As it was: `fat12`, `fat16`, `fat32`. It stays that if the size allows it. */
  readonly kind: string;
  readonly label: string;
  /** "ABCD-1234"; empty if there is none. */
  readonly serial: string;
  /** Of the new partition. */
  readonly size: Bytes;
  /** Of the target. */
  readonly sectorSize: Bytes;
  /** First sector of the new partition, in sectors of the target. */
  readonly startLba: number;
  /** Made by this call, and gone if it throws; `<file>.old` and `<file>.mtools` are used meanwhile. */
  readonly file: string;
}

export interface Rebuilt {
  readonly bits: FatBits;
  readonly notes: readonly string[];
}

/** Throws ToolError: `cannotRebuild`, `rebuildDiffers`, `notMovable` if the old one is damaged, or what a program says. */
export async function rebuildFat(options: RebuildOptions, run: RunProgram): Promise<Rebuilt> {
  const { volume, file, size } = options;
  const made: string[] = [];
  const make = (path: string): number => {
    const fd = openSync(path, 'wx', 0o600);
    made.push(path);
    return fd;
  };
  let done = false;
  try {
    const old = await readOld(volume);
    const geometry = geometryFor(options, old.nodes);
    const { label, note } = usableLabel(options);
    const fd = make(file);
    ftruncateSync(fd, size);
    closeSync(fd);
    await run('mkfs.fat', formatArguments(options, { geometry, label, nodes: old.nodes }), { LC_ALL: 'C' });
    await extract(volume, old.boot, make(`${file}.old`));
    const fallback = planFallback(old.nodes);
    closeSync(make(`${file}.mtools`));
    await copyFiles(file, run, { nodes: old.nodes, fallback });
    await compare(options, { geometry, wanted: withFallback(old.nodes, fallback) });
    done = true;
    const notes = [note, fallback?.note].flatMap((text) => (text === undefined ? [] : [`${volume.name}: ${text}`]));
    return { bits: geometry.bits, notes };
  } finally {
    for (const path of made) if (!done || path !== file) rmSync(path, { force: true });
  }
}

interface Old {
  readonly boot: BootSector;
  readonly nodes: readonly FatNode[];
}

async function readOld(volume: Source): Promise<Old> {
  const boot = parseBootSector(await readAt(volume, 0, Math.min(BOOT_SECTOR_LENGTH, volume.size)));
  if (!boot || boot.span > volume.size) throw notMovable(volume.name, 'FAT', 'it has no boot sector that fits it');
  try {
    return { boot, nodes: await readFatTree(volume, boot) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw notMovable(volume.name, 'FAT', error.message);
  }
}

const ENTRY: Bytes = 32;
const NAME_PART = 13;

/** Bytes of directory entries, long names included, below `folder` ("" is the root). */
function directoryLength(nodes: readonly FatNode[], folder: string): Bytes {
  const inside = nodes.filter(({ path }) => path.slice(0, path.lastIndexOf('/')) === folder);
  // "." and "..", or the label; the fall-back loader and its folder.
  return inside.reduce((sum, { path }) => sum + ENTRY * (1 + Math.ceil(path.length / NAME_PART)), 8 * ENTRY);
}

function geometryFor({ volume, kind, size, sectorSize }: RebuildOptions, nodes: readonly FatNode[]): FatGeometry {
  const wanted = kind === 'fat12' ? 12 : kind === 'fat16' ? 16 : 32;
  const geometry = chooseGeometry(size, sectorSize, wanted);
  if (!geometry) {
    throw cannotRebuild(volume.name, `no FAT has ${formatBytes(size)} in sectors of ${sectorSize} bytes`);
  }
  const clusterSize = geometry.sectorsPerCluster * sectorSize;
  const lengths = nodes.map((node) => (node.isDirectory ? directoryLength(nodes, node.path) : node.size));
  if (geometry.bits === 32) lengths.push(directoryLength(nodes, ''));
  const needed = lengths.reduce((sum, length) => sum + Math.ceil(length / clusterSize), 0);
  if (needed <= geometry.clusterCount) return geometry;
  const room = formatBytes(geometry.clusterCount * clusterSize);
  throw cannotRebuild(
    volume.name,
    `its files need ${formatBytes(needed * clusterSize)}, and there is room for ${room}`,
  );
}

/** What every formatter takes as a label; others are left out rather than changed. */
function usableLabel({ label }: RebuildOptions): { label: string | undefined; note: string | undefined } {
  if (label === '') return { label: undefined, note: undefined };
  if (/^[A-Za-z0-9 !#$%&'()@^_`{}~-]{1,11}$/.test(label)) return { label, note: undefined };
  return { label: undefined, note: `its label "${label}" cannot be given to the new file system, which has none` };
}

const LARGEST_START = 0xffffffff;
const USUAL_ROOT_ENTRIES = 512;

function formatArguments(
  { serial, sectorSize, startLba, file }: RebuildOptions,
  { geometry, label, nodes }: { geometry: FatGeometry; label: string | undefined; nodes: readonly FatNode[] },
): string[] {
  const { bits, sectorsPerCluster } = geometry;
  const perSector = sectorSize / ENTRY;
  const entries = Math.max(USUAL_ROOT_ENTRIES, Math.ceil(directoryLength(nodes, '') / ENTRY / perSector) * perSector);
  return [
    ...['--invariant', '-F', `${bits}`, '-S', `${sectorSize}`, '-s', `${sectorsPerCluster}`, '-f', '2', '-M', '0xF8'],
    ...['-h', `${startLba > LARGEST_START ? 0 : startLba}`],
    ...(bits === 32 ? [] : ['-r', `${entries}`]),
    ...(serial === '' ? [] : ['-i', serial.replace('-', '')]),
    ...(label === undefined ? [] : ['-n', label]),
    file,
  ];
}

/** The used parts as a file, because mtools cannot read through a Source. Closes `fd`. */
async function extract(volume: Source, boot: BootSector, fd: number): Promise<void> {
  try {
    ftruncateSync(fd, boot.span);
    const map = await openFatAllocationMap(volume, boot);
    const piece = Buffer.alloc(MiB);
    for await (const used of map.usedExtents({ offset: 0, length: boot.span })) {
      for (const { offset, length } of inUnits(used, piece.length)) {
        const bytes = piece.subarray(0, length);
        await volume.read(bytes, offset);
        writeSync(fd, bytes, 0, length, offset);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Directories and files keep their times; what is new gets this one. */
const EPOCH = '315532800'; // 1980-01-01, where FAT begins

async function copyFiles(
  file: string,
  run: RunProgram,
  { nodes, fallback }: { nodes: readonly FatNode[]; fallback: Fallback | undefined },
): Promise<void> {
  assert(!/["\n]/.test(file), `mtools cannot be told of ${file}`);
  const config = `${file}.mtools`;
  writeFileSync(config, `mtools_skip_check=1\ndrive s: file="${file}.old"\ndrive t: file="${file}"\n`);
  // Times of a FAT have no zone, and one without summer time keeps them all. Long names need a character set that has them all.
  const variables = { MTOOLSRC: config, TZ: 'UTC', LC_ALL: 'C.UTF-8', SOURCE_DATE_EPOCH: EPOCH };
  const keep = ['-p', '-m', '-Q', '-n'];
  if (nodes.length > 0) await run('mcopy', ['-s', ...keep, 's:/*', 't:/'], variables);
  for (const folder of fallback?.folders ?? []) await run('mmd', [`t:${folder}`], variables);
  for (const { from, to } of fallback?.copies ?? []) await run('mcopy', [...keep, `t:${from}`, `t:${to}`], variables);
}

/** What should be there in the end. A folder that is made for the loader has a time of its own. */
function withFallback(nodes: readonly FatNode[], fallback: Fallback | undefined): FatNode[] {
  const copies = (fallback?.copies ?? []).flatMap(({ from, to }) =>
    nodes.filter(({ path }) => path === from).map((node) => ({ ...node, path: to })),
  );
  return [...nodes, ...copies];
}

async function compare(
  { volume, file, sectorSize }: RebuildOptions,
  { geometry, wanted }: { geometry: FatGeometry; wanted: readonly FatNode[] },
): Promise<void> {
  const made = openDiskSource(file, { direct: false });
  try {
    const { boot, nodes } = await readOld(made);
    if (boot.bits !== geometry.bits || boot.sectorSize !== sectorSize) {
      throw rebuildDiffers(volume.name, '/', `is FAT${boot.bits} with sectors of ${boot.sectorSize} bytes`);
    }
    const found = new Map(nodes.map((node) => [node.path, node]));
    for (const node of wanted) {
      const what = differs(node, found.get(node.path));
      if (what !== undefined) throw rebuildDiffers(volume.name, node.path, what);
    }
  } finally {
    await made.close();
  }
}

function differs(wanted: FatNode, found: FatNode | undefined): string | undefined {
  if (!found || found.isDirectory !== wanted.isDirectory) return 'is missing';
  if (found.size !== wanted.size || found.digest !== wanted.digest) return 'has other content';
  if (found.attributes !== wanted.attributes) return 'has other attributes';
  return found.written === wanted.written ? undefined : 'has another time';
}
