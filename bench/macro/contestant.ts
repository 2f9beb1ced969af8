// What takes part in a comparison, and running it: wall time, processor time and memory of one process tree.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `peer`: a tool people use today. `floor`: the bare minimum of the same job. `ectype`: what is judged. */
export type Role = 'peer' | 'floor' | 'ectype';

export interface Contestant {
  readonly name: string;
  readonly role: Role;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Puts everything where this run finds it; not timed. */
  readonly before?: () => void;
  /** Throws unless the result is right; once a contestant, after its first run. */
  readonly check?: () => void;
}

/** One timed run. */
export interface Sample {
  readonly seconds: number;
  /** Of all threads, in user mode and in the kernel. Kernel threads that work for a process are not in it. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

const folder = mkdtempSync(join(tmpdir(), 'ectype-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Runs an outside program to its end; throws with all it said if it fails. */
export function run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
  const [program = '', ...words] = command;
  // Nothing else of this shell's: NODE_EXTRA_CA_CERTS alone, say, costs every start of Node 40 ms.
  const { PATH = '', HOME = '/' } = process.env;
  const env = { PATH: `${PATH}:/usr/sbin:/sbin`, HOME, LC_ALL: 'C', ...environment };
  const ran = spawnSync(program, words, { encoding: 'utf8', maxBuffer: 1 << 26, env });
  if (ran.error) throw ran.error;
  if (ran.status === 0) return ran.stdout;
  throw new Error(`${command.join(' ')} ended with ${ran.status ?? ran.signal}\n${ran.stdout}${ran.stderr}`);
}

/** True if the program can be started. */
export function isInstalled(program: string): boolean {
  try {
    run(['sh', '-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

/** Runs a command and measures it. */
export function measure(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Sample {
  const file = join(folder, 'time');
  const start = process.hrtime.bigint();
  run(['time', '--quiet', '--format=%U %S %M', `--output=${file}`, ...command], environment);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const [user = 0, system = 0, kibibytes = 0] = readFileSync(file, 'utf8').trim().split(' ').map(Number);
  return { seconds, cpuSeconds: user + system, peakBytes: kibibytes * 1024 };
}

/**
 * All contestants in turn, `rounds` times over, so that a busy moment of the machine hits all of them. Each round
 * begins with another one, so that none always follows the same neighbour.
 */
export function contest(contestants: readonly Contestant[], rounds: number): Map<Contestant, Sample[]> {
  const samples = new Map<Contestant, Sample[]>(contestants.map((contestant) => [contestant, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < contestants.length; turn += 1) {
      const contestant = contestants[(round + turn) % contestants.length];
      if (!contestant) continue;
      contestant.before?.();
      samples.get(contestant)?.push(measure(contestant.command, contestant.environment));
      if (round === 0) contestant.check?.();
    }
  }
  return samples;
}
