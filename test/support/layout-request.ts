// Requests for the layout planner that a test can spell out, and their answers as short lines.

import * as assert from 'uvu/assert';
import { type Bytes, GiB, MiB } from '../../src/base/units.js';
import { decideLayout } from '../../src/plan/layout/decide.js';
import type { Layout, LayoutPartition, LayoutRefusal, LayoutRequest } from '../../src/plan/layout/types.js';

export type Options = Partial<Omit<LayoutRequest, 'target'>> & { readonly size: Bytes; readonly sectorSize?: Bytes };

export function part(
  number: number,
  offset: Bytes,
  length: Bytes,
  more: Partial<LayoutPartition> = {},
): LayoutPartition {
  return {
    number,
    extent: { offset, length },
    role: 'gpt',
    fixed: 'unrecognised',
    minimum: length,
    growable: false,
    ...more,
  };
}

/** A file system that can have any size from `minimum` on. */
export function flexible(number: number, offset: Bytes, length: Bytes, minimum: Bytes = MiB): LayoutPartition {
  return part(number, offset, length, { fixed: undefined, minimum, growable: true });
}

export function request({ size, sectorSize = 512, ...more }: Options): LayoutRequest {
  return {
    table: 'gpt',
    partitions: [],
    containers: [],
    sourceSize: 100 * GiB,
    target: { size, sectorSize },
    mode: 'fill',
    sizes: new Map(),
    ...more,
  };
}

export function planned(options: Options): Layout {
  const answer = decideLayout(request(options));
  assert.ok(answer.fits, JSON.stringify(answer));
  return answer;
}

export function refused(options: Options): LayoutRefusal {
  const answer = decideLayout(request(options));
  assert.not.ok(answer.fits);
  return answer as LayoutRefusal;
}

/** "2: 1 MiB + 100 MiB": number, offset, length. */
export function picture({ placements }: Layout): string[] {
  return placements.map(({ number, extent }) => `${number}: ${extent.offset / MiB} + ${extent.length / MiB}`);
}

export const ESP = part(1, MiB, 100 * MiB, { fixed: 'efi-system' });
export const MSR = part(2, 101 * MiB, 16 * MiB, { fixed: 'microsoft-reserved' });
export const C = flexible(3, 117 * MiB, 98_883 * MiB, 40_000 * MiB);
export const RECOVERY = part(4, 99_000 * MiB, 600 * MiB, { fixed: 'recovery' });
export const WINDOWS = [ESP, MSR, C, RECOVERY];
