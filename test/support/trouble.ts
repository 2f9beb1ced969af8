// The set of every test of trouble: a source disk, and what must be true of a target after a run that failed.

import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Ended, type EndingOptions, ectypeUntil } from './ending.js';
import { replaceContent } from './power-cut.js';
import { randomFrom, SEED } from './random.js';
import { tryRun } from './run.js';
import { smallDisk } from './small-disk.js';

const MARKER = 'ECTYPE INCOMPLETE ';

export interface Trouble {
  readonly source: string;
  /** The source's bytes. */
  readonly content: Buffer;
  readonly size: number;
  clone(target: string, options: EndingOptions, ...words: string[]): Promise<Ended>;
  /** The run failed as it should: status, code, words of the message; the source is as it was. */
  failed(ended: Ended, wanted: { status: number; code: string; message: RegExp }): void;
  /** The same command ends well now, and both sides are equal. */
  recovers(target: string, options: EndingOptions): Promise<void>;
}

/** A source of about 100 MiB in `folder`. */
export function trouble(folder: string): Trouble {
  const disk = smallDisk(folder, { unrecognised: 80, ext4: 16 });
  const source = join(folder, 'source.img');
  const content = disk.version(randomFrom(SEED));
  replaceContent(source, content);
  const clone: Trouble['clone'] = (target, options, ...words) =>
    ectypeUntil(['clone', '--yes', '--json', ...words, source, target], options);
  return {
    source,
    content,
    size: disk.size,
    clone,
    failed(ended, { status, code, message }) {
      const error = ended.events.findLast(({ event }) => event === 'error');
      const told = `ended with ${ended.status ?? ended.signal}: ${JSON.stringify(error)} ${ended.stderr}`;
      assert.is(ended.status, status, told);
      assert.is(error?.['code'], code, told);
      assert.match(String(error?.['message']), message, told);
      assert.ok(String(error?.['hint']).length > 10, told);
      assert.ok(readFileSync(source).equals(content), 'the source changed');
    },
    async recovers(target, options) {
      const ended = await clone(target, { state: options.state });
      assert.is(ended.status, 0, `${ended.stdout.slice(-500)}${ended.stderr}`);
      const verified = await ectypeUntil(['verify', '--json', source, target], { state: options.state });
      assert.is(verified.status, 0, verified.stdout.slice(-500));
      assert.ok(hasTable(target));
      assert.ok(readFileSync(source).equals(content), 'the source changed');
    },
  };
}

export function hasTable(target: string): boolean {
  return tryRun('sfdisk', ['--json', target]).status === 0;
}

/** A target that was written to and is not finished says so, and shows no table. */
export function demandMarked(target: string): void {
  const fd = openSync(target, 'r');
  try {
    assert.ok(readFileSync(fd).toString('latin1', 0, MARKER.length) === MARKER, `${target} bears no marker`);
    assert.not(hasTable(target), `${target} shows a table`);
  } finally {
    closeSync(fd);
  }
}

/** A sparse file of `size` zeros. */
export function blankFile(path: string, size: number): string {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  return path;
}
