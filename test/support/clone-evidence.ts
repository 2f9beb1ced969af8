// What can be said of a target from outside: does it look finished, and would the next run believe more than is true?

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIGEST_LENGTH, digestOf, isUnknown } from '../../src/base/digest.js';
import { ToolError } from '../../src/base/tool-error.js';
import { identify } from '../../src/device/identity.js';
import { readTable } from '../../src/partition/read.js';
import { targetContent } from '../../src/plan/target-content.js';
import { decideTrust } from '../../src/plan/trust.js';
import { memoryTarget } from '../../src/source/memory.js';
import { lineageFolder, loadLineages, targetFolderPath } from '../../src/state/lineages.js';
import { armedExtents } from '../../src/state/marker.js';
import type { VolumeRecord } from '../../src/state/record.js';

const HEADER = 4096;

/** Blocks whose digest the next run would trust although the target file holds something else: none, ever. */
export async function brokenClaims(target: string): Promise<string[]> {
  const bytes = readFileSync(target);
  const identity = identify(target, bytes.length);
  const folder = targetFolderPath(identity.key);
  const lineages = loadLineages(folder);
  const medium = memoryTarget(bytes, target);
  const { report } = await targetContent(medium, { identity, scope: 'disk' });
  const trust = await decideTrust({
    lineages,
    target: medium,
    shown: (report?.volumes ?? []).map(({ extent }) => extent),
    armed: armedExtents(bytes.length, { tail: true, sectorSize: 512 }),
    places: lineages.flatMap(({ volumes }) => volumes),
    alwaysCompare: false,
  });
  const { lineage } = trust;
  if (!lineage) return [];
  const trusted = new Set(trust.volumes.flatMap(({ mode, record }) => (mode === 'hash' && record ? [record] : [])));
  return [...trusted].flatMap((volume) =>
    brokenIn(volume, {
      bytes,
      map: join(lineageFolder(folder, lineage.lineage), volume.map),
      lineage: lineage.lineage,
    }),
  );
}

function brokenIn(
  volume: VolumeRecord,
  { bytes, map: path, lineage }: { bytes: Buffer; map: string; lineage: string },
): string[] {
  if (!existsSync(path)) return [];
  const map = readFileSync(path);
  if (map.toString('latin1', 0, 8) !== 'ECTYPMAP' || map.toString('latin1', 48, 64) !== lineage) return [];
  const broken: string[] = [];
  for (let at = HEADER; at + DIGEST_LENGTH <= map.length; at += DIGEST_LENGTH) {
    if (isUnknown(map, at)) continue;
    const block = (at - HEADER) / DIGEST_LENGTH;
    const from = volume.offset + block * volume.blockSize;
    const held = bytes.subarray(from, Math.min(from + volume.blockSize, volume.offset + volume.size));
    if (!digestOf(held).equals(map.subarray(at, at + DIGEST_LENGTH))) broken.push(`${volume.name} block ${block}`);
  }
  return broken;
}

/** True if firmware or a kernel would find a partition table there. */
export async function looksFinished(target: string): Promise<boolean> {
  try {
    const table = await readTable(memoryTarget(readFileSync(target)));
    return table !== undefined && table.partitions.length > 0;
  } catch (error) {
    if (error instanceof ToolError) return false;
    throw error;
  }
}
