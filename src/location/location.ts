// What a user names: "/dev/sdb", "disk.img", "/dev/sdb#3", "disk.img#2".
// Invariant: a partition is addressed by its offset on the disk; a node of the kernel is only a way to claim it.

import { existsSync } from 'node:fs';
import { badLocation } from '../base/errors/usage.js';

export interface Location {
  readonly path: string;
  /** Number of a partition in the disk's own table; undefined means all of it. */
  readonly partition: number | undefined;
}

/** A trailing "#N" names a partition, unless a file has just that name. Throws `usage.bad-location`. */
export function parseLocation(text: string): Location {
  const match = /^(.*)#(\d+)$/.exec(text);
  if (!match || existsSync(text)) {
    if (text === '') throw badLocation(text);
    return { path: text, partition: undefined };
  }
  const path = match[1] ?? '';
  const partition = Number(match[2]);
  if (path === '' || partition < 1 || !Number.isSafeInteger(partition)) throw badLocation(text);
  return { path, partition };
}

export function formatLocation({ path, partition }: Location): string {
  return partition === undefined ? path : `${path}#${partition}`;
}
