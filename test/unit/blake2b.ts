// BLAKE2b against node:crypto (64 bytes) and the digests that b2sum prints (32 bytes).

import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blake2b } from '../../src/base/blake2b.js';
import { randomFrom, SEED } from '../support/random.js';

test('64 bytes are what node:crypto says, for every length around the block limits', () => {
  const random = randomFrom(SEED);
  for (const length of [0, 1, 3, 64, 127, 128, 129, 255, 256, 257, 1000, 4064, 16352, 65504]) {
    const bytes = random.bytes(length);
    assert.is(blake2b(bytes, 64).toString('hex'), createHash('blake2b512').update(bytes).digest('hex'), `${length}`);
  }
});

test('32 bytes are what b2sum -l 256 says', () => {
  assert.is(
    blake2b(Buffer.alloc(0), 32).toString('hex'),
    '0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8',
  );
  assert.is(
    blake2b(Buffer.from('abc'), 32).toString('hex'),
    'bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319',
  );
});

test('a digest of a part of a larger buffer does not see the rest', () => {
  const bytes = randomFrom(SEED).bytes(500);
  assert.equal(blake2b(bytes.subarray(100, 333), 32), blake2b(Buffer.from(bytes.subarray(100, 333)), 32));
});

test.run();
