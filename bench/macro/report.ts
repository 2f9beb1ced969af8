// Figures as a table and as JSON: medians, spread, and how ectype stands to each of the others.

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { formatBytes } from '../../src/base/units.js';
import type { Contestant, Role, Sample } from './contestant.js';

export interface Result {
  readonly name: string;
  readonly role: Role;
  readonly command: string;
  readonly seconds: readonly number[];
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
  /** Median of processor seconds, and the largest peak of memory. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  /** Ectype's median (its first entry's) divided by this one's: below 1 ectype is faster. */
  readonly ectypeRatio: number | undefined;
  /** Of ectype's: its median divided by that of the first floor. */
  readonly floorRatio: number | undefined;
}

export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly results: readonly Result[];
  /** Ectype's median against the fastest peer's and against the slowest floor's. */
  readonly toFastestPeer: number | undefined;
  readonly toFloor: number | undefined;
}

export interface BenchReport {
  readonly version: 1;
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: Readonly<Record<string, string | number>>;
  readonly scenarios: readonly ScenarioResult[];
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [upper = Number.NaN, lower = upper] = [sorted[middle], sorted[middle - 1]];
  return sorted.length % 2 === 1 ? upper : (lower + upper) / 2;
}

export function summarise(
  { name, title }: { name: string; title: string },
  samples: ReadonlyMap<Contestant, readonly Sample[]>,
): ScenarioResult {
  const entries = [...samples].map(([contestant, runs]) => {
    const seconds = runs.map((run) => run.seconds);
    return { contestant, runs, seconds, median: median(seconds) };
  });
  const ectype = entries.find(({ contestant }) => contestant.role === 'ectype')?.median;
  const floor = entries.find(({ contestant }) => contestant.role === 'floor')?.median;
  const results = entries.map(
    ({ contestant, runs, seconds, ...entry }): Result => ({
      name: contestant.name,
      role: contestant.role,
      command: contestant.command.join(' '),
      seconds,
      median: entry.median,
      fastest: Math.min(...seconds),
      slowest: Math.max(...seconds),
      cpuSeconds: median(runs.map(({ cpuSeconds }) => cpuSeconds)),
      peakBytes: Math.max(...runs.map(({ peakBytes }) => peakBytes)),
      floorRatio: contestant.role === 'ectype' && floor !== undefined ? entry.median / floor : undefined,
      ectypeRatio: contestant.role === 'ectype' || ectype === undefined ? undefined : ectype / entry.median,
    }),
  );
  const ratios = (role: Role): number[] =>
    results.flatMap((result) => (result.role === role ? (result.ectypeRatio ?? []) : []));
  return {
    name,
    title,
    results,
    toFastestPeer: ratios('peer').length > 0 ? Math.max(...ratios('peer')) : undefined,
    toFloor: ratios('floor').length > 0 ? Math.min(...ratios('floor')) : undefined,
  };
}

/** One scenario, fastest first. */
export function table({ title, results, toFastestPeer, toFloor }: ScenarioResult): string {
  const rows = [...results]
    .sort((a, b) => a.median - b.median)
    .map(({ name, median, fastest, slowest, cpuSeconds, peakBytes, ectypeRatio, floorRatio }) => [
      name,
      `${median.toFixed(3)} s`,
      `${fastest.toFixed(3)} to ${slowest.toFixed(3)}`,
      `${cpuSeconds.toFixed(2)} s`,
      formatBytes(peakBytes),
      ectypeRatio === undefined ? '' : `${ectypeRatio.toFixed(2)} x`,
      floorRatio === undefined ? '' : `${floorRatio.toFixed(3)} x`,
    ]);
  const head = ['', 'median', 'fastest to slowest', 'processor', 'memory', 'ectype takes', 'of the first floor'];
  const widths = head.map((word, column) => Math.max(word.length, ...rows.map((row) => (row[column] ?? '').length)));
  const lines = [head, ...rows].map((row) =>
    row
      .map((word, column) => (column === 0 ? word.padEnd(widths[0] ?? 0) : word.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  const against = [
    toFastestPeer === undefined ? [] : [`${toFastestPeer.toFixed(2)} x the fastest peer`],
    toFloor === undefined ? [] : [`${toFloor.toFixed(2)} x the floor`],
  ].flat();
  return [title, ...lines, against.length > 0 ? `ectype: ${against.join(', ')}` : '', ''].join('\n');
}

export function machine(): BenchReport['machine'] {
  const [cpu] = cpus();
  return {
    processor: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

export function saveReport(path: string, report: BenchReport): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
}
