// Clones and verifies through the library, in the test's own process: for tests of many short runs. What is known of
// targets lies where ECTYPE_STATE says, as the test runner gives each file its own.

import { silent } from '../../src/base/report.js';
import { clone } from '../../src/operation/clone.js';
import type { CloneOptions, ClonePlan, CloneRunResult } from '../../src/operation/clone-types.js';
import { type VerifyOptions, type VerifyResult, verify } from '../../src/operation/verify.js';

const never = new AbortController().signal;

/** Clones over whatever the target holds. Throws the ToolError of a run that is refused or fails. */
export async function cloned(
  source: string,
  target: string,
  options: Partial<CloneOptions> = {},
): Promise<CloneRunResult & { readonly plan: ClonePlan }> {
  const { plan, run } = await clone({
    source,
    target,
    assumeYes: true,
    overwriteTarget: target,
    confirm: async () => true,
    report: silent,
    signal: never,
    ...options,
  });
  if (!run) throw new Error('a clone that was no dry run has a result');
  return { plan, ...run };
}

export function verified(source: string, target: string, options: Partial<VerifyOptions> = {}): Promise<VerifyResult> {
  return verify({ source, target, report: silent, signal: never, ...options });
}
