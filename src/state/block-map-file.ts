// A block map as a file, kept up to date in place. docs/BLOCK_MAP_FORMAT.md describes the bytes.
// Invariant: a page is void (zeros) on the disk before the first write to its stretch of the target, and filled only
// after that write was flushed. So whenever the process dies, no digest claims more than the target holds.

import { closeSync, fsyncSync, ftruncateSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from '../base/checksum.js';
import { DIGEST_KIND } from '../base/digest.js';
import { stateUnusable } from '../base/errors/state.js';
import { writeU64LE } from '../base/u64.js';
import { type BlockMap, type Grid, PAGE_BYTES, pageCount } from '../map/block-map.js';
import { openDiskTarget } from '../source/disk.js';
import type { Target } from '../source/types.js';
import { syncFolder } from './folder.js';

const MAGIC = 'ECTYPMAP';
const VERSION = 1;
const HEADER_LENGTH = 4096;
const AT = { version: 8, blockSize: 16, size: 24, kind: 32, lineage: 48, crc: 80 } as const;

function headerBytes(grid: Grid, lineage: string): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(VERSION, AT.version);
  writeU64LE(header, grid.blockSize, AT.blockSize);
  writeU64LE(header, grid.size, AT.size);
  header.write(DIGEST_KIND, AT.kind, 'latin1');
  header.write(lineage, AT.lineage, 'latin1');
  header.writeUInt32LE(crc32(header.subarray(0, AT.crc)), AT.crc);
  return header;
}

function fileLength(grid: Grid): number {
  return HEADER_LENGTH + pageCount(grid) * PAGE_BYTES;
}

/** Makes a map in which everything is unknown. Durable when it returns. */
export async function createBlockMap(path: string, grid: Grid, lineage: string): Promise<BlockMap> {
  try {
    const fd = openSync(path, 'w', 0o600);
    ftruncateSync(fd, fileLength(grid));
    fsyncSync(fd); // digests of an older map under this name must not come back
    closeSync(fd);
    syncFolder(dirname(path));
  } catch (cause) {
    throw stateUnusable(path, cause);
  }
  const file = openDiskTarget(path, { direct: false });
  await file.write(headerBytes(grid, lineage), 0);
  await file.flush();
  return blockMapOver(file, grid);
}

/** Opens the map if it is the one of this lineage and grid; undefined otherwise: nothing is known then. */
export async function openBlockMap(path: string, grid: Grid, lineage: string): Promise<BlockMap | undefined> {
  let file: Target;
  try {
    file = openDiskTarget(path, { direct: false });
  } catch {
    return undefined; // a map that cannot be opened is a map that knows nothing; making a new one will say why
  }
  const header = Buffer.alloc(HEADER_LENGTH);
  if (file.size === fileLength(grid)) {
    await file.read(header, 0);
    if (header.equals(headerBytes(grid, lineage))) {
      // A killed run may have left voided pages in the page cache only; they must not come back after a power failure.
      await file.flush();
      return blockMapOver(file, grid);
    }
  }
  await file.close();
  return undefined;
}

/** A block map over any target: in tests, one that loses unflushed writes. */
export function blockMapOver(file: Target, grid: Grid): BlockMap {
  return {
    grid,
    async readPage(page) {
      const digests = Buffer.alloc(PAGE_BYTES);
      await file.read(digests, HEADER_LENGTH + page * PAGE_BYTES);
      return digests;
    },
    writePage: (page, digests) => file.write(digests, HEADER_LENGTH + page * PAGE_BYTES),
    flush: () => file.flush(),
    async *knownPages(first) {
      const offset = HEADER_LENGTH + Math.min(first, pageCount(grid)) * PAGE_BYTES;
      const rest = { offset, length: file.size - offset };
      for await (const extent of file.extents?.(rest) ?? [{ ...rest, kind: 'data' as const }]) {
        if (extent.kind === 'zero') continue;
        const from = Math.floor((extent.offset - HEADER_LENGTH) / PAGE_BYTES);
        const to = Math.ceil((extent.offset + extent.length - HEADER_LENGTH) / PAGE_BYTES);
        for (let page = from; page < to; page += 1) yield page;
      }
    },
    close: () => file.close(),
  };
}
