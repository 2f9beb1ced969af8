#!/usr/bin/env node
// The command line's entry: registers commands, maps usage errors to exit status 2. Commands load what they need when
// they run, so that `ectype --version` costs no more than the option parser.

import { readFileSync } from 'node:fs';
import { Builtins, Cli, type CommandClass } from 'clipanion';
import { BootCommand } from './commands/boot.js';
import { CloneCommand } from './commands/clone.js';
import { DisksCommand } from './commands/disks.js';
import { DoctorCommand } from './commands/doctor.js';
import { InspectCommand } from './commands/inspect.js';
import { VerifyCommand } from './commands/verify.js';
import { tellError } from './report/error.js';
import { ReadableCli, usageError } from './usage.js';

const COMMANDS: readonly CommandClass[] = [
  DisksCommand,
  InspectCommand,
  CloneCommand,
  VerifyCommand,
  BootCommand,
  DoctorCommand,
  Builtins.HelpCommand,
  Builtins.VersionCommand,
];

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  return manifest.version;
}

/** The parser compiles what it knows: a word that names a command makes all others superfluous. Help lists all. */
function commandsFor([word]: readonly string[]): readonly CommandClass[] {
  const named = COMMANDS.filter(({ paths }) => paths?.some(([first]) => first === word));
  return named.length === 0 || named.includes(Builtins.HelpCommand) ? COMMANDS : named;
}

async function main(words: readonly string[]): Promise<number> {
  const cli = new ReadableCli({
    binaryLabel: 'ectype: disk cloning, delta-sync and imaging for Linux',
    binaryName: 'ectype',
    binaryVersion: version(),
    enableColors: process.stdout.isTTY === true && !process.env['NO_COLOR'],
  });
  for (const command of commandsFor(words)) cli.register(command);
  const context = { ...Cli.defaultContext };
  try {
    const command = cli.process([...words], context);
    return await cli.run(command, context);
  } catch (error) {
    // clipanion would print this to stdout and end with 1; a usage error belongs to stderr and ends with 2.
    return tellError(usageError(error, words), { json: words.includes('--json'), ...context });
  }
}

// No top-level await: it would keep the bundle from being one plain script.
void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
