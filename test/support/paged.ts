// Content of page and swap files that can be told from everything else on a disk, sector by sector: so the judge of a
// clone needs no file system to see which bytes were left out.

import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';

const SECTOR: Bytes = 512;
const MARK = Buffer.from('paged out memory, sector ');

/** Each sector begins with a mark and its number. */
export function pagedContent(length: Bytes): Buffer {
  const bytes = Buffer.alloc(length, '.');
  for (let at = 0; at < length; at += SECTOR) {
    MARK.copy(bytes, at, 0, Math.min(MARK.length, length - at));
    bytes.write(`${at / SECTOR}`, Math.min(at + MARK.length, length));
  }
  return bytes;
}

/** Writes such content over a part of a file. */
export function writePaged(path: string, { offset, length }: { offset: Bytes; length: Bytes }): void {
  const fd = openSync(path, 'r+');
  const bytes = pagedContent(length);
  assert.is(writeSync(fd, bytes, 0, length, offset), length);
  closeSync(fd);
}

interface Found {
  /** Sectors of the source that hold paged memory. */
  readonly paged: number;
  /** Those of them that are zeros, or the same, on the target. */
  readonly zeroed: number;
  readonly same: number;
}

/** What became of paged memory on the target, wherever it lies. */
export function pagedSectors(source: string, target: string): Found {
  const fds = [openSync(source, 'r'), openSync(target, 'r')] as const;
  const [wanted, found] = [Buffer.alloc(MiB), Buffer.alloc(MiB)];
  const zeros = Buffer.alloc(SECTOR);
  let [paged, zeroed, same] = [0, 0, 0];
  const { size } = fstatSync(fds[0]);
  for (let offset = 0; offset < size; offset += MiB) {
    const length = readSync(fds[0], wanted, 0, MiB, offset);
    readSync(fds[1], found, 0, MiB, offset);
    for (let at = 0; at < length; at += SECTOR) {
      if (wanted.compare(MARK, 0, MARK.length, at, at + MARK.length) !== 0) continue;
      paged += 1;
      if (found.compare(zeros, 0, SECTOR, at, at + SECTOR) === 0) zeroed += 1;
      if (found.compare(wanted, at, at + SECTOR, at, at + SECTOR) === 0) same += 1;
    }
  }
  for (const fd of fds) closeSync(fd);
  return { paged, zeroed, same };
}

/** All of it was left out. */
export function demandLeftOut(source: string, target: string, bytes: Bytes): void {
  const sectors = bytes / SECTOR;
  assert.equal(pagedSectors(source, target), { paged: sectors, zeroed: sectors, same: 0 });
}

/** All of it was copied. */
export function demandKept(source: string, target: string): void {
  const { paged, zeroed, same } = pagedSectors(source, target);
  assert.ok(paged > 0);
  assert.equal({ zeroed, same }, { zeroed: 0, same: paged });
}
