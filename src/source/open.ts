// From plain data to an open source: how a worker opens what the main thread described.

import { unreachable } from '../base/assert.js';
import { openDiskSource, openDiskTarget } from './disk.js';
import { openOverlay } from './overlay.js';
import { fromSpecs, patchedSource } from './patched.js';
import { sliceSource, sliceTarget } from './slice.js';
import type { Source, SourceSpec, Target } from './types.js';

/** Opens the source that `spec` describes, without claiming it: the main thread holds the claim. */
export function openSource(spec: SourceSpec): Source {
  switch (spec.kind) {
    case 'file':
    case 'device':
      return openDiskSource(spec.path, { seen: spec.seen });
    case 'slice': {
      const whole = openSource(spec.of);
      const slice = sliceSource(whole, spec.extent, `${whole.name} at ${spec.extent.offset}`);
      return { ...slice, close: () => closeBoth(slice, whole) };
    }
    case 'overlay':
      return openOverlay(spec, openSource(spec.base));
    case 'patched': {
      const base = openSource(spec.of);
      const patched = patchedSource(base, fromSpecs(spec.patches), { size: spec.size });
      return { ...patched, close: () => closeBoth(patched, base) };
    }
    default:
      return unreachable(spec);
  }
}

/** The same for a target. What shows other bytes than it holds cannot be written. */
export function openTarget(spec: SourceSpec): Target {
  switch (spec.kind) {
    case 'file':
    case 'device':
      return openDiskTarget(spec.path, { seen: spec.seen });
    case 'slice': {
      const whole = openTarget(spec.of);
      const slice = sliceTarget(whole, spec.extent, `${whole.name} at ${spec.extent.offset}`);
      return { ...slice, close: () => closeBoth(slice, whole) };
    }
    case 'overlay':
      throw new Error('internal error: an overlay is only read');
    case 'patched':
      throw new Error('internal error: a patched source is no target');
    default:
      return unreachable(spec);
  }
}

async function closeBoth(part: Source, whole: Source): Promise<void> {
  await part.close();
  await whole.close();
}
