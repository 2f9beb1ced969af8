// The plan in words: who is who, what will be lost, what is copied how.

import { type Bytes, formatBytes, formatBytesExact, formatDuration } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { ClonePlan, PlannedVolumeFacts } from '../../operation/clone-types.js';
import type { Fate } from '../../plan/arrangement.js';
import type { PlannedDisk } from '../../plan/clone-plan.js';
import type { CommittedRun } from '../../state/record.js';
import { layoutBar } from './layout-bar.js';

export function planText(plan: ClonePlan): string {
  const { source, target, layout } = plan;
  const longest = Math.max(source.size, target.size);
  const showsNow = target.exists && !target.blank && layout.before.length > 0;
  const lines = [
    `Source  ${diskLine(source)}`,
    `        ${layoutBar(layout.source, source.size, longest)}`,
    `Target  ${diskLine(target)}${target.exists ? '' : '  (will be made)'}`,
    ...(showsNow ? [`  now   ${layoutBar(layout.before, target.size, longest)}`] : []),
    `  then  ${layoutBar(layout.after, target.size, longest)}`,
    '',
    ...fateLines(plan),
    ...plan.volumes.flatMap(volumeLines),
  ];
  lines.push(...scopeLines(plan));
  const amount = `At most ${formatBytes(plan.bytesToRead)} are read.`;
  const until =
    plan.scope === 'disk'
      ? 'The target cannot start a computer until the run has ended.'
      : 'The target partition cannot be used until the run has ended.';
  lines.push(target.exists ? `${amount} ${until}` : amount);
  if (plan.lastRun) lines.push(lastRunLine(plan.lastRun, plan.bytesToRead));
  lines.push(...plan.warnings.map((warning) => `warning: ${warning}`));
  return lines.join('\n');
}

/** What of the source is copied, if not simply what is allocated. */
function scopeLines(plan: ClonePlan): string[] {
  const lines = copiedLines(plan);
  if (plan.live) {
    lines.push(
      'The source is in use: it is copied while it is, then its file systems are frozen for the last changes.',
    );
  }
  if (plan.twin) lines.push('It becomes a twin: disk, partitions and file systems get IDs of their own.');
  return lines;
}

function copiedLines({ forensic, excludedBytes }: ClonePlan): string[] {
  const left = formatBytes(excludedBytes);
  if (!forensic) {
    return excludedBytes > 0 ? [`Left out in all: ${left}, zeros on the target (--keep-excluded copies them).`] : [];
  }
  return excludedBytes > 0
    ? [`Every byte is copied, allocated or not (--forensic), but ${left} (--exclude-page-files).`]
    : ['Every byte is copied, allocated or not (--forensic).'];
}

/** How long it may take, at the speed that was measured last time. */
function lastRunLine({ at, seconds, done, written }: CommittedRun, bytesToRead: Bytes): string {
  const last = `The last run (${at.slice(0, 16).replace('T', ' ')} UTC) took ${formatDuration(seconds)} and wrote ${formatBytes(written)}.`;
  return done > 0 && seconds > 0
    ? `${last} At its speed this one takes ${formatDuration((bytesToRead * seconds) / done)}.`
    : last;
}

function diskLine({ path, model, id, size }: PlannedDisk): string {
  return `${path}  ${formatBytes(size)}  ${model}${id === path ? '' : `  (${id})`}`;
}

/** What becomes of the target's content, and a headline for the volumes. */
function fateLines({ target, scope, source }: ClonePlan): string[] {
  const one = scope === 'volume';
  if (!target.exists) return [one ? 'The new file gets this partition:' : 'The new file gets:'];
  if (target.standby) {
    return target.unfinished
      ? [`The target holds an unfinished clone of ${source.path}; it is finished now:`]
      : [`The target holds the clone of an earlier run of ${source.path}; it is brought up to date:`];
  }
  const headline = one ? 'Only this partition is written, all else stays as it is:' : 'The whole target is replaced:';
  if (target.blank) return ['The target is blank.', headline];
  const losses = target.losses.length > 0 ? target.losses : [target.content];
  return [
    `The target holds ${target.content}. What it holds now will be lost:`,
    ...losses.map((loss) => `  - ${loss}`),
    '',
    headline,
  ];
}

const DETECT: Readonly<Record<PlannedVolumeFacts['detect'], string>> = {
  first: 'written for the first time',
  rapid: 'only changed files are read, only changed blocks are written',
  hash: 'all of it is read, only changed blocks are written',
  compare: 'both sides are read, only differences are written',
};

function volumeLines({
  name,
  content,
  source,
  target,
  fate,
  used,
  method,
  methodReason,
  excluded,
  detect,
  detectReason,
}: PlannedVolumeFacts): string[] {
  const amount =
    method === 'allocated'
      ? `${formatBytes(used)} of ${formatBytes(source.length)}`
      : `all ${formatBytes(source.length)}`;
  const reason = detect !== 'first' && detectReason ? `: ${detectReason}` : '';
  const lines = [`  ${name}: ${content}, ${amount}; ${DETECT[detect]}${reason}`];
  if (fate !== 'same') lines.push(`    ${fateText(fate, source, target)}`);
  if (method === 'whole') lines.push(`    copied whole: ${methodReason}`);
  for (const { path, kind, bytes } of excluded) lines.push(`    left out: ${path} (${kind}), ${formatBytes(bytes)}`);
  return lines;
}

function fateText(fate: Fate, source: Extent, target: Extent): string {
  const moved = source.offset === target.offset ? '' : `, moves to ${formatBytesExact(target.offset)}`;
  if (fate === 'moved') return `moves from ${formatBytesExact(source.offset)} to ${formatBytesExact(target.offset)}`;
  const verb = fate === 'grown' ? 'grows' : 'shrinks';
  return `${verb} from ${formatBytesExact(source.length)} to ${formatBytesExact(target.length)}${moved}`;
}
