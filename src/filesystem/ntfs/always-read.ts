// Which files are read in every run, because their bytes can change while their stamps do not.
// Invariant: one fitting name is enough, whatever the file's other names are.

import { type Bytes, GiB } from '../../base/units.js';

/** What is as large is a disk, a container or a database more often than not: see there. */
export const ALWAYS_READ_FROM: Bytes = GiB;

/** Windows writes them from below its file systems, a boot loader does, or they are open until the very end. */
const NAMES: ReadonlySet<string> = new Set([
  'pagefile.sys',
  'swapfile.sys',
  'hiberfil.sys',
  'bootstat.dat',
  'bcd',
  'bcd.log',
  // GRUB and GRUB4DOS store a choice in the file's own sectors.
  'grubenv',
  'grldr',
  // Parts of the registry: the kernel has them open as long as Windows runs.
  'system',
  'software',
  'sam',
  'security',
  'default',
  'components',
  'drivers',
  'ntuser.dat',
  'usrclass.dat',
  'settings.dat',
]);

const ENDINGS: ReadonlySet<string> = new Set([
  // Disks and containers: a hypervisor or a driver has them open, and may put their times back on purpose.
  ...['vhd', 'vhdx', 'avhd', 'avhdx', 'vmdk', 'vdi', 'qcow', 'qcow2', 'img', 'hc', 'tc', 'vmem', 'vswp', 'vmrs', 'vsv'],
  // Databases and mail: written past the cache, through handles that stay open.
  ...['mdf', 'ndf', 'ldf', 'edb', 'dit', 'stm', 'jrs', 'jfm', 'jtx', 'ibd', 'pst', 'ost', 'nst'],
  // Logs of the kernel, and what belongs to a part of the registry.
  ...['etl', 'evt', 'evtx', 'blf', 'regtrans-ms', 'log1', 'log2', 'hve'],
]);

/** `name` in any case of letters. */
export function isAlwaysRead(name: string): boolean {
  const lower = name.toLowerCase();
  return NAMES.has(lower) || ENDINGS.has(lower.slice(lower.lastIndexOf('.') + 1));
}
