// Sizes, durations, 64-bit numbers, checksums and digests.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32, crc32c, rawCrc32c } from '../../src/base/checksum.js';
import { DIGEST_LENGTH, DigestStream, digestOf, isUnknown } from '../../src/base/digest.js';
import { FormatError, readSplitU64LE, readU64BE, readU64LE, writeU64LE } from '../../src/base/u64.js';
import { formatBytes, formatBytesExact, formatDuration, GiB, KiB, MiB, parseSize, TiB } from '../../src/base/units.js';

test('sizes as people read them', () => {
  const cases: readonly (readonly [bytes: number, text: string])[] = [
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [10 * KiB, '10 KiB'],
    [19.5 * KiB, '19.5 KiB'],
    [1.25 * GiB, '1.25 GiB'],
    [99.96 * MiB, '100 MiB'],
    [500_107_862_016, '466 GiB'],
    [TiB, '1 TiB'],
    [Number.MAX_SAFE_INTEGER, '8 PiB'],
  ];
  for (const [bytes, text] of cases) assert.is(formatBytes(bytes), text);
  assert.is(formatBytesExact(1000), '1000 bytes');
  assert.is(formatBytesExact(2048), '2 KiB (2048 bytes)');
});

test('a size is never shown as 1024 of a unit that has a next one', () => {
  fc.assert(
    fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (bytes) => {
      const text = formatBytes(bytes);
      assert.match(text, /^\d+(\.\d+)? (bytes?|[KMGTP]iB)$/);
      if (!text.endsWith('PiB')) assert.not.match(text, /^1024 /, `${bytes}`);
    }),
  );
  for (const bytes of [MiB - 1, GiB - 1, TiB - 1]) assert.not.match(formatBytes(bytes), /^1024 /);
});

test('sizes as people write them', () => {
  const cases: readonly (readonly [text: string, bytes: number | undefined])[] = [
    ['0', 0],
    ['512', 512],
    ['200G', 200 * GiB],
    ['200GiB', 200 * GiB],
    ['200 gib', 200 * GiB],
    ['200GB', 200e9],
    ['1.5k', 1536],
    [' 3 MiB ', 3 * MiB],
    ['2T', 2 * TiB],
    ['1b', 1],
    ['', undefined],
    ['G', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['1.', undefined],
    ['.5G', undefined],
    ['5 parsecs', undefined],
    ['99999999T', undefined],
    ['1__proto__', undefined],
    ['1constructor', undefined],
  ];
  for (const [text, bytes] of cases) assert.is(parseSize(text), bytes, text);
});

test('durations', () => {
  const cases: readonly (readonly [seconds: number, text: string])[] = [
    [0, '0.0 s'],
    [3.24, '3.2 s'],
    [9.99, '10 s'],
    [59.7, '1 min 0 s'],
    [60, '1 min 0 s'],
    [250, '4 min 10 s'],
    [3599.9, '1 h 0 min'],
    [7500, '2 h 5 min'],
  ];
  for (const [seconds, text] of cases) assert.is(formatDuration(seconds), text);
});

test('64-bit numbers survive, and impossible ones are refused', () => {
  fc.assert(
    fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(16), (value, offset) => {
      const bytes = Buffer.alloc(32, 0xa5);
      writeU64LE(bytes, value, offset);
      assert.is(bytes.readBigUInt64LE(offset), BigInt(value));
      assert.is(readU64LE(bytes, offset), value);
      assert.is(readSplitU64LE(bytes, { low: offset, high: offset + 4 }), value);
      bytes.writeBigUInt64BE(BigInt(value), offset);
      assert.is(readU64BE(bytes, offset), value);
    }),
  );
  const bytes = Buffer.alloc(16);
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    bytes.writeBigUInt64LE(value);
    bytes.writeBigUInt64BE(value, 8);
    assert.throws(() => readU64LE(bytes, 0), isFormatError);
    assert.throws(() => readU64BE(bytes, 8), isFormatError);
  }
  for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => writeU64LE(bytes, value, 0), isFormatError);
  assert.throws(
    () => readU64LE(bytes, 9),
    (error: Error) => error instanceof RangeError,
  );
});

function isFormatError(error: Error): boolean {
  return error instanceof FormatError;
}

test('checksums: published vectors', () => {
  const digits = Buffer.from('123456789');
  assert.is(crc32(digits), 0xcbf43926); // ITU-T V.42
  assert.is(crc32c(digits), 0xe3069283); // RFC 3720, appendix B.4 and after it
  assert.is(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.is(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.is(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index))), 0x46dd794e);
  assert.is(crc32(Buffer.alloc(0)), 0);
  assert.is(crc32c(Buffer.alloc(0)), 0);
});

test('checksums continue where they stopped', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (array, cut) => {
      const bytes = Buffer.from(array);
      const [head, tail] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.is(crc32c(tail, crc32c(head)), crc32c(bytes));
      assert.is(rawCrc32c(rawCrc32c(0xffffffff, head), tail), rawCrc32c(0xffffffff, bytes));
      assert.is(rawCrc32c(0xffffffff, bytes), ~crc32c(bytes) >>> 0);
    }),
  );
});

test('digests: XXH3-128 as published, and zeros never stand for content', () => {
  // XXH3-128 of nothing with seed 0 (xxHash repository, tests/sanity_test_vectors.h), in canonical (big-endian) order.
  assert.is(digestOf(Buffer.alloc(0)).toString('hex'), '99aa06d3014798d86001c324468d497f');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (array) => {
      const digest = digestOf(Buffer.from(array));
      assert.is(digest.length, DIGEST_LENGTH);
      assert.not.ok(isUnknown(digest, 0));
    }),
  );
  assert.ok(isUnknown(Buffer.alloc(48, 0), 16));
  for (let at = 0; at < DIGEST_LENGTH; at += 1) {
    const almost = Buffer.alloc(DIGEST_LENGTH);
    almost[at] = 0x80;
    assert.not.ok(isUnknown(almost, 0));
  }
});

test('a digest of pieces depends on where they are cut', () => {
  const of = (...pieces: string[]): string => {
    const stream = new DigestStream();
    for (const piece of pieces) stream.add(Buffer.from(piece));
    return stream.finish().toString('hex');
  };
  assert.is(of('ab', 'c'), of('ab', 'c'));
  assert.is.not(of('ab', 'c'), of('a', 'bc'));
  assert.is.not(of('abc'), of('abc', ''));
});

test.run();
