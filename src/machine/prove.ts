// Watches a virtual machine until there is evidence that its system started, or that it did not.
// Invariant: only a login prompt is a success; a screen that nobody reads never is one.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Report } from '../base/report.js';
import { formatDuration } from '../base/units.js';
import { createConsoleWatch } from './console-watch.js';
import { STARTING } from './loaders.js';
import type { Machine } from './machine.js';
import { createScreenWatch, type ScreenWatch, saveScreen } from './screen.js';

/** The two about the screen are no verdict: somebody has to look at the picture. */
export type Evidence = 'login prompt' | 'boot failure' | 'machine ended' | 'screen settled' | 'screen changing';

export interface Verdict {
  readonly booted: boolean;
  readonly evidence: Evidence;
  /** What was seen, in words that follow a colon. */
  readonly saw: string;
  /** From power-on to the evidence. */
  readonly seconds: number;
  /** What was seen on the way, the oldest first. */
  readonly steps: readonly string[];
  /** The last lines that the serial port printed. */
  readonly consoleTail: readonly string[];
  /** Where the picture of the screen is, if one was taken. */
  readonly screenshot: string | undefined;
}

export interface WatchOptions {
  readonly timeoutMs: number;
  /** Where a picture goes if there is no login prompt. */
  readonly screenshot: string;
  /** True: a picture is taken in any case. */
  readonly alwaysPicture: boolean;
  readonly report: Report;
  readonly signal: AbortSignal;
}

const LOOK_MS = 10_000;
/** After a failure: what is printed next tells more of it. */
const AFTERMATH_MS = 1500;
/** A screen that has not changed for so long waits for something. */
const SETTLED_MS = 30_000;
/** If the machine ends while its screen is looked at, the end is the reason to tell. */
const GRACE_MS = 1000;
/** A first start may restart once or twice; this many are a loop. */
const MANY_RESETS = 4;

type Finding = Pick<Verdict, 'evidence' | 'saw'>;

/** Throws what `machine.ended` throws, and the signal's reason when that is aborted. */
export async function watchBoot(machine: Machine, options: WatchOptions): Promise<Verdict> {
  const start = performance.now();
  const watch = createConsoleWatch();
  const steps: string[] = [];
  const screen = createScreenWatch(machine);
  const found = new AbortController();
  const failures: string[] = [];
  const finding = await new Promise<Finding>((resolve, reject) => {
    machine.console?.setEncoding('utf8').on('data', (text: string) => {
      for (const sighting of watch.feed(text)) {
        if (sighting.kind === 'login') return resolve({ evidence: 'login prompt', saw: 'a login prompt' });
        if (sighting.kind === 'step') tell(sighting.what, { steps, report: options.report });
        else if (failures.push(sighting.what) === 1) {
          setTimeout(() => resolve({ evidence: 'boot failure', saw: failures.join('; ') }), AFTERMATH_MS);
        }
      }
    });
    machine.ended.then(() => resolve({ evidence: 'machine ended', saw: 'it switched itself off' }), reject);
    const until = AbortSignal.any([found.signal, options.signal]);
    watchScreen(machine, { screen, start, steps, timeoutMs: options.timeoutMs, until }).then(resolve, (error) =>
      setTimeout(reject, GRACE_MS, error),
    );
  }).finally(() => found.abort());
  const seconds = (performance.now() - start) / 1000;
  const booted = finding.evidence === 'login prompt';
  const wanted = (!booted || options.alwaysPicture) && finding.evidence !== 'machine ended';
  if (wanted) await saveScreen(machine.control, options.screenshot);
  const screenshot = wanted ? options.screenshot : undefined;
  return { booted, ...finding, seconds, steps, consoleTail: watch.tail(), screenshot };
}

function tell(what: string, { steps, report }: { steps: string[]; report: Report }): void {
  steps.push(what);
  report({ event: 'phase', phase: 'boot', message: what });
  if (!what.startsWith(STARTING)) return;
  const message = `firmware that does not know this disk does not start it: \\EFI\\BOOT\\BOOTX64.EFI is missing`;
  report({ event: 'warning', message });
}

interface Watched {
  readonly screen: ScreenWatch;
  readonly start: number;
  readonly steps: readonly string[];
  readonly timeoutMs: number;
  /** Aborted: something else was found. */
  readonly until: AbortSignal;
}

/** Ends at the time limit with what can be said of the screen. Throws when `until` is aborted. */
async function watchScreen(machine: Machine, { screen, start, steps, timeoutMs, until }: Watched): Promise<Finding> {
  for (let left = timeoutMs; left > 0; left = start + timeoutMs - performance.now()) {
    await sleep(Math.min(LOOK_MS, left), undefined, { signal: until });
    if (machine.resets() >= MANY_RESETS) return { evidence: 'boot failure', saw: 'it restarts again and again' };
    await screen.look();
  }
  const still = performance.now() - screen.changedAt();
  const last = steps.at(-1);
  const seen = `no login prompt on the serial console in ${formatDuration(timeoutMs / 1000)}${last ? ` (the last thing seen there: ${last})` : ''}`;
  if (still < SETTLED_MS) return { evidence: 'screen changing', saw: `${seen}, and its screen still changes` };
  const ago = formatDuration(still / 1000);
  return { evidence: 'screen settled', saw: `${seen}; its screen last changed ${ago} before that` };
}
