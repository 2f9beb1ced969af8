// Makes F2FS images through f2fs-tools: sload.f2fs fills them, dump.f2fs reads files back, fsck.f2fs judges.

import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Random } from './random.js';
import { run, tryRun } from './run.js';

export interface F2fsGeometry {
  readonly size: number;
  readonly label?: string;
  readonly options?: readonly string[];
  /** What the volume holds before; the second half of it stays, wherever nothing is written. */
  readonly content?: Buffer;
}

/** mkfs.f2fs takes labels in the locale's characters. */
export function makeF2fs(path: string, { size, label = 'Fläche', options = [], content }: F2fsGeometry): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, size);
  if (content) writeFileSync(path, Buffer.from(content).fill(0, 0, Math.floor(size / 2)));
  run('mkfs.f2fs', ['-q', '-f', '-t', 'nodiscard', '-l', label, ...options, path], { env: { LC_ALL: 'C.UTF-8' } });
}

/** Files with unique names in folders, about `budget` bytes; `tree` is a new folder and stays. */
export function fillF2fs(image: string, tree: string, random: Random, { budget }: { budget: number }): void {
  let left = budget;
  for (let index = 0; left > 0 && index < 40; index += 1) {
    const parent = join(tree, `folder ${index % 3}`, `ü${index % 2}`);
    mkdirSync(parent, { recursive: true });
    const length = Math.min(left, random.pick([0, 10, 3400, 40_000, 900_000, 5_000_000]) + random.below(5000));
    writeFileSync(join(parent, `file-${index}`), random.bytes(length));
    left -= length;
  }
  run('sload.f2fs', ['-f', tree, image]);
}

/** Name and sha256 of every file below `folder` of at least so many bytes. */
export function hashNames(folder: string, { least = 0 }: { least?: number } = {}): Map<string, string> {
  const hashes: [string, string][] = [];
  if (!existsSync(folder)) return new Map();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    if (bytes.length >= least) hashes.push([entry.name, createHash('sha256').update(bytes).digest('hex')]);
  }
  return new Map(hashes.sort());
}

const FIRST_INODE = 3;

/** The same of every file in the image, read back through dump.f2fs into the new folder `work`. */
export function dumpF2fs(image: string, work: string, { inodes }: { inodes: number }): Map<string, string> {
  mkdirSync(work);
  const last = FIRST_INODE + inodes;
  const loop = `cd "$1" && for i in $(seq ${FIRST_INODE} ${last}); do echo y | dump.f2fs -i $i "$2" >/dev/null 2>&1; done; true`;
  run('sh', ['-c', loop, 'sh', work, image]);
  return hashNames(join(work, 'lost_found'));
}

/** fsck.f2fs checks everything and finds nothing. */
export function assertSoundF2fs(path: string): void {
  const { stdout, stderr } = tryRun('fsck.f2fs', ['-f', '--dry-run', path]);
  assert.not.match(stdout + stderr, /\[Fail\]|ASSERT|\[FIX\]/);
  assert.match(stdout, /valid_block_count matching with CP\s+\[Ok/, stderr);
}

/** Used bytes by the checkpoint: what lies before the main area, and the valid blocks. */
export function expectedF2fsUse(path: string): number {
  const said = run('dump.f2fs', ['-d1', path]);
  const number = (name: string): number => {
    const match = new RegExp(`^${name}\\s+\\[0x\\s*([0-9a-f]+)`, 'm').exec(said);
    if (!match) throw new Error(`dump.f2fs does not say ${name}`);
    return Number.parseInt(match[1] ?? '', 16);
  };
  return (number('main_blkaddr') + number('valid_block_count')) * 4096;
}

/** CRC-32 as F2FS has it, bit by bit, to judge the fast one. */
export function f2fsCrc(bytes: Buffer, seed = 0xf2f52010): number {
  let crc = seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return crc >>> 0;
}

export interface F2fsLayout {
  readonly checkpoint: number;
  readonly sit: number;
  readonly sitBlocks: number;
  readonly main: number;
  /** Of the newest pack: byte offsets of its first and last block, and of its first summary. */
  readonly head: number;
  readonly foot: number;
  readonly summary: number;
  readonly flags: number;
}

/** Byte offsets, straight from superblock and checkpoints. */
export function f2fsLayout(bytes: Buffer): F2fsLayout {
  const block = (at: number): number => bytes.readUInt32LE(1024 + at) * 4096;
  const checkpoint = block(76);
  const [one = 0n, two = 0n] = [0, 512].map((pack) => bytes.readBigUInt64LE(checkpoint + pack * 4096));
  const head = two > one ? checkpoint + 512 * 4096 : checkpoint;
  return {
    checkpoint,
    sit: block(80),
    sitBlocks: (bytes.readUInt32LE(1024 + 56) / 2) * 512,
    main: block(92),
    head,
    foot: head + (bytes.readUInt32LE(head + 136) - 1) * 4096,
    summary: head + bytes.readUInt32LE(head + 140) * 4096,
    flags: bytes.readUInt32LE(head + 132),
  };
}

/** Copies the pack's first block over its last and makes both checksums right again. */
export function sealF2fs(bytes: Buffer): void {
  const { head, foot } = f2fsLayout(bytes);
  const at = bytes.readUInt32LE(head + 164);
  let crc = f2fsCrc(bytes.subarray(head, head + at));
  if (at < 4092) crc = f2fsCrc(bytes.subarray(head + at + 4, head + 4096), crc);
  bytes.writeUInt32LE(crc, head + at);
  bytes.copy(bytes, foot, head, head + 4096);
}
