// When what is known of a source's files may be believed: rules without a disk.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import { withoutEvidence } from '../../src/operation/session-record.js';
import { excludesCrash } from '../../src/plan/crash.js';
import { type CloneRecord, parseRecord } from '../../src/state/record.js';

const medium = { key: 'key', id: 'id', path: '/dev/sda' };

const record: CloneRecord = {
  version: 1,
  lineage: '0123456789ABCDEF',
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
      catalogue: 'volume-1048576.cat',
      sourceToken: 'ab'.repeat(16),
      targetToken: 'cd'.repeat(16),
    },
  ],
  contentIds: ['some-guid'],
  runsSinceCheck: 3,
};

test('from the first write on no catalogue describes what the target holds', () => {
  const [volume] = withoutEvidence(record).volumes;
  assert.is(volume?.catalogue, undefined);
  assert.is(volume?.sourceToken, undefined);
  assert.is(volume?.targetToken, undefined);
  assert.is(volume?.map, 'volume-1048576.map', 'the marker vouches for the map');
});

test('a record names a catalogue beside it, and nothing else', () => {
  const parsed = (catalogue: unknown): CloneRecord | undefined =>
    parseRecord({ ...record, volumes: [{ ...record.volumes[0], catalogue }] });
  assert.ok(parsed('volume-1048576-0123456789ABCDEF.cat'));
  for (const name of ['../other.cat', 'a/b.cat', 'volume.map', '', 7, null]) assert.is(parsed(name), undefined);
  assert.is(parseRecord({ ...record, runsSinceCheck: -1 }), undefined);
});

const filesystem = (kind: string, mounts?: number): FilesystemInfo => ({
  kind,
  label: '',
  uuid: '',
  size: 1 << 24,
  blockSize: 4096,
  used: undefined,
  lastWritten: undefined,
  ...(mounts === undefined ? {} : { mounts }),
});

test('a crash is excluded where mounts are counted and one clean one was since, or none of one in use', () => {
  const excludes = (then: number, now: number, boots: [string?, string?] = []): boolean => {
    const [was, is] = boots;
    const head = was === undefined ? { mounts: then } : { mounts: then, boot: was };
    return excludesCrash({ head, filesystem: filesystem('ext4', now), boot: is });
  };
  assert.ok(excludes(5, 5) && excludes(5, 6), 'unmounted then, one mount since');
  assert.not.ok(excludes(5, 7), 'a crash, and the mount that replayed the journal');
  assert.not.ok(excludes(5, 4), 'counted anew');
  assert.ok(excludes(5, 5, ['a', 'a']) && excludes(5, 5, ['a']), 'in use then, and the same mount still');
  assert.not.ok(excludes(5, 6, ['a', 'b']), 'that mount may have ended in a crash');
});

test('without a count only a source in use is believed, as long as the system was not started anew', () => {
  for (const kind of ['xfs', 'ntfs']) {
    const excludes = (was?: string, is?: string): boolean =>
      excludesCrash({ head: was === undefined ? {} : { boot: was }, filesystem: filesystem(kind), boot: is });
    assert.not.ok(excludes());
    assert.not.ok(excludes(undefined, 'a'));
    assert.not.ok(excludes('a', 'b'));
    assert.not.ok(excludes('a'), 'it was unmounted since, who knows how');
    assert.ok(excludes('a', 'a'));
  }
});

test('btrfs writes nothing with checksums in place', () => {
  assert.ok(excludesCrash({ head: {}, filesystem: filesystem('btrfs'), boot: undefined }));
});

test.run();
