// The parent's side of the watchdog, the process that thaws file systems whatever happens to this one.
// Invariant: `arm` has returned before anything is frozen: then the watchdog lives, has loaded all it needs, and counts.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { watchdogFired, watchdogLost } from '../base/errors/live.js';
import type { ToolError } from '../base/tool-error.js';
import { canBeFrozen } from './freeze.js';
import type { MountedFilesystem } from './mounts.js';
import { closeMounts, openMounts } from './open-mount.js';

const PROGRAM = fileURLToPath(new URL('./watchdog-process.js', import.meta.url));
/** It starts in a tenth of a second; a machine that takes this long is no place to freeze anything. */
const ANSWER_MS = 10_000;
const LONGEST_MS = 3_600_000;

export interface ArmOptions {
  /** It thaws then in any case, however many signs of life came. */
  readonly totalMs?: number;
}

export interface Watchdog {
  /** It thawed the file systems since it was last armed. */
  readonly fired: boolean;
  readonly alive: boolean;
  /** Called at once, and at most once each time: it fired, or it died (then thaw as soon as you can). */
  onTrouble(listener: (trouble: ToolError) => void): void;
  /** From now on it thaws when this process is gone, or gives no sign of life for so long. Rejects if it is not there. */
  arm(limitMs: number, options?: ArmOptions): Promise<void>;
  /** A sign of life. */
  beat(): void;
  /** After the thaw. Nothing is thawed any more. */
  disarm(): Promise<void>;
  /** Ends it. If it is armed still, it thaws first. */
  close(): Promise<void>;
}

interface Link {
  readonly child: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
}

/** Started before the first freeze; `close` it in `finally`. It ends with this process, too. */
export async function startWatchdog(filesystems: readonly MountedFilesystem[]): Promise<Watchdog> {
  const mounts = openMounts(filesystems.filter(canBeFrozen));
  try {
    const link = start(mounts.map(({ fd }) => fd));
    const dog = new RunningWatchdog(link);
    await dog.begin(mounts.length);
    return dog;
  } finally {
    closeMounts(mounts); // it has descriptors of its own now
  }
}

/** A session of its own, and a folder that nobody unmounts. Options of this Node.js could make it write files. */
function start(fds: readonly number[]): Link {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_')));
  const child = spawn(process.execPath, [PROGRAM], {
    stdio: ['pipe', 'pipe', 'ignore', ...fds],
    detached: true,
    cwd: '/',
    env,
  });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw watchdogLost('it did not start');
  for (const each of [child, stdin, stdout]) if ('unref' in each && typeof each.unref === 'function') each.unref();
  return { child, stdin, stdout };
}

class RunningWatchdog implements Watchdog {
  readonly #link: Link;
  readonly #waiting = new Map<string, () => void>();
  readonly #listeners: ((trouble: ToolError) => void)[] = [];
  #orders = 0;
  #died: string | undefined;
  #isClosing = false;
  #hasFired = false;

  constructor(link: Link) {
    this.#link = link;
    const { child, stdin, stdout } = link;
    let text = '';
    stdout.setEncoding('utf8');
    stdout.on('data', (data: string) => {
      const lines = (text + data).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) this.#hear(line);
    });
    stdin.on('error', ignore); // it is gone: 'exit' says so
    child.on('error', (error) => this.#lost(error.message));
    child.on('exit', (status, signal) => this.#lost(signal ? `${signal} ended it` : `it ended with ${status}`));
  }

  get fired(): boolean {
    return this.#hasFired;
  }

  get alive(): boolean {
    return this.#died === undefined;
  }

  onTrouble(listener: (trouble: ToolError) => void): void {
    this.#listeners.push(listener);
  }

  begin(count: number): Promise<void> {
    return this.#answer('ready', `begin ${count}`);
  }

  async arm(limitMs: number, { totalMs = 0 }: ArmOptions = {}): Promise<void> {
    for (const ms of [limitMs, totalMs || limitMs]) {
      if (!Number.isInteger(ms) || ms < 1 || ms > LONGEST_MS) throw new Error(`internal error: a limit of ${ms} ms`);
    }
    this.#hasFired = false;
    await this.#order(`${limitMs} ${totalMs}`, 'arm');
  }

  beat(): void {
    if (this.alive) this.#link.stdin.write('beat\n');
  }

  disarm(): Promise<void> {
    return this.#order('', 'disarm');
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#link.stdin.end();
    await this.#until((done) => {
      if (this.alive) this.#link.child.once('exit', done);
      else done();
    }).catch(ignore); // it has not ended in all this time: it goes on trying, and that is its task
  }

  #order(words: string, order: string): Promise<void> {
    this.#orders += 1;
    return this.#answer(`done ${this.#orders}`, `${order} ${this.#orders} ${words}`.trimEnd());
  }

  #answer(wanted: string, line: string): Promise<void> {
    if (this.#died !== undefined) return Promise.reject(watchdogLost(this.#died));
    return this.#until((done) => {
      this.#waiting.set(wanted, done);
      this.#link.stdin.write(`${line}\n`);
    }).finally(() => this.#waiting.delete(wanted));
  }

  /** The timer keeps this process alive meanwhile; the watchdog alone does not. */
  #until(begin: (done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(watchdogLost('it does not answer')), ANSWER_MS);
      begin(() => {
        clearTimeout(timer);
        if (this.#died !== undefined && !this.#isClosing) reject(watchdogLost(this.#died));
        else resolve();
      });
    });
  }

  #hear(line: string): void {
    const [word, , ...why] = line.split(' ');
    if (word !== 'fired') {
      this.#waiting.get(line)?.();
      return;
    }
    this.#hasFired = true;
    this.#tell(watchdogFired(why.join(' ')));
  }

  #lost(why: string): void {
    if (this.#died !== undefined) return;
    this.#died = why;
    for (const done of this.#waiting.values()) done();
    if (!this.#isClosing) this.#tell(watchdogLost(why));
  }

  #tell(trouble: ToolError): void {
    for (const listener of this.#listeners) listener(trouble);
  }
}

function ignore(): void {}
