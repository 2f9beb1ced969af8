// Tells a bare file system from a partition table: many boot sectors end with 55 AA as well.
// Follows libblkid (no table where a FAT or another file system starts) and the kernel (entries with sense win).

/** As much of the disk's beginning as `filesystemAtStart` wants to see. */
export const HEAD_LENGTH = 68 * 1024;

const MAGICS: readonly { readonly name: string; readonly offset: number; readonly magic: Buffer }[] = [
  { name: 'NTFS', offset: 3, magic: Buffer.from('NTFS    ') },
  { name: 'exFAT', offset: 3, magic: Buffer.from('EXFAT   ') },
  { name: 'ReFS', offset: 3, magic: Buffer.from('ReFS') },
  { name: 'BitLocker', offset: 3, magic: Buffer.from('-FVE-FS-') },
  { name: 'XFS', offset: 0, magic: Buffer.from('XFSB') },
  { name: 'LUKS', offset: 0, magic: Buffer.from('LUKS\xba\xbe', 'latin1') },
  { name: 'AIX', offset: 0, magic: Buffer.from('c9c2d4c1', 'hex') },
  { name: 'LVM', offset: 512, magic: Buffer.from('LABELONE') },
  { name: 'ext4', offset: 1080, magic: Buffer.from('53ef', 'hex') },
  { name: 'swap', offset: 4086, magic: Buffer.from('SWAPSPACE2') },
  { name: 'ISO 9660', offset: 32769, magic: Buffer.from('CD001') },
  { name: 'btrfs', offset: 65600, magic: Buffer.from('_BHRfS_M') },
];

/** What seems to start at the disk's first byte; undefined for nothing that we know. `head` may be short. */
export function filesystemAtStart(head: Buffer): string | undefined {
  for (const { name, offset, magic } of MAGICS) {
    if (head.length >= offset + magic.length && magic.equals(head.subarray(offset, offset + magic.length))) return name;
  }
  return isFat(head) ? 'FAT' : undefined;
}

/** The BIOS parameter block of FAT12, FAT16 or FAT32 (Microsoft FAT specification 1.03). */
function isFat(head: Buffer): boolean {
  const jump = head.readUInt8(0);
  const bytesPerSector = head.readUInt16LE(11);
  const media = head.readUInt8(21);
  const fatCount = head.readUInt8(16);
  return (
    (jump === 0xeb || jump === 0xe9) &&
    bytesPerSector >= 512 &&
    bytesPerSector <= 4096 &&
    isPowerOfTwo(bytesPerSector) &&
    isPowerOfTwo(head.readUInt8(13)) &&
    head.readUInt16LE(14) > 0 &&
    (fatCount === 1 || fatCount === 2) &&
    (media === 0xf0 || media >= 0xf8) &&
    (head.readUInt16LE(19) > 0 || head.readUInt32LE(32) > 0)
  );
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
