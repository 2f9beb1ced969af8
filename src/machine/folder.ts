// The folder of one virtual machine: its overlay, its firmware's variables, pictures of its screen.
// Invariant: the name says which process owns it, so what a killed run left is told from a living one's.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { scratchUnusable } from '../base/errors/reshape.js';

const NAME = /^ectype-boot-(\d+)-(\d+)-[^/]+$/;
/** Field 22 of /proc/PID/stat, in clock ticks since the start of the machine (proc(5)), counted behind the name. */
const START_FIELD = 19;

/** Makes it, and removes those of processes that are gone. Throws `device.scratch-unusable`. */
export function makeMachineFolder(scratch: string): string {
  try {
    for (const name of readdirSync(scratch)) {
      const [, pid, start] = NAME.exec(name) ?? [];
      if (pid === undefined || startOf(pid) === start) continue;
      rmSync(join(scratch, name), { recursive: true, force: true });
    }
    return mkdtempSync(join(scratch, `ectype-boot-${process.pid}-${startOf('self') ?? 0}-`));
  } catch (cause) {
    throw scratchUnusable(scratch, cause);
  }
}

/** Undefined: there is no such process. */
function startOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD];
  } catch {
    return undefined;
  }
}
