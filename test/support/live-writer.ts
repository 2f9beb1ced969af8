// A process that writes to a folder without pause and keeps a log of it elsewhere: `node live-writer.js FOLDER LOG SEED`.
// Invariant: the log says that something began before it does, and that it is done after it is.

import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { blockOf, FILE_BLOCKS, IN_PLACE, LIVE_BLOCK, MAPPED, type WriterEvent } from './live-log.js';
import { type Random, randomFrom } from './random.js';

const [folder = '', log = '', seed = ''] = process.argv.slice(2);
const MOST_MAPPED = 250;
const LONGEST_PAUSE_MS = 8;

class Writer {
  readonly #random: Random;
  readonly #log = openSync(log, 'a');
  readonly #made: number[] = [];
  #id = 0;
  #mapped = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Logs, does, logs. */
  #note(
    act: WriterEvent['act'],
    where: Pick<WriterEvent, 'file' | 'first' | 'count'>,
    work: (id: number) => void,
  ): void {
    this.#id += 1;
    const event = { id: this.#id, act, ...where };
    writeSync(this.#log, `${JSON.stringify({ ...event, begunAt: Date.now() })}\n`);
    work(this.#id);
    writeSync(this.#log, `${JSON.stringify({ ...event, doneAt: Date.now() })}\n`);
  }

  step(): void {
    const act = this.#random.below(10);
    if (act < 5) this.#overwrite();
    else if (act < 7) this.#append();
    else if (act === 7) this.#create();
    else if (act === 8) this.#remove();
    else this.#store();
  }

  #overwrite(): void {
    const file = this.#random.pick(IN_PLACE);
    const first = this.#random.below(FILE_BLOCKS);
    const count = this.#random.between(1, Math.min(8, FILE_BLOCKS - first));
    this.#note('overwrite', { file, first, count }, (id) => {
      const fd = openSync(join(folder, file), 'r+');
      const bytes = Buffer.concat(Array.from({ length: count }, () => blockOf(file, id)));
      writeSync(fd, bytes, 0, bytes.length, first * LIVE_BLOCK);
      if (file.startsWith('synced')) fsyncSync(fd);
      closeSync(fd);
    });
  }

  #append(): void {
    this.#note('append', { file: 'appended', first: 0, count: 1 }, (id) => {
      const fd = openSync(join(folder, 'appended'), 'a');
      writeSync(fd, `${id}\n`);
      if (this.#random.chance(0.3)) fsyncSync(fd);
      closeSync(fd);
    });
  }

  #create(): void {
    const file = `new-${this.#id + 1}`;
    const count = this.#random.between(1, 12);
    this.#made.push(this.#id + 1);
    this.#note('create', { file, first: 0, count }, (id) => {
      writeFileSync(join(folder, file), Buffer.concat(Array.from({ length: count }, () => blockOf(file, id))));
    });
  }

  #remove(): void {
    if (this.#made.length < 4) return;
    const [made] = this.#made.splice(this.#random.below(this.#made.length), 1);
    const file = `new-${made}`;
    this.#note('remove', { file, first: 0, count: 0 }, () => rmSync(join(folder, file)));
  }

  /** Through a memory map, with and without msync. */
  #store(): void {
    if (this.#mapped >= MOST_MAPPED) return;
    this.#mapped += 1;
    const byte = this.#mapped;
    const length = FILE_BLOCKS * LIVE_BLOCK;
    const end = this.#random.chance(0.5) ? ['-c', 'msync -s'] : [];
    const words = ['-c', `mmap -rw 0 ${length}`, '-c', `mwrite -S ${byte} 0 ${length}`, ...end, join(folder, MAPPED)];
    this.#note('store', { file: MAPPED, first: byte, count: 1 }, () => void spawnSync('xfs_io', words));
  }

  pause(): Promise<void> {
    return sleep(this.#random.below(LONGEST_PAUSE_MS));
  }
}

const writer = new Writer(randomFrom(Number(seed)));
let stopped = false;
process.on('SIGTERM', () => {
  stopped = true;
});
while (!stopped) {
  writer.step();
  await writer.pause();
}
