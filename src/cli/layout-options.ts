// The options that say how partitions use another disk, as clone and verify take them.

import type { LayoutMode, WantedSize } from '../plan/layout/types.js';

export interface LayoutWords {
  readonly layout: string | undefined;
  readonly sizes: readonly string[] | undefined;
}

export interface ParsedLayout {
  readonly layout: LayoutMode | undefined;
  readonly sizes: ReadonlyMap<number, WantedSize> | undefined;
}

const MODES: readonly LayoutMode[] = ['same', 'fill', 'proportional'];

/** Throws `usage.bad-option`. */
export async function parseLayout({ layout, sizes }: LayoutWords): Promise<ParsedLayout> {
  const mode = MODES.find((each) => each === layout);
  if (layout !== undefined && mode === undefined) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption('--layout', layout, 'wanted is same, fill or proportional');
  }
  if (sizes === undefined || sizes.length === 0) return { layout: mode, sizes: undefined };
  const { parseSizes } = await import('../plan/layout/size-option.js');
  return { layout: mode, sizes: parseSizes(sizes) };
}
