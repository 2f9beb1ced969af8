// The plan in words: who is who, what will be lost, what is copied how.

import { formatBytes } from '../../base/units.js';
import type { ClonePlan, PlannedVolumeFacts } from '../../operation/clone-types.js';
import type { PlannedDisk } from '../../plan/clone-plan.js';
import { layoutBar } from './layout-bar.js';

export function planText(plan: ClonePlan): string {
  const { source, target, layout } = plan;
  const longest = Math.max(source.size, target.size);
  const lines = [
    `Source  ${diskLine(source)}`,
    `        ${layoutBar(layout.source, source.size, longest)}`,
    `Target  ${diskLine(target)}${target.exists ? '' : '  (will be made)'}`,
    ...(target.exists && layout.before.length > 0 ? [`  now   ${layoutBar(layout.before, target.size, longest)}`] : []),
    `  then  ${layoutBar(layout.after, target.size, longest)}`,
    '',
  ];
  if (!target.blank) {
    lines.push(`The target holds ${target.content}. What it holds now will be lost:`);
    lines.push(...(target.losses.length > 0 ? target.losses : [target.content]).map((loss) => `  - ${loss}`), '');
  }
  lines.push(
    plan.scope === 'disk'
      ? 'The whole target is replaced:'
      : 'Only this partition is written, all else stays as it is:',
  );
  lines.push(...plan.volumes.flatMap(volumeLines));
  if (plan.forensic) lines.push('Every byte is copied, allocated or not (--forensic).');
  lines.push(
    `At most ${formatBytes(plan.bytesToRead)} are read. The target cannot start a computer until the run has ended.`,
  );
  lines.push(...plan.warnings.map((warning) => `warning: ${warning}`));
  return lines.join('\n');
}

function diskLine({ path, model, id, size }: PlannedDisk): string {
  return `${path}  ${formatBytes(size)}  ${model}${id === path ? '' : `  (${id})`}`;
}

const DETECT: Readonly<Record<PlannedVolumeFacts['detect'], string>> = {
  first: 'written for the first time',
  hash: 'only changed blocks are written (block map)',
  compare: 'both sides are read, only differences are written',
};

function volumeLines({
  name,
  content,
  source,
  used,
  method,
  methodReason,
  detect,
  detectReason,
}: PlannedVolumeFacts): string[] {
  const amount =
    method === 'allocated'
      ? `${formatBytes(used)} of ${formatBytes(source.length)}`
      : `all ${formatBytes(source.length)}`;
  const lines = [`  ${name}: ${content}, ${amount}; ${DETECT[detect]}${detectReason ? `: ${detectReason}` : ''}`];
  if (method === 'whole') lines.push(`    copied whole: ${methodReason}`);
  return lines;
}
