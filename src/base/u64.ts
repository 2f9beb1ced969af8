// 64-bit on-disk numbers as safe integers. A number beyond 2^53 on a disk is damage or an attack, never a real size.

/** A structure on disk contradicts its format; the caller turns it into an error that names the structure. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}

function joined(high: number, low: number): number {
  const value = high * 2 ** 32 + low;
  if (!Number.isSafeInteger(value)) throw new FormatError(`64-bit number out of range: 0x${high.toString(16)}…`);
  return value;
}

/** Little-endian u64 at `offset`. Throws FormatError beyond 2^53 and RangeError outside `bytes`. */
export function readU64LE(bytes: Buffer, offset: number): number {
  return joined(bytes.readUInt32LE(offset + 4), bytes.readUInt32LE(offset));
}

/** Big-endian u64 at `offset`. Throws FormatError beyond 2^53 and RangeError outside `bytes`. */
export function readU64BE(bytes: Buffer, offset: number): number {
  return joined(bytes.readUInt32BE(offset), bytes.readUInt32BE(offset + 4));
}

/** A 32-bit low half at `low` and a high half at `high`, both little-endian, as ext4 stores them. */
export function readSplitU64LE(bytes: Buffer, { low, high }: { low: number; high: number }): number {
  return joined(bytes.readUInt32LE(high), bytes.readUInt32LE(low));
}

export function writeU64LE(bytes: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new FormatError(`cannot store ${value} as a 64-bit number`);
  bytes.writeUInt32LE(value % 2 ** 32, offset);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
}
