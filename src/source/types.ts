// Random-access bytes: what every reader and writer in ectype works on. READ THIS FILE FIRST.
// Invariant: opening never changes a medium, and a Source has no way to change one.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';

/** How to open a source again, in this thread or in another: plain data. */
export type SourceSpec =
  | { readonly kind: 'file' | 'device'; readonly path: string; readonly seen?: SeenMedium }
  | { readonly kind: 'slice'; readonly of: SourceSpec; readonly extent: Extent }
  /** `changes`: path of a list of what differs from `base` (overlay.ts); it may be long, so it stays in its file. */
  | { readonly kind: 'overlay'; readonly base: SourceSpec; readonly changes: string; readonly size: Bytes }
  | { readonly kind: 'patched'; readonly of: SourceSpec; readonly size: Bytes; readonly patches: readonly PatchSpec[] };

/** Bytes that are shown in place of what lies there. */
export interface PatchSpec {
  readonly offset: Bytes;
  readonly base64: string;
}

/** What a path meant when it was first opened: names can come to mean something else while a run goes on. */
export interface SeenMedium {
  /** Device and inode, or the number of a block device. */
  readonly node: string;
  readonly size: Bytes;
}

/** `data` may hold anything; `zero` reads as zeros. Neither says whether a file system uses the bytes. */
export type SourceExtent = Extent & { readonly kind: 'data' | 'zero' };

export interface Source {
  /** How messages call it: a path, or a path with a part of it. */
  readonly name: string;
  readonly size: Bytes;
  /** Smallest unit the medium addresses; undefined for media that have none of their own (raw files, memory). */
  readonly sectorSize: Bytes | undefined;
  /** Undefined for sources that live in this thread only. */
  readonly spec: SourceSpec | undefined;
  /** Fills `into` with the bytes at `offset` or throws; never short. Any alignment is allowed, whole sectors are faster. */
  read(into: Buffer, offset: Bytes): Promise<void>;
  /**
   * Only on sources that may have unreadable sectors (rescue, inspect): fills `into` with what can be read and zeros
   * elsewhere, and returns the holes, ascending. Whoever calls it must not take those zeros for content.
   */
  readonly readAround?: ((into: Buffer, offset: Bytes) => Promise<Extent[]>) | undefined;
  /** Covers `within` exactly, ascending. Missing where the medium does not know: everything may be data then. */
  readonly extents: ((within: Extent) => AsyncIterable<SourceExtent>) | undefined;
  close(): Promise<void>;
}

export interface Target extends Source {
  /** Writes all of `from` or throws. Durable only after `flush`. */
  write(from: Buffer, offset: Bytes): Promise<void>;
  /** The bytes read as zeros afterwards; written where the medium cannot do it any other way. */
  zero(extent: Extent): Promise<void>;
  /** Says that nobody needs the bytes: their content is undefined afterwards. May do nothing. */
  discard(extent: Extent): Promise<void>;
  /** Everything written, zeroed and discarded so far is durable when it returns. */
  flush(): Promise<void>;
}
