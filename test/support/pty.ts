// Runs a program on a terminal of its own (script(1) of util-linux) and types answers to its questions.

import { spawn } from 'node:child_process';

export interface Typed {
  readonly status: number;
  /** Everything the terminal showed. */
  readonly screen: string;
}

export interface TypeOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Typed when the screen shows `question`. */
  readonly question: RegExp;
  readonly answer: string;
  /** Done just before the answer is typed. */
  readonly before?: () => void;
}

const LIMIT_MS = 60_000;

/** Throws if the program does not end in a minute. */
export function typed(words: readonly string[], options: TypeOptions): Promise<Typed> {
  const command = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm', ...options.env },
    cwd: options.cwd,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    let screen = '';
    let asked = false;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`no end after a minute; the screen shows\n${screen}`));
    }, LIMIT_MS);
    child.stdout.on('data', (data: Buffer) => {
      screen += data.toString();
      if (asked || !options.question.test(screen)) return;
      asked = true;
      options.before?.();
      child.stdin.write(options.answer);
    });
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status: status ?? 128, screen });
    });
  });
}
