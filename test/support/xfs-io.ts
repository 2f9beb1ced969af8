// Commands for xfs_io, which can do to files of any file system what node cannot: many files in one process.
// Invariant: commands are carried out in the order they were given in; an error other than a full file system throws. A
// store through a memory map finds out by a signal that the file system is full; what came after it is not done then.

import { tryRun } from './run.js';

/** What tools say of a full file system. */
export const FULL = 'No space left on device';
/** As tryRun says it. */
const KILLED = 128;

export class XfsIo {
  readonly #lines: string[] = [];
  readonly #files = new Set<object>();

  /** Keeps `commands` for `path` until the next flush; `files` are what they deal with. */
  add(files: readonly object[], path: string, commands: readonly string[], { direct = false } = {}): void {
    for (const file of files) this.#files.add(file);
    this.#lines.push(`open ${direct ? '-d ' : ''}${path}`, ...commands, 'close');
  }

  isPendingFor(file: object): boolean {
    return this.#files.has(file);
  }

  flush(): void {
    if (this.#lines.length === 0) return;
    const input = `${this.#lines.join('\n')}\n`;
    this.#lines.length = 0;
    this.#files.clear();
    const { status, stderr } = tryRun('xfs_io', [], { input });
    const strange = stderr.split('\n').filter((line) => line !== '' && !line.includes(FULL));
    if (strange.length > 0 || (status > 1 && status !== KILLED))
      throw new Error(`xfs_io ended with ${status}: ${stderr}\n${input}`);
  }
}
