// Errors of the state folder, where ectype keeps what it knows between runs.

import { errnoOf, ToolError } from '../tool-error.js';
import { describeCause } from './device.js';

export function stateUnusable(path: string, cause: unknown): ToolError {
  return new ToolError({
    code: 'device.state-unusable',
    message: `cannot keep state in ${path}: ${describeCause(cause)}`,
    hint: 'Make room there, or point ECTYPE_STATE at a folder that can be written',
    details: { path, errno: errnoOf(cause) },
    cause,
  });
}

export function targetLocked(target: string): ToolError {
  return new ToolError({
    code: 'safety.target-locked',
    message: `another run is writing to ${target}`,
    hint: 'Wait until it has ended',
    details: { target },
  });
}
