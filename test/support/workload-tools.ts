// Operations that need xfs_io: memory maps, direct writes, allocation, holes, reflinks.
// Invariant: a command that must not fail (a store behind the end of a file kills) looks at the file's size first.

import { KiB } from '../../src/base/units.js';
import type { WorkFile, Workload } from './workload.js';
import { anyFile, blocksIn, measure, type Operation, type Row, rangeIn, toFile } from './workload-choice.js';

/** `commands` of xfs_io for a random file. */
function toFileByTool(
  commands: (work: Workload, file: WorkFile) => readonly string[],
  { smallest = 0, direct = false } = {},
): Operation['act'] {
  return toFile((work, file) => {
    const path = work.absolute(work.random.pick(file.paths));
    work.io.add([file], path, commands(work, file), { direct });
  }, smallest);
}

/** Some blocks of one file into another. */
function reflink(work: Workload, file: WorkFile): void {
  const from = anyFile(work, work.blockSize);
  if (!from || from === file || measure(work, from) < work.blockSize) return;
  const { at, length } = blocksIn(work, from.size);
  const to = work.random.below(Math.ceil(measure(work, file) / work.blockSize) + 1) * work.blockSize;
  file.size = Math.max(file.size, to + length);
  const [path, fromPath] = [file, from].map(({ paths }) => work.absolute(work.random.pick(paths)));
  work.io.add([file, from], path ?? '', [`reflink ${fromPath} ${at} ${to} ${length}`]);
}

function store(work: Workload, file: WorkFile): void {
  const size = measure(work, file);
  if (size === 0) return;
  const { at, length } = rangeIn(work, size);
  const end = work.random.pick([['msync -s'], ['msync -a'], []]);
  const commands = [`mmap -rw 0 ${size}`, `mwrite -S ${seed(work)} ${at} ${length}`, ...end, 'munmap'];
  work.io.add([file], work.absolute(work.random.pick(file.paths)), commands);
}

function seed({ random }: Workload): string {
  return `0x${random.between(1, 255).toString(16)}`;
}

/** Allocates, and sometimes writes a part of what was allocated. */
function preallocate(work: Workload, file: WorkFile): readonly string[] {
  const { random, largest } = work;
  const [at, length] = [random.below(Math.max(1, file.size)), random.between(1, largest)];
  const keep = random.chance(0.5);
  const commands = [`falloc ${keep ? '-k ' : ''}${at} ${length}`];
  if (!keep) file.size = Math.max(file.size, at + length);
  if (random.chance(0.7)) {
    const part = { at: at + random.below(length), length: random.between(1, 9000) };
    commands.push(`pwrite -q -S ${seed(work)} ${part.at} ${part.length}`);
    file.size = Math.max(file.size, part.at + part.length);
  }
  return commands;
}

function directWrite(work: Workload, file: WorkFile): readonly string[] {
  const { at, length } = blocksIn(work, file.size + 4 * work.blockSize);
  file.size = Math.max(file.size, at + length);
  return [`pwrite -q -b 64k -S ${seed(work)} ${at} ${length}`];
}

function shift(work: Workload, file: WorkFile): readonly string[] {
  if (measure(work, file) <= work.blockSize) return ['fsync'];
  const { at, length } = blocksIn(work, file.size - 1, 4);
  const collapses = at + length < file.size && work.random.chance(0.5);
  file.size += collapses ? -length : length;
  return [`${collapses ? 'fcollapse' : 'finsert'} ${at} ${length}`];
}

function range(work: Workload, file: WorkFile, command: string): readonly string[] {
  const { at, length } = rangeIn(work, file.size);
  return [`${command} ${at} ${length}`];
}

export const TOOL_OPERATIONS: readonly Row[] = [
  ['sync', 1, toFileByTool(() => ['fsync'])],
  ['store', 3, toFile(store, 1), ['mmap']],
  ['direct write', 3, toFileByTool(directWrite, { direct: true }), ['direct']],
  ['preallocate', 3, toFileByTool(preallocate), ['fallocate']],
  ['punch', 2, toFileByTool((work, file) => range(work, file, 'fpunch'), { smallest: 1 }), ['punch']],
  ['zero', 1, toFileByTool((work, file) => range(work, file, 'fzero -k'), { smallest: 1 }), ['punch']],
  ['shift', 1, toFileByTool(shift, { smallest: 20 * KiB }), ['shift']],
  ['reflink', 4, toFile(reflink), ['reflink']],
];
