// Help and usage errors in our words: clipanion calls every value `#0` and prints errors to stdout.

import { Cli } from 'clipanion';
import { badSyntax, unknownCommand } from '../base/errors/usage.js';
import type { ToolError } from '../base/tool-error.js';

/** What stands for the value of an option in help texts. */
const VALUES: Readonly<Record<string, string>> = {
  '--at': 'PLACES',
  '--only': 'NUMBERS',
  '--detect': 'rapid|hash|compare',
  '--full-check-every': 'N',
  '--layout': 'MODE',
  '--identity': 'keep|new',
  '--table': 'same|gpt',
  '--size': 'N=SIZE',
  '--overwrite-target': 'ID',
  '--sector-size': 'BYTES',
  '--rescue-retries': 'N',
  '--rescue-time': 'DURATION',
  '--mapfile': 'FILE',
  '--prove-boot-time': 'DURATION',
  '--time-limit': 'DURATION',
  '--console': 'serial',
  '--screenshot': 'FILE',
  '--after': 'DURATION',
  '--firmware': 'auto|uefi|bios',
  '--bus': 'sata|virtio|nvme',
  '--accel': 'kvm|tcg',
  '--memory': 'SIZE',
  '--cpus': 'N',
  '--scratch': 'FOLDER',
};

/** Widest name of an option with its value; clipanion aligns the descriptions to the longest. */
const PLACEHOLDER = /(--[a-z-]+) #0( *)/g;

/** The parser of the command line, with readable help. */
export class ReadableCli extends Cli {
  override usage(...args: Parameters<Cli['usage']>): string {
    return nameValues(super.usage(...args));
  }
}

function nameValues(text: string): string {
  const width = longestValue(text) - '#0'.length;
  return text
    .split('\n')
    .map((line) => {
      const isOption = /^ {2}\S*-/.test(line);
      const named = line.replace(PLACEHOLDER, (_, option: string, gap: string) => {
        const value = VALUES[option] ?? 'VALUE';
        return isOption
          ? `${option} ${value}${' '.repeat(gap.length + width + '#0'.length - value.length)}`
          : `${option} ${value}${gap}`;
      });
      // Options without a value keep in line with the others.
      return isOption && !line.includes('#0') ? line.replace(/^( {2}\S+ +)(?=\S)/, `$1${' '.repeat(width)}`) : named;
    })
    .join('\n');
}

function longestValue(text: string): number {
  const found = [...text.matchAll(/^ {2}(--[a-z-]+) #0/gm)].map((match) => (VALUES[match[1] ?? ''] ?? 'VALUE').length);
  return Math.max('#0'.length, ...found);
}

const COMMANDS = ['boot', 'clone', 'disks', 'doctor', 'inspect', 'verify'];

/** What clipanion throws for words it does not understand, as an error like all others. */
export function usageError(error: unknown, words: readonly string[]): ToolError {
  const text = error instanceof Error ? error.message : String(error);
  const [first = ''] = text.split('\n');
  if (/^Command not found/.test(first))
    return unknownCommand(words.filter((word) => !word.startsWith('-')).join(' '), COMMANDS);
  const problem = first.slice(0, 1).toLowerCase() + first.slice(1).replace(/\.$/, '');
  return badSyntax(problem, COMMANDS.find((name) => words.includes(name)) ?? '');
}
