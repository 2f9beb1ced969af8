// Whole commands beside what people use today.
// Usage: scripts/bench [--small] [--size=MiB] [--rounds=N] [--only=first,half,...] [--files=FOLDER] [--output=FILE]
// Loop devices over memory need root and twice the size in /dev/shm; --files measures raw files on a disk instead.

import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GiB, MiB } from '../../src/base/units.js';
import { type BenchReport, machine, saveReport, table } from './report.js';
import type { ScenarioOptions } from './scenario.js';
import { SCENARIOS } from './scenarios.js';

const RESULTS = fileURLToPath(new URL('../../../bench/results/', import.meta.url));

interface Settings {
  readonly size: number;
  readonly rounds: number;
  readonly only: readonly string[];
  readonly folder: string | undefined;
  readonly output: string;
}

function settingsOf(words: readonly string[], now: Date): Settings {
  const values = new Map<string, string>();
  for (const word of words) {
    const [, name, value = ''] = /^--(small|size|rounds|only|files|output)(?:=(.*))?$/.exec(word) ?? [];
    if (name === undefined) throw new Error(`unknown option: ${word}`);
    values.set(name, value);
  }
  const small = values.has('small');
  const size = values.has('size') ? Number(values.get('size')) * MiB : small ? 256 * MiB : 4 * GiB;
  const rounds = Number(values.get('rounds') ?? (small ? 1 : 5));
  const only = values.get('only')?.split(',') ?? Object.keys(SCENARIOS);
  const stranger = only.find((name) => !(name in SCENARIOS));
  if (stranger !== undefined)
    throw new Error(`no scenario ${stranger}; there are ${Object.keys(SCENARIOS).join(', ')}`);
  if (!(size >= 64 * MiB) || !(rounds >= 1)) throw new Error('wanted are at least 64 MiB and 1 round');
  const output = values.get('output') ?? join(RESULTS, `${now.toISOString().slice(0, 19).replaceAll(':', '-')}.json`);
  return { size, rounds, only, folder: values.get('files'), output };
}

function main(words: readonly string[]): void {
  const now = new Date();
  const settings = settingsOf(words, now);
  const folder = mkdtempSync(join(settings.folder ?? '/dev/shm', 'ectype-bench-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const options: ScenarioOptions = {
    folder,
    medium: settings.folder === undefined ? 'loop' : 'file',
    size: settings.size,
    rounds: settings.rounds,
  };
  const scenarios = settings.only.flatMap((name) => {
    const result = SCENARIOS[name]?.(options);
    if (result) console.log(table(result));
    return result ?? [];
  });
  const report: BenchReport = {
    version: 1,
    date: now.toISOString(),
    machine: machine(),
    options: { medium: options.medium, size: options.size, rounds: options.rounds },
    scenarios,
  };
  saveReport(settings.output, report);
  console.log(`figures: ${settings.output}`);
}

main(process.argv.slice(2));
