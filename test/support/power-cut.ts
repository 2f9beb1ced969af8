// What a power failure leaves on a medium: everything that was synced, and any subset of the sectors that were not.
// Invariant: a file's bytes are durable only after its own sync, a name only after its folder's.

import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from './random.js';
import type { Operation } from './write-log.js';

const SECTOR = 512;

/** All files below some folders: contents by inode, inodes by path. */
export interface Snapshot {
  readonly names: ReadonlyMap<string, number>;
  readonly contents: ReadonlyMap<number, Buffer>;
}

/** How many of the unsynced changes survive: of whole operations, and of the sectors of each of those. */
export interface Survival {
  readonly operations: number;
  readonly sectors: number;
}

export function takeSnapshot(folders: readonly string[]): Snapshot {
  const names = new Map<string, number>();
  const contents = new Map<number, Buffer>();
  const visit = (path: string): void => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) return;
    if (stats.isDirectory()) {
      for (const name of readdirSync(path)) visit(join(path, name));
      return;
    }
    names.set(path, stats.ino);
    contents.set(stats.ino, readFileSync(path));
  };
  folders.forEach(visit);
  return { names, contents };
}

/** What is on the medium if the power fails after the first `count` operations. */
export function afterCut(
  before: Snapshot,
  { log, count, survival, random }: { log: readonly Operation[]; count: number; survival: Survival; random: Random },
): Snapshot {
  const names = new Map(before.names);
  const contents = new Map([...before.contents].map(([inode, bytes]) => [inode, Buffer.from(bytes)]));
  const medium = { names, contents };
  let pending: Operation[] = [];
  const settle = (settled: (operation: Operation) => boolean): void => {
    for (const operation of pending) if (settled(operation)) apply(medium, operation, () => true);
    pending = pending.filter((operation) => !settled(operation));
  };
  for (const operation of log.slice(0, count)) {
    if (operation.kind === 'sync')
      settle((each) => 'inode' in each && each.kind !== 'name' && each.inode === operation.inode);
    else if (operation.kind === 'sync-folder') settle((each) => folderOf(each) === operation.path);
    else pending.push(operation);
  }
  // Names reach the medium in the order of the journal, bytes in any order.
  let journalEnded = false;
  for (const operation of pending) {
    const survives = random.chance(survival.operations);
    if (folderOf(operation) !== undefined) {
      journalEnded ||= !survives;
      if (!journalEnded) apply(medium, operation, () => true);
    } else if (survives) {
      apply(medium, operation, () => random.chance(survival.sectors));
    }
  }
  return medium;
}

function folderOf(operation: Operation): string | undefined {
  if (operation.kind === 'name' || operation.kind === 'remove') return dirname(operation.path);
  return operation.kind === 'rename' ? dirname(operation.to) : undefined;
}

interface Medium {
  readonly names: Map<string, number>;
  readonly contents: Map<number, Buffer>;
}

function apply({ names, contents }: Medium, operation: Operation, lands: () => boolean): void {
  switch (operation.kind) {
    case 'name':
      names.set(operation.path, operation.inode);
      if (!contents.has(operation.inode)) contents.set(operation.inode, Buffer.alloc(0));
      return;
    case 'rename': {
      const inode = names.get(operation.from);
      names.delete(operation.from);
      if (inode !== undefined) names.set(operation.to, inode);
      return;
    }
    case 'remove':
      names.delete(operation.path);
      return;
    case 'resize':
      contents.set(operation.inode, resized(contents.get(operation.inode), operation.length));
      return;
    case 'write':
      scatter(contents, operation, { length: operation.bytes.length, lands });
      return;
    case 'zero':
      scatter(contents, operation, { length: operation.length, lands });
      return;
  }
}

function resized(bytes: Buffer | undefined, length: number): Buffer {
  const result = Buffer.alloc(length);
  bytes?.copy(result, 0, 0, length);
  return result;
}

/** Lets single sectors of a write land. */
function scatter(
  contents: Map<number, Buffer>,
  operation: { inode: number; offset: number; bytes?: Buffer },
  { length, lands }: { length: number; lands: () => boolean },
): void {
  const { inode, offset, bytes } = operation;
  const end = offset + length;
  const old = contents.get(inode) ?? Buffer.alloc(0);
  const content = old.length >= end || !bytes ? old : resized(old, end);
  contents.set(inode, content);
  for (let from = offset; from < end; ) {
    const to = Math.min((Math.floor(from / SECTOR) + 1) * SECTOR, end);
    if (lands()) {
      if (bytes) bytes.copy(content, from, from - offset, to - offset);
      else content.fill(0, from, Math.min(to, content.length));
    }
    from = to;
  }
}

const PIECE = 65536;

/** Makes the folders hold exactly `snapshot`. Files that are there keep their inode, by which a target is known. */
export function restoreSnapshot(snapshot: Snapshot, folders: readonly string[]): void {
  for (const path of takeNames(folders)) if (!snapshot.names.has(path)) rmSync(path);
  for (const [path, inode] of snapshot.names) replaceContent(path, snapshot.contents.get(inode) ?? Buffer.alloc(0));
}

/** Makes the file hold `bytes`; writes only where it does not, because that is done thousands of times. */
export function replaceContent(path: string, bytes: Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    ftruncateSync(fd, bytes.length);
    const held = Buffer.alloc(PIECE);
    for (let at = 0; at < bytes.length; at += PIECE) {
      const part = bytes.subarray(at, at + PIECE);
      const got = readSync(fd, held, 0, part.length, at);
      if (!held.subarray(0, got).equals(part)) writeSync(fd, part, 0, part.length, at);
    }
  } finally {
    closeSync(fd);
  }
}

function takeNames(folders: readonly string[]): string[] {
  const names: string[] = [];
  const visit = (path: string): void => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    else if (stats) names.push(path);
  };
  folders.forEach(visit);
  return names;
}
