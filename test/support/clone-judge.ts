// Judges a clone without the code under test: tables by sgdisk and sfdisk, file systems by their own checkers, files by
// their digests, and every byte that no file system uses by what may be there.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { type BuiltDisk, listDisk, readAt } from './disk-builder.js';
import { attachLoop } from './loop-device.js';
import { type Listing, noiseMark } from './partition-content.js';
import { run } from './run.js';

/** What targets are filled with before they are cloned to. */
export const OLD_BYTE = 0xa5;

const PIECE = 1 * MiB;

/** `work` gets the file piece by piece. */
function eachPiece(path: string, work: (piece: Buffer, offset: Bytes) => void, within?: Extent): void {
  const fd = openSync(path, 'r');
  try {
    const { offset, length } = within ?? { offset: 0, length: fstatSync(fd).size };
    const buffer = Buffer.alloc(PIECE);
    for (let done = 0; done < length; done += PIECE) {
      const piece = buffer.subarray(0, Math.min(PIECE, length - done));
      if (readSync(fd, piece, 0, piece.length, offset + done) !== piece.length) throw new Error(`${path} is short`);
      work(piece, offset + done);
    }
  } finally {
    closeSync(fd);
  }
}

/** sha256 of a file, or of a part of it. */
export function sha256(path: string, within?: Extent): string {
  const hash = createHash('sha256');
  eachPiece(path, (piece) => hash.update(piece), within);
  return hash.digest('hex');
}

/** sha256 of everything outside `extent`. */
export function sha256Outside(path: string, extent: Extent, size: Bytes): string {
  const before = sha256(path, { offset: 0, length: extent.offset });
  return before + sha256(path, { offset: extentEnd(extent), length: size - extentEnd(extent) });
}

/** True if deleted data of the source (of a round of changes, or of the first) is anywhere in the file. */
export function holdsNoise(path: string, generation = 0): boolean {
  const mark = noiseMark(generation);
  let found = false;
  let tail = Buffer.alloc(0);
  eachPiece(path, (piece) => {
    found ||= Buffer.concat([tail, piece]).includes(mark);
    tail = Buffer.from(piece.subarray(piece.length - mark.length));
  });
  return found;
}

/** A file of `size` bytes of an older life. */
export function oldFile(path: string, size: Bytes): string {
  const piece = Buffer.alloc(4 * PIECE, OLD_BYTE);
  const fd = openSync(path, 'w');
  for (let done = 0; done < size; done += piece.length) writeSync(fd, piece, 0, Math.min(piece.length, size - done));
  closeSync(fd);
  return path;
}

/** The partition table by the tools of others; both copies of a GPT, the second in the disk's last sector. */
export function demandSoundTable({ table, sectorSize }: BuiltDisk, target: string): void {
  const verify = (disk: string): void => {
    assert.match(run('sfdisk', ['--verify', disk]), /No errors detected/);
    if (table === 'gpt') assert.match(run('sgdisk', ['-v', disk]), /No problems found/);
  };
  if (sectorSize === 512) verify(target);
  else attachLoop(target, sectorSize, verify);
  if (table === 'mbr') return;
  const fd = openSync(target, 'r');
  const { size } = fstatSync(fd);
  closeSync(fd);
  const last = Math.floor(size / sectorSize) - 1;
  assert.is(readAt(target, last * sectorSize, 8).toString('latin1'), 'EFI PART', 'backup in the last sector');
  assert.is(Number(readAt(target, sectorSize + 32, 8).readBigUInt64LE()), last, 'the primary header names it');
}

/** Boot code, disk signature and the gap before the first partition (behind a GPT's entries). */
export function demandSameBootCode({ path, table, sectorSize, partitions }: BuiltDisk, target: string): void {
  assert.ok(readAt(path, 0, 446).equals(readAt(target, 0, 446)), 'boot code');
  const offset = table === 'mbr' ? sectorSize : 2 * sectorSize + 128 * 128;
  const first = Math.min(...partitions.map(({ extent }) => extent.offset));
  const gap = { offset, length: first - offset };
  assert.is(sha256(target, gap), sha256(path, gap), 'the gap before the first partition');
}

/** The note that a run leaves in free space, as docs/BLOCK_MAP_FORMAT.md has it: its first sector; zeros follow. */
export function holdsWitness(path: string, offset: Bytes): boolean {
  return isWitness(readAt(path, offset, 512));
}

function isWitness(sector: Buffer): boolean {
  return /^ectype clone, run witness [0-9a-f]{32}: free space, may be overwritten\n\0*$/.test(
    sector.toString('latin1'),
  );
}

/** Each sector of each partition is the source's, or zero, or a witness, or what the target held before. */
export function demandNothingInvented({ path, partitions }: BuiltDisk, target: string): void {
  const old = Buffer.alloc(512, OLD_BYTE);
  const zero = Buffer.alloc(512);
  for (const { number, extent } of partitions) {
    eachPiece(
      target,
      (piece, offset) => {
        const wanted = readAt(path, offset, piece.length);
        if (piece.equals(wanted)) return;
        for (let at = 0; at < piece.length; at += 512) {
          const sector = piece.subarray(at, at + 512);
          const ours = sector.equals(zero) || isWitness(sector);
          const fine = ours || sector.equals(old) || sector.equals(wanted.subarray(at, at + 512));
          assert.ok(
            fine || isPatchwork(sector, wanted.subarray(at, at + 512)),
            `partition ${number}, byte ${offset + at}`,
          );
        }
      },
      extent,
    );
  }
}

/** A sector that is used in part: what is not the source's is zero. */
function isPatchwork(sector: Buffer, wanted: Buffer): boolean {
  return sector.every((byte, index) => byte === 0 || byte === wanted[index]);
}

/** All of the above, and every file of every partition. `wanted`: the files of the source. */
export async function demandClone(
  source: BuiltDisk,
  target: string,
  wanted: ReadonlyMap<number, Listing>,
): Promise<void> {
  demandSoundTable(source, target);
  demandSameBootCode(source, target);
  demandNothingInvented(source, target);
  assert.not.ok(holdsNoise(target), 'no deleted data');
  await demandSameFiles(source, target, wanted);
}

export async function demandSameFiles(
  { partitions }: BuiltDisk,
  target: string,
  wanted: ReadonlyMap<number, Listing>,
  without: (files: ReadonlyMap<number, Listing>) => ReadonlyMap<number, Listing> = (files) => files,
): Promise<void> {
  const found = without(await listDisk(target, partitions, { check: true }));
  for (const { number, content } of partitions) {
    const listing = wanted.get(number);
    assert.ok(listing && listing.size > 0, `partition ${number} of the source holds files`);
    assert.equal(found.get(number), listing, `files of partition ${number} (${content.kind})`);
  }
}
