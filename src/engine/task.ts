// One piece of work for a worker, and doing it. The same code runs in every executor.

import { unreachable } from '../base/assert.js';
import { interrupted } from '../base/errors/run.js';
import { GiB } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import type { StretchContext } from './read.js';
import type { Stretch, StretchResult } from './stretch.js';
import { processStretch } from './window.js';

export type Task =
  | { readonly kind: 'stretch'; readonly stretch: Stretch }
  /** A long free extent of a first copy's target. */
  | { readonly kind: 'discard'; readonly extent: Extent };

const NOTHING: StretchResult = { digests: new Uint8Array(), differing: [], postponed: [], holes: [] };

/** Discards are handed to the medium in pieces, so that a stop does not wait for a terabyte. */
const DISCARD_PIECE = GiB;

export async function perform(task: Task, context: StretchContext): Promise<StretchResult> {
  switch (task.kind) {
    case 'stretch':
      return processStretch(task.stretch, context);
    case 'discard': {
      await context.permit();
      const end = extentEnd(task.extent);
      for (let offset = task.extent.offset; offset < end; offset += DISCARD_PIECE) {
        if (context.tally.stopped) throw interrupted();
        const length = Math.min(DISCARD_PIECE, end - offset);
        await context.target.discard({ offset, length });
        context.tally.add('discarded', length);
      }
      return NOTHING;
    }
    default:
      return unreachable(task);
  }
}
