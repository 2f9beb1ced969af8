// What the virtual machine's screen shows, and whether that changes: all there is to see of one that prints nothing.
// Invariant: a blinking cursor or a clock is no change.

import { readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Control } from './control.js';
import type { Machine } from './machine.js';

/** Saves the screen as PNG. Throws `device.machine-refuses`. */
export async function saveScreen(control: Control, path: string): Promise<void> {
  await control.execute('screendump', { filename: resolve(path), format: 'png' });
}

export interface ScreenWatch {
  /** Looks again. */
  look(): Promise<void>;
  /** When it last changed, by `performance.now()`. */
  changedAt(): number;
}

const SMALL_CHANGE = 0.002;

export function createScreenWatch({ control, folder }: Machine): ScreenWatch {
  let last = Buffer.alloc(0);
  let at = performance.now();
  const path = join(folder, 'screen.ppm');
  return {
    async look() {
      await control.execute('screendump', { filename: path });
      const picture = readFileSync(path);
      rmSync(path);
      if (share(picture, last) > SMALL_CHANGE) at = performance.now();
      last = picture;
    },
    changedAt: () => at,
  };
}

/** Of the bytes, how many differ; all of them if the pictures are of different sizes. */
export function share(picture: Buffer, other: Buffer): number {
  if (picture.length !== other.length) return 1;
  let differing = 0;
  for (let at = 0; at < picture.length; at += 1) if (picture[at] !== other[at]) differing += 1;
  return differing / Math.max(1, picture.length);
}
