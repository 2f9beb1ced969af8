// Starts a disk in a virtual machine that cannot write to it: to see it, or to prove that it starts.
// Invariant: the disk is claimed as a source is, for as long as the machine runs, and is never opened for writing.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  bootInterrupted,
  bootNeedsDisk,
  cannotStartSectors,
  uefiMissing,
  unfinishedDisk,
} from '../base/errors/machine.js';
import type { Report } from '../base/report.js';
import type { Bytes } from '../base/units.js';
import { openSourceEnd, resolve, type SourceEnd } from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import { type Accelerator, chooseCpus, chooseMemory, usableAccelerator } from '../machine/accelerator.js';
import type { Bus } from '../machine/command.js';
import { chooseFirmware, type Firmware, type FirmwareWish, findUefi } from '../machine/firmware.js';
import { findQemu, type Machine, type MachineWish, startMachine } from '../machine/machine.js';
import { type Verdict, watchBoot } from '../machine/prove.js';
import { saveScreen } from '../machine/screen.js';
import { refuseUsedSource } from '../plan/guard.js';
import { tableOf } from '../plan/inspect.js';
import { looksArmed } from '../state/marker.js';

export interface BootOptions {
  /** A disk or a raw image file. */
  readonly disk: string;
  /** `auto`, the default: UEFI if the disk has an EFI system partition. */
  readonly firmware?: FirmwareWish | undefined;
  /** Default `sata`, which any system has a driver for; `nvme` for sectors of 4096 bytes. */
  readonly bus?: Bus | undefined;
  /** Default 1 GiB, or what is free. */
  readonly memory?: Bytes | undefined;
  /** Default 2, or what this machine has. */
  readonly cpus?: number | undefined;
  /** Default: KVM if it works here. */
  readonly accelerator?: Accelerator | undefined;
  /** Default false: a copy should not talk to the world by surprise. */
  readonly network?: boolean | undefined;
  /** Where what the system writes goes until it ends; default the folder for temporary files. */
  readonly scratch?: string | undefined;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface BootFacts {
  readonly firmware: Firmware;
  readonly accelerator: Accelerator;
}

export interface ProveOptions extends BootOptions {
  /** How long to wait for a login prompt. Default five minutes. */
  readonly timeoutMs?: number | undefined;
  /** Takes a picture of the screen in any case, here; else only where nothing is proven, in a new file in `scratch`. */
  readonly screenshot?: string | undefined;
}

/** What was seen, and on what machine. */
export interface BootProof extends Verdict, BootFacts {}

const PROVE_MS = 300_000;
const USUAL_SECTOR: Bytes = 512;

/**
 * Starts the disk and waits for a login prompt on its serial port. That it does not start is no error, but a proof
 * with `booted: false`. Throws ToolError: in use, no QEMU or UEFI firmware, no memory, interrupted.
 */
export async function proveBoot(options: ProveOptions): Promise<BootProof> {
  const { timeoutMs = PROVE_MS, report, signal } = options;
  return withMachine(options, { console: 'stream', display: false }, async (machine, facts) => {
    const folder = options.screenshot === undefined ? pictureFolder(options) : undefined;
    const screenshot = options.screenshot ?? join(folder ?? '', 'screen.png');
    const verdict = await watchBoot(machine, {
      timeoutMs,
      screenshot,
      alwaysPicture: options.screenshot !== undefined,
      report,
      signal,
    }).catch((error: unknown) => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      throw error;
    });
    if (folder !== undefined && verdict.screenshot === undefined) rmSync(folder, { recursive: true, force: true });
    return { ...verdict, ...facts };
  });
}

/** Stays when the machine goes: the picture is what a person has to look at. */
function pictureFolder({ scratch = tmpdir() }: BootOptions): string {
  return mkdtempSync(join(scratch, 'ectype-screen-'));
}

/** Starts the disk with its serial console on the terminal, or in a window; returns when the machine is switched off. */
export function bootHere(options: BootOptions, { display }: { display: boolean }): Promise<BootFacts> {
  const kind = display ? 'stream' : 'terminal';
  return withMachine(options, { console: kind, display }, async (machine, facts) => {
    machine.console?.resume();
    await machine.ended;
    return facts;
  });
}

/** Starts the disk, waits, and saves its screen as a PNG file. */
export function pictureOf(options: BootOptions, wish: { path: string; afterMs: number }): Promise<BootFacts> {
  return withMachine(options, { console: 'stream', display: false }, async (machine, facts) => {
    machine.console?.resume();
    const ended = new AbortController();
    machine.ended.catch(() => {}).finally(() => ended.abort());
    await sleep(wish.afterMs, undefined, { signal: ended.signal }).catch(() => machine.ended);
    await saveScreen(machine.control, wish.path);
    return facts;
  });
}

type Shown = Pick<MachineWish, 'console' | 'display'>;

async function withMachine<T>(
  options: BootOptions,
  shown: Shown,
  work: (machine: Machine, facts: BootFacts) => Promise<T>,
): Promise<T> {
  const { report, signal } = options;
  const place = await resolve(parseLocation(options.disk));
  if (place.scope !== 'disk') throw bootNeedsDisk(place.name);
  refuseUsedSource(place.path);
  const end = openSourceEnd(place);
  try {
    const wish = { ...(await hardwareFor(end, options)), ...shown };
    const facts = { firmware: wish.firmware, accelerator: wish.accelerator };
    const { name, path } = place;
    if (signal.aborted) throw bootInterrupted(name);
    report({ event: 'phase', phase: 'boot', message: `start ${name} in a virtual machine (${describe(facts)})` });
    const kind = end.identity.kind === 'file' ? 'file' : 'device';
    const machine = startMachine({ name, path, kind, size: end.medium.size }, wish, options.scratch ?? tmpdir());
    const stop = (): void => void machine.close();
    signal.addEventListener('abort', stop);
    try {
      const result = await work(machine, facts);
      if (signal.aborted) throw bootInterrupted(name);
      return result;
    } catch (error) {
      throw signal.aborted ? bootInterrupted(name) : error;
    } finally {
      signal.removeEventListener('abort', stop);
      await machine.close();
    }
  } finally {
    await end.close();
  }
}

/** "UEFI, emulated". */
export function describe({ firmware, accelerator }: BootFacts): string {
  return `${firmware.toUpperCase()}, ${accelerator === 'kvm' ? 'with KVM' : 'emulated, which is slow'}`;
}

async function hardwareFor(
  { medium, place }: SourceEnd,
  options: BootOptions,
): Promise<Omit<MachineWish, keyof Shown>> {
  if (await looksArmed(medium)) throw unfinishedDisk(place.name);
  const table = await tableOf(medium);
  const sectorSize = medium.sectorSize ?? table?.sectorSize ?? USUAL_SECTOR;
  const firmware = chooseFirmware(options.firmware ?? 'auto', table?.partitions ?? []);
  const bus = options.bus ?? (sectorSize === USUAL_SECTOR ? 'sata' : 'nvme');
  if (sectorSize !== USUAL_SECTOR && bus === 'sata') {
    throw cannotStartSectors(place.name, sectorSize, 'virtual SATA disks have 512', 'Use --bus nvme or --bus virtio');
  }
  if (sectorSize !== USUAL_SECTOR && firmware === 'bios') {
    const hint = 'Use --firmware uefi, if the disk has a boot loader for it';
    throw cannotStartSectors(place.name, sectorSize, 'a BIOS starts only disks with 512', hint);
  }
  const uefi = firmware === 'uefi' ? findUefi() : undefined;
  if (firmware === 'uefi' && !uefi) throw uefiMissing(place.name);
  return {
    firmware,
    uefi,
    accelerator: options.accelerator ?? usableAccelerator(findQemu()),
    memory: chooseMemory(options.memory),
    cpus: chooseCpus(options.cpus),
    network: options.network ?? false,
    bus,
    sectorSize,
  };
}
