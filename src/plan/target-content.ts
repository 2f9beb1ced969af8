// What a target holds now, and so what would be lost. Reads a few MiB, wherever the target is long.
// Invariant: what is not provably blank holds data.

import { digestOf } from '../base/digest.js';
import { ToolError } from '../base/tool-error.js';
import { formatBytes, MiB } from '../base/units.js';
import { isZero } from '../base/zeros.js';
import type { DiskIdentity } from '../device/identity.js';
import { readAround } from '../source/around.js';
import type { Source } from '../source/types.js';
import { ARMED_HEAD_LENGTH, looksArmed } from '../state/marker.js';
import { contentKind, type DiskReport, inspectDisk, inspectSingle, type VolumeReport } from './inspect.js';

export interface TargetContent {
  readonly blank: boolean;
  /** "a GPT with 4 partitions", "an ext4 file system", "nothing". */
  readonly summary: string;
  /** One line a partition or file system that would be lost. */
  readonly losses: readonly string[];
  /** As `contentIdOf` makes it; empty where there is nothing, or an unfinished clone. */
  readonly contentId: string;
  /** The unfinished target of an ectype run. */
  readonly armed: boolean;
  /** Undefined where the table is too damaged to be read. */
  readonly report: DiskReport | undefined;
}

/** Looks at a target. `scope`: a disk has a table, a single volume has none. */
export async function targetContent(
  target: Source,
  { identity, scope }: { identity: DiskIdentity; scope: 'disk' | 'volume' },
): Promise<TargetContent> {
  const base = { blank: false, losses: [], contentId: '', armed: false };
  if (await looksArmed(target)) {
    return { ...base, armed: true, summary: 'an unfinished ectype clone', report: undefined };
  }
  let report: DiskReport;
  try {
    report =
      scope === 'disk' ? await inspectDisk(target, identity) : await inspectSingle(target, identity, 'the volume');
  } catch (error) {
    if (!(error instanceof ToolError) || error.family !== 'filesystem') throw error;
    const contentId = await digestOfHead(target);
    return { ...base, summary: `a damaged partition table (${error.message})`, contentId, report: undefined };
  }
  const [first] = report.volumes;
  const contentId = await contentIdOf(target, report);
  if (report.table) {
    const { kind, partitions } = report.table;
    const summary = `${kind === 'gpt' ? 'a GPT' : 'an MBR'} with ${partitions.length} ${partitions.length === 1 ? 'partition' : 'partitions'}`;
    return { ...base, summary, losses: report.volumes.map(describeVolume), contentId, report };
  }
  if (first?.filesystem) {
    const summary = `a file system (${first.filesystem.kind})`;
    return { ...base, summary, losses: [describeVolume(first)], contentId, report };
  }
  if (first?.foreign) {
    const summary = `${first.foreign.kind} content`;
    return { ...base, summary, losses: [describeVolume(first)], contentId, report };
  }
  const blank = await isBlank(target);
  if (blank) return { ...base, blank, summary: 'nothing', report };
  return { ...base, summary: 'data of an unknown kind', contentId, report };
}

/** Tells one content from another: disk GUID, MBR signature, file system UUID, else a digest of what it begins with. */
export async function contentIdOf(medium: Source, { table, volumes }: DiskReport): Promise<string> {
  const id = table ? table.id : volumes[0]?.filesystem?.uuid;
  return id || digestOfHead(medium);
}

/** Runs that do not end leave a marker there, so that an old head is never taken for a whole clone. */
async function digestOfHead(medium: Source): Promise<string> {
  const head = Buffer.alloc(Math.min(ARMED_HEAD_LENGTH, medium.size));
  await readAround(medium, head, 0);
  return `head ${digestOf(head).toString('hex')}`;
}

/** "partition 2: ext4 "root", 1.2 GiB used of 20 GiB, last written 2026-03-01" */
export function describeVolume(volume: VolumeReport): string {
  const { name, extent, filesystem } = volume;
  const what = contentKind(volume) || 'unknown';
  const label = filesystem?.label ? ` "${printable(filesystem.label)}"` : '';
  const size = formatBytes(extent.length);
  const used = filesystem?.used === undefined ? size : `${formatBytes(filesystem.used)} used of ${size}`;
  const last = filesystem?.lastWritten ? `, last written ${filesystem.lastWritten.toISOString().slice(0, 10)}` : '';
  return `${name}: ${what}${label}, ${used}${last}`;
}

/** Labels come from disks: control characters must not reach a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '');
}

const SAMPLES = 256;
const SAMPLE_LENGTH = 4096;

/** The ends whole, the middle in samples: a disk that was used shows it in one of them. */
async function isBlank(target: Source): Promise<boolean> {
  const edge = Math.min(MiB, target.size);
  const places = [
    { offset: 0, length: edge },
    { offset: target.size - edge, length: edge },
  ];
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const offset = Math.floor((target.size / SAMPLES) * sample);
    places.push({ offset: offset - (offset % SAMPLE_LENGTH), length: Math.min(SAMPLE_LENGTH, target.size - offset) });
  }
  for (const { offset, length } of places) {
    const bytes = Buffer.alloc(length);
    await target.read(bytes, offset);
    if (!isZero(bytes)) return false;
  }
  return true;
}
