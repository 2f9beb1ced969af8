// Where outside programs lie. Invariant: nothing is started here.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Administrators' programs lie in sbin, which is not on everybody's PATH. */
export function searchPath(): string[] {
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'].filter(Boolean);
}

/** The path of a program, or undefined if it is not installed. */
export function findProgram(program: string): string | undefined {
  return searchPath()
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));
}
