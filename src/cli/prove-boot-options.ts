// The options of clone that ask for a proof that the target starts.

import type { BootWish } from '../operation/clone-types.js';

/** Undefined: no proof is wanted. Throws `usage.bad-option`. */
export async function parseProveBoot(wanted: boolean, time: string | undefined): Promise<BootWish | undefined> {
  if (time === undefined) return wanted ? {} : undefined;
  const { badOption } = await import('../base/errors/usage.js');
  if (!wanted) throw badOption('--prove-boot-time', time, 'it says something only together with --prove-boot');
  const { parseDuration } = await import('../base/units.js');
  const seconds = parseDuration(time);
  if (seconds === undefined || seconds === 0)
    throw badOption('--prove-boot-time', time, 'wanted is a time such as 5m or 90s');
  return { timeoutMs: seconds * 1000 };
}
