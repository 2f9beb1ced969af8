// The texts of what is odd about a table but was dealt with.

import type { TableWarning } from './table.js';

export function primaryDamaged(problem: string, backupLba: number): TableWarning {
  return { code: 'primary-damaged', message: `${problem}; the backup at LBA ${backupLba} is used` };
}

export function backupDamaged(problem: string): TableWarning {
  return { code: 'backup-damaged', message: `${problem}; the primary at LBA 1 is used` };
}

export function copiesDiffer(backupLba: number): TableWarning {
  return {
    code: 'copies-differ',
    message: `the primary GPT at LBA 1 and the backup at LBA ${backupLba} are valid but say different things; the primary is used`,
  };
}

export function backupNotAtEnd({ backupLba, lastLba }: { backupLba: number; lastLba: number }): TableWarning {
  return {
    code: 'backup-not-at-end',
    message: `the backup GPT is at LBA ${backupLba}, not in the last sector (LBA ${lastLba}): the disk or image was enlarged`,
  };
}

export function madeForLargerDisk({ lastUsable, lastLba }: { lastUsable: number; lastLba: number }): TableWarning {
  return {
    code: 'made-for-larger-disk',
    message: `the GPT was made for a larger disk: it uses sectors up to LBA ${lastUsable}, the last one is LBA ${lastLba}`,
  };
}

export function protectiveMbrMissing(): TableWarning {
  return {
    code: 'protective-mbr-missing',
    message: 'the GPT has no protective MBR (type 0xEE), so Linux ignores it; a copy gets one',
  };
}

export function hybridMbr(): TableWarning {
  return { code: 'hybrid-mbr', message: 'the GPT has a hybrid MBR, which is kept' };
}

export function staleGpt(): TableWarning {
  return {
    code: 'stale-gpt',
    message: 'there are remains of a GPT at LBA 1, but the MBR has partitions of its own and is used',
  };
}

export function extendedEmpty(slot: number, lba: number): TableWarning {
  return {
    code: 'extended-empty',
    message: `extended partition ${slot} has no record of logical partitions at its start (LBA ${lba}) and counts as empty`,
  };
}
