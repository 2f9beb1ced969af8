// CRC-16 (polynomial 0x8005, reflected, no inversion): what uninit_bg file systems protect group descriptors with.
// Source: kernel lib/crc/crc16.c.

const TABLE = Uint16Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  return crc;
});

/** Continues `crc` over `bytes`. */
export function crc16(crc: number, bytes: Buffer): number {
  let result = crc & 0xffff;
  for (const byte of bytes) result = (result >>> 8) ^ (TABLE[(result ^ byte) & 0xff] ?? 0);
  return result;
}
