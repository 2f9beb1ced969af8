// Gives the volume in a view a new ID, so that it can be attached beside its source.
// Invariant: the same source and ID give the same bytes, and the step ends only after the volume shows the new ID.
// btrfs gets a metadata UUID instead of being rewritten block by block: only superblocks change (Linux 5.0; GRUB goes by the
// fsid alone). XFS of version 5 gets META_UUID for the same reason (Linux 4.3, GRUB 2.02). ext with checksums is rewritten;
// metadata_csum_seed would spare that, but GRUB before 2.12 does not read it, so it is never switched on.

import { newIdUnproven, newIdUnsupported } from '../../base/errors/identity.js';
import { FormatError } from '../../base/u64.js';
import { readSuperblock as readBtrfs } from '../../filesystem/btrfs/superblock.js';
import { Compat } from '../../filesystem/ext4/features.js';
import { identify } from '../../filesystem/registry.js';
import { readSuperblock as readXfs } from '../../filesystem/xfs/superblock.js';
import { openDiskSource, openDiskTarget } from '../../source/disk.js';
import type { Source } from '../../source/types.js';
import { rename } from '../btrfs-identity.js';
import { checkExt, clockOf, requireExt } from '../ext-tools.js';
import type { Workbench } from '../overlay.js';
import { LONG_LIMIT_SECONDS } from '../program.js';
import type { Step } from '../view.js';
import { formOf, hasForm, idBytes } from './id-forms.js';
import { idPatches, whyF2fsKeeps } from './id-patches.js';

/** Its encryption depends on the UUID; tune2fs refuses. */
const EXT_STABLE_INODES = 0x800;
const BTRFS_SEEDING = 1n << 32n;

/** Why the volume has to keep its ID, in the user's words; undefined: it can have a new one. Throws FormatError if damaged. */
export async function whyNoNewId(volume: Source, kind: string): Promise<string | undefined> {
  if (formOf(kind) === undefined) return 'nothing here gives it a new ID';
  if (kind.startsWith('ext')) return whyExtKeeps(volume);
  if (kind === 'xfs') return whyXfsKeeps(volume);
  if (kind === 'btrfs') return whyBtrfsKeeps(volume);
  return kind === 'f2fs' ? whyF2fsKeeps(volume) : undefined;
}

async function whyExtKeeps(volume: Source): Promise<string | undefined> {
  const { compat, journalInode } = await requireExt(volume);
  if ((compat & Compat.HAS_JOURNAL) !== 0 && journalInode === 0) return 'its journal lies on another device';
  return (compat & EXT_STABLE_INODES) !== 0 ? 'the encryption of its files depends on its UUID' : undefined;
}

async function whyXfsKeeps(volume: Source): Promise<string | undefined> {
  const superblock = await readXfs(volume);
  if (!superblock) throw new FormatError('no XFS superblock');
  if (!superblock.log) return 'its log lies on another device';
  return superblock.hasRealtime ? 'part of its files lies on a realtime device' : undefined;
}

async function whyBtrfsKeeps(volume: Source): Promise<string | undefined> {
  const superblock = await readBtrfs(volume);
  if (!superblock) throw new FormatError('no btrfs superblock');
  if (superblock.deviceCount !== 1) return `it lies on ${superblock.deviceCount} devices`;
  return (superblock.flags & BTRFS_SEEDING) !== 0n ? 'it is a seed, which nobody may change' : undefined;
}

/**
 * `kind`: as FilesystemInfo has it; `newId`: as `drawIdentity` drew it. The step throws `filesystem.new-id-unsupported`
 * (see `whyNoNewId`), `filesystem.new-id-unproven`, and what programs throw.
 */
export function newIdStep(kind: string, newId: string): Step {
  const form = formOf(kind);
  if (!form || !hasForm(newId, form)) throw new Error(`internal error: ${newId} is no ID for ${kind}`);
  return async (bench) => {
    await refuseFixed(bench, kind);
    if (kind.startsWith('ext')) await renameExt(bench, newId);
    else if (kind === 'xfs') await renameXfs(bench, newId);
    else if (kind === 'btrfs') await rename(bench.path, idBytes(newId));
    else await patchId(bench, kind, newId);
    await prove(bench, kind, newId);
  };
}

async function refuseFixed({ path, volume }: Workbench, kind: string): Promise<void> {
  const why = await reading(path, (view) => whyNoNewId(view, kind));
  if (why !== undefined) throw newIdUnsupported(volume, kind, why);
}

async function renameExt(bench: Workbench, newId: string): Promise<void> {
  const env = await reading(bench.path, async (view) => clockOf(await requireExt(view)));
  await checkExt(bench, { env, before: 'it gets a new UUID' });
  await bench.run('tune2fs', ['-U', newId, bench.path], {
    purpose: `give ${bench.volume} a new UUID`,
    env,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
}

/** It says what fails, but ends with 0 all the same; `prove` sees it. */
async function renameXfs(bench: Workbench, newId: string): Promise<void> {
  await bench.run('xfs_db', ['-x', '-f', '-c', `uuid ${newId}`, bench.path], {
    purpose: `give ${bench.volume} a new UUID`,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
}

async function patchId({ path }: Workbench, kind: string, newId: string): Promise<void> {
  const view = openDiskTarget(path, { direct: false });
  try {
    for (const { offset, bytes } of (await idPatches(view, kind, newId)) ?? []) await view.write(bytes, offset);
    await view.flush();
  } finally {
    await view.close();
  }
}

async function prove({ path, volume }: Workbench, kind: string, newId: string): Promise<void> {
  const found = await reading(path, async (view) => (await identify(view)).recognised?.info);
  if (found?.kind === kind && found.uuid === newId) return;
  throw newIdUnproven(volume, kind, { wanted: newId, found: found?.uuid ?? '' });
}

async function reading<T>(path: string, use: (view: Source) => Promise<T>): Promise<T> {
  const view = openDiskSource(path, { direct: false });
  try {
    return await use(view);
  } finally {
    await view.close();
  }
}
