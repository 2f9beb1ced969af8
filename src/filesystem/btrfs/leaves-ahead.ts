// All leaves of a tree in key order, read before they are asked for: many at once, in the order of their places.
// Invariant: memory holds one batch of leaves, whatever the size of the tree; a leaf is good until the next is asked for.

import { type Bytes, KiB, MiB } from '../../base/units.js';
import { childAt, type NodePointer, type TreeNode } from './node.js';
import type { Tree } from './tree.js';

/** Leaves that are held at a time. */
const BATCH: Bytes = 4 * MiB;
/** The longest read. */
const RUN: Bytes = 1 * MiB;
/** Reading so much that nobody wants takes no longer than beginning another read. */
const GAP: Bytes = 64 * KiB;

/** Empty leaves are left out. Throws FormatError where a block is not what its parent says. */
export async function* leavesAhead(tree: Tree): AsyncGenerator<TreeNode> {
  yield* below(tree, tree.root, { leaves: undefined, run: undefined });
}

/** Memory that is used again and again, once it is needed. */
interface Memory {
  leaves: Buffer | undefined;
  run: Buffer | undefined;
}

async function* below(tree: Tree, pointer: NodePointer, memory: Memory): AsyncGenerator<TreeNode> {
  const node = await tree.nodes.read(pointer);
  if (node.level === 0) {
    if (node.count > 0) yield node;
    return;
  }
  const children = Array.from({ length: node.count }, (_, index) => childAt(node, index, pointer));
  if (node.level > 1) {
    for (const child of children) yield* below(tree, child, memory);
    return;
  }
  const most = Math.floor(BATCH / tree.nodes.nodeSize);
  for (let first = 0; first < children.length; first += most) {
    yield* await batch(tree, children.slice(first, first + most), memory);
  }
}

async function batch({ nodes }: Tree, pointers: readonly NodePointer[], memory: Memory): Promise<TreeNode[]> {
  const { nodeSize } = nodes;
  memory.leaves ??= Buffer.allocUnsafeSlow(BATCH);
  memory.run ??= Buffer.allocUnsafeSlow(RUN);
  const places = pointers.map((pointer, index) => ({ index, pointer, offset: nodes.firstPlace(pointer) }));
  places.sort((a, b) => a.offset - b.offset);
  const found: TreeNode[] = new Array(pointers.length);
  for (let first = 0; first < places.length; ) {
    const start = places[first]?.offset ?? 0;
    let end = start + nodeSize;
    let next = first + 1;
    for (let place = places[next]; place; place = places[next]) {
      if (place.offset > end + GAP || place.offset + nodeSize > start + RUN) break;
      end = place.offset + nodeSize;
      next += 1;
    }
    const run = memory.run.subarray(0, end - start);
    await nodes.volume.read(run, start);
    for (const { index, pointer, offset } of places.slice(first, next)) {
      const bytes = memory.leaves.subarray(index * nodeSize, (index + 1) * nodeSize);
      run.copy(bytes, 0, offset - start, offset - start + nodeSize);
      // Damaged: another copy may be good.
      found[index] = nodes.parsed(bytes, pointer) ?? (await nodes.read(pointer));
    }
    first = next;
  }
  return found;
}
