// The running system. Source: proc_sys_kernel(5), random/boot_id.

import { readFileSync } from 'node:fs';

/** Another text after each start of the system; undefined where it does not say. */
export function startOfSystem(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
}
