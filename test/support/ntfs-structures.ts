// Where NTFS structures lie in an image of 4 KiB clusters and 1 KiB records, and a $LogFile as Windows writes it.

import { readFileSync } from 'node:fs';

const CLUSTER = 4096;
const RECORD = 1024;
/** Where the restart area lies in a restart page. */
const AREA = 48;

/** Offset of an MFT record; the table's first part lies in one piece. */
export function recordOffset(image: string, number: number): number {
  return Number(readFileSync(image).readBigUInt64LE(0x30)) * CLUSTER + number * RECORD;
}

/** Offset of a resident attribute's value, or of a non-resident attribute's first cluster. */
export function attributeOffset(image: string, number: number, type: number): number {
  const bytes = readFileSync(image);
  const record = recordOffset(image, number);
  for (let at = record + bytes.readUInt16LE(record + 20); bytes.readUInt32LE(at) !== 0xffffffff; ) {
    if (bytes.readUInt32LE(at) === type) {
      if (bytes[at + 8] === 0) return at + bytes.readUInt16LE(at + 20);
      const runs = at + bytes.readUInt16LE(at + 32);
      const header = bytes.readUInt8(runs);
      return bytes.readIntLE(runs + 1 + (header & 15), header >> 4) * CLUSTER;
    }
    at += bytes.readUInt32LE(at + 4);
  }
  throw new Error('no such attribute');
}

/** A restart page of 4096 bytes with one client, as Windows writes it. */
export function restartPage({ minor = 1, major = 1, client = 0xffff, flags = 0, lsn = 100 }): Buffer {
  const page = Buffer.alloc(4096);
  page.write('RSTR', 0, 'latin1');
  page.writeUInt16LE(30, 4);
  page.writeUInt16LE(9, 6);
  page.writeUInt32LE(4096, 16);
  page.writeUInt32LE(4096, 20);
  page.writeUInt16LE(AREA, 24);
  page.writeInt16LE(minor, 26);
  page.writeInt16LE(major, 28);
  const area = page.subarray(AREA);
  area.writeUInt32LE(lsn, 0);
  area.writeUInt16LE(1, 8);
  area.writeUInt16LE(client === 0 ? 0xffff : 0, 10);
  area.writeUInt16LE(client, 12);
  area.writeUInt16LE(flags, 14);
  area.writeUInt32LE(67 - 21, 16);
  area.writeUInt16LE(48 + 160, 20);
  area.writeUInt16LE(48, 22);
  area.writeUInt32LE(1 << 20, 24);
  area.writeUInt16LE(48, 36);
  area.writeUInt16LE(64, 38);
  area.writeUInt32LE(0xffffffff, 48 + 16);
  page.writeUInt16LE(7, 30);
  for (let stride = 0; stride < 8; stride += 1) {
    page.copy(page, 32 + stride * 2, stride * 512 + 510, stride * 512 + 512);
    page.writeUInt16LE(7, stride * 512 + 510);
  }
  return page;
}
