// The step that replaces old IDs in the files of a view, after its size has changed and files have found their places.
// Invariant: only the view is written; file systems without checksums of data are patched, btrfs is mounted.

import { identify } from '../../filesystem/registry.js';
import { openDiskTarget } from '../../source/disk.js';
import type { Step } from '../view.js';
import { rewriteBtrfs } from './btrfs-references.js';
import { NO_REFERENCES, type References, referencePatches } from './references.js';
import type { Rename } from './renames.js';

/** `report` gets what was found when the step has run; nothing is found on file systems that hold no system. */
export function rewriteReferences(renames: readonly Rename[], report: (found: References) => void): Step {
  return async (bench) => {
    const view = openDiskTarget(bench.path, { direct: false });
    let kind: string | undefined;
    try {
      const { recognised } = await identify(view);
      kind = recognised?.info.kind;
      const found = recognised && (await referencePatches(view, { recognised, name: bench.volume }, renames));
      for (const { offset, bytes } of found?.patches ?? []) await view.write(bytes, offset);
      if ((found?.patches.length ?? 0) > 0) await view.flush();
      if (kind !== 'btrfs') return report(found?.references ?? NO_REFERENCES);
    } finally {
      await view.close();
    }
    report(await rewriteBtrfs(bench, renames));
  };
}
