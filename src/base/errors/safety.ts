// Refusals (exit status 3): nothing was written.

import { ToolError } from '../tool-error.js';
import { type Bytes, formatBytesExact } from '../units.js';

export function inUseByAnother(name: string): ToolError {
  return new ToolError({
    code: 'safety.in-use-by-another',
    message: `${name} is being used by another program`,
    hint: 'Wait until the other run has ended, or stop it',
    details: { name },
  });
}

export function sameDisk(source: string, target: string, why: string): ToolError {
  return new ToolError({
    code: 'safety.same-disk',
    message: `${target} cannot be the target of ${source}: ${why}`,
    hint: 'Name another disk as the target',
    details: { source, target, why },
  });
}

export function targetInUse(target: string, uses: readonly string[]): ToolError {
  return new ToolError({
    code: 'safety.target-in-use',
    message: `${target} is in use: ${uses.join('; ')}`,
    hint: 'Unmount it and stop what uses it, then try again',
    details: { target, uses },
  });
}

export function sourceInUse(source: string, uses: readonly string[]): ToolError {
  return new ToolError({
    code: 'safety.source-in-use',
    message: `${source} is in use and could change while it is copied: ${uses.join('; ')}`,
    hint: 'Unmount it, or start from another system (a live medium)',
    details: { source, uses },
  });
}

export function targetHoldsState(target: string, folder: string): ToolError {
  return new ToolError({
    code: 'safety.target-holds-state',
    message: `${target} holds ${folder}, where ectype keeps what it knows`,
    hint: 'Point ECTYPE_STATE at a folder on another disk',
    details: { target, folder },
  });
}

export function targetReadOnly(target: string): ToolError {
  return new ToolError({
    code: 'safety.target-read-only',
    message: `${target} is read-only`,
    hint: 'Remove the write protection (a switch on the medium, or `blockdev --setrw`)',
    details: { target },
  });
}

/** A target file would not fit on the file system where it lies. */
export function lacksRoom(target: string, { needed, free }: { needed: Bytes; free: Bytes }): ToolError {
  const missing = needed - free;
  return new ToolError({
    code: 'safety.lacks-room',
    message:
      `there is no room for ${target}: it may grow by ${formatBytesExact(needed)}, and its file system has ` +
      `${formatBytesExact(free)} left: ${formatBytesExact(missing)} too little`,
    hint: 'Make room there, or choose another place for the target file',
    details: { target, needed, free, missing },
  });
}

export function targetWasSource(target: string, id: string): ToolError {
  return new ToolError({
    code: 'safety.target-was-source',
    message: `${target} is known as a source: it was the original of an earlier clone`,
    hint: `If it really is to be overwritten, add --overwrite-target=${id}`,
    details: { target, id },
  });
}

export function targetHoldsData(target: string, what: string, id: string): ToolError {
  return new ToolError({
    code: 'safety.target-holds-data',
    message: `${target} holds ${what}, and this source was never cloned to it`,
    hint: `If its content may be lost, run without --yes and type its name, or add --overwrite-target=${id}`,
    details: { target, what, id },
  });
}

export function wrongOverwriteId(target: string, given: string, id: string): ToolError {
  return new ToolError({
    code: 'safety.wrong-overwrite-id',
    message: `--overwrite-target=${given} names another disk: ${target} is ${id}`,
    hint: 'Check that this is the disk you mean',
    details: { target, given, id },
  });
}

export function kernelNameWithYes(path: string, id: string): ToolError {
  return new ToolError({
    code: 'safety.kernel-name',
    message: `${path} is a name that can mean another disk after the next start, and this disk was not the target of an earlier run`,
    hint: `With --yes name it by /dev/disk/by-id, or add --overwrite-target=${id}`,
    details: { path, id },
  });
}

export function notConfirmed(target: string): ToolError {
  return new ToolError({
    code: 'safety.not-confirmed',
    message: `${target} was not confirmed; nothing was written`,
    hint: 'Answer the question as it asks you to; nothing else counts as yes',
    details: { target },
  });
}

export function cannotAsk(target: string): ToolError {
  return new ToolError({
    code: 'safety.cannot-ask',
    message: `there is no terminal to confirm that ${target} may be overwritten`,
    hint: 'Add --yes to say so in advance, or --dry-run to only see the plan',
    details: { target },
  });
}

export function targetChanged(name: string): ToolError {
  return new ToolError({
    code: 'safety.target-changed',
    message: `${name} was written to after it was looked at; nothing was written to it`,
    hint: 'Stop what writes to it, then run the same command again',
  });
}

export function identityChanged(name: string, before: string, now: string): ToolError {
  return new ToolError({
    code: 'safety.identity-changed',
    message: `${name} is no longer the disk that was planned for: it was ${before}, now it is ${now}`,
    hint: 'Check what was plugged in or out, and start again',
    details: { name, before, now },
  });
}
