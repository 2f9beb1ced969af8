// qemu-storage-daemon: shows a qcow2 file laid over a part of the source as one writable file, through FUSE.
// Invariant: the source is opened read-only, by offset and length on its disk; what is written goes into the qcow2 file.

import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { programFailed, programTooSlow, reshapeInterrupted } from '../base/errors/reshape.js';
import type { Bytes } from '../base/units.js';
import { ended, lastLines, startProgram } from './program.js';

export interface BaseExtent {
  readonly path: string;
  readonly kind: 'file' | 'device';
  readonly offset: Bytes;
  readonly length: Bytes;
}

export interface DaemonOptions {
  readonly base: BaseExtent;
  readonly qcow2: string;
  /** An empty file; it turns into the view. */
  readonly mountPoint: string;
  /** Of the view, as it begins. */
  readonly size: Bytes;
  readonly volume: string;
  readonly signal?: AbortSignal | undefined;
}

const PROGRAM = 'qemu-storage-daemon';
const START_SECONDS = 60;
/** It writes the tables of the qcow2 file when it ends. */
const STOP_SECONDS = 600;
const WAIT_MS = 5;

/** Shows the view; the result ends it, and returns when the qcow2 file is complete. Throws ToolError. */
export async function startDaemon(options: DaemonOptions): Promise<() => Promise<void>> {
  const { mountPoint, size, volume, signal } = options;
  const purpose = `show ${volume} at another size`;
  const child = startProgram(PROGRAM, daemonArguments(options));
  let isOver = false;
  const over = ended(child).finally(() => {
    isOver = true;
  });
  over.catch(() => {}); // reported below, by whoever waits for it
  const fail = async (): Promise<never> => {
    const { status, stderr, stdout } = await over;
    throw programFailed(PROGRAM, purpose, { status, said: lastLines(stderr, stdout) });
  };
  const limit = Date.now() + START_SECONDS * 1000;
  while (!isShown(mountPoint, size)) {
    if (isOver) return fail();
    if (signal?.aborted || Date.now() > limit) {
      child.kill('SIGKILL');
      await over;
      throw signal?.aborted ? reshapeInterrupted(volume) : programTooSlow(PROGRAM, purpose, START_SECONDS);
    }
    await sleep(WAIT_MS);
  }
  return async () => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, STOP_SECONDS * 1000);
    child.kill('SIGTERM');
    const { status } = await over.finally(() => clearTimeout(timer));
    if (isLate) throw programTooSlow(PROGRAM, purpose, STOP_SECONDS);
    if (status !== 0) await fail();
  };
}

/** The empty file has become one of this size. It cannot even be looked at while its daemon is dying. */
function isShown(mountPoint: string, size: Bytes): boolean {
  try {
    return statSync(mountPoint).size === size;
  } catch {
    return false;
  }
}

/** As JSON: names of files may hold commas. Losing the view in a power cut is no loss, so it flushes nothing. */
function daemonArguments({ base, qcow2, mountPoint }: DaemonOptions): string[] {
  const cache = { direct: false, 'no-flush': true };
  const backing = {
    driver: 'raw',
    'read-only': true,
    offset: base.offset,
    size: base.length,
    file: {
      driver: base.kind === 'device' ? 'host_device' : 'file',
      filename: base.path,
      'read-only': true,
      locking: 'off', // the source is claimed by us
    },
  };
  const view = {
    driver: 'qcow2',
    'node-name': 'view',
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    cache,
    file: { driver: 'file', filename: qcow2, locking: 'off', cache },
    backing,
  };
  const show = {
    type: 'fuse',
    id: 'view',
    'node-name': 'view',
    mountpoint: mountPoint,
    writable: true,
    growable: true,
  };
  return ['--blockdev', JSON.stringify(view), '--export', JSON.stringify(show)];
}
