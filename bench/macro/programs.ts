// Command lines: how each program copies a whole disk as fast as it can, past the page cache where it knows how to.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiB } from '../../src/base/units.js';
import { type Contestant, isInstalled, run } from './contestant.js';
import { type BenchDisk, resetTarget } from './disks.js';

const DIST = fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(DIST, 'bundle/cli/main.js');
const FLOOR = join(DIST, 'bench/floor/floor.js');
const FLOOR_USED = join(DIST, 'bench/floor/used.js');

export interface Pair {
  readonly source: BenchDisk;
  readonly target: BenchDisk;
  /** Ectype's own; nothing else is kept there. */
  readonly stateFolder: string;
  /** Where `noteUsed` leaves what the source uses. */
  readonly usedFile: string;
}

export function ectypeVersion(): Contestant {
  return { name: 'ectype --version', role: 'ectype', command: [process.execPath, CLI, '--version'] };
}

export function bareNode(): Contestant {
  return { name: 'node -e 0', role: 'floor', command: [process.execPath, '-e', '0'] };
}

export function ectypeCommand(source: string, target: string, ...options: readonly string[]): readonly string[] {
  const always = ['--yes', '--quiet', `--overwrite-target=${target}`];
  return [process.execPath, CLI, 'clone', ...always, ...options, source, target];
}

/** A first clone. */
export function ectypeFirst({ source, target, stateFolder }: Pair): Contestant {
  return {
    name: 'ectype',
    role: 'ectype',
    command: ectypeCommand(source.path, target.path),
    environment: { ECTYPE_STATE: stateFolder },
    before: () => {
      rmSync(stateFolder, { recursive: true, force: true });
      resetTarget(target);
    },
  };
}

/** A run after another one; `change` is what happens to the source in between. */
export function ectypeAgain({ source, target, stateFolder }: Pair, change: () => void): Contestant {
  const environment = { ECTYPE_STATE: stateFolder };
  return {
    name: 'ectype --detect hash',
    role: 'ectype',
    command: ectypeCommand(source.path, target.path, '--detect', 'hash'),
    environment,
    before: () => {
      // The peers have written the target since; whatever it holds, after this it is a clone with a history.
      run(ectypeCommand(source.path, target.path), environment);
      change();
    },
  };
}

/** A standby clone: what changed since the last run is found by the source's metadata. Checked once. */
export function ectypeAfter({ source, target, stateFolder }: Pair, name: string, change: () => void): Contestant {
  const environment = { ECTYPE_STATE: stateFolder };
  return {
    name,
    role: 'ectype',
    command: ectypeCommand(source.path, target.path, '--full-check-every', '0'),
    environment,
    before: () => {
      run(ectypeCommand(source.path, target.path, '--full-check-every', '0'), environment);
      change();
    },
    check: () => run([process.execPath, CLI, 'verify', source.path, target.path], environment),
  };
}

/** After `noteUsed`: reads everything allocated, one request after the other. */
export function oneThreadRead({ source, usedFile }: Pair): Contestant {
  const command = [process.execPath, FLOOR, 'read', source.path, `--used=${usedFile}`, '--workers=1'];
  return { name: 'one thread reads all allocated', role: 'floor', command };
}

/** Writes down what the source's file system uses, for the floors. */
export function noteUsed({ source, usedFile }: Pair): void {
  writeFileSync(usedFile, run([process.execPath, FLOOR_USED, source.path]));
}

/** Of the whole disk, or after `noteUsed` of what is used. */
export function floorCopy({ source, target, usedFile }: Pair, { used }: { used: boolean }): Contestant {
  const command = [process.execPath, FLOOR, 'copy', source.path, target.path, ...(used ? [`--used=${usedFile}`] : [])];
  return { name: 'floor copy', role: 'floor', command, before: () => resetTarget(target) };
}

/** After `noteUsed`. */
export function floorRead({ source, usedFile }: Pair): Contestant {
  const command = [process.execPath, FLOOR, 'read', source.path, `--used=${usedFile}`];
  return { name: 'floor read', role: 'floor', command };
}

/** After `noteUsed`: reads as many bytes as a run has to read, from the disk's start, and does nothing with them. */
export function ddRead({ source, usedFile }: Pair): Contestant {
  const used: readonly { length: number }[] = JSON.parse(readFileSync(usedFile, 'utf8'));
  const bytes = used.reduce((sum, { length }) => sum + length, 0);
  const count = `count=${Math.ceil(bytes / (4 * MiB))}`;
  const command = ['dd', `if=${source.path}`, 'of=/dev/null', 'bs=4M', count, 'iflag=direct', 'status=none'];
  return { name: 'dd, reading only', role: 'floor', command };
}

function dd({ source, target }: Pair): readonly string[] {
  const direct = ['iflag=direct', 'oflag=direct', 'conv=notrunc,fsync', 'status=none'];
  return ['dd', `if=${source.path}`, `of=${target.path}`, 'bs=4M', ...direct];
}

function qemuImg({ source, target }: Pair): readonly string[] {
  const direct = ['-t', 'none', '-T', 'none', '-f', 'raw', '-O', 'raw'];
  return ['qemu-img', 'convert', '-n', '-W', '-m', '8', ...direct, source.path, target.path];
}

function ddrescue({ source, target }: Pair): readonly string[] {
  return ['ddrescue', '-q', '-d', '-D', '--force', source.path, target.path];
}

function partclone(kind: 'dd' | 'ext4', { source, target }: Pair): readonly string[] {
  const log = `${target.file}.log`;
  const block = kind === 'dd' ? [] : ['-b'];
  return [`partclone.${kind}`, ...block, '-q', '-L', log, '-s', source.path, '-O', target.path];
}

function e2image({ source, target }: Pair): readonly string[] {
  return ['e2image', '-ra', source.path, target.path];
}

/** Programs that copy every byte. */
export function wholeCopies(pair: Pair): Contestant[] {
  return peers(pair, {
    dd: dd(pair),
    'qemu-img': qemuImg(pair),
    'partclone.dd': partclone('dd', pair),
    ddrescue: ddrescue(pair),
  });
}

/** Programs that copy what ext4 uses, and the fastest that copy every byte. */
export function filesystemCopies(pair: Pair): Contestant[] {
  return peers(pair, {
    'partclone.ext4': partclone('ext4', pair),
    e2image: e2image(pair),
    dd: dd(pair),
    'qemu-img': qemuImg(pair),
  });
}

/** Programs that look for changes themselves; the first run, which fills their digests, is not timed. */
export function deltaCopies({ source, target }: Pair, change: () => void): Contestant[] {
  const digests = `${target.file}.blocksync`;
  const command = ['blocksync-fast', '-s', source.path, '-d', target.path, '-f', digests];
  const name = 'blocksync-fast';
  if (!isInstalled(name)) return [];
  const before = (): void => {
    run(command);
    change();
  };
  return [{ name, role: 'peer', command, before }];
}

function peers({ target }: Pair, commands: Readonly<Record<string, readonly string[]>>): Contestant[] {
  return Object.entries(commands)
    .filter(([, [program = '']]) => isInstalled(program))
    .map(([name, command]) => ({ name, role: 'peer', command, before: () => resetTarget(target) }));
}
