import { Command, Option } from 'clipanion';
import { EXIT_STATUS } from '../../base/tool-error.js';
import type { CloneOptions, RescueWish } from '../../operation/clone-types.js';
import { BaseCommand, parseNumbers, parseSectorSize } from '../base-command.js';
import { parseLayout } from '../layout-options.js';
import { parseProveBoot } from '../prove-boot-options.js';

export class CloneCommand extends BaseCommand {
  static override paths = [['clone']];
  static override usage = Command.Usage({
    description: 'clone a disk or a partition; again, it is a delta clone',
    details: `
      Copies what the file systems use, and the partition table and boot code last, so that an unfinished target never
      looks finished. The same command again reads only what changed, where the file system tells (ext2/3/4, XFS,
      btrfs, NTFS), and writes only the blocks that differ; every tenth run that writes something reads both sides.
      Where a crash of the source's system since the last run cannot be excluded (XFS and NTFS keep no count of
      mounts), all of it is read, because data may have changed under old time stamps; --detect rapid says that there
      was none. The plan is shown first; nothing is written before it is confirmed.

      \`A B\` replaces B's whole table (with --only, B then holds only those partitions). \`A#2 B#3\` copies one partition
      into another and leaves everything else on B as it is. B may be a file that does not exist yet.

      Partitions keep their places and sizes if the target has room for that (--layout same). On a smaller target, or with
      --layout fill, file systems shrink or grow: in a view, the source is never written. --layout proportional gives
      every file system its share; --size sets single partitions. A clone again finds its layout again.

      With --identity new the target gets IDs of its own (disk, partitions, file systems), and what names them in fstab,
      GRUB and boot entries is rewritten; what could not be is listed. They are drawn once. Not for Windows.

      Of page, hibernation and swap files only the place is copied: they read as zeros on the target. The plan lists
      them; --keep-excluded copies them. While a computer hibernates on the source nothing is left out.

      A mounted source is refused. With --live (ext2/3/4, XFS, btrfs; as root) it is copied in passes while it is used;
      then its file systems are frozen for a moment, what changed since is copied, and they go on. A watchdog thaws them
      if anything happens to ectype.

      The first unreadable sector of A ends the run. With --rescue everything that reads well is copied first; then what
      does not is gone over down to single sectors, and tried again. A block that cannot be read keeps what an earlier run
      of the same source put there; without one its unreadable sectors become zeros, and later runs try them again. What
      was unreadable is listed, and written to a mapfile in the format of GNU ddrescue.

      Exit status: 0 done; 2 wrong usage; 3 refused, nothing was written; 4 a disk failed; 5 a file system cannot be
      copied as it is; 7 verification found differences, or
      the target does not start; 8 done, but parts of the source were unreadable; 130 stopped
      (run it again: it goes on).
    `,
    examples: [
      ['Move to a new disk', 'ectype clone /dev/sda /dev/nvme0n1'],
      ['See what would happen', 'ectype clone --dry-run /dev/sda /dev/nvme0n1'],
      ['Keep a standby fresh from a script', 'ectype clone --yes /dev/disk/by-id/ata-A /dev/disk/by-id/ata-B'],
      ['The disk that this system runs from', 'ectype clone --live /dev/disk/by-id/ata-A /dev/disk/by-id/ata-B'],
      ['One partition', 'ectype clone /dev/sda#2 /dev/sdb#3'],
      ['A larger disk, used to its end', 'ectype clone --layout fill /dev/sda /dev/nvme0n1'],
      ['Save what a dying disk still gives', 'ectype clone --rescue --rescue-time 4h /dev/sda /dev/sdb'],
    ],
  });

  source = Option.String({ name: 'source' });
  target = Option.String({ name: 'target' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Show the plan and stop' });
  yes = Option.Boolean('--yes,-y', false, { description: 'Do not ask; refuse what a person would have to decide' });
  only = Option.String('--only', { description: 'Partition numbers, such as 1,3: the target gets only these' });
  forensic = Option.Boolean('--forensic', false, { description: 'Copy every byte, allocated or not, clean or not' });
  keepExcluded = Option.Boolean('--keep-excluded', false, {
    description: 'Copy page, hibernation and swap files too',
  });
  excludePageFiles = Option.Boolean('--exclude-page-files', false, {
    description: 'With --forensic: leave page, hibernation and swap files out all the same',
  });
  layout = Option.String('--layout', {
    description: 'same, fill or proportional: how partitions use a larger or smaller target',
  });
  sizes = Option.Array('--size', { description: 'Size of a partition, such as 2=200G, 3=min or 4=rest; repeatable' });
  table = Option.String('--table', {
    description: 'same (default), or gpt: make a GPT of an MBR, for more than 2 TiB',
  });
  identity = Option.String('--identity', {
    description: 'keep (default): replace the old disk; new: a twin with IDs of its own, which may stay attached',
  });
  scratch = Option.String('--scratch', { description: 'Folder for what resizing moves; default: in the state folder' });
  detect = Option.String('--detect', {
    description:
      'rapid: read only what changed, also where a crash of the source cannot be excluded; hash: all of the source; compare: both sides',
  });
  fullCheckEvery = Option.String('--full-check-every', {
    description: 'Read both sides in every Nth run that writes something; default 10, 0 for never',
  });
  showChanges = Option.Boolean('--show-changes', false, {
    description: 'At the end, list the folders and files that changed most (ext2/3/4, NTFS, FAT)',
  });
  verify = Option.Boolean('--verify', false, { description: 'Read the target again at the end and check every block' });
  proveBoot = Option.Boolean('--prove-boot', false, {
    description: 'Start the target in a virtual machine at the end; see ectype boot --help',
  });
  proveBootTime = Option.String('--prove-boot-time', {
    description: 'With --prove-boot: how long to wait for a login prompt; default 5m',
  });
  rescue = Option.Boolean('--rescue', false, { description: 'Go on over unreadable sectors of the source' });
  rescueRetries = Option.String('--rescue-retries', {
    description: 'With --rescue: passes over bad sectors; default 1',
  });
  rescueTime = Option.String('--rescue-time', {
    description: 'With --rescue: time for all passes after the first, such as 30m or 2h; default unlimited',
  });
  mapfile = Option.String('--mapfile', { description: 'With --rescue: where the ddrescue mapfile goes' });
  live = Option.Boolean('--live', false, {
    description: 'The source stays mounted: copied in passes, its file systems frozen for the last one',
  });
  overwriteTarget = Option.String('--overwrite-target', {
    description: 'Serial number, path or disk GUID of the target that may be overwritten whatever it holds',
  });
  sectorSize = Option.String('--sector-size', { description: 'Sector size to assume for a target file: 512 or 4096' });

  protected async run(): Promise<number> {
    const { clone } = await import('../../operation/clone.js');
    const { planText } = await import('../report/plan-text.js');
    const { resultText } = await import('../report/result-text.js');
    const { reporter } = await import('../report/progress.js');
    const { confirmPlan } = await import('../confirm.js');
    const only = await parseNumbers('--only', this.only);
    const sectorSize = await parseSectorSize(this.sectorSize);
    const layout = await parseLayout(this);
    const detect = await this.#detect();
    const fullCheckEvery = await this.#fullCheckEvery();
    const rescue = await this.#rescue();
    const proveBoot = await parseProveBoot(this.proveBoot, this.proveBootTime);
    const { report, close } = reporter({ json: this.json, quiet: this.quiet, ...this.context });
    try {
      const result = await this.withSignal((signal) =>
        clone({
          source: this.source,
          target: this.target,
          only,
          sectorSize,
          ...layout,
          scratch: this.scratch,
          detect,
          fullCheckEvery,
          forensic: this.forensic,
          keepExcluded: this.keepExcluded,
          excludePageFiles: this.excludePageFiles,
          showChanges: this.showChanges,
          verify: this.verify,
          rescue,
          live: this.live,
          proveBoot,
          overwriteTarget: this.overwriteTarget,
          dryRun: this.dryRun,
          assumeYes: this.yes,
          confirm: async (plan) => {
            if (this.json) this.printJson({ event: 'plan', ...plan });
            else if (!this.quiet || !this.yes) this.context.stderr.write(`${planText(plan)}\n`);
            return this.yes || confirmPlan(plan, { ...this.context, signal });
          },
          report,
          signal,
        }),
      );
      close();
      if (this.json)
        this.printJson(result.run ? { event: 'result', ...result.run } : { event: 'plan', ...result.plan });
      else this.print(result.run ? resultText(result.plan, result.run) : planText(result.plan));
      const boot = result.run?.boot;
      if (boot && !boot.booted) {
        const { bootFailure, consoleText } = await import('../report/boot-failure.js');
        if (!this.json && !this.quiet) this.context.stderr.write(consoleText(boot));
        throw bootFailure(this.target, boot);
      }
      return result.run?.unreadable ? EXIT_STATUS.incomplete : 0;
    } finally {
      close();
    }
  }

  async #rescue(): Promise<RescueWish | undefined> {
    const { parseRescue } = await import('../rescue-options.js');
    return parseRescue(this.rescue, { retries: this.rescueRetries, time: this.rescueTime, mapfile: this.mapfile });
  }

  async #detect(): Promise<CloneOptions['detect']> {
    const { detect } = this;
    if (detect === undefined || detect === 'rapid' || detect === 'hash' || detect === 'compare') return detect;
    const { badOption } = await import('../../base/errors/usage.js');
    throw badOption('--detect', detect, 'wanted is rapid, hash or compare');
  }

  async #fullCheckEvery(): Promise<number | undefined> {
    if (this.fullCheckEvery === undefined) return undefined;
    if (/^\d{1,6}$/.test(this.fullCheckEvery)) return Number(this.fullCheckEvery);
    const { badOption } = await import('../../base/errors/usage.js');
    throw badOption('--full-check-every', this.fullCheckEvery, 'wanted is a number of runs, or 0 for never');
  }
}
