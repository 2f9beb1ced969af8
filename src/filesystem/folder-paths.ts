// Paths of directories, by climbing from each to the root.
// Invariant: every directory is climbed once, and a climb that goes in circles ends. A directory whose name cannot be
// found stands for itself at the beginning of the path.

/** Deeper trees exist only to annoy. */
const DEEPEST = 1000;

/** One name of a file or directory. */
export interface Name {
  readonly parent: number;
  readonly name: string;
}

export interface FolderPaths {
  /** Without a slash at the end: the root is the empty path. */
  of(directory: number): Promise<string>;
}

export function folderPaths({
  root,
  nameOf,
  unnamed,
}: {
  readonly root: number;
  readonly nameOf: (directory: number) => Promise<Name | undefined>;
  readonly unnamed: (directory: number) => string;
}): FolderPaths {
  const paths = new Map<number, string>([[root, '']]);
  return {
    async of(directory) {
      const trail: { number: number; name: string }[] = [];
      let at = directory;
      while (!paths.has(at)) {
        const step = trail.length < DEEPEST ? await nameOf(at) : undefined;
        if (!step) {
          paths.set(at, unnamed(at));
        } else {
          trail.push({ number: at, name: step.name });
          at = step.parent;
        }
      }
      let path = paths.get(at) ?? '';
      for (const { number, name } of trail.reverse()) {
        path = `${path}/${name}`;
        // In a circle of directories one of them got its number as its path.
        if (!paths.has(number)) paths.set(number, path);
      }
      return paths.get(directory) ?? path;
    },
  };
}
