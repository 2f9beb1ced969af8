// Counters that all workers share: progress is read from them while they work.
// Invariant: a byte is counted after the medium has answered, never before.

const COUNTERS = ['done', 'sourceRead', 'targetRead', 'written', 'zeroed', 'discarded', 'skipped'] as const;

/**
 * done: used bytes dealt with. sourceRead, targetRead: bytes read from the media. written: bytes given to the target.
 * zeroed: bytes the target was told to zero. discarded: bytes the target was told to forget. skipped: used bytes that
 * were on the target already.
 */
export type Counter = (typeof COUNTERS)[number];

export type TallySnapshot = Readonly<Record<Counter, number>>;

export interface Tally {
  /** Crosses to workers as it is. */
  readonly memory: SharedArrayBuffer;
  add(counter: Counter, bytes: number): void;
  snapshot(): TallySnapshot;
  /** Asks every worker to stop at its next safe point. */
  stop(): void;
  readonly stopped: boolean;
}

const STOP_AT = COUNTERS.length;

export function createTally(): Tally {
  return tallyOver(new SharedArrayBuffer((COUNTERS.length + 1) * 8));
}

/** The same counters in another thread. */
export function tallyOver(memory: SharedArrayBuffer): Tally {
  const cells = new BigInt64Array(memory);
  return {
    memory,
    add(counter, bytes) {
      Atomics.add(cells, COUNTERS.indexOf(counter), BigInt(bytes));
    },
    snapshot() {
      const entries = COUNTERS.map((counter, index) => [counter, Number(Atomics.load(cells, index))]);
      return Object.fromEntries(entries) as TallySnapshot;
    },
    stop() {
      Atomics.store(cells, STOP_AT, 1n);
    },
    get stopped() {
      return Atomics.load(cells, STOP_AT) !== 0n;
    },
  };
}
