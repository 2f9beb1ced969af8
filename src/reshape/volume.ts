// Opens the volume whose size is to be changed, and makes sure that it may be.
// Invariant: what comes out of here is one clean file system of the kind that was asked for, opened read-only.

import { sourceUnclean } from '../base/errors/filesystem.js';
import { reshapeInterrupted, resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { identify } from '../filesystem/registry.js';
import { openDiskSource } from '../source/disk.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import type { BaseExtent } from './daemon.js';
import type { Resizer, Volume } from './resizer.js';
import { resizerOf, whyNot } from './resizers.js';

export interface VolumeOptions {
  /** The disk or file that holds it, and where on it; the disk, never a partition's own node. */
  readonly source: BaseExtent;
  /** The kind that it was found to be: `ext4`, `ntfs`, `fat32` … */
  readonly filesystem: string;
  /** How messages call it. Default: path and offset. */
  readonly name?: string;
  /** An existing folder with room; see `scratchNeeded`. */
  readonly scratch: string;
  readonly signal?: AbortSignal | undefined;
}

export interface OpenVolume {
  readonly volume: Volume;
  /** Undefined: nothing gives it another size. */
  readonly resizer: Resizer | undefined;
}

/** Opens it for `use`, and closes it. Throws ToolError: another kind, not clean, or damaged. */
export async function withVolume<T>(options: VolumeOptions, use: (open: OpenVolume) => Promise<T>): Promise<T> {
  const { source: base, filesystem: kind, signal } = options;
  const name = options.name ?? `${base.path} at ${base.offset}`;
  if (signal?.aborted) throw reshapeInterrupted(name);
  const resizer = resizerOf(kind);
  const disk = openDiskSource(base.path);
  try {
    const source = sliceSource(disk, base, name);
    return await use({ volume: await soundVolume(source, { name, kind }), resizer });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw sourceUnclean(name, kind, `its metadata is damaged (${error.message})`, 'Repair it with its own checker');
  } finally {
    await disk.close();
  }
}

/** Throws `filesystem.resize-unsupported` if there is none. */
export function demandResizer({ volume: { name, kind }, resizer }: OpenVolume): Resizer {
  if (!resizer) throw resizeUnsupported(name, kind, whyNot(kind));
  return resizer;
}

async function soundVolume(source: Source, { name, kind }: { name: string; kind: string }): Promise<Volume> {
  const { recognised, unrecognised } = await identify(source);
  if (!recognised) throw resizeUnsupported(name, kind, `what is there now is ${unrecognised}`);
  const { info, plugin } = recognised;
  if (info.kind !== kind) throw resizeUnsupported(name, kind, `what is there now is ${info.kind}`);
  const state = await plugin.readState(source, info);
  if (state.kind !== 'clean') throw sourceUnclean(name, kind, state.reason, state.advice);
  return { name, kind, info, source };
}
