// The arrangement for two opened ends, from the options that clone and verify share.

import { join } from 'node:path';
import { contradictingOptions } from '../base/errors/usage.js';
import type { Bytes } from '../base/units.js';
import { type SourceEnd, sectorSizeOf, type TargetEnd } from '../location/ends.js';
import { leavesOut } from '../plan/exclusions.js';
import type { DiskReport } from '../plan/inspect.js';
import type { LayoutMode, WantedSize } from '../plan/layout/types.js';
import { stateFolder } from '../state/folder.js';
import type { CloneRecord } from '../state/record.js';
import { type Arranged, arrange, STAYS, type TableMode } from './arrange.js';
import type { IdentityMode } from './identity.js';

export interface ArrangementWish {
  readonly only?: readonly number[] | undefined;
  readonly layout?: LayoutMode | undefined;
  readonly sizes?: ReadonlyMap<number, WantedSize> | undefined;
  readonly identity?: IdentityMode | undefined;
  readonly table?: TableMode | undefined;
  readonly forensic?: boolean;
  readonly keepExcluded?: boolean;
  readonly excludePageFiles?: boolean;
  readonly rescue?: object | undefined;
  readonly scratch?: string | undefined;
  readonly sectorSize?: Bytes | undefined;
  readonly signal: AbortSignal;
}

interface ArrangedEnds {
  readonly source: SourceEnd;
  readonly sourceReport: DiskReport;
  readonly target: SourceEnd | TargetEnd;
  readonly lineages: readonly CloneRecord[];
  readonly mayDraw: boolean;
}

const SMALLEST_SECTOR = 512;

/** Copies of every byte, and of failing disks, are made as the source lies there. Throws as `arrange` does. */
export async function arrangeEnds(
  wish: ArrangementWish,
  { source, sourceReport, target, lineages, mayDraw }: ArrangedEnds,
): Promise<Arranged> {
  const { layout, sizes = new Map(), identity = 'keep', table = 'same', forensic, rescue, only, signal } = wish;
  if (table === 'gpt' && identity === 'new') {
    const hint = 'Make the GPT first, without new IDs; what is cloned from that can be a twin';
    throw contradictingOptions('--table gpt', '--identity new', hint);
  }
  const other = forensic ? '--forensic' : rescue ? '--rescue' : undefined;
  if (other !== undefined) {
    const asked = {
      '--size': sizes.size > 0,
      '--layout': (layout ?? 'same') !== 'same',
      '--identity new': identity === 'new',
      '--table gpt': table === 'gpt',
    };
    const option = Object.entries(asked).find(([, isAsked]) => isAsked)?.[0];
    if (option) {
      throw contradictingOptions(option, other, `Leave ${option} out: with ${other} everything stays as it is`);
    }
    return STAYS;
  }
  const sectorSize = sectorSizeOf(target) ?? wish.sectorSize ?? sourceReport.sectorSize ?? SMALLEST_SECTOR;
  return arrange({
    source,
    report: sourceReport,
    target: { name: target.place.name, size: target.medium.size, sectorSize },
    only,
    layout,
    sizes,
    leaveOut: leavesOut(wish),
    identity,
    table,
    mayDraw,
    lineages,
    scratch: scratchFolder(wish.scratch),
    signal,
  });
}

/** Where views keep what they change. */
export function scratchFolder(chosen: string | undefined): string {
  return chosen ?? join(stateFolder(), 'scratch');
}
