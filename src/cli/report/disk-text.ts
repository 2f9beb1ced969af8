// A disk in words and a picture.

import { formatBytes } from '../../base/units.js';
import type { DiskSummary, VolumeSummary } from '../../operation/inspect.js';
import { layoutBar } from './layout-bar.js';

export function diskText(disk: DiskSummary, { detailed }: { detailed: boolean }): string {
  const lines = [
    [disk.path, formatBytes(disk.size), disk.model, disk.id !== disk.path && disk.id && `(${disk.id})`]
      .filter(Boolean)
      .join('  '),
  ];
  if (disk.problem) return [...lines, `  ${disk.problem}`].join('\n');
  const table = disk.table ? `${disk.table.kind.toUpperCase()} ${disk.table.id}` : 'no partition table';
  lines.push(`  ${table}${disk.sectorSize ? `, sectors of ${disk.sectorSize} bytes` : ''}`);
  if (disk.table && disk.volumes.length > 0) {
    const parts = disk.volumes.map(({ label, filesystem, foreign, type, extent, used }) => ({
      label: label || filesystem || foreign || type,
      extent,
      used,
    }));
    lines.push(`  ${layoutBar(parts, disk.size)}`);
  }
  for (const volume of disk.volumes) lines.push(...volumeLines(volume, detailed));
  for (const use of disk.uses) lines.push(`  in use: ${use}`);
  if (detailed) for (const name of disk.stableNames) lines.push(`  also called ${name}`);
  for (const warning of disk.warnings) lines.push(`  warning: ${warning}`);
  return lines.join('\n');
}

function volumeLines(volume: VolumeSummary, detailed: boolean): string[] {
  const content = [
    volume.filesystem ?? volume.foreign ?? (volume.type || 'unrecognised'),
    volume.label && `"${volume.label}"`,
  ]
    .filter(Boolean)
    .join(' ');
  const used = volume.used === undefined ? '' : `, ${formatBytes(volume.used)} used`;
  const lines = [`  ${volume.name}: ${content}, ${formatBytes(volume.extent.length)}${used}`];
  if (volume.state.kind !== 'clean') {
    lines.push(`    ${volume.state.kind}: ${volume.state.reason}`, `    ${volume.state.advice}`);
  }
  if (!detailed) return lines;
  if (volume.uuid) lines.push(`    UUID ${volume.uuid}`);
  if (volume.lastWritten) lines.push(`    last written ${volume.lastWritten}`);
  if (volume.state.kind === 'clean' && volume.filesystem) lines.push('    clean');
  if (volume.copied) {
    const { method, reason, bytes, excluded } = volume.copied;
    lines.push(
      `    a clone copies ${formatBytes(bytes)}${method === 'whole' ? ` (all of it: ${reason})` : ' (what is allocated)'}`,
    );
    for (const { path, kind, bytes: left } of excluded)
      lines.push(`    it leaves out ${path} (${kind}), ${formatBytes(left)}`);
  }
  if (!volume.aligned) lines.push('    does not start on a multiple of 1 MiB');
  return lines;
}
