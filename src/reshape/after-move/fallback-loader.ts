// The boot loader that firmware looks for on a disk it has never seen: \EFI\BOOT\BOOTX64.EFI.
// Invariant: one that is there is left alone, and none is made of loaders between which somebody would have to choose.
// Rule: UEFI specification, "Removable Media Boot Behavior"; shim loads grubx64.efi and mmx64.efi from its own folder.

import type { FatNode } from './fat-tree.js';

export interface Fallback {
  /** Folders to make, parents first. */
  readonly folders: readonly string[];
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  readonly note: string;
}

const FOLDER = '/EFI/BOOT';
const LOADER = 'BOOTX64.EFI';
const SHIM = 'SHIMX64.EFI';
const GRUB = 'GRUBX64.EFI';
const KEY_MANAGER = 'MMX64.EFI';

/** What to add to the file system; undefined if the loader is there, or it is not clear which one it should be. */
export function planFallback(nodes: readonly FatNode[]): Fallback | undefined {
  const byName = new Map(nodes.map((node) => [node.path.toUpperCase(), node]));
  if (byName.has(`${FOLDER}/${LOADER}`)) return undefined;
  const has = (path: string): boolean => byName.get(path)?.isDirectory === false;
  const vendors = nodes
    .filter(({ path, isDirectory }) => isDirectory && /^\/EFI\/[^/]+$/i.test(path) && path.toUpperCase() !== FOLDER)
    .map(({ path }) => path.toUpperCase())
    .filter((folder) => has(`${folder}/${SHIM}`) || has(`${folder}/${GRUB}`));
  const [folder, another] = vendors;
  if (folder === undefined || another !== undefined) return undefined;
  const spelt = (path: string): string => byName.get(path)?.path ?? path;
  const copy = (from: string, to: string) => ({ from: spelt(`${folder}/${from}`), to: `${spelt(FOLDER)}/${to}` });
  const shim = has(`${folder}/${SHIM}`);
  const beside = [GRUB, KEY_MANAGER]
    .filter((name) => shim && has(`${folder}/${name}`) && !byName.has(`${FOLDER}/${name}`))
    .map((name) => copy(name, name));
  const first = copy(shim ? SHIM : GRUB, LOADER);
  return {
    folders: byName.has(FOLDER) ? [] : [FOLDER],
    copies: [first, ...beside],
    note: `${first.to} was missing, and firmware starts an unknown disk with it: it is now a copy of ${first.from}`,
  };
}
