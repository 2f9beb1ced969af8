// Who may be overwritten, decided on plain facts: the cases that need real disks to happen.

import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import type { DiskIdentity } from '../../src/device/identity.js';
import { readTable } from '../../src/partition/read.js';
import { isOurStandby, type OverwriteQuestion, refuseUnexpectedTarget } from '../../src/plan/guard.js';
import type { TargetContent } from '../../src/plan/target-content.js';
import type { CloneRecord } from '../../src/state/record.js';
import { rememberSource } from '../../src/state/roles.js';
import { buildGpt, memoryDisk } from '../support/partition-disk.js';
import { scratchFolder } from '../support/scratch.js';

process.env['ECTYPE_STATE'] = join(scratchFolder(), 'state');

const disk = (serial: string, path: string): DiskIdentity => ({
  kind: 'disk',
  path,
  id: serial,
  model: 'Disk',
  size: 1e9,
  key: `key of ${serial}`,
  volatileName: !path.startsWith('/dev/disk/'),
});
const BLANK: TargetContent = {
  blank: true,
  summary: 'nothing',
  losses: [],
  contentId: '',
  armed: false,
  report: undefined,
};
const FULL: TargetContent = { ...BLANK, blank: false, summary: 'a GPT with 1 partition', contentId: 'guid-1' };
const source = disk('A', '/dev/sda');
const record: CloneRecord = {
  version: 1,
  lineage: '0123456789ABCDEF',
  scope: { offset: 0, length: 1e9 },
  source: { key: source.key, id: 'A', path: '/dev/sda' },
  target: { key: 'key of B', id: 'B', path: '/dev/sdb' },
  volumes: [],
  contentIds: ['guid-1'],
};

function refusal(question: Partial<OverwriteQuestion>): string {
  const target = question.target ?? disk('B', '/dev/sdb');
  const base = { source, content: BLANK, lineages: [], overwriteTarget: undefined, assumeYes: true };
  try {
    refuseUnexpectedTarget({ ...base, ...question, target });
    return '';
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    return error.code;
  }
}

test('a kernel name with --yes is only for the target of an earlier run', () => {
  assert.is(refusal({}), 'safety.kernel-name');
  assert.is(refusal({ target: disk('B', '/dev/disk/by-id/ata-B') }), '');
  assert.is(refusal({ assumeYes: false }), '');
  assert.is(refusal({ content: FULL, lineages: [record] }), '');
  assert.is(refusal({ content: FULL }), 'safety.target-holds-data');
});

test('a kernel name does not say which disk is meant', () => {
  assert.is(refusal({ content: FULL, overwriteTarget: '/dev/sdb' }), 'safety.wrong-overwrite-id');
  assert.is(refusal({ content: FULL, overwriteTarget: 'B' }), '');
  assert.is(refusal({ content: FULL, overwriteTarget: 'guid-1' }), '');
  const stable = disk('B', '/dev/disk/by-id/ata-B');
  assert.is(refusal({ target: stable, content: FULL, overwriteTarget: stable.path }), '');
  assert.is(refusal({ overwriteTarget: '' }), 'safety.wrong-overwrite-id');
});

test('a known source is refused even where a person is asked', () => {
  const was = disk('S', '/dev/disk/by-id/ata-S');
  rememberSource(was.key, { id: 'S', path: was.path });
  assert.is(refusal({ target: was, assumeYes: false }), 'safety.target-was-source');
  assert.is(refusal({ target: was, assumeYes: false, overwriteTarget: 'S' }), '');
});

test('a standby is known by source and content', () => {
  const look = (change: Partial<CloneRecord>, content: TargetContent) =>
    isOurStandby({ source, content, lineages: [{ ...record, ...change }] });
  assert.ok(look({}, FULL));
  assert.not.ok(look({}, { ...FULL, contentId: 'guid-2' }));
  assert.not.ok(look({ contentIds: [''] }, { ...FULL, contentId: '' }));
  assert.not.ok(look({ source: { key: 'another', id: 'C', path: '/dev/sdc' } }, FULL));
  const armed = { ...FULL, armed: true, contentId: '' };
  assert.not.ok(look({}, armed));
  assert.ok(look({ running: { runId: '0123456789ABCDEF', at: '' } }, armed));
});

test('a partition that was cloned by itself belongs to the standby, unless another source came later', async () => {
  const extent = { offset: 1 << 20, length: 1 << 20 };
  const struck = { ...record, volumes: [] };
  const table = await readTable(
    memoryDisk(buildGpt({ sectorCount: 8192, partitions: [{ index: 0, first: 2048, last: 4095 }] }), 512),
  );
  const report = { identity: source, size: 4 << 20, sectorSize: 512, table, volumes: [], damage: '' };
  const content = { ...FULL, report };
  const volume = { name: '', offset: 0, size: extent.length, blockSize: 65536, map: 'volume-0.map' };
  const part = { ...record, scope: extent, volumes: [volume] };
  const foreign = { ...part, source: { key: 'another', id: 'C', path: '/dev/sdc' } };
  const look = (...parts: CloneRecord[]) => isOurStandby({ source, content, lineages: [struck], parts });
  assert.not.ok(look());
  assert.ok(look(part));
  assert.not.ok(look(foreign));
  assert.not.ok(look(foreign, part));
  assert.ok(look(part, foreign));
});

test.run();
