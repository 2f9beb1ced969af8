// The copy loop on its own: what a first copy leaves in the block map.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DIGEST_LENGTH, isUnknown } from '../../src/base/digest.js';
import { copy } from '../../src/engine/copy.js';
import { inlineExecutor } from '../../src/engine/executor.js';
import { createLedger } from '../../src/engine/ledger.js';
import { createTally } from '../../src/engine/tally.js';
import { mapOfExtents } from '../../src/map/allocation-map.js';
import { PAGE_DIGESTS } from '../../src/map/block-map.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import { memoryTarget } from '../../src/source/memory.js';

const BLOCK = 512;
const PAGE = PAGE_DIGESTS * BLOCK;

test('discards of a first copy leave the digests of the first page alone', async () => {
  const size = 8 * PAGE;
  const source = memoryTarget(Buffer.alloc(size, 7));
  const target = memoryTarget(Buffer.alloc(size, 0xa5));
  const map = memoryBlockMap({ size, blockSize: BLOCK });
  const ledger = createLedger({ target, arm: async () => {}, epochMs: 0 });
  await copy(
    [
      {
        name: 'volume',
        source,
        target,
        allocation: mapOfExtents(
          [
            { offset: 0, length: PAGE },
            { offset: 6 * PAGE, length: PAGE },
          ],
          BLOCK,
        ),
        wiped: [],
        held: [],
        map,
        tally: createTally(),
        known: false,
        unknown: 'write',
        discardFree: true,
      },
    ],
    { sink: 'write', inline: inlineExecutor(), workers: undefined, ledger, signal: new AbortController().signal },
  );
  for (const page of [0, 6]) {
    const digests = await map.readPage(page);
    for (let block = 0; block < PAGE_DIGESTS; block += 1) {
      assert.not(isUnknown(digests, block * DIGEST_LENGTH), `block ${block} of page ${page}`);
    }
  }
});

test.run();
