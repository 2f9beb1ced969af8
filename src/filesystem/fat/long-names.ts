// Names of files in FAT directories: the long name that stands before an entry, or the short one.
// Invariant: bytes in, values out; a long name counts only if its parts are in order and fit the short entry's checksum.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Long Directory Entries"; the case flags of short
// names from Linux fs/fat/dir.c.

const ENTRY_LENGTH = 32;
const AT = {
  sequence: 0,
  attributes: 11,
  caseFlags: 12,
  checksum: 13,
  clusterHigh: 20,
  written: 22,
  clusterLow: 26,
  size: 28,
} as const;
/** Where a long entry keeps its thirteen characters. */
const LONG_PARTS = [
  [1, 11],
  [14, 26],
  [28, 32],
] as const;
const END = 0x00;
const DELETED = 0xe5;
const ESCAPED = 0x05;
const DOT = 0x2e;
const VOLUME_LABEL = 0x08;
const DIRECTORY = 0x10;
const LONG_NAME = 0x0f;
const LONG_NAME_MASK = 0x3f;
const LAST_PART = 0x40;
const PART_MASK = 0x3f;
const LOWER = { base: 0x08, extension: 0x10 } as const;

export interface NamedEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  /** 0: it has no clusters. */
  readonly firstCluster: number;
  readonly size: number;
  /** Read-only, hidden, system, directory, archive, as bits. */
  readonly attributes: number;
  /** When it was last written: date and time as they lie there, 16 bits each. */
  readonly written: number;
}

export interface NameReader {
  /** Files and directories of whole entries that follow those added before; "." and ".." are left out. */
  add(bytes: Buffer): Generator<NamedEntry>;
  /** The end mark was seen. */
  readonly ended: boolean;
}

/** `wide`: cluster numbers have a high half (FAT32). */
export function nameReader({ wide }: { wide: boolean }): NameReader {
  let ended = false;
  let long: { text: string; next: number; checksum: number } | undefined;
  return {
    get ended() {
      return ended;
    },
    *add(bytes) {
      for (let at = 0; !ended && at + ENTRY_LENGTH <= bytes.length; at += ENTRY_LENGTH) {
        const entry = bytes.subarray(at, at + ENTRY_LENGTH);
        const first = entry.readUInt8(0);
        const attributes = entry.readUInt8(AT.attributes);
        if (first === END) ended = true;
        else if (first !== DELETED && (attributes & LONG_NAME_MASK) === LONG_NAME) long = longer(long, entry);
        else {
          const whole = long?.next === 0 && long.checksum === checksumOf(entry) ? long.text : undefined;
          long = undefined;
          if (first === DELETED || first === DOT || (attributes & VOLUME_LABEL) !== 0) continue;
          const high = wide ? entry.readUInt16LE(AT.clusterHigh) : 0;
          yield {
            name: whole ?? shortName(entry),
            isDirectory: (attributes & DIRECTORY) !== 0,
            firstCluster: high * 2 ** 16 + entry.readUInt16LE(AT.clusterLow),
            size: entry.readUInt32LE(AT.size),
            attributes,
            written: entry.readUInt32LE(AT.written),
          };
        }
      }
    },
  };
}

/** Long names lie last part first. */
function longer(
  before: { text: string; next: number; checksum: number } | undefined,
  entry: Buffer,
): { text: string; next: number; checksum: number } | undefined {
  const sequence = entry.readUInt8(AT.sequence);
  const part = sequence & PART_MASK;
  const checksum = entry.readUInt8(AT.checksum);
  const isLast = (sequence & LAST_PART) !== 0;
  if (part === 0 || (!isLast && (before?.next !== part || before.checksum !== checksum))) return undefined;
  const characters = LONG_PARTS.map(([from, to]) => entry.toString('utf16le', from, to)).join('');
  const end = characters.indexOf('\0');
  const text = (end < 0 ? characters : characters.slice(0, end)) + (isLast ? '' : (before?.text ?? ''));
  return { text, next: part - 1, checksum };
}

function checksumOf(entry: Buffer): number {
  let sum = 0;
  for (let at = 0; at < AT.attributes; at += 1) sum = ((sum >>> 1) + ((sum & 1) << 7) + (entry[at] ?? 0)) & 0xff;
  return sum;
}

function shortName(entry: Buffer): string {
  const raw = Buffer.from(entry.subarray(0, AT.attributes));
  if (raw[0] === ESCAPED) raw[0] = DELETED;
  const flags = entry.readUInt8(AT.caseFlags);
  const lowered = (text: string, flag: number): string => ((flags & flag) !== 0 ? text.toLowerCase() : text);
  const base = lowered(raw.toString('latin1', 0, 8).trimEnd(), LOWER.base);
  const extension = lowered(raw.toString('latin1', 8, 11).trimEnd(), LOWER.extension);
  return extension === '' ? base : `${base}.${extension}`;
}
