// What a file system must know to be shown at another size. One file a file system; resizers.ts names them all.
// Invariant: `accept` and fixed minimums read the source only; everything else happens in the view.

import type { Bytes } from '../base/units.js';
import type { FilesystemInfo } from '../filesystem/plugin.js';
import type { Source } from '../source/types.js';
import type { Workbench } from './overlay.js';

/** The volume as it is. */
export interface Volume {
  readonly name: string;
  readonly kind: string;
  readonly info: FilesystemInfo;
  /** Read-only; its size is that of the partition. */
  readonly source: Source;
}

export interface Minimum {
  /** The smallest size that `makeView` takes. */
  readonly minimum: Bytes;
  /** Where the number comes from, in the user's words. */
  readonly reason: string;
}

export interface Resizer {
  /** Throws `filesystem.resize-unsupported` for what cannot be given the size `wanted`, in bytes. */
  accept?(volume: Volume, wanted: Bytes): Promise<void>;
  /** From the source alone, or by a tool that wants to see the file. The latter must leave the view as it is, or sound. */
  readonly minimum:
    | { readonly by: 'reading'; find(volume: Volume): Promise<Minimum> }
    | { readonly by: 'tool'; find(volume: Volume, bench: Workbench): Promise<Minimum> };
  /** Makes the file system span `size` bytes: the whole file if it grows, its first part if it shrinks. */
  resize(volume: Volume, bench: Workbench, size: Bytes): Promise<void>;
}

/** File systems that nothing makes smaller need what they have. */
export const PRESENT_SIZE: Resizer['minimum'] = {
  by: 'reading',
  find: async ({ info, kind }) => ({ minimum: info.size, reason: `${kind} cannot be made smaller; this is its size` }),
};
