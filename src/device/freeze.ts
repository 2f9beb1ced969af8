// Freezes mounted file systems for the moment that a copy has to be of, and thaws them.
// Invariant: what could not be frozen as a whole is thawed as a whole, and a thaw that finds something thawed is an error.
// Arm a watchdog (watchdog.ts) before `freeze`, and write to none of them until `thaw`: this process would wait for ever.

import { cannotFreeze, cannotThaw, thawedByAnother } from '../base/errors/live.js';
import { errnoOf } from '../base/tool-error.js';
import { freezeFilesystem, syncFilesystem, thawFilesystem } from '../native/syscalls.js';
import type { MountedFilesystem } from './mounts.js';
import { closeMounts, type OpenMount, openMounts } from './open-mount.js';

/** Types whose drivers can freeze (super_operations of Linux: freeze_fs or freeze_super). All others count as unable. */
const ABLE = new Set(['btrfs', 'ext2', 'ext3', 'ext4', 'f2fs', 'jfs', 'nilfs2', 'reiserfs', 'xfs']);

/** How long nobody could write to a file system, at most: from the call that froze it to its thaw. */
export interface FrozenTime {
  readonly point: string;
  readonly ms: number;
}

export interface Freezer {
  /** Those whose type cannot be frozen: they are left alone. Known before anything is frozen. */
  readonly cannotFreeze: readonly MountedFilesystem[];
  /** Writes back what is dirty, so that a freeze that follows is short. */
  sync(): void;
  /** All in their order. If one fails, those before it are thawed and a ToolError names it. */
  freeze(): void;
  /** All in reverse order; goes on after a failure, and throws at the end if somebody else thawed one meanwhile. */
  thaw(): FrozenTime[];
  /** Thaws what is frozen still, whatever comes of it, and lets go of the mounts. */
  close(): void;
}

/** Opens them all; from now on they cannot be unmounted until `close`. The order is that of `mountsOf`. */
export function freezer(filesystems: readonly MountedFilesystem[]): Freezer {
  const open = openMounts(filesystems.filter(canBeFrozen));
  let frozen: { mount: OpenMount; since: number }[] = [];
  let isOpen = true;
  const thawAll = (): { times: FrozenTime[]; failures: { point: string; cause: unknown }[] } => {
    const times: FrozenTime[] = [];
    const failures: { point: string; cause: unknown }[] = [];
    const rest: typeof frozen = [];
    for (const each of frozen.reverse()) {
      const { point, fd } = each.mount;
      try {
        thawFilesystem(fd);
        times.push({ point, ms: performance.now() - each.since });
      } catch (cause) {
        failures.push({ point, cause });
        if (errnoOf(cause) !== 'EINVAL') rest.unshift(each);
      }
    }
    frozen = rest;
    return { times, failures };
  };
  return {
    cannotFreeze: filesystems.filter((filesystem) => !canBeFrozen(filesystem)),
    sync() {
      for (const { fd } of open) syncFilesystem(fd);
    },
    freeze() {
      if (!isOpen || frozen.length > 0) throw new Error('internal error: closed, or frozen already');
      for (const mount of open) {
        const since = performance.now();
        try {
          freezeFilesystem(mount.fd);
        } catch (cause) {
          thawAll();
          throw cannotFreeze(mount.point, cause);
        }
        frozen.push({ mount, since });
      }
    },
    thaw() {
      const { times, failures } = thawAll();
      const stuck = failures.filter(({ cause }) => errnoOf(cause) !== 'EINVAL');
      if (stuck.length > 0) throw cannotThaw(namesOf(stuck), stuck[0]?.cause);
      if (failures.length > 0) throw thawedByAnother(namesOf(failures));
      return times;
    },
    close() {
      if (!isOpen) return;
      thawAll();
      isOpen = false;
      closeMounts(open);
    },
  };
}

/** One that is out of sight has no type; to open it fails, and says so. */
export function canBeFrozen({ type }: Pick<MountedFilesystem, 'type'>): boolean {
  return type === '' || ABLE.has(type);
}

function namesOf(failures: readonly { readonly point: string }[]): string[] {
  return failures.map(({ point }) => point);
}
