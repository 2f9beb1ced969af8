// A file system in an image, and a clone of it that is made again and again while both live their lives: what tests of
// rapid clones begin with, and their judge.
// Invariant: after each clone the target is judged by programs that know nothing of it, and by `verify`.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import type { PlannedVolumeFacts } from '../../src/operation/clone-types.js';
import type { DetectMode } from '../../src/plan/trust.js';
import { someEvent } from './btrfs-history.js';
import { type Cloned, type Ectype, ectypeIn } from './ectype-cli.js';
import type { Random } from './random.js';
import { copyInto, listing, newImage, type RapidKind } from './rapid-kinds.js';
import { hasSwap, makeSwap, SWAP_FILE, useSwap } from './rapid-swap.js';
import { run } from './run.js';
import { Workload } from './workload.js';

const STILL_FILES = 120;
const STILL_FILE = 96 * KiB;
export const STILL_BYTES: Bytes = STILL_FILES * STILL_FILE;
const OPERATIONS = 40;
/** For so long stamps prove nothing, and a bit. */
const YOUNG_MS = 2200;

/** What the next plan may say of the volume. */
export interface Expected {
  readonly modes: readonly DetectMode[];
  readonly reason?: RegExp;
}
export const RAPID: Expected = { modes: ['rapid'] };

/** Source, target and state as they were after one of the clones. */
interface Moment {
  /** How many runs had written something by then. */
  readonly writes: number;
  readonly folder: string;
}

export class RapidHistory {
  readonly kind: RapidKind;
  readonly random: Random;
  readonly folder: string;
  readonly source: string;
  readonly target: string;
  readonly ectype: Ectype;
  /** Everything that happened, for whoever has to find out why. */
  readonly told: string[] = [];
  /** Runs whose detection was rapid, and all runs after the first. */
  readonly runs = { rapid: 0, all: 0, read: 0, used: 0 };
  moment: Moment | undefined;
  /** Runs that wrote something. */
  writes = 0;
  #work: Workload;
  #place = 'work-0';
  #places = 0;
  /** All old files may have come to lie elsewhere since the last run. */
  #moved = false;
  /** When the old files were made, and whether a run has seen them since they are old enough for stamps to prove them. */
  #filledAt = 0;
  #isKnown = false;

  constructor(kind: RapidKind, { random, scratch }: { random: Random; scratch: string }) {
    this.kind = kind;
    this.random = random;
    this.folder = join(scratch, kind.name);
    mkdirSync(this.folder);
    this.source = join(this.folder, 'source.img');
    this.target = join(this.folder, 'target.img');
    this.ectype = ectypeIn(this.folder);
    this.#work = this.#newWork();
  }

  #newWork(): Workload {
    return new Workload(this.random, { can: this.kind.can, largest: 128 * KiB, room: 8 * MiB });
  }

  async make(): Promise<void> {
    newImage(this.kind, this.source);
    await this.fill();
  }

  /** Files that stay as they are, a swap file that an fstab names by chance, and the first work. */
  async fill(): Promise<void> {
    const { random, kind } = this;
    const isNamed = random.chance(0.5);
    await kind.mounted(this.source, (folder) => {
      mkdirSync(join(folder, 'still'));
      for (let index = 0; index < STILL_FILES; index += 1) {
        writeFileSync(join(folder, 'still', `${index}`), random.bytes(STILL_FILE));
      }
      if (kind.swap) makeSwap(folder, isNamed);
      if (kind.name === 'btrfs') run('btrfs', ['subvolume', 'create', join(folder, 'volume')]);
      if (kind.name === 'btrfs') mkdirSync(join(folder, 'in place'));
      if (kind.name === 'btrfs') run('chattr', ['+C', join(folder, 'in place')]);
    });
    this.#filledAt = Date.now();
    this.#isKnown = false;
    this.startOver();
    await this.work();
  }

  /** From now on work is done in a new folder: whoever works does not know what lies in the old one. */
  startOver(): void {
    this.#work = this.#newWork();
    this.#places += 1;
    this.#place = `work-${this.#places}`;
    this.#moved = true;
  }

  /** Random work on the source, through the kernel; sometimes on a copy of the image that then replaces it. */
  async work(): Promise<void> {
    const { random, kind, source } = this;
    const elsewhere = random.chance(0.2);
    const image = elsewhere ? `${source}.elsewhere` : source;
    if (elsewhere) copyInto(source, image);
    await kind.mounted(image, (folder) => this.#workIn(folder), random.pick(kind.mounts));
    if (!elsewhere) return;
    this.told.push('elsewhere');
    copyInto(image, source);
    rmSync(image);
  }

  #workIn(folder: string): void {
    const { random, kind } = this;
    const top = kind.name === 'btrfs' ? join(folder, 'volume') : folder;
    mkdirSync(join(top, this.#place), { recursive: true });
    this.#work.work(join(top, this.#place), random.pick([0, 5, OPERATIONS, OPERATIONS]));
    if (kind.name === 'btrfs' && random.chance(0.4)) {
      const { name, moves } = someEvent(folder, random);
      this.told.push(name);
      this.#moved ||= moves === true || name === 'grow' || name === 'defragment';
    }
    if (hasSwap(folder) && random.chance(0.2)) this.told.push(useSwap(folder));
  }

  /** Keeps everything as it is now, sometimes, for somebody to bring back. */
  remember(): void {
    const folder = join(this.folder, 'moment');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    copyInto(this.source, join(folder, 'source'));
    copyInto(this.target, join(folder, 'target'));
    cpSync(this.ectype.state, join(folder, 'state'), { recursive: true });
    this.moment = { writes: this.writes, folder };
  }

  /** Brings back one of the three. */
  bringBack(what: 'source' | 'target' | 'state'): void {
    const from = join(this.moment?.folder ?? '', what);
    if (what === 'state') {
      rmSync(this.ectype.state, { recursive: true });
      cpSync(from, this.ectype.state, { recursive: true });
    } else {
      copyInto(from, this[what]);
    }
  }

  /** Clones, and judges what came out. */
  async clone(expected: Expected, { ectype = this.ectype, options = [] as readonly string[] } = {}): Promise<Cloned> {
    const isOld = Date.now() > this.#filledAt + YOUNG_MS;
    const check = options.includes('--full-check-every') ? [] : ['--full-check-every', '0'];
    // Not for every file system is it the default.
    const detect = options.includes('--detect') ? [] : ['--detect', 'rapid'];
    const cloned = ectype.clone(this.source, this.target, ...options, ...check, ...detect);
    const [volume] = cloned.plan.volumes;
    assert.ok(volume);
    if (cloned.changed) this.writes += 1;
    this.told.push(`${volume.detect} (${volume.detectReason})`);
    this.#demandExpected(volume, expected);
    this.#demandRead(cloned, volume);
    this.#isKnown ||= isOld && cloned.changed; // a run that found nothing new keeps the older catalogue
    const verified = this.ectype.verify(this.source, this.target, ...options.filter((each) => /excl/.test(each)));
    assert.is(verified.differenceCount, 0, `MISSED: ${JSON.stringify(verified.differences.slice(0, 5))}`);
    await this.demandSame(cloned);
    return cloned;
  }

  #demandExpected({ detect, detectReason }: PlannedVolumeFacts, { modes, reason }: Expected): void {
    const isAble = this.kind.plugin.records !== undefined;
    const wanted = modes.map((mode) => (mode === 'rapid' && !isAble ? 'hash' : mode));
    assert.ok(wanted.includes(detect), `${detect} (${detectReason}) where ${wanted.join(' or ')} was expected`);
    if (reason && isAble) assert.match(detectReason, reason);
  }

  /** A rapid run reads much less than a file system holds whose files are old. */
  #demandRead({ amounts, warnings }: Cloned, { detect, used }: PlannedVolumeFacts): void {
    this.runs.all += 1;
    this.runs.used += used;
    this.runs.read += amounts.sourceRead;
    const whole = warnings.filter((text) => text.includes('is read whole'));
    if (whole.length > 0) this.told.push(...whole);
    if (detect !== 'rapid') return;
    this.runs.rapid += 1;
    if (this.#moved || !this.#isKnown || whole.length > 0) {
      this.#moved = false;
      return;
    }
    const most = used - 0.7 * STILL_BYTES;
    assert.ok(amounts.sourceRead <= most, `${amounts.sourceRead} bytes were read, ${used} are used`);
  }

  /** The judges that know nothing of clones: checker, kernel, sha256sum. */
  async demandSame({ plan }: Cloned): Promise<void> {
    const { kind, source, target } = this;
    kind.check(target);
    const left = plan.excludedBytes > 0;
    const look = (folder: string): { list: string; swap: Buffer | undefined } => ({
      list: listing(folder),
      swap: left ? readFileSync(join(folder, SWAP_FILE)) : undefined,
    });
    const readOnly = kind.name === 'ext4' ? 'ro,noload' : 'ro';
    const wanted = await kind.mounted(source, look, readOnly);
    const found = await kind.mounted(target, look, readOnly);
    const lines = ({ list }: { list: string }): string[] =>
      list.split('\n').filter((line) => !left || !/^[0-9a-f]{64} {2}\.\/swap\/file$/.test(line));
    assert.equal(lines(found), lines(wanted), 'MISSED: the same files');
    if (!found.swap || !wanted.swap) return;
    assert.ok(
      found.swap.subarray(4 * KiB).every((byte) => byte === 0),
      'what is left out reads as zeros',
    );
    assert.equal(found.swap.subarray(0, 4 * KiB), wanted.swap.subarray(0, 4 * KiB));
  }
}
