// New identities, decided without a disk: what is drawn, what is read back, what in a text is an ID and what is not.

import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { equalIds } from '../../src/reshape/identity/equal-ids.js';
import { pathsOf } from '../../src/reshape/identity/files.js';
import { isSigned } from '../../src/reshape/identity/programs.js';
import { finderOf, type Rename, renamesOf } from '../../src/reshape/identity/renames.js';
import { type DiskIds, drawIdentity, parseTwinIdentity } from '../../src/reshape/identity/twin-identity.js';
import { memoryTarget } from '../../src/source/memory.js';
import { SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

const ROOT = '6b1f6d1c-7c9e-4b5e-9f3a-0d6a5e5f1c11';
const PARTITION = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const OTHER = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';

function volume(number: number | undefined, kind: string, uuid: string): DiskIds['volumes'][number] {
  return {
    name: `partition ${number}`,
    partition: number === undefined ? undefined : { number },
    filesystem: { kind, uuid },
    foreign: undefined,
  };
}

const GPT: DiskIds = {
  table: {
    kind: 'gpt',
    id: OTHER,
    partitions: [
      { number: 1, id: '1d7b1d1e-3b0c-4a3f-8f43-1d6b8a5d0001' },
      { number: 2, id: PARTITION },
      { number: 4, id: '1d7b1d1e-3b0c-4a3f-8f43-1d6b8a5d0004' },
    ],
  },
  volumes: [
    volume(1, 'fat32', 'ABCD-1234'),
    volume(2, 'ext4', ROOT),
    { ...volume(4, '', ''), filesystem: undefined, foreign: { kind: 'crypto_LUKS' } },
  ],
};

const MBR: DiskIds = {
  table: { kind: 'mbr', id: 'deadbeef', partitions: [{ number: 1, id: 'deadbeef-01' }] },
  volumes: [volume(1, 'ntfs', '0123456789ABCDEF')],
};

test('a GPT gets GUIDs, each volume an ID of its form, a container keeps what it has', () => {
  const { identity, kept } = drawIdentity(GPT, { random: randomBytes });
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  assert.match(identity.diskId, uuid);
  assert.equal(Object.keys(identity.partitionIds), ['1', '2', '4']);
  for (const id of Object.values(identity.partitionIds)) assert.match(id, uuid);
  assert.equal(Object.keys(identity.volumes), ['1', '2']);
  assert.match(identity.volumes[1] ?? '', /^[0-9A-F]{4}-[0-9A-F]{4}$/);
  assert.match(identity.volumes[2] ?? '', uuid);
  assert.equal(
    kept.map(({ volume: name, place }) => [name, place]),
    [['partition 4', 'crypto_LUKS']],
  );
});

test('an MBR gets a signature, and its partitions follow from it; a bare volume has number 0', () => {
  const { identity } = drawIdentity(MBR, { random: randomBytes });
  assert.match(identity.diskId, /^[0-9a-f]{8}$/);
  assert.equal(identity.partitionIds, { 1: `${identity.diskId}-01` });
  assert.match(identity.volumes[1] ?? '', /^[0-9A-F]{16}$/);
  const bare = { table: undefined, volumes: [volume(undefined, 'xfs', ROOT), volume(3, 'swap', '')] };
  const drawn = drawIdentity(bare, { random: (length) => Buffer.alloc(length, 0xff) }).identity;
  assert.equal(drawn, { diskId: '', partitionIds: {}, volumes: { 0: 'ffffffff-ffff-4fff-bfff-ffffffffffff' } });
  const zeros = drawIdentity(MBR, { random: (length) => Buffer.alloc(length) }).identity;
  assert.equal(zeros, { diskId: '00000001', partitionIds: { 1: '00000001-01' }, volumes: { 1: '0000000000000001' } });
});

test('what was drawn stays; what is new is added; what has become another kind is drawn anew', () => {
  const first = drawIdentity(GPT, { random: randomBytes }).identity;
  const more = { ...GPT, volumes: [...GPT.volumes, volume(5, 'swap', ROOT)] };
  const second = drawIdentity(more, { random: randomBytes, known: first }).identity;
  assert.equal(
    { ...second, volumes: { ...second.volumes, 5: undefined } },
    {
      ...first,
      volumes: { ...first.volumes, 5: undefined },
    },
  );
  assert.ok(second.volumes[5]);
  const changed = drawIdentity({ ...GPT, volumes: [volume(1, 'ext4', ROOT)] }, { random: randomBytes, known: first });
  assert.match(changed.identity.volumes[1] ?? '', /^[0-9a-f]{8}-/);
  assert.match(drawIdentity(MBR, { random: randomBytes, known: first }).identity.diskId, /^[0-9a-f]{8}$/);
});

test('a volume that has to keep its ID is told, and not given another', () => {
  const { identity, kept } = drawIdentity(GPT, { random: randomBytes, fixed: { 2: 'its journal lies elsewhere' } });
  assert.equal(Object.keys(identity.volumes), ['1']);
  assert.equal(kept[0], { volume: 'partition 2', place: 'ext4', why: 'its journal lies elsewhere' });
});

test('an identity survives JSON; anything else is none', () => {
  for (const disk of [GPT, MBR, { table: undefined, volumes: [] }]) {
    const { identity } = drawIdentity(disk, { random: randomBytes });
    assert.equal(parseTwinIdentity(JSON.parse(JSON.stringify(identity))), identity);
  }
  const good = { diskId: 'deadbeef', partitionIds: { 1: 'deadbeef-01' }, volumes: { 1: 'ABCD-1234' } };
  assert.equal(parseTwinIdentity(good), good);
  const wrong: unknown[] = [
    undefined,
    null,
    [],
    'deadbeef',
    { ...good, more: 1 },
    { diskId: good.diskId, partitionIds: {} },
    { ...good, diskId: 'DEADBEEF' },
    { ...good, diskId: ROOT },
    { ...good, partitionIds: { 1: 'deadbeee-01' } },
    { ...good, partitionIds: { 0: 'deadbeef-00' } },
    { ...good, partitionIds: { '01': 'deadbeef-01' } },
    { ...good, partitionIds: [] },
    { ...good, volumes: { 1: 'abcd-1234' } },
    { ...good, volumes: { 1: 5 } },
    { ...good, volumes: { '-1': 'ABCD-1234' } },
  ];
  for (const value of wrong) assert.is(parseTwinIdentity(value), undefined, JSON.stringify(value));
});

const RENAMES: readonly Rename[] = [
  { from: ROOT, to: '11111111-aaaa-4bbb-8ccc-dddddddddddd' },
  { from: 'ABCD-1234', to: 'FFFF-0000' },
  { from: '5678-9012', to: 'EEEE-1111' },
  { from: 'deadbeef', to: '0badcafe' },
  { from: 'deadbeef-01', to: '0badcafe-01' },
];

function rewritten(text: string): string {
  const bytes = Buffer.from(text);
  for (const { at, bytes: id } of finderOf(RENAMES)(bytes)) id.copy(bytes, at);
  return bytes.toString();
}

test('IDs are replaced as whole words, spelt as they were', () => {
  const samples: [string, string][] = [
    [`UUID=${ROOT} / ext4`, 'UUID=11111111-aaaa-4bbb-8ccc-dddddddddddd / ext4'],
    [`"${ROOT.toUpperCase()}"`, '"11111111-AAAA-4BBB-8CCC-DDDDDDDDDDDD"'],
    [`'gnulinux-simple-${ROOT}'`, "'gnulinux-simple-11111111-aaaa-4bbb-8ccc-dddddddddddd'"],
    ['UUID=ABCD-1234 /boot/efi\nsearch --fs-uuid abcd-1234', 'UUID=FFFF-0000 /boot/efi\nsearch --fs-uuid ffff-0000'],
    ['UUID=5678-9012', 'UUID=EEEE-1111'],
    ['root=PARTUUID=deadbeef-01 rw', 'root=PARTUUID=0badcafe-01 rw'],
    ['PTUUID=DEADBEEF', 'PTUUID=0BADCAFE'],
  ];
  for (const [before, after] of samples) assert.is(rewritten(before), after);
});

test('what only looks like an ID stays', () => {
  const samples = [
    `x${ROOT}`,
    `${ROOT}0`,
    `${ROOT}-2`,
    'xABCD-1234',
    '0000-ABCD-1234',
    'ABCD-12345',
    'deadbeef',
    'commit deadbeef',
    'deadbeef-011',
    '12deadbeef-01',
  ];
  for (const text of samples) assert.is(rewritten(text), text);
});

test('a text with IDs keeps its length and all else; nothing is left to find', () => {
  const word = fc.oneof(
    fc.constantFrom(...RENAMES.map(({ from }) => from), ...RENAMES.map(({ from }) => from.toUpperCase())),
    fc.string({ maxLength: 8 }),
    fc.constantFrom(' ', '=', '\n', '"', '/', '-', 'PTUUID='),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => {
      const text = words.join('');
      const find = finderOf(RENAMES);
      const found = find(Buffer.from(text));
      const after = Buffer.from(rewritten(text));
      assert.is(after.length, Buffer.from(text).length);
      assert.equal(find(after), []);
      let end = 0;
      for (const { at, bytes } of found) {
        assert.ok(at >= end, 'they overlap');
        assert.ok(after.subarray(end, at).equals(Buffer.from(text).subarray(end, at)));
        end = at + bytes.length;
      }
      assert.ok(after.subarray(end).equals(Buffer.from(text).subarray(end)));
    }),
    { seed: SEED, numRuns: rounds({ short: 500, long: 50_000 }) },
  );
});

test('renames: disk, partitions and volumes, and only what has a new ID', () => {
  const { identity } = drawIdentity(GPT, { random: randomBytes, fixed: { 1: 'whatever' } });
  assert.equal(renamesOf(GPT, identity), [
    { from: OTHER, to: identity.diskId },
    ...(GPT.table?.partitions ?? []).map(({ id, number }) => ({ from: id, to: identity.partitionIds[number] })),
    { from: ROOT, to: identity.volumes[2] },
  ]);
});

test('of two volumes with the same ID the first is meant', () => {
  const disk = { table: undefined, volumes: [volume(1, 'ext4', ROOT), volume(2, 'ext4', ROOT)] };
  const { identity } = drawIdentity(disk, { random: randomBytes });
  assert.is.not(identity.volumes[1], identity.volumes[2]);
  assert.equal(renamesOf(disk, identity), [{ from: ROOT, to: identity.volumes[1] }]);
});

test('equal IDs are found across numbers and cases; a twin has none', () => {
  const moved: DiskIds = {
    table: { kind: 'gpt', id: OTHER.toUpperCase(), partitions: [{ number: 9, id: PARTITION }] },
    volumes: [volume(9, 'ext4', ROOT), volume(3, 'swap', '')],
  };
  assert.equal(equalIds(GPT, moved), [
    { what: 'disk', id: OTHER, first: '', second: '' },
    { what: 'partition', id: PARTITION, first: 'partition 2', second: 'partition 9' },
    { what: 'volume', id: ROOT, first: 'partition 2', second: 'partition 9' },
  ]);
  assert.equal(equalIds(MBR, GPT), []);
  const { identity } = drawIdentity(MBR, { random: randomBytes });
  const twin: DiskIds = {
    table: { kind: 'mbr', id: identity.diskId, partitions: [{ number: 1, id: identity.partitionIds[1] ?? '' }] },
    volumes: [volume(1, 'ntfs', identity.volumes[1] ?? '')],
  };
  assert.equal(equalIds(MBR, twin), []);
});

test('patterns mean files in folders, in any case where the file system ignores it', async () => {
  const tree: Record<string, string[]> = {
    '/': ['.', '..', 'EFI', 'etc'],
    '/EFI': ['debian', 'BOOT', 'x.efi'],
    '/EFI/debian': ['GRUB.CFG', 'grubx64.efi', 'a.cfg.bak'],
    '/EFI/BOOT': ['grub.cfg'],
  };
  const list = async (folder: string): Promise<string[] | undefined> => tree[folder];
  assert.equal(await pathsOf({ list, ignoresCase: true }, '/EFI/*/*.cfg'), [
    '/EFI/debian/GRUB.CFG',
    '/EFI/BOOT/grub.cfg',
  ]);
  assert.equal(await pathsOf({ list, ignoresCase: false }, '/EFI/*/*.cfg'), ['/EFI/BOOT/grub.cfg']);
  assert.equal(await pathsOf({ list, ignoresCase: false }, '/etc/fstab'), []);
  assert.equal(await pathsOf({ list, ignoresCase: false }, '/efi/x.efi'), []);
});

test('a program counts as signed unless it is known not to be', async () => {
  const program = Buffer.alloc(4096);
  const signed = (): Promise<boolean> => {
    const extents = [{ position: 0, offset: 0, length: program.length, unwritten: false }];
    const file = { size: program.length, owner: 0, permissions: 0, shared: false, extents };
    return isSigned(memoryTarget(program), file);
  };
  assert.is(await signed(), true, 'no program');
  program.writeUInt32LE(128, 0x3c);
  program.write('PE\0\0', 128, 'latin1');
  program.writeUInt16LE(0x20b, 152);
  program.writeUInt32LE(16, 152 + 108);
  assert.is(await signed(), false);
  program.writeUInt32LE(1000, 152 + 112 + 4 * 8 + 4);
  assert.is(await signed(), true);
  program.writeUInt32LE(0xfffffff0, 0x3c);
  assert.is(await signed(), true, 'its header lies outside');
});

test.run();
