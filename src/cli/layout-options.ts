// The options that say how partitions use another disk, as clone and verify take them.

import type { TableMode } from '../operation/arrange.js';
import type { IdentityMode } from '../operation/identity.js';
import type { LayoutMode, WantedSize } from '../plan/layout/types.js';

export interface LayoutWords {
  readonly layout: string | undefined;
  readonly sizes: readonly string[] | undefined;
  readonly identity: string | undefined;
  readonly table: string | undefined;
}

export interface ParsedLayout {
  readonly identity: IdentityMode | undefined;
  readonly table: TableMode | undefined;
  readonly layout: LayoutMode | undefined;
  readonly sizes: ReadonlyMap<number, WantedSize> | undefined;
}

const MODES: readonly LayoutMode[] = ['same', 'fill', 'proportional'];
const TABLES: readonly TableMode[] = ['same', 'gpt'];
const IDENTITIES: readonly IdentityMode[] = ['keep', 'new'];

/** Throws `usage.bad-option`. */
export async function parseLayout({
  layout,
  sizes,
  identity: wanted,
  table: asked,
}: LayoutWords): Promise<ParsedLayout> {
  const mode = MODES.find((each) => each === layout);
  const identity = IDENTITIES.find((each) => each === wanted);
  if (wanted !== undefined && identity === undefined) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption('--identity', wanted, 'wanted is keep or new');
  }
  const table = TABLES.find((each) => each === asked);
  if (asked !== undefined && table === undefined) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption('--table', asked, 'wanted is same or gpt');
  }
  if (layout !== undefined && mode === undefined) {
    const { badOption } = await import('../base/errors/usage.js');
    throw badOption('--layout', layout, 'wanted is same, fill or proportional');
  }
  if (sizes === undefined || sizes.length === 0) return { layout: mode, sizes: undefined, identity, table };
  const { parseSizes } = await import('../plan/layout/size-option.js');
  return { layout: mode, sizes: parseSizes(sizes), identity, table };
}
