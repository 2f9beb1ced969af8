// A mounted file system on a loop device that somebody writes to, and clones of it that are judged when it is at rest.
// Invariant: every run is watched by a process that thaws whatever happens; in the end nothing is mounted or attached.

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import type { ClonePlan, CloneRunResult } from '../../src/operation/clone-types.js';
import { ectypeIn } from './ectype-cli.js';
import { type Ended, ectypeUntil } from './ending.js';
import { withSafety, writeIn } from './live-disk.js';
import { beginFiles } from './live-log.js';
import { listing, newImage, type RapidKind } from './rapid-kinds.js';
import { run, tryRun } from './run.js';

const WRITER = fileURLToPath(new URL('./live-writer.js', import.meta.url));
const SAFETY_SECONDS = 60;
/** Nobody waits longer for a file system that is not frozen; frozen ones come free in less, too. */
const LONGEST_WAIT_MS = 2000;

export interface LiveVolume {
  readonly kind: RapidKind;
  readonly image: string;
  readonly device: string;
  readonly point: string;
  /** Folder for everything else. */
  readonly folder: string;
  readonly state: string;
  /** Ends all writing; the device stays. */
  unmount(): void;
}

/** Makes and mounts it; unmounts and detaches whatever happens. */
export async function withLiveVolume(
  kind: RapidKind,
  folder: string,
  body: (volume: LiveVolume) => Promise<void>,
): Promise<void> {
  mkdirSync(folder);
  const image = join(folder, 'source.img');
  const point = join(folder, 'mounted');
  mkdirSync(point);
  newImage(kind, image);
  const device = run('losetup', ['-f', '--show', image]).trim();
  let isMounted = false;
  const unmount = (): void => {
    if (!isMounted) return;
    // Writers that were killed a moment ago may not be gone yet.
    for (let tries = 0; tries < 50 && tryRun('umount', [point]).status !== 0; tries += 1) run('sleep', ['0.05']);
    isMounted = false;
  };
  try {
    run('mount', [device, point]);
    isMounted = true;
    beginFiles(point);
    await body({ kind, image, device, point, folder, state: join(folder, 'state'), unmount });
  } finally {
    tryRun('fsfreeze', ['-u', point]);
    unmount();
    if (kind.name === 'btrfs') tryRun('btrfs', ['device', 'scan', '--forget', device]);
    run('losetup', ['-d', device]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Somebody writes while `body` runs. Returns when the last write is done. */
export async function whileWriting<T>(
  { point, folder }: LiveVolume,
  seed: number,
  body: (log: string) => Promise<T>,
): Promise<T> {
  const log = join(folder, 'log');
  const writer = spawn(process.execPath, [WRITER, point, log, String(seed)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => writer.on('exit', resolve));
  try {
    await sleep(700);
    return await body(log);
  } finally {
    writer.kill();
    assert.is(await ended, 0, 'the writer wrote to its end');
  }
}

export interface LiveRun extends Ended {
  readonly plan: ClonePlan;
  readonly result: CloneRunResult;
}

/** Runs `clone --live`, which must end well, and demands that nothing stays frozen. */
export async function cloneLive(volume: LiveVolume, target: string, ...options: string[]): Promise<LiveRun> {
  const ended = await runLive(volume, target, ...options);
  assert.is(ended.status, 0, ended.stdout.slice(-1500) + ended.stderr);
  const find = (kind: string): unknown => ended.events.find(({ event }) => event === kind);
  return { ...ended, plan: find('plan') as ClonePlan, result: find('result') as CloneRunResult };
}

/** The same, however it ends. */
export function runLive({ device, point, state }: LiveVolume, target: string, ...options: string[]): Promise<Ended> {
  const words = ['clone', '--live', '--yes', '--json', ...options, device, target];
  return safely(point, async () => {
    const ended = await ectypeUntil(words, { state });
    await demandWritable(point);
    return ended;
  });
}

export function safely<T>(point: string, body: () => Promise<T>): Promise<T> {
  return withSafety([point], body, SAFETY_SECONDS);
}

/** A write comes through in time. */
export async function demandWritable(point: string): Promise<void> {
  const { ended } = writeIn(point);
  const late = sleep(LONGEST_WAIT_MS, 'late', { ref: false });
  assert.is.not(await Promise.race([ended, late]), 'late', `a write to ${point} takes too long`);
}

/** A clone of the source at rest makes the target equal to it, whatever was known of it. */
export async function demandHealed(
  { kind, folder, device, image }: LiveVolume,
  target: string,
  modes: readonly string[],
): Promise<void> {
  const ectype = ectypeIn(folder);
  const { plan } = ectype.clone(device, target, '--detect', 'rapid'); // nothing crashed here
  const [planned] = plan.volumes;
  assert.ok(modes.includes(planned?.detect ?? ''), `${planned?.detect}: ${planned?.detectReason}`);
  const { differences } = ectype.verify(device, target);
  assert.equal(differences, [], 'MISSED');
  kind.check(target);
  const readOnly = kind.name === 'ext4' ? 'ro,noload' : kind.name === 'XFS' ? 'ro,nouuid' : 'ro';
  const wanted = await kind.mounted(image, listing, readOnly);
  assert.equal(await kind.mounted(target, listing, readOnly), wanted, 'MISSED: the same files');
}
