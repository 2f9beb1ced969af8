// What every comparison is made of: a pair of disks that is there while it runs.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeDisk, type Place } from './disks.js';
import type { Pair } from './programs.js';
import type { ScenarioResult } from './report.js';

/** Where and how large a comparison is. */
export interface ScenarioOptions extends Place {
  readonly size: number;
  readonly rounds: number;
}

export type Scenario = (options: ScenarioOptions) => ScenarioResult;

export function withPair<T>(options: ScenarioOptions, work: (pair: Pair) => T): T {
  const { folder, size } = options;
  const stateFolder = join(folder, 'state');
  const usedFile = join(folder, 'used.json');
  const source = makeDisk(options, 'source', size);
  try {
    const target = makeDisk(options, 'target', size);
    try {
      return work({ source, target, stateFolder, usedFile });
    } finally {
      target.remove();
    }
  } finally {
    source.remove();
    rmSync(stateFolder, { recursive: true, force: true });
    rmSync(usedFile, { force: true });
  }
}
