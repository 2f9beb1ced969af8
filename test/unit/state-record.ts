// Records and histories: what is not exactly a record is no record, and runs at the same time lose nothing.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadJson, saveJson } from '../../src/state/folder.js';
import { lineageFolder, loadLineages, newId, removeOtherMaps, saveRecord } from '../../src/state/lineages.js';
import { type CloneRecord, parseRecord } from '../../src/state/record.js';
import { isKnownSource, rememberSource } from '../../src/state/roles.js';
import { randomFrom, SEED } from '../support/random.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
process.env['ECTYPE_STATE'] = join(folder, 'state');

function recordOf(lineage: string, at = '2026-01-01T00:00:00.000Z'): CloneRecord {
  const medium = { key: '0011223344556677', id: 'SERIAL', path: '/dev/sdz' };
  return {
    version: 1,
    lineage,
    scope: { offset: 0, length: 1 << 30 },
    source: medium,
    target: medium,
    volumes: [
      {
        name: 'partition 1',
        offset: 1 << 20,
        size: 1 << 24,
        blockSize: 65536,
        map: 'volume-1048576.map',
        sourceToken: 'ab'.repeat(16),
        targetToken: 'cd'.repeat(16),
      },
    ],
    contentIds: ['some-guid'],
    committed: { runId: newId(), at, seconds: 1.5, done: 1048576, written: 65536 },
    running: { runId: newId(), at },
  };
}

/** The record as plain JSON, with `change` done to it. */
function hostile(change: (value: Record<string, unknown>) => void): unknown {
  const value: Record<string, unknown> = JSON.parse(JSON.stringify(recordOf(newId())));
  change(value);
  return value;
}

function inside(value: Record<string, unknown>, ...path: (string | number)[]): Record<string | number, unknown> {
  return path.reduce((at, name) => (at as Record<string | number, unknown>)[name], value as unknown) as Record<
    string,
    unknown
  >;
}

test('reads back what was saved', () => {
  const record = recordOf(newId());
  assert.equal(parseRecord(JSON.parse(JSON.stringify(record))), record);
});

test('whatever is not exactly a record is no record', () => {
  for (const value of [undefined, null, 0, '', 'x', true, [], {}, [[]], { version: 1 }]) {
    assert.is(parseRecord(value), undefined, JSON.stringify(value));
  }
  const changes: ((value: Record<string, unknown>) => void)[] = [
    (value) => Object.assign(value, { version: 2 }),
    (value) => Object.assign(value, { version: '1' }),
    (value) => Object.assign(value, { lineage: '../../../../etc' }),
    (value) => Object.assign(value, { lineage: 'abcdef0123456789' }),
    (value) => Object.assign(inside(value, 'scope'), { offset: -1 }),
    (value) => Object.assign(inside(value, 'scope'), { length: 1.5 }),
    (value) => Object.assign(inside(value, 'scope'), { length: 2 ** 60 }),
    (value) => Object.assign(value, { volumes: {} }),
    (value) => Object.assign(value, { volumes: [null] }),
    (value) => Object.assign(value, { contentIds: 'some-guid' }),
    (value) => Object.assign(value, { contentIds: [7] }),
    (value) => Object.assign(value, { source: [] }),
    (value) => Object.assign(inside(value, 'target'), { key: 7 }),
    (value) => Object.assign(value, { running: null }),
    (value) => Object.assign(value, { running: {} }),
    (value) => Object.assign(inside(value, 'running'), { runId: 'x' }),
    (value) => Object.assign(inside(value, 'committed'), { at: 5 }),
    (value) => Object.assign(inside(value, 'volumes', 0), { map: '../other/volume-0.map' }),
    (value) => Object.assign(inside(value, 'volumes', 0), { map: 'record.json' }),
    (value) => Object.assign(inside(value, 'volumes', 0), { blockSize: 0 }),
    (value) => Object.assign(inside(value, 'volumes', 0), { size: '16' }),
    (value) => Object.assign(inside(value, 'volumes', 0), { offset: null }),
    (value) => Object.assign(inside(value, 'volumes', 0), { targetToken: 'short' }),
    (value) => Object.assign(inside(value, 'volumes', 0), { sourceToken: 5 }),
    (value) => Object.assign(inside(value, 'volumes', 0), { name: {} }),
  ];
  for (const change of changes) assert.is(parseRecord(hostile(change)), undefined, change.toString());
});

test('damaged JSON is no record, and never an exception', () => {
  const random = randomFrom(SEED);
  const path = join(folder, 'damaged.json');
  const text = Buffer.from(JSON.stringify(recordOf(newId())));
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.from(text.subarray(0, random.chance(0.3) ? random.below(text.length) : text.length));
    for (let change = random.below(3); change > 0 && bytes.length > 0; change -= 1) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    writeFileSync(path, bytes);
    const record = parseRecord(loadJson(path));
    if (record) assert.match(record.lineage, /^[0-9A-F]{16}$/);
  }
});

test('a file is replaced as a whole or not at all', () => {
  const path = join(folder, 'whole.json');
  assert.is(loadJson(path), undefined);
  saveJson(path, { a: 1 });
  writeFileSync(`${path}.1.new`, '{"a": 2'); // a run that died here
  assert.equal(loadJson(path), { a: 1 });
  saveJson(path, { a: 3 });
  assert.equal(loadJson(path), { a: 3 });
  assert.throws(() => saveJson(join(folder, 'nowhere', 'x.json'), {}), /cannot keep state in .*ENOENT/);
});

test('at most four histories are kept, and the oldest goes with its maps', () => {
  const target = join(folder, 'histories');
  mkdirSync(target);
  const ids = [1, 2, 3, 4, 5, 6].map((n) => {
    const record = recordOf(newId(), `2026-01-0${n}T00:00:00.000Z`);
    saveRecord(target, record);
    writeFileSync(join(lineageFolder(target, record.lineage), 'volume-1048576.map'), 'x');
    return record.lineage;
  });
  assert.equal(
    loadLineages(target).map(({ lineage }) => lineage),
    ids.slice(2).reverse(),
  );
  assert.equal(readdirSync(target).sort(), ids.slice(2).sort());
});

test('only folders that hold a record of their own name are histories', () => {
  const target = join(folder, 'strange');
  const [mine, other, empty] = [newId(), newId(), newId()];
  for (const name of [mine, other, empty, 'notes', 'lock']) mkdirSync(join(target, name), { recursive: true });
  saveRecord(target, recordOf(mine));
  saveJson(join(target, other, 'record.json'), recordOf(newId()));
  saveJson(join(target, 'notes', 'record.json'), recordOf('notes'));
  assert.equal(
    loadLineages(target).map(({ lineage }) => lineage),
    [mine],
  );
  assert.equal(loadLineages(join(folder, 'not there')), []);
});

test('maps that no record names are removed, the others stay', () => {
  const target = join(folder, 'maps');
  const record = recordOf(newId());
  saveRecord(target, record);
  const own = lineageFolder(target, record.lineage);
  for (const name of ['volume-1048576.map', 'volume-1048576-OLD.map', 'volume-7.map'])
    writeFileSync(join(own, name), 'x');
  removeOtherMaps(target, record);
  assert.equal(readdirSync(own).sort(), ['record.json', 'volume-1048576.map']);
});

test('an original stays known whatever becomes of the file that says so', () => {
  assert.is(isKnownSource('aa00'), false);
  assert.is(isKnownSource(''), false);
  rememberSource('aa00', { id: 'SERIAL', path: '/dev/sda' });
  assert.is(isKnownSource('aa00'), true);
  writeFileSync(join(folder, 'state/sources/aa00.json'), 'not JSON');
  assert.is(isKnownSource('aa00'), true);
});

/** Runs a statement in a process of its own, with the state's functions in reach. */
function inProcess(statement: string): Promise<string> {
  const modules = ['roles', 'folder'].map((name) => new URL(`../../src/state/${name}.js`, import.meta.url).href);
  const code = `const [roles, folder] = await Promise.all(${JSON.stringify(modules)}.map((url) => import(url))); ${statement}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'inherit', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => (said += data));
  return new Promise((resolve) => child.on('close', (status) => resolve(status === 0 ? '' : said)));
}

test('runs at the same time remember all their sources', async () => {
  const runs = [1, 2, 3, 4].map((run) =>
    inProcess(`for (let n = 0; n < 60; n += 1) roles.rememberSource('run${run}-' + n, { id: 'S', path: '/dev/x' });`),
  );
  assert.equal(await Promise.all(runs), ['', '', '', '']);
  for (const run of [1, 2, 3, 4])
    for (let n = 0; n < 60; n += 1) assert.ok(isKnownSource(`run${run}-${n}`), `run ${run}, source ${n}`);
});

test('runs at the same time may save the same file', async () => {
  const path = join(folder, 'shared.json');
  const text = 'x'.repeat(20_000);
  const runs = [1, 2, 3].map((run) =>
    inProcess(
      `for (let n = 0; n < 150; n += 1) folder.saveJson(${JSON.stringify(path)}, { run: ${run}, text: '${text}' });`,
    ),
  );
  assert.equal(await Promise.all(runs), ['', '', '']);
  assert.is(JSON.parse(readFileSync(path, 'utf8')).text, text);
  assert.ok(existsSync(path));
});

test.run();
