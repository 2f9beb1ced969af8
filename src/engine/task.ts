// One piece of work for a worker, and doing it. The same code runs in every executor.

import { unreachable } from '../base/assert.js';
import { interrupted } from '../base/errors/run.js';
import type { Extent } from '../map/extent.js';
import type { StretchContext } from './read.js';
import type { Stretch, StretchResult } from './stretch.js';
import { processStretch } from './window.js';

export type Task =
  | { readonly kind: 'stretch'; readonly stretch: Stretch }
  /** A free extent of a first copy's target. */
  | { readonly kind: 'discard'; readonly extent: Extent };

const NOTHING: StretchResult = { digests: new Uint8Array(), differing: [], postponed: [], holes: [] };

export async function perform(task: Task, context: StretchContext): Promise<StretchResult> {
  switch (task.kind) {
    case 'stretch':
      return processStretch(task.stretch, context);
    case 'discard': {
      await context.permit();
      if (context.tally.stopped) throw interrupted();
      await context.target.discard(task.extent);
      context.tally.add('discarded', task.extent.length);
      return NOTHING;
    }
    default:
      return unreachable(task);
  }
}
