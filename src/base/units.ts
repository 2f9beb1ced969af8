// Sizes as people read and write them. Binary units inside and outside; decimal ones are accepted where written (GB).

/** A byte offset or length: a safe integer. */
export type Bytes = number;

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `formatBytes(1342177280)` is "1.25 GiB"; exact byte counts below 1 KiB. */
export function formatBytes(bytes: Bytes): string {
  let value = bytes;
  let unit = 0;
  // From 1023.5 on it would be rounded to 1024.
  while (Math.abs(value) >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  return `${Number(value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0))} ${UNITS[unit]}`;
}

/** Bytes with the exact count beside it: "1.25 GiB (1342177280 bytes)". For messages about gaps. */
export function formatBytesExact(bytes: Bytes): string {
  return bytes < 1024 ? formatBytes(bytes) : `${formatBytes(bytes)} (${bytes} bytes)`;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: KiB,
  kib: KiB,
  kb: 1000,
  m: MiB,
  mib: MiB,
  mb: 1000 ** 2,
  g: GiB,
  gib: GiB,
  gb: 1000 ** 3,
  t: TiB,
  tib: TiB,
  tb: 1000 ** 4,
};

/** "200G", "200GiB" and "200GB" in bytes; undefined if the text is no size. */
export function parseSize(text: string): Bytes | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim());
  const factor = SUFFIXES[(match?.[2] ?? '').toLowerCase()];
  if (!match || factor === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** "3.2 s", "4 min 10 s", "2 h 5 min". */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** "90", "30m", "1.5h" and "2d" in seconds; undefined if the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(text.trim());
  const factor = SECONDS[match?.[2] ?? ''];
  return match && factor !== undefined ? Number(match[1]) * factor : undefined;
}
