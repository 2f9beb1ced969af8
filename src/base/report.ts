// How a long operation tells what it does. The core never prints; the command line turns these into text, bars or JSON.

import type { Bytes } from './units.js';

/** Bytes so far; of a volume, or of all. */
export interface Amounts {
  /** Used bytes dealt with, and how many there are. */
  readonly done: Bytes;
  readonly total: Bytes;
  /** Read from the source and from the target's medium. */
  readonly sourceRead: Bytes;
  readonly targetRead: Bytes;
  /** Given to the target's medium; zeroed and discarded ones are counted apart. */
  readonly written: Bytes;
  readonly zeroed: Bytes;
  readonly discarded: Bytes;
  /** Used bytes the target held already. */
  readonly skipped: Bytes;
}

export interface VolumeAmounts extends Amounts {
  readonly name: string;
}

export type ReportEvent =
  | {
      readonly event: 'phase';
      readonly phase: 'inspect' | 'copy' | 'freeze' | 'rescue' | 'commit' | 'verify' | 'boot';
      readonly message: string;
    }
  | { readonly event: 'warning'; readonly message: string }
  | {
      readonly event: 'progress';
      readonly seconds: number;
      readonly all: Amounts;
      readonly volumes: readonly VolumeAmounts[];
    };

export type Report = (event: ReportEvent) => void;

/** For callers that do not care. */
export const silent: Report = () => {};
