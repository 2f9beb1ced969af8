// What happened, in words: only what was measured.

import type { Amounts } from '../../base/report.js';
import { formatBytes, formatDuration } from '../../base/units.js';
import type { NamedBytes, VolumeChanges } from '../../operation/changes.js';
import type { ClonePlan, CloneRunResult } from '../../operation/clone-types.js';
import type { FrozenTimes } from '../../operation/live-source.js';
import type { VerifyResult } from '../../operation/verify.js';
import { printable } from '../../plan/target-content.js';
import type { References } from '../../reshape/identity/references.js';
import { rescueText } from './rescue-text.js';

export function resultText(plan: ClonePlan, run: CloneRunResult): string {
  const { source, target, scope, twin } = plan;
  const isFirst = plan.volumes.every(({ detect }) => detect === 'first');
  const lines = [
    run.changed
      ? `${target.path} is a clone of ${source.path}${run.unreadable ? ', as far as that could be read' : ''}.`
      : `${target.path} already was a clone of ${source.path}${run.unreadable ? ', as far as that could be read' : ''}: nothing was written to it.`,
    amountsLine(run.amounts, run.seconds),
    ...volumeLines(run, isFirst),
  ];
  if (run.frozen) lines.push(frozenLine(run.frozen));
  if (run.excludedBytes > 0)
    lines.push(`Left out: ${formatBytes(run.excludedBytes)} of page, hibernation and swap files are zeros there.`);
  if (run.verified !== undefined)
    lines.push(`Verified: ${formatBytes(run.verified)} were read again from the target and are right.`);
  if (run.boot?.booted)
    lines.push(`It starts: ${run.boot.saw} after ${formatDuration(run.boot.seconds)} in a virtual machine.`);
  if (run.unreadable) lines.push(...rescueText(run.unreadable));
  lines.push(...run.warnings.map((warning) => `warning: ${warning}`));
  const twins = scope === 'disk' && source.kind !== 'file' && target.kind !== 'file';
  if (run.references) lines.push(...referencesText(run.references));
  if (twins && run.changed && !twin) {
    lines.push('Both disks now carry the same IDs: shut down and unplug one of them before you start from the other.');
  }
  return lines.join('\n');
}

function frozenLine({ last, longest, total }: FrozenTimes): string {
  const when = new Date(last).toISOString().slice(0, 19).replace('T', ' ');
  return `It is a copy of ${when} UTC; for it the source's file systems were frozen for ${formatDuration(longest / 1000)} at most, ${formatDuration(total / 1000)} in all.`;
}

/** Where the changes were, of several volumes; then by name, if that was asked for. */
function volumeLines({ volumes, changes }: CloneRunResult, isFirst: boolean): string[] {
  const touched = volumes.filter(({ written, zeroed, discarded }) => written + zeroed + discarded > 0);
  const each =
    volumes.length > 1 && !isFirst
      ? touched.map(({ name, written }) => `  ${name}: wrote ${formatBytes(written)}`)
      : [];
  return [...each, ...(changes ?? []).flatMap(changesText)];
}

function changesText({ name, bytes, folders, files, structures, unnamed }: VolumeChanges): string[] {
  const line = ({ path, bytes: of }: NamedBytes): string => `    ${printable(path)}  ${formatBytes(of)}`;
  return [
    `Changed in ${name}: ${formatBytes(bytes)}`,
    ...(folders.length > 0 ? ['  folders:', ...folders.map(line)] : []),
    ...(files.length > 0 ? ['  files:', ...files.map(line)] : []),
    ...(structures > 0 ? [`  the file system itself: ${formatBytes(structures)}`] : []),
    ...(unnamed > 0 ? [`  without a name: ${formatBytes(unnamed)}`] : []),
  ];
}

/** What names old IDs: what was rewritten in short, what was not in full. */
function referencesText({ rewritten, unresolved, listed }: References): string[] {
  const count = rewritten.reduce((sum, each) => sum + each.count, 0);
  const files = `${rewritten.length} ${rewritten.length === 1 ? 'file' : 'files'}`;
  return [
    ...(count > 0 ? [`New IDs: ${count} references in ${files} were rewritten.`] : []),
    ...unresolved.map(({ volume, place, why }) => `still names old IDs, or may: ${volume}, ${place}: ${why}`),
    ...listed.map(({ volume, place, why }) => `unchanged: ${volume}, ${place}: ${why}`),
  ];
}

export function verifyText(source: string, target: string, result: VerifyResult): string {
  const { equal, differences, differenceCount, excludedBytes, amounts, seconds } = result;
  const left = formatBytes(excludedBytes);
  if (equal) {
    const compared = `${target} is equal to ${source}: ${formatBytes(amounts.done)} compared in ${formatDuration(seconds)}.`;
    if (excludedBytes === 0) return compared;
    return `${compared}\nPage, hibernation and swap files (${left}) are left out: they are zeros there, as they have to be.`;
  }
  const shown = differences
    .slice(0, 20)
    .map(({ volume, offset, length }) => `  ${volume}: ${length} bytes at ${offset}`);
  const more = differenceCount > shown.length ? [`  and ${differenceCount - shown.length} more`] : [];
  const expected = `Page, hibernation and swap files (${left}) had to be zeros there: after \`clone --keep-excluded\` give --keep-excluded here too.`;
  return [
    `${target} differs from ${source} in ${differenceCount} ${differenceCount === 1 ? 'block' : 'blocks'}:`,
    ...shown,
    ...more,
    ...(excludedBytes > 0 ? [expected] : []),
  ].join('\n');
}

function amountsLine(amounts: Amounts, seconds: number): string {
  const words = [`read ${formatBytes(amounts.sourceRead)}`];
  if (amounts.targetRead > 0) words.push(`read back ${formatBytes(amounts.targetRead)}`);
  words.push(`wrote ${formatBytes(amounts.written)}`);
  if (amounts.zeroed > 0) words.push(`zeroed ${formatBytes(amounts.zeroed)}`);
  if (amounts.discarded > 0) words.push(`discarded ${formatBytes(amounts.discarded)}`);
  words.push(`left ${formatBytes(amounts.skipped)} as they were`);
  const moved = amounts.sourceRead + amounts.written > 0;
  const rate = moved && seconds > 0 ? `, ${formatBytes(Math.round(amounts.done / seconds))}/s` : '';
  return `${words.join(', ')}; ${formatDuration(seconds)}${rate}.`;
}
