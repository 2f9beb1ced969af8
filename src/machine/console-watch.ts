// Reads a serial console as a person would: a login prompt, a panic, and what is worth telling on the way there.
// Invariant: only a prompt at the end of what was printed counts as one; text of any length takes bounded memory.

import { STARTING } from './loaders.js';

export type Sighting =
  | { readonly kind: 'login' }
  /** It will not go on from here by itself. */
  | { readonly kind: 'failure'; readonly what: string }
  /** Worth telling, and no verdict. */
  | { readonly kind: 'step'; readonly what: string };

export interface ConsoleWatch {
  /** More of what was printed; returns what is new in it. */
  feed(text: string): Sighting[];
  /** The last lines, without escapes, the unfinished one included. */
  tail(): string[];
}

const TAIL_LINES = 40;
const LONGEST_LINE = 4096;

/** agetty prints the host's name before it; nothing follows but what the kernel says meanwhile. */
const LOGIN = /^(\S+ )?login:\s*(\[\s*\d+\.\d+\].*)?$/;

const FAILURES: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/VFS: Unable to mount root fs/, 'the kernel finds no root file system (VFS: Unable to mount root fs)'],
  [/Kernel panic - not syncing/, 'the kernel panicked'],
  [/grub rescue>/, 'GRUB does not find its files (grub rescue>)'],
  [/^grub> ?$/, 'GRUB found no menu (grub>)'],
  [/No bootable device|No bootable option|No operating system/i, 'the firmware found nothing to start'],
  [/^Shell> ?$/, 'the firmware found no boot loader'],
  [/Missing operating system|Error loading operating system|BOOTMGR is missing|NTLDR is missing/i, 'no boot loader'],
  [/You are in emergency mode|Reached target .*Emergency Mode|Entering emergency mode/, 'it went into emergency mode'],
  [/You are in rescue mode|Reached target .*Rescue Mode/, 'it went into rescue mode'],
  [/ALERT! .* does not exist|^\(initramfs\) ?$/, 'the initramfs did not find the root file system'],
];

const STEPS: readonly (readonly [pattern: RegExp, what: string | undefined])[] = [
  [/^Booting from Hard Disk/, 'the BIOS starts the disk'],
  [/^BdsDxe: starting Boot(?!.*Internal Shell)/, 'UEFI starts a boot loader'],
  [new RegExp(`${STARTING} \\S+`), undefined],
  [/^GRUB loading|Welcome to GRUB|GNU GRUB/, 'GRUB'],
  [/Linux version \S+/, undefined],
  [/error: no such (partition|device)[^\n]*/, undefined],
  [/Boot failed: .*/, undefined],
  [/Welcome to (?!GRUB).+!$/, undefined],
  [/Reached target .*(Multi-User System|Graphical Interface)/, 'systemd reached its target'],
];

/** Begins with nothing printed. */
export function createConsoleWatch(): ConsoleWatch {
  const lines: string[] = [];
  const seen = new Set<RegExp>();
  let pending = '';
  const look = (line: string, isLast: boolean): Sighting[] => {
    const found: Sighting[] = [];
    const isNew = (pattern: RegExp): boolean => !seen.has(pattern) && pattern.test(line) && Boolean(seen.add(pattern));
    for (const [pattern, what] of STEPS) {
      if (isNew(pattern)) found.push({ kind: 'step', what: what ?? (pattern.exec(line)?.[0] ?? '').trim() });
    }
    for (const [pattern, what] of FAILURES) if (isNew(pattern)) found.push({ kind: 'failure', what });
    if (isLast && LOGIN.test(line) && !seen.has(LOGIN)) {
      seen.add(LOGIN);
      found.push({ kind: 'login' });
    }
    return found;
  };
  return {
    feed(text) {
      const pieces = (pending + text).split('\n');
      pending = (pieces.pop() ?? '').slice(-LONGEST_LINE);
      const whole = pieces.map(plain);
      const found = whole.flatMap((line) => look(line, false));
      lines.push(...whole.filter((line) => line !== ''));
      lines.splice(0, lines.length - TAIL_LINES);
      // A prompt may have scrolled by a line or two of the kernel's since: it still stands.
      return [...found, ...look(plain(pending), true), ...whole.slice(-3).flatMap((line) => look(line, true))];
    },
    tail: () => [...lines, plain(pending)].filter((line) => line !== '').slice(-TAIL_LINES),
  };
}

const ESCAPE = String.fromCharCode(27);
/** ECMA-48: control sequences, other escapes of two characters, and single control characters. */
const ESCAPES = new RegExp(`${ESCAPE}\\[[0-?]*[ -/]*[@-~]|${ESCAPE}[ -/]*[0-~]|[^\\P{Cc}\\r]`, 'gu');

/** As it stands on a screen: without escapes, and of what a carriage return overwrote the last. */
function plain(line: string): string {
  const shown = line.replace(ESCAPES, '').split('\r');
  return (shown.findLast((part) => part.trim() !== '') ?? '').trim();
}
