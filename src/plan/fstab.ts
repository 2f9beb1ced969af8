// An fstab, as far as it names swap files and says which file system each of them lies on.
// Invariant: text in, values out; lines that are not understood name nothing.
// Format: fstab(5).

/** "UUID=…" or "LABEL=…" in any of its spellings; other ways to name a device say nothing without the computer. */
export interface FilesystemName {
  readonly by: 'uuid' | 'label';
  readonly value: string;
}

export interface FstabMount {
  /** Without a slash at the end; empty for the root. */
  readonly folder: string;
  /** Undefined: named in a way that only the running system can tell. */
  readonly filesystem: FilesystemName | undefined;
}

export interface Fstab {
  readonly mounts: readonly FstabMount[];
  /** Absolute paths. */
  readonly swapFiles: readonly string[];
}

/** More than this no computer uses; each one costs a look at the disk. */
const MOST_SWAP_FILES = 64;

export function parseFstab(text: string): Fstab {
  const mounts: FstabMount[] = [];
  const swapFiles = new Set<string>();
  for (const line of text.split('\n')) {
    const [device, folder, type] = line
      .trim()
      .split(/[ \t]+/)
      .map(unescaped);
    if (!device || device.startsWith('#') || !folder || !type) continue;
    if (type !== 'swap') {
      if (folder.startsWith('/')) mounts.push({ folder: folder.replace(/\/+$/, ''), filesystem: nameOf(device) });
    } else if (isPlainPath(device) && swapFiles.size < MOST_SWAP_FILES) {
      swapFiles.add(device);
    }
  }
  return { mounts, swapFiles: [...swapFiles] };
}

/** The mount that a path lies on, and the path below it. Undefined mount: the fstab mentions none, not even the root. */
export function mountOf({ mounts }: Fstab, path: string): { mount: FstabMount | undefined; below: string } {
  let mount: FstabMount | undefined;
  for (const candidate of mounts) {
    if (!path.startsWith(`${candidate.folder}/`)) continue;
    // Of two mounts on the same folder the later one covers the other.
    if (!mount || candidate.folder.length >= mount.folder.length) mount = candidate;
  }
  return { mount, below: path.slice(mount?.folder.length ?? 0) };
}

/** No device, and no way around that only the running system could follow. */
function isPlainPath(path: string): boolean {
  if (!path.startsWith('/') || path.startsWith('/dev/')) return false;
  return !path.split('/').some((part) => part === '.' || part === '..');
}

function nameOf(device: string): FilesystemName | undefined {
  const match = /^(?:(UUID|LABEL)=|\/dev\/disk\/by-(uuid|label)\/)"?([^"]+)"?$/.exec(device);
  const [, tag, folder, value] = match ?? [];
  if (value === undefined) return undefined;
  return { by: (tag ?? folder ?? '').toLowerCase() === 'uuid' ? 'uuid' : 'label', value };
}

/** Blanks are written as octal numbers: `\040`. */
function unescaped(field: string): string {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
