// One run a target: a lock that ends with the process that holds it.

import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { stateUnusable, targetLocked } from '../base/errors/state.js';
import { tryLock } from '../native/syscalls.js';

/** Locks the target's state folder; the result unlocks. Throws `safety.target-locked` if another run holds it. */
export function lockTarget(folder: string, targetName: string): () => void {
  let fd: number;
  try {
    fd = openSync(join(folder, 'lock'), 'a', 0o600);
  } catch (cause) {
    throw stateUnusable(folder, cause);
  }
  if (!tryLock(fd, { exclusive: true })) {
    closeSync(fd);
    throw targetLocked(targetName);
  }
  return () => closeSync(fd);
}
