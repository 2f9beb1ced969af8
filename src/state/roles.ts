// Which disks were the original of a clone: those are not overwritten without being named.

import { join } from 'node:path';
import { loadJson, makeFolder, saveJson, stateFolder } from './folder.js';

interface SourceRole {
  readonly id: string;
  readonly path: string;
  readonly at: string;
}

function rolesFile(): string {
  return join(stateFolder(), 'sources.json');
}

function load(): Record<string, SourceRole> {
  const value = loadJson(rolesFile());
  return typeof value === 'object' && value !== null ? (value as Record<string, SourceRole>) : {};
}

/** Remembers, durably, that the disk with this key is an original. */
export function rememberSource(key: string, role: { id: string; path: string }): void {
  const roles = load();
  if (roles[key]?.id === role.id) return;
  makeFolder(stateFolder());
  saveJson(rolesFile(), { ...roles, [key]: { ...role, at: new Date().toISOString() } });
}

export function isKnownSource(key: string): boolean {
  return load()[key] !== undefined;
}
