// Errors about what is on a disk (exit status 5).

import { ToolError } from '../tool-error.js';

export function sourceUnclean(volume: string, kind: string, reason: string, advice: string): ToolError {
  return new ToolError({
    code: 'filesystem.unclean',
    message: `${volume} (${kind}) cannot be copied consistently: ${reason}`,
    // Some advice comes to that itself.
    hint: advice.includes('--forensic') ? advice : `${advice}, or copy every byte as it is with --forensic`,
    details: { volume, kind, reason },
  });
}
