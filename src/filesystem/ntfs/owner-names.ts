// What people call the owner of a part of an NTFS volume.
// Invariant: names are well-formed text; system files go by their own names, never as somebody's files.
// Format: ntfs-3g layout.h (NTFS_SYSTEM_FILES, ATTR_TYPES).

import { attempt } from '../best-effort.js';
import type { Owner } from '../plugin.js';
import { wellFormed } from '../well-formed.js';
import { ATTRIBUTE, baseNumber, isUnused } from './file-record.js';
import { type MasterFileTable, RECORD, readRecord } from './master-file-table.js';
import type { Paths } from './paths.js';
import { readStream } from './stream.js';

export type Claimant =
  | { readonly kind: 'free' }
  | { readonly kind: 'structure'; readonly names: readonly string[] }
  | { readonly kind: 'record'; readonly number: number }
  /** Clusters of an attribute of the file with that base record. */
  | { readonly kind: 'attribute'; readonly record: number; readonly type: number; readonly name: string };

export type Described = Omit<Owner, 'extent'>;

/** By record number. The root directory is no system file to anybody. */
const SYSTEM_FILES: Readonly<Record<number, string>> = {
  0: '$MFT',
  1: '$MFTMirr',
  2: '$LogFile',
  3: '$Volume',
  4: '$AttrDef',
  6: '$Bitmap',
  7: '$Boot',
  8: '$BadClus',
  9: '$Secure',
  10: '$UpCase',
  11: '$Extend',
};
/** $Extend and what lies in it are the file system's as well. */
const EXTENSIONS = '/$Extend/';
const BAD_CLUSTERS = 8;

const ATTRIBUTE_NAMES: Readonly<Record<number, string>> = {
  [ATTRIBUTE.attributeList]: 'attribute list',
  80: 'security descriptor',
  192: 'reparse point',
  224: 'extended attributes',
  256: 'logged stream',
};

export interface Namer {
  readonly mft: MasterFileTable;
  readonly paths: Paths;
}

export async function describe(claimant: Claimant, namer: Namer): Promise<Described> {
  switch (claimant.kind) {
    case 'free':
      return { kind: 'free', names: [] };
    case 'structure':
      return claimant;
    case 'record':
      return { kind: 'structure', names: await recordNames(claimant.number, namer) };
    case 'attribute':
      return attributeOwner(claimant, namer);
  }
}

async function recordNames(number: number, { mft, paths }: Namer): Promise<readonly string[]> {
  const bytes = Buffer.alloc(mft.boot.recordSize);
  const there = await attempt(() => readStream(mft, mft.stream, bytes, number * bytes.length).then(() => true));
  if (there && isUnused(bytes)) return [`unused MFT record ${number}`];
  const record = await attempt(() => readRecord(mft, number));
  const { names } = await fileNames(record ? baseNumber(record) : number, paths);
  return names.map((name) => (name === nameless(number) ? name : `record of ${name}`));
}

async function attributeOwner(
  { record, type, name }: Extract<Claimant, { kind: 'attribute' }>,
  { paths }: Namer,
): Promise<Described> {
  if (record === BAD_CLUSTERS) return { kind: 'structure', names: ['known bad clusters ($BadClus)'] };
  const { isSystem, names } = await fileNames(record, paths);
  const suffix = name === '' ? '' : `:${wellFormed(name)}`;
  const called = (before: string, after = ''): string[] => names.map((each) => `${before}${each}${after}`);
  if (type === ATTRIBUTE.data) return { kind: isSystem ? 'structure' : 'file', names: called('', suffix) };
  if (type === ATTRIBUTE.bitmap && record === RECORD.mft) return { kind: 'structure', names: called('bitmap of ') };
  if (type === ATTRIBUTE.indexAllocation || type === ATTRIBUTE.bitmap) {
    const isDirectory = name === DIRECTORY_INDEX;
    return { kind: 'structure', names: isDirectory ? called('directory ') : called('', suffix) };
  }
  const what = ATTRIBUTE_NAMES[type] ?? `attribute 0x${type.toString(16)}`;
  return { kind: 'structure', names: called(`${what} of `) };
}

const DIRECTORY_INDEX = '$I30';

async function fileNames(record: number, paths: Paths): Promise<{ isSystem: boolean; names: readonly string[] }> {
  const system = SYSTEM_FILES[record];
  if (system !== undefined) return { isSystem: true, names: [system] };
  const names = await paths.of(record);
  if (names.length === 0) return { isSystem: false, names: [nameless(record)] };
  return { isSystem: names.every((name) => name.startsWith(EXTENSIONS)), names };
}

function nameless(record: number): string {
  return `MFT record ${record}`;
}
