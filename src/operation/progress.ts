// Tells a Report how far a run is, from the counters that the workers share.

import type { Amounts, Report, VolumeAmounts } from '../base/report.js';
import type { Bytes } from '../base/units.js';
import type { Tally } from '../engine/tally.js';

const INTERVAL_MS = 250;

export interface Counted {
  readonly name: string;
  readonly total: Bytes;
  readonly tally: Tally;
}

/** Of each name by itself. */
export function eachOf(counted: readonly Counted[]): VolumeAmounts[] {
  const names = [...new Set(counted.map(({ name }) => name))];
  return names.map((name) => ({ name, ...sumOf(counted.filter((each) => each.name === name)) }));
}

function amountsOf({ total, tally }: Counted): Amounts {
  return { ...tally.snapshot(), total };
}

/** The sum over all volumes. */
export function sumOf(counted: readonly Counted[]): Amounts {
  const sum = { done: 0, total: 0, sourceRead: 0, targetRead: 0, written: 0, zeroed: 0, discarded: 0, skipped: 0 };
  for (const amounts of counted.map(amountsOf)) {
    for (const key of Object.keys(sum) as (keyof Amounts)[]) sum[key] += amounts[key];
  }
  return sum;
}

/** Reports every quarter of a second until the result is called, which reports once more. */
export function reportProgress(counted: readonly Counted[], report: Report): () => void {
  const start = performance.now();
  const tell = (): void => {
    const seconds = (performance.now() - start) / 1000;
    report({ event: 'progress', seconds, all: sumOf(counted), volumes: eachOf(counted) });
  };
  const timer = setInterval(tell, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    tell();
  };
}
