// Unfinished targets that are put back to an older, unfinished state: what later runs learned is not true of them.

import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Report } from '../../src/base/report.js';
import { ToolError } from '../../src/base/tool-error.js';
import { cloned, verified } from '../support/in-process.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const source = sampleDisk(scratch, 'source.img');
const target = emptyFile(join(scratch, 'target.img'), SAMPLE_SIZE);
const content = join(scratch, 'content');
writeFileSync(content, random.bytes(300_000));
run('debugfs', ['-w', '-R', `write ${content} file`, `${source}?offset=${SAMPLE.ext4.offset}`]);
const place = readFileSync(source).indexOf(readFileSync(content).subarray(0, 1024));

/** A run that copies everything, and is not finished because its source was written meanwhile. */
async function unfinishedRun(): Promise<void> {
  const report: Report = (event) => {
    if (event.event === 'phase' && event.phase === 'copy') utimesSync(source, new Date(), new Date());
  };
  try {
    await cloned(source, target, { report });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, ToolError);
    assert.is((error as ToolError).code, 'filesystem.source-changed');
  }
}

test('a run that went on vouches for its own marker, not for that of the run before', async () => {
  await unfinishedRun();
  const older = readFileSync(target);
  putBytes(source, random.bytes(1024), place);
  await unfinishedRun();
  putBytes(target, older, 0);
  await cloned(source, target);
  assert.ok((await verified(source, target)).equal);
});

test.run();
