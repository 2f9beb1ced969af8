// What this machine offers a virtual one: hardware virtualisation, memory, processors.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { lacksMemory } from '../base/errors/machine.js';
import { type Bytes, GiB, KiB, MiB } from '../base/units.js';

/** `tcg` is QEMU's own emulation: it runs everywhere, some twenty times slower. */
export type Accelerator = 'kvm' | 'tcg';

const PROBE = ['-nodefaults', '-no-user-config', '-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '64M', '-S'];
const PROBE_MS = 10_000;

/**
 * Probes: the device may be there without the right to use it, or QEMU may fail on it (nested virtualisation does). A
 * machine that is started stopped and quits at once shows that.
 */
export function usableAccelerator(qemu: string, device = '/dev/kvm'): Accelerator {
  try {
    closeSync(openSync(device, 'r+'));
  } catch {
    return 'tcg';
  }
  const words = [...PROBE, '-display', 'none', '-monitor', 'stdio'];
  const { status } = spawnSync(qemu, words, {
    input: 'quit\n',
    stdio: ['pipe', 'ignore', 'ignore'],
    timeout: PROBE_MS,
  });
  return status === 0 ? 'kvm' : 'tcg';
}

const USUAL_MEMORY: Bytes = GiB;
const LEAST_MEMORY: Bytes = 256 * MiB;
/** For QEMU itself, and for everybody else. */
const RESERVE: Bytes = 256 * MiB;

/** What was asked for, or as much as is usual and free. Throws `device.lacks-memory`. */
export function chooseMemory(wanted: Bytes | undefined, available: Bytes = availableMemory()): Bytes {
  const free = Math.max(0, available - RESERVE);
  const memory = wanted ?? Math.max(LEAST_MEMORY, Math.min(USUAL_MEMORY, free));
  if (memory > free) throw lacksMemory({ wanted: memory, available: free });
  return memory;
}

/** MemAvailable of proc(5): what can be had without swapping. */
function availableMemory(): Bytes {
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return Number(kib ?? 0) * KiB;
}

export function chooseCpus(wanted: number | undefined): number {
  return wanted ?? Math.min(2, availableParallelism());
}
