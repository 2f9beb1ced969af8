// Events of a run on their way to a person or a program: bars on a terminal, lines elsewhere, JSON if asked for.
// Invariant: stdout carries results (and JSON); everything that is said meanwhile goes to stderr.

import type { Writable } from 'node:stream';
import { MultiBar, type SingleBar } from 'cli-progress';
import type { Amounts, Report, ReportEvent, VolumeAmounts } from '../../base/report.js';
import { formatBytes, formatDuration } from '../../base/units.js';

export interface ReporterOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

export interface Reporter {
  readonly report: Report;
  /** Ends the bars; may be called twice. */
  close(): void;
}

type Progress = Extract<ReportEvent, { event: 'progress' }>;

/** Chooses how to tell. */
export function reporter({ json, quiet, stdout, stderr }: ReporterOptions): Reporter {
  if (json) return { report: (event) => stdout.write(`${JSON.stringify(event)}\n`), close() {} };
  const say = (text: string): void => {
    stderr.write(`${text}\n`);
  };
  const show = quiet ? undefined : 'isTTY' in stderr && stderr.isTTY === true ? bars(stderr) : lines(say);
  const stalled = stallWatch(say);
  return {
    report(event) {
      if (event.event === 'warning') say(`warning: ${event.message}`);
      if (event.event === 'phase') {
        show?.end();
        stalled.phase(event.message);
        if ((event.phase === 'rescue' || event.phase === 'boot') && !quiet) say(event.message);
      }
      if (event.event === 'progress') {
        show?.progress(event);
        if (!quiet) stalled.progress(event);
      }
    },
    close: () => show?.end(),
  };
}

interface Show {
  progress(event: Progress): void;
  end(): void;
}

/** One bar a volume that has something to do, and one in all. */
function bars(stderr: Writable): Show {
  let multi: MultiBar | undefined;
  let all: SingleBar | undefined;
  const single = new Map<string, SingleBar>();
  return {
    progress({ seconds, all: sum, volumes }) {
      multi ??= new MultiBar({
        stream: stderr as NodeJS.WriteStream,
        format: '{name} [{bar}] {percentage}% {text}',
        hideCursor: true,
        autopadding: true,
      });
      for (const volume of volumes.filter(worthABar)) {
        const name = volume.name.slice(0, 24).padEnd(24);
        const bar = single.get(volume.name) ?? multi.create(volume.total, 0, { name, text: '' });
        single.set(volume.name, bar);
        bar.update(Math.min(volume.done, volume.total), { name, text: formatBytes(volume.done) });
      }
      all ??= multi.create(sum.total, 0, { name: 'all'.padEnd(24), text: '' });
      all.update(Math.min(sum.done, sum.total), { name: 'all'.padEnd(24), text: rates(sum, seconds) });
    },
    end() {
      multi?.stop();
      multi = undefined;
      all = undefined;
      single.clear();
    },
  };
}

function worthABar({ total }: VolumeAmounts): boolean {
  return total >= 1024 * 1024;
}

const LINE_EVERY_MS = 10_000;

/** Without a terminal: a line every ten seconds. */
function lines(say: (text: string) => void): Show {
  let last = Date.now();
  return {
    progress({ all, seconds }) {
      if (Date.now() - last < LINE_EVERY_MS) return;
      last = Date.now();
      const percent = all.total > 0 ? Math.floor((100 * all.done) / all.total) : 100;
      say(`${percent}% of ${formatBytes(all.total)}: ${rates(all, seconds)}`);
    },
    end() {},
  };
}

/** Time left comes from the rate measured so far, never from a guess. */
function rates({ done, total, sourceRead, written, skipped }: Amounts, seconds: number): string {
  if (seconds <= 0) return '';
  const rate = (bytes: number): string => `${formatBytes(Math.round(bytes / seconds))}/s`;
  const left = done > 0 && done < total ? `, ${formatDuration(((total - done) * seconds) / done)} left` : '';
  return `read ${rate(sourceRead)}, wrote ${rate(written)}, unchanged ${formatBytes(skipped)}${left}`;
}

const STALL_MS = 15_000;

/** Says so if nothing has moved for a while. */
function stallWatch(say: (text: string) => void): { phase(name: string): void; progress(event: Progress): void } {
  let phase = '';
  let moved = '';
  let since = Date.now();
  return {
    phase(name) {
      phase = name;
      since = Date.now();
    },
    progress({ all }) {
      const now = JSON.stringify(all);
      if (now !== moved) {
        moved = now;
        since = Date.now();
      } else if (Date.now() - since >= STALL_MS) {
        since = Date.now();
        const waiting = all.done >= all.total ? 'the target to make its writes durable' : 'the disks to answer';
        say(`nothing has moved for ${STALL_MS / 1000} s while ${phase}: waiting for ${waiting}`);
      }
    },
  };
}
