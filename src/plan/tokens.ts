// Has a volume been touched since? A digest of what every writing mount or repair changes.

import { FormatError } from '../base/u64.js';
import { identify } from '../filesystem/registry.js';
import { isUnreadable } from '../source/around.js';
import type { Source } from '../source/types.js';

/** Hex; undefined for volumes that have no token (unrecognised, or too damaged or unreadable to compute one). */
export async function volumeToken(volume: Source): Promise<string | undefined> {
  try {
    const { recognised } = await identify(volume);
    return recognised && (await recognised.plugin.token(volume, recognised.info)).toString('hex');
  } catch (error) {
    if (error instanceof FormatError || (volume.readAround && isUnreadable(error))) return undefined;
    throw error;
  }
}
