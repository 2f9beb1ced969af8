// A running virtual machine. Invariant: it ends with us, however we end, and nothing of it is left behind.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex, type Readable } from 'node:stream';
import { machineFailed } from '../base/errors/machine.js';
import { programMissing, scratchUnusable } from '../base/errors/reshape.js';
import type { Bytes } from '../base/units.js';
import { findProgram } from '../device/program.js';
import { CONTROL_FD, type Hardware, machineArguments } from './command.js';
import { type Control, openControl } from './control.js';
import { makeMachineFolder } from './folder.js';
import { makeLoaderFolder } from './loaders.js';

export interface DiskToStart {
  /** How messages call it. */
  readonly name: string;
  /** Claimed by the caller. */
  readonly path: string;
  readonly kind: 'file' | 'device';
  readonly size: Bytes;
}

/** All but what lies in the machine's own folder. */
export type MachineWish = Omit<Hardware, 'disk' | 'loaders'>;

export interface Machine {
  /** What comes out of its serial port; empty if that goes to the terminal. */
  readonly console: Readable | undefined;
  /** A folder of its own, which goes when it ends. */
  readonly folder: string;
  readonly control: Control;
  /** How often it was reset so far, by itself. */
  resets(): number;
  /** Resolves when it has ended by itself or was ended; throws `device.machine-failed` if QEMU failed. */
  readonly ended: Promise<void>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

const QEMU = 'qemu-system-x86_64';
const POLITE_MS = 5000;

/** The path of QEMU. Throws `device.program-missing`. */
export function findQemu(): string {
  const path = findProgram(QEMU);
  if (path === undefined) throw programMissing(QEMU, 'qemu-system-x86');
  return path;
}

/** Starts it. Throws ToolError: programs missing, no room. */
export function startMachine(disk: DiskToStart, wish: MachineWish, scratch: string): Machine {
  const qemu = findQemu();
  const folder = makeMachineFolder(scratch);
  try {
    const overlay = join(folder, 'overlay.qcow2');
    makeOverlay(overlay, Math.ceil(disk.size / wish.sectorSize) * wish.sectorSize);
    const uefi = wish.uefi && { ...wish.uefi, variables: ownVariables(wish.uefi.variables, folder) };
    const loaders = uefi && makeLoaderFolder(folder);
    const words = machineArguments({ ...wish, uefi, loaders, disk: { kind: disk.kind, overlay } });
    return running(disk, { folder, child: startQemu(qemu, words, { disk, terminal: wish.console === 'terminal' }) });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function makeOverlay(path: string, size: Bytes): void {
  const program = findProgram('qemu-img');
  if (program === undefined) throw programMissing('qemu-img', 'qemu-utils');
  const { status, stderr } = spawnSync(program, ['create', '-q', '-f', 'qcow2', path, String(size)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw scratchUnusable(path, new Error(`qemu-img ended with ${status}: ${stderr.trim()}`));
}

function ownVariables(path: string, folder: string): string {
  const copy = join(folder, 'variables.fd');
  try {
    copyFileSync(path, copy);
    return copy;
  } catch (cause) {
    throw scratchUnusable(folder, cause);
  }
}

/** In a session of its own (Ctrl-C is ours to handle) unless it owns the terminal; the kernel ends it when we end. */
function startQemu(
  qemu: string,
  words: readonly string[],
  { disk, terminal }: { disk: DiskToStart; terminal: boolean },
): ChildProcess {
  const guard = findProgram('setpriv');
  const line = guard === undefined ? [qemu, ...words] : [guard, '--pdeathsig', 'KILL', qemu, ...words];
  const fd = openSync(disk.path, 'r');
  try {
    return spawn(line[0] ?? qemu, line.slice(1), {
      stdio: [terminal ? 'inherit' : 'pipe', terminal ? 'inherit' : 'pipe', 'pipe', fd, 'pipe'],
      detached: !terminal,
      env: { ...process.env, LC_ALL: 'C' },
    });
  } finally {
    closeSync(fd);
  }
}

function running(disk: DiskToStart, { folder, child }: { folder: string; child: ChildProcess }): Machine {
  let resets = 0;
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    said = (said + piece).slice(-4096);
  });
  child.stdin?.on('error', () => {}); // nothing is typed, and it may end before us
  const link = child.stdio[CONTROL_FD];
  if (!(link instanceof Duplex)) throw new Error('internal error: no connection to the virtual machine');
  const control = openControl(link, (event) => {
    if (event === 'RESET') resets += 1;
  });
  let isClosing = false;
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const lines = said.split('\n').filter((text) => text.trim() !== '');
      if (status === 0 || isClosing) resolve();
      else reject(machineFailed(disk.name, { status: status ?? signal ?? 'no status', said: lines.slice(-3) }));
    });
  });
  ended.catch(() => {}); // told by whoever waits for it
  return {
    console: child.stdout ?? undefined,
    folder,
    control,
    resets: () => resets,
    ended,
    async close() {
      isClosing = true;
      await endProcess(child, { control, ended });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Asked, then told, then ended. */
async function endProcess(
  child: ChildProcess,
  { control, ended }: { control: Control; ended: Promise<void> },
): Promise<void> {
  child.stdout?.resume(); // it cannot end while what it printed is not read
  const timers = [
    setTimeout(() => child.kill('SIGTERM'), POLITE_MS),
    setTimeout(() => child.kill('SIGKILL'), 2 * POLITE_MS),
  ];
  control.execute('quit').catch(() => {});
  await ended.catch(() => {});
  for (const timer of timers) clearTimeout(timer);
}
