// Errors in what was asked for (exit status 2).

import { ToolError } from '../tool-error.js';

export function badLocation(text: string): ToolError {
  return new ToolError({
    code: 'usage.bad-location',
    message: `"${text}" names neither a disk nor a partition`,
    hint: 'Write /dev/sdb or disk.img for a disk, /dev/sdb#3 for its third partition',
    details: { text },
  });
}

export function badOption(option: string, value: string, wanted: string): ToolError {
  return new ToolError({
    code: 'usage.bad-option',
    message: `${option} ${value}: ${wanted}`,
    hint: 'See --help',
    details: { option, value },
  });
}

export function diskAndPartition(source: string, target: string): ToolError {
  return new ToolError({
    code: 'usage.disk-and-partition',
    message: `${source} and ${target} are not of the same kind: one is a whole disk, the other a partition`,
    hint: 'Name two disks (A B) or two partitions (A#2 B#3)',
    details: { source, target },
  });
}

export function noTable(disk: string, partition: number): ToolError {
  return new ToolError({
    code: 'usage.no-table',
    message: `${disk} has no partition table, so there is no partition ${partition}`,
    hint: 'Name the disk without "#"',
    details: { disk, partition },
  });
}

export function optionNeedsDisks(option: string): ToolError {
  return new ToolError({
    code: 'usage.option-needs-disks',
    message: `${option} is for whole disks with a partition table`,
    hint: 'Leave it out',
    details: { option },
  });
}

export function contradictingOptions(option: string, other: string, hint: string): ToolError {
  return new ToolError({
    code: 'usage.contradicting-options',
    message: `${option} and ${other} do not go together`,
    hint,
    details: { option, other },
  });
}

/** Words that the option parser does not understand; `command` is empty where none was recognised. */
export function badSyntax(problem: string, command: string): ToolError {
  return new ToolError({
    code: 'usage.syntax',
    message: problem,
    hint: `See \`ectype ${command}${command ? ' ' : ''}--help\``,
    details: { command },
  });
}

export function unknownCommand(words: string, known: readonly string[]): ToolError {
  return new ToolError({
    code: 'usage.unknown-command',
    message: `there is no command "${words}"`,
    hint: `Commands are ${known.join(', ')}; see \`ectype --help\``,
    details: { words, known },
  });
}
