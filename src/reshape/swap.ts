// Linux swap: its header says how many pages there are, and that is all there is to its size.
// Format: kernel include/linux/swap.h (union swap_header).

import { resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { HEADER_LENGTH, parseSwapHeader, SMALLEST_AREA, type SwapHeader } from '../filesystem/swap/header.js';
import { openDiskTarget } from '../source/disk.js';
import type { Source } from '../source/types.js';
import type { Resizer } from './resizer.js';

const AT = { version: 1024, lastPage: 1028 } as const;
/** The header's counter has 32 bits. */
const MOST_PAGES = 2 ** 32;

export const swap: Resizer = {
  async accept({ name, kind, source }) {
    const { version, badPages } = await requireHeader(source);
    if (version !== 1) throw resizeUnsupported(name, kind, 'it has the format of before Linux 2.2');
    if (badPages > 0) throw resizeUnsupported(name, kind, 'it lists bad pages');
  },
  minimum: {
    by: 'reading',
    async find({ source }) {
      const { pageSize } = await requireHeader(source);
      return { minimum: Math.max(SMALLEST_AREA, 10 * pageSize), reason: 'Linux takes no swap area of fewer pages' };
    },
  },
  async resize({ source }, { path }, size) {
    const { pageSize } = await requireHeader(source);
    const view = openDiskTarget(path, { direct: false });
    try {
      const head = Buffer.alloc(pageSize);
      await view.read(head, 0);
      const lastPage = Math.min(MOST_PAGES, Math.floor(size / pageSize)) - 1;
      if (head.readUInt32BE(AT.version) === 1) head.writeUInt32BE(lastPage, AT.lastPage);
      else head.writeUInt32LE(lastPage, AT.lastPage);
      await view.write(head, 0);
      await view.flush();
    } finally {
      await view.close();
    }
  },
};

async function requireHeader(source: Source): Promise<SwapHeader> {
  const bytes = Buffer.alloc(Math.min(HEADER_LENGTH, source.size));
  await source.read(bytes, 0);
  const header = parseSwapHeader(bytes);
  if (!header) throw new FormatError('no swap header');
  return header;
}
