// XFS in image files: made by mkfs.xfs, mounted by the kernel, judged by xfs_repair and xfs_db.

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  rmdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { crc32c } from '../../src/base/checksum.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import type { Source } from '../../src/source/types.js';
import { fileSource } from './file-source.js';
import { run, tryRun } from './run.js';

/** A new image of `size` bytes (sparse) with a file system in it. Newer mkfs.xfs wants a word for small ones. */
export function makeXfs(path: string, size: number, options: readonly string[] = []): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, size);
  const small = tryRun('mkfs.xfs', ['--unsupported', '-q', '-f', ...options, path]);
  if (small.status !== 0) run('mkfs.xfs', ['-q', '-f', ...options, path]);
}

/** Mounts the image through a loop device, runs `work` with the folder, unmounts. */
export function mountedXfs<T>(image: string, work: (folder: string) => T, options = 'rw'): T {
  const folder = `${image}.mounted`;
  mkdirSync(folder);
  try {
    run('mount', ['-t', 'xfs', '-o', `loop,${options}`, image, folder]);
    try {
      return work(folder);
    } finally {
      run('umount', [folder]);
    }
  } finally {
    rmdirSync(folder);
  }
}

/** What xfs_db prints for the commands. */
export function xfsDb(image: string, ...commands: string[]): string {
  return run('xfs_db', ['-f', '-r', ...commands.flatMap((command) => ['-c', command]), image]);
}

/** A number that xfs_db calls `name`, in the superblock unless `where` names another place. */
export function xfsField(image: string, name: string, where = 'sb 0'): number {
  return Number(new RegExp(`^${name} = (\\S+)`, 'm').exec(xfsDb(image, where, `p ${name}`))?.[1]);
}

/** Used bytes by xfs_db: blocks − free extents − blocks in the AGFLs, times the block size. */
export function usedByXfsDb(image: string): number {
  const free = Number(/^total free blocks (\d+)/m.exec(xfsDb(image, 'freesp -s'))?.[1]);
  return (xfsField(image, 'dblocks') - free) * xfsField(image, 'blocksize');
}

/** Throws with what xfs_repair found unless the file system is perfect. */
export function demandPerfectXfs(image: string): void {
  const { status, stdout, stderr } = tryRun('xfs_repair', ['-n', '-f', image]);
  if (status !== 0 || /would (?:have|be)|ALERT/.test(stderr.replace(/^No modify flag set.*/gm, ''))) {
    throw new Error(`xfs_repair -n ${image} ended with ${status}\n${stdout}${stderr}`);
  }
}

/** Opens, probes, runs `work`, closes. Throws if the plugin does not know the image. */
export async function withXfs<T>(
  image: string,
  work: (volume: Source, info: FilesystemInfo) => Promise<T>,
): Promise<T> {
  const volume = fileSource(image);
  try {
    const info = await xfs.probe(volume);
    if (!info) throw new Error(`${image} is not recognised`);
    return await work(volume, info);
  } finally {
    await volume.close();
  }
}

/** Where the checksum of each kind of structure lies. */
export const CHECKSUM_AT = { superblock: 224, agf: 216, agi: 312, agfl: 32, btree: 52 } as const;

/** Makes the checksum of a whole structure right again. */
export function sealXfs(bytes: Buffer, kind: keyof typeof CHECKSUM_AT): void {
  const at = CHECKSUM_AT[kind];
  bytes.writeUInt32LE(0, at);
  bytes.writeUInt32LE(crc32c(bytes), at);
}

/** Changes bytes of the image; `change` edits them in place. */
export function patchFile(
  image: string,
  { offset, length }: { offset: number; length: number },
  change: (bytes: Buffer) => void,
): void {
  const fd = openSync(image, 'r+');
  try {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, offset);
    change(bytes);
    writeSync(fd, bytes, 0, length, offset);
  } finally {
    closeSync(fd);
  }
}

/** Where the log begins. */
export function logOffset(image: string): number {
  const start = xfsField(image, 'logstart');
  const group = Math.floor(start / 2 ** xfsField(image, 'agblklog'));
  const block = start % 2 ** xfsField(image, 'agblklog');
  return (group * xfsField(image, 'agblocks') + block) * xfsField(image, 'blocksize');
}

/** What xfs_logprint finds: the log's state, and where it would go on (in blocks of 512 bytes); undefined if nothing. */
export function logByXfsprogs(image: string): { readonly clean: boolean; readonly head: number } | undefined {
  const [, head, state] = /head: (\d+) state: <(\w+)>/.exec(tryRun('xfs_logprint', ['-t', image]).stdout) ?? [];
  return state === undefined ? undefined : { clean: state === 'CLEAN', head: Number(head) };
}

/** A file whose bytes and inode are on the medium: in the log, at least. */
export function writeSynced(path: string, bytes: Buffer): void {
  const fd = openSync(path, 'w');
  writeFileSync(fd, bytes);
  fsyncSync(fd);
  closeSync(fd);
}

/** A file of allocated blocks, and another beside it that grows by turns, so that neither has two blocks in a row. */
export function growByTurns(path: string, { count, blockSize }: { count: number; blockSize: number }): void {
  const turns = Array.from({ length: count }, (_, index) => `falloc ${index * blockSize} ${blockSize}\n`);
  const input = turns.map((turn) => `file 0\n${turn}file 1\n${turn}`).join('');
  run('xfs_io', ['-f', path, `${path}.other`], { input });
}
