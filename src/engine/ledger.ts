// The order of durability between a target and its block maps: void, write, flush, fill.
// Invariant K of the block map holds at every moment, also if the process dies or the power fails between two lines.

import type { BlockMap } from '../map/block-map.js';
import { PAGE_BYTES } from '../map/block-map.js';
import type { Target } from '../source/types.js';

/** Seconds of work that a power failure may cost: after that the digests of what was written are made durable. */
const EPOCH_MS = 3000;

export interface Ledger {
  /**
   * Resolves when the target is armed and this page is void on the disk: its stretch may be written now. Without a page
   * (a stretch of which the map knows nothing) arming is enough.
   */
  permit(map: BlockMap, page: number | undefined): Promise<void>;
  /** Notes a page's digests; they reach the disk after the next flush of the target. */
  complete(map: BlockMap, page: number, digests: Uint8Array): void;
  /** Ends an epoch if one is due. Never waits for one that is under way. */
  tick(): void;
  /** Ends the last epoch: every completed page is durable when it resolves. */
  finish(): Promise<void>;
}

export interface LedgerOptions {
  readonly target: Target;
  /** Arms the target before the first write of the run; called again it does nothing. */
  readonly arm: () => Promise<void>;
  readonly epochMs?: number;
}

interface Page {
  readonly map: BlockMap;
  readonly page: number;
}

export function createLedger({ target, arm, epochMs = EPOCH_MS }: LedgerOptions): Ledger {
  let completed: (Page & { digests: Uint8Array })[] = [];
  let epoch: Promise<void> = Promise.resolve();
  let epochUnderWay = false;
  let epochStart = Date.now();
  let failure: unknown;
  const voids = voidsInGroups();

  async function commit(): Promise<void> {
    const pages = completed;
    completed = [];
    if (pages.length === 0) return;
    await target.flush(); // what the digests describe must be on the medium before they are
    const maps = new Set<BlockMap>();
    for (const { map, page, digests } of pages) {
      await map.writePage(page, Buffer.from(digests));
      maps.add(map);
    }
    for (const map of maps) await map.flush();
  }

  function startEpoch(): void {
    epochUnderWay = true;
    epochStart = Date.now();
    epoch = commit()
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        epochUnderWay = false;
      });
  }

  return {
    async permit(map, page) {
      await arm();
      if (page !== undefined) await voids.void(map, page);
    },
    complete(map, page, digests) {
      const whole = new Uint8Array(PAGE_BYTES);
      whole.set(digests.subarray(0, PAGE_BYTES));
      completed.push({ map, page, digests: whole });
    },
    tick() {
      if (failure !== undefined) throw failure;
      if (!epochUnderWay && Date.now() - epochStart >= epochMs) startEpoch();
    },
    async finish() {
      await epoch;
      if (failure !== undefined) throw failure;
      await commit();
    },
  };
}

/** Voids pages durably, with one flush for all that are asked for at the same time. */
function voidsInGroups(): { void(map: BlockMap, page: number): Promise<void> } {
  let waiting: (Page & { done: () => void; failed: (error: unknown) => void })[] = [];
  let running = false;

  async function work(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      try {
        const maps = new Set<BlockMap>();
        for (const { map, page } of group) {
          if (await voidPage(map, page)) maps.add(map);
        }
        for (const map of maps) await map.flush(); // before anyone writes to the stretches
        for (const { done } of group) done();
      } catch (error) {
        for (const { failed } of group) failed(error);
      }
    }
    running = false;
  }

  return {
    void: (map, page) =>
      new Promise<void>((done, failed) => {
        waiting.push({ map, page, done, failed });
        if (!running) void work();
      }),
  };
}

const VOID = Buffer.alloc(PAGE_BYTES);

/** False if the page was void already. */
async function voidPage(map: BlockMap, page: number): Promise<boolean> {
  if ((await map.readPage(page)).equals(VOID)) return false;
  await map.writePage(page, VOID);
  return true;
}
