// What a process wrote to a file system while it was cloned, and what a clone of one moment must therefore hold.
// Invariant: done before the moment: in the clone; begun after the run: not in it; anything else may be either.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';

export const LIVE_BLOCK = 4096;
export const FILE_BLOCKS = 64;
/** Overwritten in place; `synced-*` are fsynced each time. */
export const IN_PLACE: readonly string[] = ['synced-0', 'synced-1', 'synced-2', 'plain-0', 'plain-1', 'plain-2'];
export const MAPPED = 'mapped';

export interface WriterEvent {
  /** Ascending; also what the blocks of an event say. */
  readonly id: number;
  readonly act: 'overwrite' | 'append' | 'create' | 'remove' | 'store';
  readonly file: string;
  /** Of the blocks; the byte that a store filled the file with. */
  readonly first: number;
  readonly count: number;
}

interface Logged extends WriterEvent {
  readonly begunAt: number;
  readonly doneAt: number;
}

/** The moment that a clone is of, and when the run had ended; ms since 1970. */
export interface CloneTime {
  readonly at: number;
  readonly endedAt: number;
}

/** Content of a block that says whose it is, from end to end. */
export function blockOf(file: string, id: number): Buffer {
  return Buffer.alloc(LIVE_BLOCK, `${file} ${id}\n`);
}

/** The files that are overwritten, as they are before. */
export function beginFiles(folder: string): void {
  for (const file of IN_PLACE) {
    writeFileSync(join(folder, file), Buffer.concat(Array.from({ length: FILE_BLOCKS }, () => blockOf(file, 0))));
  }
  writeFileSync(join(folder, MAPPED), Buffer.alloc(FILE_BLOCKS * LIVE_BLOCK));
  writeFileSync(join(folder, 'appended'), '');
}

export function readLog(path: string): Logged[] {
  const events = new Map<number, Logged>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue;
    const said = JSON.parse(line) as WriterEvent & { begunAt?: number; doneAt?: number };
    const known = events.get(said.id);
    const begunAt = said.begunAt ?? known?.begunAt ?? 0;
    events.set(said.id, { ...said, begunAt, doneAt: said.doneAt ?? Number.POSITIVE_INFINITY });
  }
  return [...events.values()];
}

/** Throws unless `folder` is what the writer's was at one moment. Returns how many events that proves something of. */
export function demandMoment(folder: string, log: readonly Logged[], { at, endedAt }: CloneTime): number {
  const before = log.filter(({ doneAt }) => doneAt < at);
  const possible = log.filter(({ begunAt }) => begunAt <= endedAt);
  for (const file of IN_PLACE) demandBlocks(folder, file, { before, possible });
  demandStores(folder, { before, possible });
  demandLines(folder, { before, possible });
  demandMade(folder, { before, possible });
  return before.length;
}

interface Known {
  readonly before: readonly Logged[];
  readonly possible: readonly Logged[];
}

function demandBlocks(folder: string, file: string, { before, possible }: Known): void {
  const content = readFileSync(join(folder, file));
  assert.is(content.length, FILE_BLOCKS * LIVE_BLOCK);
  for (let block = 0; block < FILE_BLOCKS; block += 1) {
    const covers = ({ act, file: name, first, count }: Logged): boolean =>
      act === 'overwrite' && name === file && block >= first && block < first + count;
    const least = before.filter(covers).at(-1)?.id ?? 0;
    const bytes = content.subarray(block * LIVE_BLOCK, (block + 1) * LIVE_BLOCK);
    const id = Number(/^\S+ (\d+)\n/.exec(bytes.toString('latin1', 0, 40))?.[1] ?? Number.NaN);
    const told = `MISSED: block ${block} of ${file} is of write ${id}, that of ${least} was done`;
    assert.ok(id >= least, told);
    assert.ok(id === 0 || possible.some((event) => event.id === id && covers(event)), told);
    assert.ok(bytes.equals(blockOf(file, id)), `block ${block} of ${file} is of two writes`);
  }
}

function demandStores(folder: string, { before, possible }: Known): void {
  const stores = (events: readonly Logged[]): number => events.findLast(({ act }) => act === 'store')?.first ?? 0;
  const [least, most] = [stores(before), stores(possible)];
  for (const byte of new Set(readFileSync(join(folder, MAPPED)))) {
    assert.ok(byte >= least && byte <= most, `MISSED: ${byte} in a memory map, ${least} was stored before`);
  }
}

function demandLines(folder: string, { before, possible }: Known): void {
  const ids = (events: readonly Logged[]): number[] => events.flatMap(({ act, id }) => (act === 'append' ? [id] : []));
  const found = readFileSync(join(folder, 'appended'), 'latin1').split('\n').slice(0, -1).map(Number);
  const [least, most] = [ids(before), ids(possible)];
  assert.equal(found, most.slice(0, found.length), 'what was appended');
  assert.ok(found.length >= least.length, `MISSED: ${found.length} lines, ${least.length} were appended`);
}

function demandMade(folder: string, { before, possible }: Known): void {
  const named = (events: readonly Logged[], wanted: Logged['act']): Set<string> =>
    new Set(events.flatMap(({ act, file }) => (act === wanted ? [file] : [])));
  const removed = named(possible, 'remove');
  for (const { act, file, id, count } of before) {
    if (act === 'remove') assert.not.ok(existsSync(join(folder, file)), `${file} was removed before`);
    if (act !== 'create' || removed.has(file)) continue;
    const wanted = Buffer.concat(Array.from({ length: count }, () => blockOf(file, id)));
    assert.ok(readFileSync(join(folder, file)).equals(wanted), `MISSED: ${file} was made before`);
  }
  const made = named(possible, 'create');
  for (const file of readdirSync(folder)) {
    if (file.startsWith('new-')) assert.ok(made.has(file), `${file} was made after it all`);
  }
}
