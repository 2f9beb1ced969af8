// The watchdog's own process: thaws file systems when its parent is gone, hangs, or takes too long. It gets one word a
// line on stdin, answers on stdout, and holds a descriptor of each file system from descriptor 3 on (watchdog.ts).
// Invariant: while it is armed it opens no file but those of /proc, and writes to nothing but its pipe: whoever writes
// to a frozen file system waits for the thaw, and the thaw is what this process is for.

import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { errnoOf } from '../base/tool-error.js';
import { thawFilesystem } from '../native/syscalls.js';

const ANSWERS = 1;
const FIRST_MOUNT = 3;
/** After it fired: a parent that wakes up in the middle of freezing would freeze what nobody watches any more. */
const AGAIN_MS = 100;
/** What the kernel refuses to thaw for a minute, it will not thaw. */
const LAST_TRIES = 600;
const LOOK_AT_PARENT_MS = 200;
/** SIGKILL, which is 9, as a bit of the sets in /proc/PID/status. */
const KILLED = 1n << 8n;

let mounts: number[] = [];
let isArmed = false;
let hasFired = false;
let limit: NodeJS.Timeout | undefined;
let end: NodeJS.Timeout | undefined;
let look: NodeJS.Timeout | undefined;
let again: NodeJS.Timeout | undefined;
let limitMs = 0;

function say(words: string): void {
  try {
    writeSync(ANSWERS, `${words}\n`);
  } catch {
    // The parent is gone, or stopped with a full pipe: nobody to tell.
  }
}

/** The last first, as they were frozen. */
function thaw(all: readonly number[]): { thawed: number; stuck: number } {
  const counts = { thawed: 0, stuck: 0 };
  for (const fd of [...all].reverse()) {
    try {
      thawFilesystem(fd);
      counts.thawed += 1;
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL') counts.stuck += 1; // EINVAL: it was not frozen
    }
  }
  return counts;
}

function fire(why: string): void {
  if (!isArmed || hasFired) return;
  hasFired = true;
  stopTimers();
  const { thawed } = thaw(mounts);
  again = setInterval(() => thaw(mounts), AGAIN_MS);
  say(`fired ${thawed} ${why}`);
}

function stopTimers(): void {
  for (const timer of [limit, end, look, again]) clearTimeout(timer);
}

/** A parent with a thread that waits for a frozen file system cannot die, and its pipe stays open. */
function isParentDying(): boolean {
  try {
    const status = readFileSync(`/proc/${process.ppid}/status`, 'utf8');
    const pending = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)];
    return /^State:\s*[ZX]/m.test(status) || pending.some(([, set]) => (BigInt(`0x${set}`) & KILLED) !== 0n);
  } catch {
    return false; // the end of stdin tells it, too
  }
}

function beat(): void {
  if (!isArmed || hasFired) return;
  clearTimeout(limit);
  limit = setTimeout(() => fire(`no sign of life for ${limitMs} ms`), limitMs);
}

function disarm(): void {
  stopTimers();
  isArmed = false;
  hasFired = false;
}

const ORDERS: Readonly<Record<string, (numbers: readonly number[]) => void>> = {
  begin: ([count = 0]) => {
    mounts = Array.from({ length: count }, (_, index) => FIRST_MOUNT + index);
    say('ready');
  },
  arm: ([number = 0, silence = 0, total = 0]) => {
    disarm();
    isArmed = true;
    limitMs = silence;
    beat();
    if (total > 0) end = setTimeout(() => fire(`not done after ${total} ms`), total);
    look = setInterval(() => {
      if (isParentDying()) fire('ectype was killed');
    }, LOOK_AT_PARENT_MS);
    say(`done ${number}`);
  },
  beat,
  disarm: ([number = 0]) => {
    disarm();
    say(`done ${number}`);
  },
};

function obey(line: string): void {
  const [word = '', ...numbers] = line.split(' ');
  const order = ORDERS[word];
  if (order) order(numbers.map(Number));
  else fire('an order that is none');
}

/** However the parent ended. When nothing is frozen any more, nothing is left to do, and this process ends. */
function parentIsGone(): void {
  const wasArmed = isArmed;
  disarm();
  if (wasArmed) thawToTheEnd(LAST_TRIES);
}

function thawToTheEnd(tries: number): void {
  if (thaw(mounts).stuck > 0 && tries > 1) setTimeout(() => thawToTheEnd(tries - 1), AGAIN_MS);
}

/** What will be needed is loaded and compiled; what is thawed is /proc, which nobody can freeze. */
function rehearse(): void {
  isParentDying();
  thaw([openSync('/proc', 'r')]);
}

function begin(): void {
  // Its own session keeps it from what a terminal sends; this, from those who end all processes of a name.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => undefined);
  }
  process.on('uncaughtException', () => fire('an error of its own'));
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000'); // when memory is short, not this one
  } catch {
    // not root, which cannot freeze either
  }
  rehearse();
  let text = '';
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (data: string) => {
    const lines = (text + data).split('\n');
    text = lines.pop() ?? '';
    lines.forEach(obey);
  });
  process.stdin.on('end', parentIsGone);
  process.stdin.on('error', parentIsGone);
}

begin();
