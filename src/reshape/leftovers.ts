// What a killed run left of its views.

import { abandonedFolders, dismantle } from './view-folder.js';

/**
 * Ends and removes the views in `scratch` whose process is gone: programs, mounts, loop devices, folders. Views of living
 * processes stay. Returns the folders that were removed; throws `device.view-not-removed` if others still use one.
 */
export function cleanLeftovers(scratch: string): string[] {
  const folders = abandonedFolders(scratch);
  for (const folder of folders) dismantle(folder);
  return folders;
}
