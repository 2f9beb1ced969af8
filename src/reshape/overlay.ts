// Copy-on-write over a part of the source: other code changes the volume as a plain file, and what changed is kept.
// Invariant: the source is never written; whatever happens, programs, mounts and loop devices of the view end with it.

import { mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cannotMountView, scratchUnusable } from '../base/errors/reshape.js';
import { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import { type Change, saveChanges } from '../source/overlay.js';
import { changesOf } from './changes.js';
import { type BaseExtent, startDaemon } from './daemon.js';
import { type Program, type Ran, type RunOptions, runProgram } from './program.js';
import { dismantle, makeViewFolder } from './view-folder.js';

/** What steps get to change a volume with. */
export interface Workbench {
  /** The volume as a writable file; `length` bytes of it are the source's. */
  readonly path: string;
  /** How messages call the volume. */
  readonly volume: string;
  readonly signal: AbortSignal | undefined;
  /** Runs a program that works on `path`. */
  run(program: Program, args: readonly string[], options: StepOptions): Promise<Ran>;
  /** Runs `work` with the volume mounted by the kernel, through a loop device. */
  mounted<T>(kind: string, options: string, work: (folder: string, device: string) => Promise<T>): Promise<T>;
  /** For the user: what is worth knowing about the result. */
  note(text: string): void;
}

export type StepOptions = Omit<RunOptions, 'volume' | 'signal'>;

export interface OverlayOptions {
  readonly base: BaseExtent;
  readonly volume: string;
  /** Of the writable file: the old size or the new one, whichever is larger. */
  readonly size: Bytes;
  /** An existing folder with room for what changes. */
  readonly scratch: string;
  readonly signal?: AbortSignal | undefined;
}

export interface Overlay {
  /** The list of changes that source/overlay.ts reads, for a view of `size` bytes. */
  save(size: Bytes): string;
  /** That the changes take on the disk. */
  readonly bytes: Bytes;
  readonly notes: readonly string[];
  /** Removes everything. May be called twice. */
  close(): void;
}

const QCOW2 = 'changes.qcow2';
/** Allocated in 32nds of a cluster, 4 KiB: a changed block does not bring its neighbours along. */
const GRAIN = 'extended_l2=on,cluster_size=128k';

/**
 * Lays a writable file over the source, lets `work` change it, and keeps what differs until `close`.
 * Throws ToolError, and leaves nothing behind then.
 */
export async function withOverlay(
  options: OverlayOptions,
  work: (bench: Workbench) => Promise<void>,
): Promise<Overlay> {
  const { size, volume, scratch, signal } = options;
  const folder = makeViewFolder(scratch);
  const close = closing(folder);
  try {
    const qcow2 = join(folder, QCOW2);
    const path = join(folder, 'volume');
    writePlaceholder(path);
    await runProgram('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', GRAIN, qcow2, `${size}`], {
      purpose: `prepare ${volume} in ${scratch}`,
      volume,
      signal,
    });
    const notes: string[] = [];
    const stop = await startDaemon({ ...options, qcow2, mountPoint: path });
    await work(workbench(options, { folder, path, notes }));
    await stop();
    const changes = await changesOf(qcow2, { volume, signal });
    return { save: (wanted) => save(folder, changes, wanted), bytes: occupied(qcow2), notes, close };
  } catch (error) {
    close();
    throw error;
  }
}

function writePlaceholder(path: string): void {
  try {
    writeFileSync(path, '', { mode: 0o600 });
  } catch (cause) {
    throw scratchUnusable(path, cause);
  }
}

/** Also when the process ends without it. */
function closing(folder: string): () => void {
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    process.removeListener('exit', close);
    dismantle(folder);
  };
  process.on('exit', close);
  return close;
}

function workbench(
  { volume, signal }: OverlayOptions,
  { folder, path, notes }: { folder: string; path: string; notes: string[] },
): Workbench {
  const run = (program: Program, args: readonly string[], options: StepOptions): Promise<Ran> =>
    runProgram(program, args, { ...options, volume, signal });
  return {
    path,
    volume,
    signal,
    run,
    mounted: (kind, options, use) => mounted({ run, folder, path, volume }, { kind, options }, use),
    note: (text) => void notes.push(text),
  };
}

async function mounted<T>(
  { run, folder, path, volume }: Pick<Workbench, 'run' | 'path' | 'volume'> & { folder: string },
  { kind, options }: { kind: string; options: string },
  use: (folder: string, device: string) => Promise<T>,
): Promise<T> {
  const purpose = `mount ${volume}`;
  const place = join(folder, 'mounted');
  mkdirSync(place, { mode: 0o700 });
  const device = (await run('losetup', ['--find', '--show', path], { purpose })).stdout.trim();
  await mountOrSay({ run, volume }, ['-t', kind, '-o', `${options},nosuid,nodev,noexec,noatime`, device, place], kind);
  const result = await use(place, device);
  await run('umount', [place], { purpose: `unmount ${volume}` });
  if (kind === 'btrfs') {
    // The kernel remembers devices of btrfs by their paths; another volume may come to lie behind this one.
    await run('btrfs', ['device', 'scan', '--forget', device], { purpose, accept: [0, 1] });
  }
  await run('losetup', ['--detach', device], { purpose: `detach ${device}` });
  rmdirSync(place);
  return result;
}

async function mountOrSay(
  { run, volume }: Pick<Workbench, 'run' | 'volume'>,
  args: readonly string[],
  kind: string,
): Promise<void> {
  try {
    await run('mount', args, { purpose: `mount ${volume}` });
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== 'filesystem.program-failed') throw error;
    const { said } = error.details;
    throw cannotMountView(volume, kind, Array.isArray(said) ? said.join('; ').replace(/[.\s]+$/, '') : 'mount failed');
  }
}

function save(folder: string, changes: readonly Change[], size: Bytes): string {
  const path = join(folder, 'changes');
  const inside = changes
    .filter(({ offset }) => offset < size)
    .map((change) => ({ ...change, length: Math.min(change.length, size - change.offset) }));
  try {
    saveChanges(path, QCOW2, inside);
  } catch (cause) {
    throw scratchUnusable(path, cause);
  }
  return path;
}

function occupied(path: string): Bytes {
  return statSync(path).blocks * 512;
}
