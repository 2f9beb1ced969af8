// Loads the addon that node-gyp builds in native/build. The only file that knows where it lies.

import { createRequire } from 'node:module';
import { nativeMissing } from '../base/errors/device.js';

/** The addon's functions as C++ exports them; each throws an Error with `code`, `errno` and `syscall`. */
export interface Binding {
  allocateAligned(length: number): ArrayBuffer;
  blockDeviceSize(fd: number): number;
  logicalSectorSize(fd: number): number;
  physicalSectorSize(fd: number): number;
  blockDiscard(fd: number, offset: number, length: number): void;
  blockZeroOut(fd: number, offset: number, length: number): void;
  flushDeviceCache(fd: number): void;
  rereadPartitionTable(fd: number): void;
  punchHole(fd: number, offset: number, length: number): void;
  zeroRange(fd: number, offset: number, length: number): void;
  seekData(fd: number, offset: number): number;
  seekHole(fd: number, offset: number): number;
  dropCache(fd: number, offset: number, length: number): void;
  directIoAlignment(fd: number): { memory: number; offset: number };
  freezeFilesystem(fd: number): void;
  thawFilesystem(fd: number): void;
  syncFilesystem(fd: number): void;
  tryLock(fd: number, exclusive: boolean): boolean;
}

const require = createRequire(import.meta.url);

export const binding: Binding = load();

function load(): Binding {
  try {
    return require('../../../native/build/Release/ectype_native.node');
  } catch (cause) {
    throw nativeMissing(cause);
  }
}
