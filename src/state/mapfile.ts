// What was read of a disk and what was not, in the format of GNU ddrescue, so that its tools can go on from there.
// Invariant: the file is either complete or the one from before.
// Format: the manual of GNU ddrescue, chapter "Mapfile structure".

import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { stateUnusable } from '../base/errors/state.js';
import { type Bytes, KiB } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { syncFolder } from './folder.js';

/** `?` not tried, `*` failed as a whole and not gone over, `-` bad sector, `+` finished. */
export type MapStatus = '?' | '*' | '-' | '+';

export type MapExtent = Extent & { readonly status: MapStatus };

/** How every mapfile begins. */
export const MAPFILE_HEAD = '# Mapfile. ';

const CHUNK = 64 * KiB;

export interface MapfileOptions {
  /** Of the whole disk. */
  readonly size: Bytes;
  /** Ascending, without overlaps; what lies between was not tried. */
  readonly extents: AsyncIterable<MapExtent>;
  /** The run came to its end. */
  readonly finished: boolean;
}

/** Replaces the file at `path`, durably and at once. */
export async function writeMapfile(path: string, { size, extents, finished }: MapfileOptions): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  try {
    const fd = openSync(temporary, 'w', 0o600);
    try {
      let text = header(finished);
      const put = (piece: string): void => {
        text += piece;
        if (text.length < CHUNK) return;
        writeAll(fd, text);
        text = '';
      };
      for await (const extent of everything(extents, size)) put(line(extent));
      writeAll(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (cause) {
    throw stateUnusable(path, cause);
  }
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

function header(finished: boolean): string {
  return [
    `${MAPFILE_HEAD}Created by ectype`,
    `# Current time: ${new Date().toISOString()}`,
    `# ${finished ? 'Finished' : 'Interrupted'}`,
    '# current_pos  current_status  current_pass',
    `${hex(0)}     ${finished ? '+' : '?'}               1`,
    '#      pos        size  status',
    '',
  ].join('\n');
}

function line({ offset, length, status }: MapExtent): string {
  return `${hex(offset)}  ${hex(length)}  ${status}\n`;
}

function hex(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(8, '0')}`;
}

/** The whole disk without gaps, neighbours of one status joined. */
async function* everything(extents: AsyncIterable<MapExtent>, size: Bytes): AsyncGenerator<MapExtent> {
  let last: MapExtent = { offset: 0, length: 0, status: '?' };
  for await (const extent of extents) {
    for (const next of withGap(last, extent)) {
      if (next.status === last.status) last = { ...last, length: last.length + next.length };
      else {
        if (last.length > 0) yield last;
        last = next;
      }
    }
  }
  const rest = { offset: extentEnd(last), length: size - extentEnd(last), status: '?' as const };
  if (rest.length <= 0) yield last;
  else if (last.status === '?') yield { ...last, length: size - last.offset };
  else yield* [last, rest];
}

function withGap(last: Extent, next: MapExtent): MapExtent[] {
  const offset = extentEnd(last);
  return next.offset > offset ? [{ offset, length: next.offset - offset, status: '?' }, next] : [next];
}
