// A volume as it would be with another size: the source stays as it is, the file system's own tool works on a
// copy-on-write view. Invariant: a view is handed out only after what it holds was recognised at its new size.

import { belowMinimum, reshapeUnproven } from '../base/errors/reshape.js';
import { type Report, silent } from '../base/report.js';
import { FormatError } from '../base/u64.js';
import { type Bytes, formatBytes } from '../base/units.js';
import { identify } from '../filesystem/registry.js';
import { openSource } from '../source/open.js';
import type { Source, SourceSpec } from '../source/types.js';
import { type Overlay, type Workbench, withOverlay } from './overlay.js';
import type { Minimum, Resizer, Volume } from './resizer.js';
import { demandResizer, type VolumeOptions, withVolume } from './volume.js';

/** Changes the volume at `bench.path`; throws ToolError. */
export type Step = (bench: Workbench) => Promise<void>;

export interface ViewOptions extends VolumeOptions {
  /** Size in bytes: whole sectors. The present one is possible for every file system. */
  readonly size: Bytes;
  /** Of the disk the view is for. */
  readonly sectorSize: Bytes;
  readonly report?: Report;
  /** Other changes of the same volume, before its size changes and after. */
  readonly before?: readonly Step[];
  readonly after?: readonly Step[];
}

export interface View {
  /** What workers open it by, until `close`. */
  readonly spec: SourceSpec;
  /** Opens it; the caller closes it. */
  source(): Source;
  readonly size: Bytes;
  /** That its changes take in the scratch folder. */
  readonly overlayBytes: Bytes;
  /** For the user: what is worth knowing about the result. */
  readonly notes: readonly string[];
  /** Removes what belongs to it from the scratch folder. */
  close(): Promise<void>;
}

/**
 * Makes a view of the volume with `size` bytes. Throws ToolError (unsupported, unclean, below the minimum, a tool that
 * failed, interrupted) and leaves nothing behind then.
 */
export async function makeView(options: ViewOptions): Promise<View> {
  const { size, sectorSize, source: base, scratch, signal, report = silent } = options;
  if (size % sectorSize !== 0) throw new Error(`internal error: ${size} bytes are not whole sectors of ${sectorSize}`);
  return withVolume(options, async (open) => {
    const { volume } = open;
    const resizer = isSameSize(volume, size) ? undefined : demandResizer(open);
    if (resizer) await refuseImpossible(volume, resizer, size);
    report({ event: 'phase', phase: 'inspect', message: `prepare ${volume.name} at ${formatBytes(size)}` });
    const overlay = await withOverlay(
      { base, volume: volume.name, size: Math.max(base.length, size), scratch, signal },
      (bench) => reshape({ volume, resizer, bench }, options),
    );
    try {
      const spec = { kind: 'overlay', base: specOf(volume.source), changes: overlay.save(size), size } as const;
      await prove(spec, volume);
      return viewOf(spec, overlay);
    } catch (error) {
      overlay.close();
      throw error;
    }
  });
}

/** What can be known before anything is started. */
async function refuseImpossible(volume: Volume, { accept, minimum }: Resizer, size: Bytes): Promise<void> {
  await accept?.(volume, size);
  if (size < volume.info.size && minimum.by === 'reading') refuseBelow(await minimum.find(volume), volume, size);
}

function refuseBelow(found: Minimum, { name, kind }: Volume, wanted: Bytes): void {
  if (wanted < found.minimum) throw belowMinimum(name, kind, { wanted, ...found });
}

async function reshape(
  { volume, resizer, bench }: { volume: Volume; resizer: Resizer | undefined; bench: Workbench },
  { size, before = [], after = [] }: ViewOptions,
): Promise<void> {
  for (const step of before) await step(bench);
  if (resizer) {
    const { minimum } = resizer;
    if (size < volume.info.size && minimum.by === 'tool') refuseBelow(await minimum.find(volume, bench), volume, size);
    await resizer.resize(volume, bench, size);
  }
  for (const step of after) await step(bench);
}

/** Less than a block more is no other size; nor is that of the partition, even where the file system does not fill it. */
function isSameSize({ info, source }: Volume, size: Bytes): boolean {
  return size === source.size || (size >= info.size && size < info.size + info.blockSize);
}

function specOf({ spec, name }: Source): SourceSpec {
  if (!spec) throw new Error(`internal error: ${name} cannot be opened again`);
  return spec;
}

/** The view must hold the same file system, whole, at a size that fits; a tool's word is not enough. */
async function prove(spec: Extract<SourceSpec, { kind: 'overlay' }>, { name, kind, info: old }: Volume): Promise<void> {
  const view = openSource(spec);
  try {
    const { recognised, unrecognised } = await identify(view);
    if (!recognised) throw reshapeUnproven(name, kind, unrecognised);
    const { info, plugin } = recognised;
    if (info.kind !== kind) throw reshapeUnproven(name, kind, `it is ${info.kind} now`);
    const isTooSmall = info.size < Math.min(old.size, spec.size - old.blockSize);
    if (info.size > spec.size || isTooSmall) {
      throw reshapeUnproven(name, kind, `it spans ${info.size} bytes of ${spec.size}`);
    }
    const state = await plugin.readState(view, info);
    // ntfsresize marks it for a check.
    if (state.kind !== 'clean' && !(kind === 'ntfs' && state.kind === 'dirty')) {
      throw reshapeUnproven(name, kind, state.reason);
    }
    await plugin.openAllocationMap(view, info); // its checksums and counters
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw reshapeUnproven(name, kind, error.message);
  } finally {
    await view.close();
  }
}

function viewOf(spec: Extract<SourceSpec, { kind: 'overlay' }>, overlay: Overlay): View {
  return {
    spec,
    source: () => openSource(spec),
    size: spec.size,
    overlayBytes: overlay.bytes,
    notes: overlay.notes,
    close: async () => overlay.close(),
  };
}
