// What random work consists of: each operation is one thing that programs do to files.
// Invariant: an operation that finds nothing to work on returns false and has done nothing.

import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tryRun } from './run.js';
import type { Abilities, WorkFile, Workload } from './workload.js';
import { anyFile, type Operation, type Row, rangeIn, sizeFor, toFile } from './workload-choice.js';
import { TOOL_OPERATIONS } from './workload-tools.js';
import { FULL } from './xfs-io.js';

/** All that `can` be done; what programs do often is there several times. */
export function operationsOf(can: Abilities): Operation[] {
  return [...OPERATIONS, ...TOOL_OPERATIONS].flatMap(([name, weight, act, needs = []]) =>
    needs.every((need) => can[need]) ? Array<Operation>(weight).fill({ name, act }) : [],
  );
}

function newFile(work: Workload, fill: (path: string) => void): boolean {
  const path = work.newPath();
  const file: WorkFile = { paths: [path], size: 0, touchedAt: Date.now() };
  work.files.push(file); // before it is filled: if that fails, what there is of it is still known
  try {
    fill(work.absolute(path));
  } catch (error) {
    if (!existsSync(work.absolute(path))) work.forget(file);
    throw error;
  }
  file.size = statSync(work.absolute(path)).size;
  return true;
}

function createSparse(work: Workload, path: string): void {
  const fd = openSync(path, 'w');
  try {
    for (let piece = work.random.between(1, 4); piece > 0; piece -= 1) {
      writeSync(fd, work.random.bytes(work.random.between(1, 6000)), null, null, work.random.below(work.largest));
    }
  } finally {
    closeSync(fd);
  }
}

/** Every second block: as many extents as the file has blocks. */
function scatter({ random, blockSize, largest }: Workload, path: string): void {
  const fd = openSync(path, 'w');
  try {
    const blocks = Math.floor((largest * random.pick([1, 1, 4])) / blockSize);
    const block = random.bytes(blockSize);
    for (let at = random.below(2); at < blocks; at += 2) writeSync(fd, block, 0, blockSize, at * blockSize);
  } finally {
    closeSync(fd);
  }
}

function overwrite(work: Workload, file: WorkFile, { restamp = false } = {}): void {
  const path = work.open(file);
  const { at, length } = rangeIn(work, file.size);
  const { atime, mtime } = statSync(path);
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, work.random.bytes(length), 0, length, at);
    if (restamp) futimesSync(fd, atime, mtime);
  } finally {
    closeSync(fd);
  }
}

function append(work: Workload, file: WorkFile): void {
  const bytes = work.random.bytes(sizeFor(work));
  const path = work.open(file);
  appendFileSync(path, bytes);
  file.size = statSync(path).size;
}

function truncate(work: Workload, file: WorkFile, size: number): void {
  truncateSync(work.open(file), size);
  file.size = size;
}

function rewrite(work: Workload, file: WorkFile): void {
  const path = work.open(file);
  const fd = openSync(path, 'r+');
  try {
    ftruncateSync(fd, 0);
    const bytes = work.random.bytes(sizeFor(work));
    writeSync(fd, bytes, 0, bytes.length, 0);
    file.size = bytes.length;
  } finally {
    closeSync(fd);
  }
}

function unlink(work: Workload, file: WorkFile): void {
  const path = work.random.pick(file.paths);
  if (work.io.isPendingFor(file)) work.io.flush();
  unlinkSync(work.absolute(path));
  file.paths.splice(file.paths.indexOf(path), 1);
  if (file.paths.length === 0) work.forget(file);
}

/** To a new name, or to that of another file, which loses it. */
function rename(work: Workload, file: WorkFile): void {
  work.io.flush();
  const other = work.random.chance(0.5) ? anyFile(work) : undefined;
  const from = work.random.pick(file.paths);
  const to = other && other !== file ? work.random.pick(other.paths) : work.newPath();
  renameSync(work.absolute(from), work.absolute(to));
  file.paths[file.paths.indexOf(from)] = to;
  if (!other || other === file) return;
  other.paths.splice(other.paths.indexOf(to), 1);
  work.touch(other);
  if (other.paths.length === 0) work.forget(other);
}

function link(work: Workload, file: WorkFile): void {
  const path = work.newPath();
  linkSync(work.open(file), work.absolute(path));
  file.paths.push(path);
}

function renameFolder(work: Workload): boolean {
  work.io.flush();
  const index = work.random.below(work.folders.length);
  const from = work.folders[index] ?? '';
  const to = work.newName();
  renameSync(work.absolute(from), work.absolute(to));
  work.folders[index] = to;
  for (const { paths } of work.files) {
    for (const [place, path] of paths.entries()) {
      if (path.startsWith(`${from}/`)) paths[place] = `${to}${path.slice(from.length)}`;
    }
  }
  return true;
}

function copy(work: Workload): boolean {
  const file = anyFile(work);
  if (!file) return false;
  const from = work.open(file);
  return newFile(work, (path) => copyFileSync(from, path));
}

function read(work: Workload): boolean {
  const file = anyFile(work);
  if (file) readFileSync(work.open(file));
  return file !== undefined;
}

function setAttribute(work: Workload, file: WorkFile): void {
  const value = 'v'.repeat(work.random.pick([1, 30, 300]));
  const { status, stderr } = tryRun('setfattr', ['-n', `user.a${work.random.below(3)}`, '-v', value, work.open(file)]);
  if (status !== 0 && !stderr.includes(FULL)) throw new Error(stderr);
}

const OPERATIONS: readonly Row[] = [
  ['create', 6, (work) => newFile(work, (path) => writeFileSync(path, work.random.bytes(sizeFor(work))))],
  ['create sparse', 1, (work) => newFile(work, (path) => createSparse(work, path))],
  ['scatter', 1, (work) => newFile(work, (path) => scatter(work, path))],
  ['copy', 2, copy],
  ['append', 3, toFile(append)],
  ['overwrite', 5, toFile(overwrite, 1)],
  ['overwrite and old times', 3, toFile((work, file) => overwrite(work, file, { restamp: true }), 1)],
  ['rewrite', 2, toFile(rewrite)],
  ['shorten', 2, toFile((work, file) => truncate(work, file, work.random.below(file.size)), 1)],
  ['lengthen', 1, toFile((work, file) => truncate(work, file, file.size + work.random.below(work.largest)))],
  ['unlink', 4, toFile(unlink)],
  ['rename', 2, toFile(rename)],
  ['rename folder', 1, renameFolder],
  ['times', 1, toFile((work, file) => utimesSync(work.open(file), 1e9, work.random.below(1e9)))],
  ['read', 2, read],
  ['link', 2, toFile(link), ['hardLink']],
  ['chmod', 1, toFile((work, file) => chmodSync(work.open(file), work.random.pick([0o600, 0o644]))), ['permissions']],
  ['xattr', 1, toFile(setAttribute), ['xattr']],
];
