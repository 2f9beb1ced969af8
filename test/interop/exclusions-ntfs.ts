// Page and hibernation files of NTFS are left out: ntfs-3g writes and reads them, ntfsfix judges the rest.

import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { KiB, MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { cloned, verified } from '../support/in-process.js';
import { asWindowsOwn, hashTree, withNtfsMounted } from '../support/ntfs-mount.js';
import { fillFolder, makeNtfs } from '../support/ntfs-volume.js';
import { demandKept, demandLeftOut, pagedContent, writePaged } from '../support/paged.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const SIZE = 24 * MiB;
const NAMES = ['pagefile.sys', 'Swapfile.sys', 'hiberfil.sys'];
const LENGTHS = [3 * MiB, 300 * KiB + 512, MiB];
const PAGED = LENGTHS.reduce((all, length) => all + length, 0);
const scratch = scratchFolder();
const source = join(scratch, 'source');
const target = join(scratch, 'target');

/** An NTFS with files and the three that may be left out; `change` works on it before it is unmounted. */
async function made(clusterSize: number, change: (folder: string) => void = () => {}): Promise<void> {
  makeNtfs(source, { size: SIZE, clusterSize });
  await withNtfsMounted(source, (folder) => {
    fillFolder(folder, randomFrom(SEED), { budget: MiB });
    for (const [index, name] of NAMES.entries()) {
      writeFileSync(join(folder, name), pagedContent(LENGTHS[index] ?? 0));
      asWindowsOwn(join(folder, name));
    }
    change(folder);
  });
}

function listed(path: string): Promise<Map<string, string>> {
  return withNtfsMounted(path, hashTree, { options: 'ro' });
}

/** A target of an older life, which no run knows. */
function fresh(): string {
  rmSync(target, { force: true });
  return oldFile(target, SIZE);
}

/** Every file but those left out is the same, and those have their sizes and nothing but zeros. */
async function demandRest(without: readonly string[]): Promise<void> {
  run('ntfsfix', ['-n', target]);
  const [wanted, found] = [await listed(source), await listed(target)];
  for (const name of without) {
    const { size } = await withNtfsMounted(source, (folder) => statSync(join(folder, name)), { options: 'ro' });
    const zeros = join(scratch, 'zeros');
    writeFileSync(zeros, '');
    truncateSync(zeros, size);
    assert.is(found.get(name), sha256(zeros), `${name} reads as zeros`);
    assert.ok(wanted.delete(name) && found.delete(name));
  }
  assert.ok(wanted.size > 0, 'other files are there to be compared');
  assert.equal(found, wanted);
}

for (const clusterSize of [512, 64 * KiB]) {
  test(`clusters of ${clusterSize}: left out, listed, verified`, async () => {
    await made(clusterSize);
    const { plan, excludedBytes, changed } = await cloned(source, fresh());
    assert.ok(changed);
    const [volume] = plan.volumes;
    const clusters = (length: number): number => Math.ceil(length / clusterSize) * clusterSize;
    assert.equal(volume?.excluded, [
      { path: '/pagefile.sys', kind: 'page file', bytes: clusters(LENGTHS[0] ?? 0) },
      { path: '/swapfile.sys', kind: 'page file', bytes: clusters(LENGTHS[1] ?? 0) },
      { path: '/hiberfil.sys', kind: 'hibernation file', bytes: clusters(LENGTHS[2] ?? 0) },
    ]);
    const sum = LENGTHS.reduce((all, length) => all + clusters(length), 0);
    assert.is(plan.excludedBytes, sum);
    assert.is(excludedBytes, sum);
    demandLeftOut(source, target, PAGED);
    await demandRest(NAMES);
    assert.ok((await verified(source, target)).equal);
    assert.not.ok((await cloned(source, target)).changed);
  });
}

test('the option may change from run to run', async () => {
  await made(4 * KiB);
  await cloned(source, fresh());
  const kept = await cloned(source, target, { keepExcluded: true });
  assert.ok(kept.changed);
  assert.is(kept.excludedBytes, 0);
  demandKept(source, target);
  assert.ok((await verified(source, target, { keepExcluded: true })).equal);
  assert.not.ok((await verified(source, target)).equal, 'zeros are demanded');
  for (const detect of ['hash', 'compare'] as const) {
    assert.ok((await cloned(source, target, { detect, verify: true })).changed);
    demandLeftOut(source, target, PAGED);
    if (detect === 'hash') await cloned(source, target, { keepExcluded: true, detect: 'compare' });
  }
  assert.ok((await verified(source, target)).equal);
  assert.not.ok((await verified(source, target, { keepExcluded: true })).equal);
  assert.not.ok((await cloned(source, target)).changed);
  await demandRest(NAMES);
});

test('paging: on the source it is no change, on the target it is healed', async () => {
  await made(4 * KiB);
  await cloned(source, fresh());
  const before = sha256(target);
  await withNtfsMounted(source, (folder) => writePaged(join(folder, 'pagefile.sys'), { offset: MiB, length: 4 * KiB }));
  const { amounts } = await cloned(source, target);
  assert.ok(amounts.written < MiB, 'its record, not its content');
  assert.is.not(sha256(target), before);
  await withNtfsMounted(target, (folder) => writePaged(join(folder, 'pagefile.sys'), { offset: MiB, length: MiB }));
  assert.not.ok((await verified(source, target)).equal, 'the target was started');
  assert.ok((await cloned(source, target)).changed);
  assert.ok((await verified(source, target)).equal);
  await demandRest(NAMES);
});

test('forensic copies keep them, unless told otherwise', async () => {
  await made(4 * KiB);
  const kept = await cloned(source, fresh(), { forensic: true });
  assert.is(kept.plan.excludedBytes, 0);
  assert.is(sha256(target), sha256(source));
  const left = await cloned(source, target, { forensic: true, excludePageFiles: true });
  assert.ok(left.excludedBytes >= PAGED);
  await demandRest(NAMES);
  assert.ok((await verified(source, target, { forensic: true, excludePageFiles: true })).equal);
  assert.not.ok((await verified(source, target, { forensic: true })).equal);
});

test('hibernated: refused as ever; a forensic copy leaves nothing out', async () => {
  await made(4 * KiB, (folder) => writeFileSync(join(folder, 'hiberfil.sys'), `hibr${'x'.repeat(8192)}`));
  fresh();
  const before = sha256(target);
  const error = await thrownBy(() => cloned(source, target));
  assert.ok(error instanceof ToolError && error.code === 'filesystem.unclean', `${error}`);
  assert.is(sha256(target), before);
  const { plan } = await cloned(source, target, { forensic: true, excludePageFiles: true });
  assert.is(plan.excludedBytes, 0);
  assert.is(sha256(target), sha256(source));
});

test('files of these names elsewhere, directories, and what Windows did not make are copied', async () => {
  makeNtfs(source, { size: SIZE, clusterSize: 4 * KiB });
  await withNtfsMounted(source, (folder) => {
    fillFolder(folder, randomFrom(SEED), { budget: MiB });
    mkdirSync(join(folder, 'pagefile.sys'));
    for (const name of NAMES) writeFileSync(join(folder, 'pagefile.sys', name), pagedContent(MiB));
    writeFileSync(join(folder, 'swapfile.sys'), 'it lies in its record');
    asWindowsOwn(join(folder, 'swapfile.sys'));
    writeFileSync(join(folder, 'hiberfil.sys'), pagedContent(MiB)); // kept by somebody to be looked into
  });
  const { plan } = await cloned(source, fresh());
  assert.is(plan.excludedBytes, 0);
  demandKept(source, target);
  await demandRest([]);
});

test('with holes: only what lies on the disk is left out', async () => {
  await made(4 * KiB, (folder) => {
    writeFileSync(join(folder, 'pagefile.sys'), '');
    truncateSync(join(folder, 'pagefile.sys'), 3 * MiB);
    writePaged(join(folder, 'pagefile.sys'), { offset: MiB, length: 64 * KiB });
  });
  const { plan } = await cloned(source, fresh());
  assert.is(plan.volumes[0]?.excluded[0]?.bytes, 64 * KiB);
  await demandRest(NAMES);
});

test('a record that says "compressed" is copied', async () => {
  await made(4 * KiB);
  const bytes = readFileSync(source);
  const mft = Number(bytes.readBigUInt64LE(0x30)) * 4096;
  const number = Number(/MFT Record (\d+)/i.exec(run('ntfsinfo', ['-F', 'pagefile.sys', source]))?.[1] ?? -1);
  const start = mft + number * 1024;
  assert.is(bytes.toString('latin1', start, start + 4), 'FILE');
  for (let at = start + bytes.readUInt16LE(start + 20); bytes.readUInt32LE(at) !== 0xffffffff; ) {
    if (bytes.readUInt32LE(at) === 0x80) bytes.writeUInt16LE(1, at + 12);
    at += bytes.readUInt32LE(at + 4);
  }
  writeFileSync(source, bytes);
  const { plan } = await cloned(source, fresh());
  assert.equal(
    plan.volumes[0]?.excluded.map(({ path }) => path),
    ['/swapfile.sys', '/hiberfil.sys'],
  );
});

test('an allocation map that calls their clusters free: nothing is left out, and the plan says so', async () => {
  await made(4 * KiB);
  const runs = run('ntfsinfo', ['-F', 'pagefile.sys', '-v', source]);
  const firstCluster = (said: string): number => Number.parseInt(/\s0x0\s+0x([0-9a-f]+)/i.exec(said)?.[1] ?? '', 16);
  const lcn = firstCluster(runs);
  const bitmap = firstCluster(run('ntfsinfo', ['-i', '6', '-v', source]));
  assert.ok(lcn > 0 && bitmap > 0, runs);
  const bytes = readFileSync(source);
  const at = bitmap * 4096 + ((lcn + 9) >>> 3);
  bytes.writeUInt8(bytes.readUInt8(at) & ~(1 << ((lcn + 9) & 7)), at);
  writeFileSync(source, bytes);
  const { plan } = await cloned(source, fresh());
  assert.is(plan.excludedBytes, 0);
  assert.match(
    plan.warnings.join(),
    /nothing of .* is left out: its allocation map contradicts the place of \/pagefile/,
  );
});

test.run();
