// The benchmarks at their smallest, so that they work on the day they are needed. No figure is judged here.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { noise } from '../../bench/macro/disks.js';
import type { BenchReport } from '../../bench/macro/report.js';
import type { MicroResult } from '../../bench/micro/main.js';
import { sampleOf } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const BENCH = fileURLToPath(new URL('../../bench/', import.meta.url));
const scratch = scratchFolder();

test('the floor copies everything', () => {
  const source = join(scratch, 'source');
  const target = join(scratch, 'target');
  writeFileSync(source, noise('floor', 5 * 2 ** 20 + 4096));
  writeFileSync(target, Buffer.alloc(5 * 2 ** 20 + 4096));
  const floor = join(BENCH, 'floor/floor.js');
  run(process.execPath, [floor, 'read', source, '--workers=2']);
  run(process.execPath, [floor, 'copy', source, target]);
  assert.ok(readFileSync(source).equals(readFileSync(target)));
  assert.is.not(tryRun(process.execPath, [floor, 'copy', source]).status, 0);
});

test('micro', () => {
  const output = join(scratch, 'micro.json');
  run(process.execPath, [join(BENCH, 'micro/main.js'), '--small', `--output=${output}`]);
  const { results }: { results: MicroResult[] } = JSON.parse(readFileSync(output, 'utf8'));
  assert.ok(results.length >= 8);
  for (const { name, perSecond } of results) assert.ok(perSecond > 0, name);
});

test('macro: every scenario, checked copies, and the shape of its figures', () => {
  const output = join(scratch, 'macro.json');
  const main = join(BENCH, 'macro/main.js');
  const standby = sampleOf(['standby-ext4', 'standby-xfs', 'standby-btrfs', 'standby-ntfs', 'scale'], 1);
  const names = ['first', 'half', 'unchanged', 'changed', 'start', 'memory', ...standby];
  const only = `--only=${names.join(',')}`;
  const said = run(process.execPath, [main, '--small', '--size=96', only, `--output=${output}`]);
  const report: BenchReport = JSON.parse(readFileSync(output, 'utf8'));
  assert.is(report.version, 1);
  assert.equal(report.options, { medium: 'loop', size: 96 * 2 ** 20, rounds: 1 });
  assert.equal(
    report.scenarios.map(({ name }) => name),
    names,
  );
  for (const { title, results } of report.scenarios) {
    assert.ok(said.includes(title));
    assert.ok(results.some(({ role }) => role === 'ectype'));
    for (const { name, seconds, median, fastest, slowest, peakBytes } of results) {
      assert.ok(seconds.length >= 1 && fastest <= median && median <= slowest && fastest > 0, name);
      assert.ok(peakBytes > 0, name);
    }
  }
  const [first] = report.scenarios;
  assert.ok((first?.toFastestPeer ?? 0) > 0 && (first?.toFloor ?? 0) > 0);
});

test('macro refuses options that it does not know', () => {
  const ran = tryRun(process.execPath, [join(BENCH, 'macro/main.js'), '--fast']);
  assert.is.not(ran.status, 0);
  assert.match(ran.stderr, /unknown option: --fast/);
});

test.run();
