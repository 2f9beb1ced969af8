// What a run found changed, by name: collected while blocks are written, named at the end.
// Invariant: memory is bounded: beyond MOST_EXTENTS stretches only bytes are counted.

import type { Bytes } from '../base/units.js';
import type { PlacedVolume } from '../engine/commit.js';
import type { VolumeCopy } from '../engine/volume-copy.js';
import type { Owner } from '../filesystem/plugin.js';
import { type Extent, extentEnd, normalise, totalLength } from '../map/extent.js';
import type { Proof } from '../map/proof.js';
import type { PlannedVolume } from '../plan/clone-plan.js';

/** So many stretches are named; a search for more of them would take longer than the run. */
const MOST_EXTENTS = 20_000;
const MOST_NAMES = 20;

export interface NamedBytes {
  readonly path: string;
  readonly bytes: Bytes;
}

/** What differed in a volume: whole blocks of the block map, or the changed files' parts of them where that is known. */
export interface VolumeChanges {
  readonly name: string;
  readonly bytes: Bytes;
  /** The folders and files with the most changed bytes, the largest first. A folder counts what lies anywhere in it. */
  readonly folders: readonly NamedBytes[];
  readonly files: readonly NamedBytes[];
  /** Of the file system itself: directories, journal, tables. */
  readonly structures: Bytes;
  /** Bytes that nothing was found out about: file systems that cannot tell, and stretches beyond the first 20,000. */
  readonly unnamed: Bytes;
}

/** Collects what differs. */
export class ChangeCollector {
  readonly #extents = new Map<string, Extent[]>();
  readonly #beyond = new Map<string, Bytes>();

  /** `offsets`: of differing blocks in the volume. */
  note({ name, map }: VolumeCopy, offsets: readonly Bytes[]): void {
    const { blockSize, size } = map.grid;
    const extents = this.#extents.get(name) ?? [];
    this.#extents.set(name, extents);
    for (const offset of offsets) {
      const block = { offset, length: Math.min(blockSize, size - offset) };
      const last = extents.at(-1);
      if (last && extentEnd(last) === offset) {
        extents[extents.length - 1] = { offset: last.offset, length: last.length + block.length };
      } else if (extents.length < MOST_EXTENTS) {
        extents.push(block);
      } else {
        this.#beyond.set(name, (this.#beyond.get(name) ?? 0) + block.length);
      }
    }
  }

  /** What changed, volume by volume; those of which nothing did are not among them. */
  async ofAll(planned: readonly PlannedVolume[], placed: readonly PlacedVolume[]): Promise<VolumeChanges[]> {
    const all: VolumeChanges[] = [];
    for (const [index, each] of planned.entries()) {
      const volume = placed[index]?.volume;
      const changes = volume && !volume.discardFree ? await this.#describe(each, volume) : undefined;
      if (changes) all.push(changes);
    }
    return all;
  }

  /** What changed in a volume; undefined if nothing did. Reads the file system's structures. */
  async #describe(planned: PlannedVolume, volume: VolumeCopy): Promise<VolumeChanges | undefined> {
    const beyond = this.#beyond.get(volume.name) ?? 0;
    const changed = await changedParts(volume, normalise(this.#extents.get(volume.name) ?? []));
    const bytes = totalLength(changed) + beyond;
    if (bytes === 0) return undefined;
    const { plugin } = planned.report;
    const info = plugin?.ownersOf && (await plugin.probe(volume.source));
    const owners = info ? ((await plugin?.ownersOf?.(volume.source, info, changed)) ?? []) : undefined;
    const nobody = { name: planned.name, bytes, folders: [], files: [], structures: 0, unnamed: bytes };
    return owners ? { ...nobody, ...summed(owners), unnamed: unknownBytes(owners) + beyond } : nobody;
  }
}

/** Used bytes of the blocks, without those that are known not to have changed. */
async function changedParts(volume: VolumeCopy, blocks: readonly Extent[]): Promise<Extent[]> {
  const parts: Extent[] = [];
  for (const block of blocks) {
    for await (const used of volume.allocation.usedExtents(block)) parts.push(...unproved(volume.proof, used));
  }
  return parts;
}

function unproved(proof: Proof | undefined, extent: Extent): Extent[] {
  return proof ? proof.unprovedIn(extent) : [extent];
}

function unknownBytes(owners: readonly Owner[]): Bytes {
  return totalLength(
    owners.filter(({ names, kind }) => names.length === 0 && kind !== 'free').map(({ extent }) => extent),
  );
}

function summed(owners: readonly Owner[]): Pick<VolumeChanges, 'folders' | 'files' | 'structures'> {
  const files = new Map<string, Bytes>();
  const folders = new Map<string, Bytes>();
  let structures = 0;
  const add = (sums: Map<string, Bytes>, path: string, bytes: Bytes): void => {
    sums.set(path, (sums.get(path) ?? 0) + bytes);
  };
  for (const { extent, kind, names } of owners) {
    const [path] = names;
    if (path === undefined || kind === 'free') continue;
    if (kind === 'structure') {
      structures += extent.length;
      continue;
    }
    add(files, path, extent.length);
    for (const folder of foldersAbove(path)) add(folders, folder, extent.length);
  }
  return { folders: largest(folders), files: largest(files), structures };
}

/** "/a/b/c": "/a/b" and "/a". */
function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) folders.push(path.slice(0, end));
  return folders;
}

function largest(sums: ReadonlyMap<string, Bytes>): NamedBytes[] {
  const all = [...sums].map(([path, bytes]) => ({ path, bytes }));
  return all.sort((a, b) => b.bytes - a.bytes || a.path.localeCompare(b.path)).slice(0, MOST_NAMES);
}
