// Encrypted volumes, RAID members and foreign file systems, made by hand (most tools want a kernel that takes part).
// blkid is their judge.

import type { Random } from './random.js';

const KiB = 1 << 10;

/** An LVM2 label in sector `sector`. */
export function addLvmLabel(bytes: Buffer, sector = 1): void {
  const label = bytes.subarray(sector * 512, (sector + 1) * 512).fill(0);
  label.write('LABELONE', 0);
  label.writeBigUInt64LE(BigInt(sector), 8);
  label.writeUInt32LE(32, 20);
  label.write('LVM2 001', 24);
  label.write('abcdefghijklmnopqrstuvwxyz012345', 32);
  let crc = 0xf597a6cf;
  for (const byte of label.subarray(20)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  label.writeUInt32LE(crc >>> 0, 16);
}

export type RaidVersion = '0.90' | '1.0' | '1.1' | '1.2';

/** Where the superblock of a RAID member lies. */
export function raidOffset(size: number, version: RaidVersion): number {
  if (version === '0.90') return Math.floor(size / (64 * KiB)) * 64 * KiB - 64 * KiB;
  if (version === '1.0') return Math.floor(size / 4096) * 4096 - 8192;
  return version === '1.1' ? 0 : 4096;
}

/** A superblock as mdadm writes it, as far as it matters here. */
export function addRaid(bytes: Buffer, version: RaidVersion, random: Random, { bigEndian = false } = {}): void {
  const at = raidOffset(bytes.length, version);
  const block = bytes.subarray(at, at + 4096).fill(0);
  if (version === '0.90') {
    const numbers = [0xa92b4efc, 0, 90, 0, 0, 0x11111111, 0, 1, at / KiB - 64, 2, 2, 0, 0, 0x22222222, 0x3333, 0x4444];
    for (const [index, number] of numbers.entries()) {
      if (bigEndian) block.writeUInt32BE(number, index * 4);
      else block.writeUInt32LE(number, index * 4);
    }
    return;
  }
  block.writeUInt32LE(0xa92b4efc, 0);
  block.writeUInt32LE(1, 4);
  random.bytes(16).copy(block, 16);
  block.write('host:0', 32);
  block.writeUInt32LE(1, 72);
  block.writeBigUInt64LE(BigInt(bytes.length / 512 - 4096), 80);
  block.writeUInt32LE(2, 92);
  block.writeBigUInt64LE(BigInt(at / 512), 144);
  random.bytes(16).copy(block, 168);
}

/** Uberblocks in the label number `label` of four. */
export function addZfs(bytes: Buffer, label: 0 | 1 | 2 | 3, { bigEndian = false } = {}): void {
  const length = 256 * KiB;
  const end = Math.floor(bytes.length / length) * length;
  const start = label < 2 ? label * length : end - (4 - label) * length;
  for (let slot = 4; slot < 12; slot += 1) {
    const at = start + 128 * KiB + slot * KiB;
    if (bigEndian) bytes.writeBigUInt64BE(0x00bab10cn, at);
    else bytes.writeBigUInt64LE(0x00bab10cn, at);
    bytes.writeUInt32LE(5000, at + 8);
  }
}

export function addBitLocker(bytes: Buffer, kind: 'vista' | 'seven' | 'to go'): void {
  const metadata = 1 << 20;
  bytes.write(kind === 'vista' ? 'eb5290' : 'eb5890', 0, 'hex');
  bytes.write(kind === 'to go' ? 'MSWIN4.1' : '-FVE-FS-', 3);
  if (kind === 'vista') return;
  const guid = kind === 'to go' ? 424 : 160;
  bytes.write('3bd66749292ed84a8399f6a339e3d001', guid, 'hex');
  bytes.writeBigUInt64LE(BigInt(metadata), guid + 16);
  bytes.write('-FVE-FS-', metadata);
  bytes.writeUInt16LE(2, metadata + 10);
}

export function addApfs(bytes: Buffer): void {
  const block = bytes.subarray(0, 4096).fill(0);
  block.writeBigUInt64LE(1n, 8);
  block.writeUInt16LE(1, 24);
  block.write('NXSB', 32);
  block.writeUInt32LE(4096, 36);
  block.write('an APFS of tests', 72);
  let low = 0n;
  let high = 0n;
  for (let at = 8; at < 4096; at += 4) {
    low += BigInt(block.readUInt32LE(at));
    high += low;
  }
  const most = 0xffffffffn;
  const sumLow = most - ((low + high) % most);
  block.writeUInt32LE(Number(sumLow), 0);
  block.writeUInt32LE(Number(most - ((low + sumLow) % most)), 4);
}

export function addHfsPlus(bytes: Buffer): void {
  const header = bytes.subarray(1024, 1536).fill(0);
  header.write('H+', 0);
  header.writeUInt16BE(4, 2);
  header.writeUInt32BE(4096, 40);
  header.writeUInt32BE(bytes.length / 4096, 44);
}
