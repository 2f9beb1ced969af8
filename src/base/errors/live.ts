// Errors of cloning a disk in use: freezing its file systems, thawing them, and the watchdog (exit status 5).

import { errnoOf, ToolError } from '../tool-error.js';
import { describeCause } from './device.js';

export function cannotFreeze(point: string, cause: unknown): ToolError {
  const errno = errnoOf(cause);
  const hint =
    errno === 'EBUSY'
      ? `Wait until what froze it (a snapshot, a backup) has ended, or thaw it: \`fsfreeze --unfreeze ${point}\``
      : errno === 'EPERM'
        ? 'Run as root'
        : 'Unmount it, or start from another system (a live medium)';
  return new ToolError({
    code: 'filesystem.cannot-freeze',
    message: `the file system on ${point} cannot be frozen: ${errno === 'EBUSY' ? 'it is frozen already (EBUSY)' : describeCause(cause)}`,
    hint,
    details: { point, errno },
    cause,
  });
}

/** Mounted in another name space, or below another mount: it cannot be frozen from here. */
export function mountOutOfReach(what: string): ToolError {
  return new ToolError({
    code: 'filesystem.mount-out-of-reach',
    message: `the file system on ${what} is mounted where ectype cannot reach it (another mount name space, or hidden by another mount)`,
    hint: 'Unmount it there, or run ectype where it can be seen',
    details: { what },
  });
}

/** The kernel says that they were not frozen any more: what was read meanwhile may be of two moments. */
export function thawedByAnother(points: readonly string[]): ToolError {
  return new ToolError({
    code: 'filesystem.thawed-by-another',
    message: `somebody else thawed ${points.join(', ')} while it was copied: the copy is not of one moment`,
    hint: 'Stop what thaws file systems (another backup, a snapshot), and run the same command again',
    details: { points },
  });
}

/** A part of the source that changes, and that nothing can hold still. */
export function cannotHoldStill(name: string, type: string, points: readonly string[]): ToolError {
  const where = points.length > 0 ? ` (mounted on ${points.join(', ')})` : '';
  return new ToolError({
    code: 'filesystem.cannot-hold-still',
    message: `${name}${where} is in use and cannot be frozen: ${type}`,
    hint: `Unmount it for the time of the run, or leave it out with --only`,
    details: { name, type, points },
  });
}

/** Whoever writes to a frozen file system waits; ectype would wait for itself. */
export function targetOnFrozen(target: string, point: string): ToolError {
  return new ToolError({
    code: 'safety.target-on-frozen',
    message: `${target} lies on ${point}, which --live freezes: nothing could be written to it`,
    hint: 'Choose a target on another disk',
    details: { target, point },
  });
}

/** The last pass would have kept everybody waiting for longer than anything should. */
export function tooMuchChanges(seconds: number, limit: number): ToolError {
  return new ToolError({
    code: 'filesystem.too-much-changes',
    message: `the source changes too fast: the last pass over its changes took ${seconds.toFixed(0)} s, and its file systems may be frozen for ${limit} s at most`,
    hint: 'Run the same command again when less is written to the disk, or clone it unmounted',
    details: { seconds, limit },
  });
}

export function cannotThaw(points: readonly string[], cause: unknown): ToolError {
  return new ToolError({
    code: 'filesystem.cannot-thaw',
    message: `${points.join(', ')} cannot be thawed: ${describeCause(cause)}`,
    hint: `Thaw it at once: \`fsfreeze --unfreeze ${points[0] ?? ''}\``,
    details: { points, errno: errnoOf(cause) },
    cause,
  });
}

/** Without it nothing may be frozen: whatever happened to us, the machine would hang. */
export function watchdogLost(why: string): ToolError {
  return new ToolError({
    code: 'filesystem.watchdog-lost',
    message: `the watchdog that thaws file systems if ectype fails is not there: ${why}`,
    hint: 'Check that nothing ends processes of ectype (the kernel does when memory is short), and run the same command again',
    details: { why },
  });
}

export function watchdogFired(why: string): ToolError {
  return new ToolError({
    code: 'filesystem.watchdog-fired',
    message: `the watchdog thawed the file systems before the copy was complete: ${why}`,
    hint: 'Run the same command again when less is written to the disk, or clone it unmounted',
    details: { why },
  });
}
