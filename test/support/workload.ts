// Seeded random work on a mounted folder: everything that changes files, their places or their stamps, or only seems to.
// Invariant: the same seed does the same operations in the same order, as long as the file system does not become full.

import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';
import type { Random } from './random.js';
import type { Operation } from './workload-choice.js';
import { operationsOf } from './workload-operations.js';
import { XfsIo } from './xfs-io.js';

/** What the file system under test can do. */
export interface Abilities {
  readonly fallocate: boolean;
  /** Make holes, and zero ranges. */
  readonly punch: boolean;
  /** Take whole blocks out of the middle of a file, or put them in. */
  readonly shift: boolean;
  readonly reflink: boolean;
  readonly hardLink: boolean;
  readonly permissions: boolean;
  readonly xattr: boolean;
  readonly mmap: boolean;
  readonly direct: boolean;
}

/** ext4 can do all but reflinks. */
export const ALL: Abilities = {
  fallocate: true,
  punch: true,
  shift: true,
  reflink: true,
  hardLink: true,
  permissions: true,
  xattr: true,
  mmap: true,
  direct: true,
};

/** A file by its paths from the folder; hard links make several. */
export interface WorkFile {
  readonly paths: string[];
  size: number;
  /** When an operation last touched more of it than its access time; ms. */
  touchedAt: number;
}

export interface WorkloadOptions {
  readonly can: Abilities;
  /** Largest file that is made. */
  readonly largest?: number;
  /** Files are deleted when all have more bytes together. */
  readonly room?: number;
  /** Units of direct I/O, holes and shifted ranges. */
  readonly blockSize?: number;
}

const FOLDERS = 6;

export class Workload {
  readonly files: WorkFile[] = [];
  /** Folders from the top one; their names change. */
  readonly folders: string[] = [];
  /** How often each operation was done. */
  readonly counts = new Map<string, number>();
  readonly random: Random;
  readonly can: Abilities;
  readonly largest: number;
  readonly room: number;
  readonly blockSize: number;
  readonly #operations: readonly Operation[];
  #top = '';
  #io: XfsIo | undefined;
  #names = 0;

  constructor(random: Random, { can, largest = 256 * KiB, room = 24 * MiB, blockSize = 4 * KiB }: WorkloadOptions) {
    this.random = random;
    this.can = can;
    this.largest = largest;
    this.room = room;
    this.blockSize = blockSize;
    this.#operations = operationsOf(can);
  }

  /** Takes over the files below `folder`, as if they had been made by operations long ago. */
  adopt(folder: string): void {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }).sort(byPath)) {
      const path = join(entry.parentPath, entry.name).slice(folder.length + 1);
      if (entry.isFile()) this.files.push({ paths: [path], size: statSync(join(folder, path)).size, touchedAt: 0 });
    }
  }

  /** Does `count` operations in `folder`, the mount point or a folder below it, which may be elsewhere each time. */
  work(folder: string, count: number): void {
    this.#top = folder;
    const began = Date.now();
    const io = new XfsIo();
    this.#io = io;
    while (this.folders.length < FOLDERS) {
      const name = this.newName();
      mkdirSync(join(folder, name));
      this.folders.push(name);
    }
    for (let done = 0; done < count; ) if (this.#one()) done += 1;
    io.flush();
    for (const file of this.files) if (file.touchedAt >= began) this.touch(file);
  }

  #one(): boolean {
    const operation = this.bytes() > this.room ? this.#named('unlink') : this.random.pick(this.#operations);
    try {
      if (!operation.act(this)) return false;
    } catch (error) {
      if (!isFull(error)) throw error;
      for (let file = 0; file < 3; file += 1) this.#named('unlink').act(this);
    }
    this.counts.set(operation.name, (this.counts.get(operation.name) ?? 0) + 1);
    return true;
  }

  #named(wanted: string): Operation {
    const operation = this.#operations.find(({ name }) => name === wanted);
    if (!operation) throw new Error(`no operation ${wanted}`);
    return operation;
  }

  get io(): XfsIo {
    if (!this.#io) throw new Error('not at work');
    return this.#io;
  }

  bytes(): number {
    return this.files.reduce((total, { size }) => total + size, 0);
  }

  newName(): string {
    this.#names += 1;
    return `n${this.#names}${this.random.chance(0.1) ? '-long'.repeat(20) : ''}`;
  }

  newPath(): string {
    return join(this.random.pick(this.folders), this.newName());
  }

  absolute(path: string): string {
    return join(this.#top, path);
  }

  /** One path of a file, ready for an operation by node: what xfs_io still had to do with it is done. */
  open(file: WorkFile): string {
    const path = this.absolute(this.random.pick(file.paths));
    if (this.io.isPendingFor(file)) this.io.flush();
    return path;
  }

  touch(file: WorkFile): void {
    file.touchedAt = Date.now();
  }

  forget(file: WorkFile): void {
    const index = this.files.indexOf(file);
    if (index >= 0) this.files.splice(index, 1);
  }
}

function byPath(a: { parentPath: string; name: string }, b: { parentPath: string; name: string }): number {
  const [one, other] = [join(a.parentPath, a.name), join(b.parentPath, b.name)];
  return one < other ? -1 : one > other ? 1 : 0;
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
