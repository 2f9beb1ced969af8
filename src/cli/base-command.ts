// What every command shares: the options for output, errors as exit statuses, Ctrl-C as an AbortSignal.

import { Command, Option } from 'clipanion';
import { EXIT_STATUS } from '../base/tool-error.js';
import { tellError } from './report/error.js';

export abstract class BaseCommand extends Command {
  json = Option.Boolean('--json', false, { description: 'One JSON object a line on stdout, and nothing else there' });
  quiet = Option.Boolean('--quiet,-q', false, { description: 'Only errors and the result' });

  /** The command's work; resolves to the exit status. */
  protected abstract run(): Promise<number>;

  async execute(): Promise<number> {
    // clipanion ends with 0 when an error was handled in catch(): so errors become statuses here.
    try {
      return await this.run();
    } catch (error) {
      return tellError(error, { json: this.json, ...this.context });
    }
  }

  protected print(text: string): void {
    this.context.stdout.write(`${text}\n`);
  }

  protected printJson(value: unknown): void {
    this.print(JSON.stringify(value));
  }

  /** Ctrl-C asks the work to stop at a safe point; pressed again it ends the process at once. */
  protected withSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    let ended = false;
    const onSignal = (): void => {
      if (ended) return; // all that is left is to tell how it ended
      if (controller.signal.aborted) process.exit(EXIT_STATUS.interrupted);
      controller.abort();
      this.context.stderr.write('\nstopping at a safe point; press Ctrl-C again to stop at once\n');
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    return work(controller.signal).finally(() => {
      ended = true;
    });
  }
}

/** "1,3" as numbers; undefined if nothing was given. Throws `usage.bad-option`. */
export async function parseNumbers(option: string, text: string | undefined): Promise<number[] | undefined> {
  if (text === undefined) return undefined;
  const numbers = text.split(',').map((word) => (/^[1-9]\d{0,5}$/.test(word) ? Number(word) : Number.NaN));
  if (numbers.some(Number.isNaN)) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption(option, text, 'wanted are partition numbers such as 1,3');
  }
  return numbers;
}

/** 512 or 4096, or what lies between; undefined if nothing was given. Throws `usage.bad-option`. */
export async function parseSectorSize(text: string | undefined): Promise<number | undefined> {
  if (text === undefined) return undefined;
  const size = Number(text);
  if (![512, 1024, 2048, 4096].includes(size)) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption('--sector-size', text, 'wanted is 512 or 4096');
  }
  return size;
}
