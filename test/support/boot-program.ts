// Disks with a boot sector of a few bytes of 8086 code: systems that start in a second and do one thing.
// Invariant: the sector is not over 440 bytes, so that the disk may have a partition table beside it.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** After its text: wait for ever, restart, or switch the machine off. */
export type Next = 'wait' | 'restart' | 'off';

export interface ProgramWish {
  /** Printed through the BIOS. */
  readonly text: string;
  readonly next?: Next;
  /** First overwrites the disk's second sector; if that fails, it prints nothing. */
  readonly writes?: boolean;
}

const LOADED_AT = 0x7c00;
const SECTOR = 512;
const DISK_SIZE = 4 << 20;

/** xor ax,ax; mov ds,ax; mov es,ax; cld */
const BEGIN = [0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc];
/** int 13h, function 3: one sector from 0:7c00 to cylinder 0, head 0, sector 2 of the first disk. */
const WRITE = [0xbb, 0x00, 0x7c, 0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13];
/** jc -2: waits for ever. */
const STOP_IF_FAILED = [0x72, 0xfe];
/** lodsb; test al,al; jz out; mov ah,0eh; mov bx,7; int 10h; jmp lodsb */
const PRINT = [0xac, 0x84, 0xc0, 0x74, 0x09, 0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xeb, 0xf2];
const NEXT: Readonly<Record<Next, readonly number[]>> = {
  wait: [0xf4, 0xeb, 0xfd], // hlt; jmp hlt
  restart: [0xea, 0x00, 0x00, 0xff, 0xff], // jmp ffff:0
  // APM (int 15h): connect to the real mode interface; its version is 1.2; all devices off
  off: [
    ...[0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15],
    ...[0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15],
    ...[0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15],
  ],
};

function program({ text, next = 'wait', writes = false }: ProgramWish): Buffer {
  const before = [...BEGIN, ...(writes ? [...WRITE, ...STOP_IF_FAILED] : [])];
  const after = [...PRINT, ...NEXT[next]];
  const textAt = LOADED_AT + before.length + 3 + after.length;
  const loadText = [0xbe, textAt & 255, textAt >> 8]; // mov si,text
  return Buffer.concat([Buffer.from([...before, ...loadText, ...after]), Buffer.from(`${text}\0`, 'latin1')]);
}

/** Makes a small disk that holds the program and no partition. */
export function programDisk(path: string, wish: ProgramWish): string {
  const code = program(wish);
  if (code.length > 440) throw new Error(`a boot sector has no room for ${code.length} bytes`);
  const sector = Buffer.alloc(SECTOR);
  code.copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return diskOf(path, sector);
}

/** Makes a disk with this first sector. */
export function diskOf(path: string, sector: Buffer): string {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, DISK_SIZE);
  writeSync(fd, sector, 0, sector.length, 0);
  closeSync(fd);
  return path;
}
