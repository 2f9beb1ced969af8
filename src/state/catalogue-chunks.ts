// A file of checked pieces, written once from front to back: what a catalogue is stored in.
// Invariant: a piece is either read exactly as it was written, or CatalogueDamaged is thrown; a file without its last piece
// was never finished. docs/BLOCK_MAP_FORMAT.md describes the bytes.

import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { DIGEST_LENGTH, DigestStream } from '../base/digest.js';
import { stateUnusable } from '../base/errors/state.js';
import { type Bytes, MiB } from '../base/units.js';

/** Kind and length as u32, eight bytes that number the chunk, the digest of all that and of the payload. */
const HEAD_LENGTH = 32;
const At = { kind: 0, length: 4, index: 8, digest: 16 } as const;
/** One huge, shattered file makes one huge group; nothing larger is read into memory. */
const LONGEST: Bytes = 256 * MiB;

/** The file is not what was written; whoever reads it knows nothing then. */
export class CatalogueDamaged extends Error {}

export interface Chunk {
  readonly kind: number;
  readonly payload: Buffer;
}

export interface ChunkWriter {
  append(chunk: Chunk): void;
  /** Everything appended is durable when it returns; the file is closed. */
  finish(): void;
  /** Closes the file as it is. */
  abandon(): void;
}

export function writeChunks(path: string): ChunkWriter {
  let index = 0;
  let fd = -1;
  const attempt = (act: () => void): void => {
    try {
      act();
    } catch (cause) {
      throw stateUnusable(path, cause);
    }
  };
  attempt(() => {
    fd = openSync(path, 'wx', 0o600);
  });
  return {
    append({ kind, payload }) {
      const head = headOf({ kind, payload }, index);
      index += 1;
      attempt(() => {
        writeAll(fd, head);
        writeAll(fd, payload);
      });
    },
    finish() {
      attempt(() => fsyncSync(fd));
      attempt(() => closeSync(fd));
    },
    abandon: () => closeSync(fd),
  };
}

/** Chunks that stay in memory until `release` writes them: while no file may be written. */
export interface HeldChunks {
  readonly writer: ChunkWriter;
  /** Writes the file; durable when it returns. Only of a finished writer. */
  release(): void;
}

export function holdChunks(path: string): HeldChunks {
  const chunks: Chunk[] = [];
  let isFinished = false;
  return {
    writer: {
      append: ({ kind, payload }) => void chunks.push({ kind, payload }),
      finish() {
        isFinished = true;
      },
      abandon() {
        chunks.length = 0;
      },
    },
    release() {
      if (!isFinished) return;
      const file = writeChunks(path);
      for (const chunk of chunks) file.append(chunk);
      file.finish();
    },
  };
}

function headOf({ kind, payload }: Chunk, index: number): Buffer {
  const head = Buffer.alloc(HEAD_LENGTH);
  head.writeUInt32LE(kind, At.kind);
  head.writeUInt32LE(payload.length, At.length);
  head.writeDoubleLE(index, At.index);
  const stream = new DigestStream();
  stream.add(Buffer.from(head.subarray(0, At.digest)));
  stream.add(payload);
  stream.finish().copy(head, At.digest, 0, DIGEST_LENGTH);
  return head;
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

export interface ChunkReader {
  /** Undefined at the end of the file. Throws CatalogueDamaged. */
  next(): Chunk | undefined;
  close(): void;
}

/** Throws CatalogueDamaged if there is no such file. */
export function readChunks(path: string): ChunkReader {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new CatalogueDamaged(`${path} cannot be opened`, { cause });
  }
  let index = 0;
  const head = Buffer.alloc(HEAD_LENGTH);
  return {
    next() {
      const length = readAll(fd, head);
      if (length === 0) return undefined;
      const size = head.readUInt32LE(At.length);
      if (length < HEAD_LENGTH || size > LONGEST) throw new CatalogueDamaged(`${path} is damaged`);
      const payload = Buffer.allocUnsafeSlow(size);
      const kind = head.readUInt32LE(At.kind);
      if (readAll(fd, payload) < size || !headOf({ kind, payload }, index).equals(head)) {
        throw new CatalogueDamaged(`${path} is damaged`);
      }
      index += 1;
      return { kind, payload };
    },
    close: () => closeSync(fd),
  };
}

function readAll(fd: number, into: Buffer): number {
  let done = 0;
  while (done < into.length) {
    const got = readSync(fd, into, done, into.length - done, null);
    if (got === 0) break;
    done += got;
  }
  return done;
}
