// Runs an outside program, the judge of most tests.

import { spawnSync } from 'node:child_process';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `command` and returns what it said, whatever its status. */
export function tryRun(
  command: string,
  args: readonly string[] = [],
  options: { input?: string | Buffer; env?: NodeJS.ProcessEnv } = {},
): Ran {
  const { PATH = '' } = process.env;
  const ran = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, PATH: `${PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', MTOOLS_SKIP_CHECK: '1', ...options.env },
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  if (ran.error) throw ran.error;
  return { status: ran.status ?? 128, stdout: ran.stdout, stderr: ran.stderr };
}

/** Runs `command` and returns its stdout; throws with everything it said unless it ends with 0. */
export function run(
  command: string,
  args: readonly string[] = [],
  options: { input?: string | Buffer; env?: NodeJS.ProcessEnv } = {},
): string {
  const { status, stdout, stderr } = tryRun(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}
