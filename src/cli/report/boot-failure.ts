// A disk that did not start, or of which nothing proves that it did.

import { bootFailed, bootUnproven } from '../../base/errors/machine.js';
import type { ToolError } from '../../base/tool-error.js';
import type { BootProof } from '../../operation/boot.js';

/** What is thrown where a proof was asked for (exit status 7). */
export function bootFailure(disk: string, { evidence, screenshot, saw }: BootProof): ToolError {
  const isKnown = evidence === 'boot failure' || evidence === 'machine ended';
  const picture = screenshot === undefined ? '' : `; its screen is in ${screenshot}`;
  return (isKnown ? bootFailed : bootUnproven)(disk, `${saw}${picture}`, { evidence, screenshot });
}

/** The last lines of its console, for people. */
export function consoleText({ consoleTail }: BootProof): string {
  return consoleTail
    .slice(-10)
    .map((line) => `| ${line}\n`)
    .join('');
}
