import { Command } from 'clipanion';
import { BaseCommand } from '../base-command.js';

export class DisksCommand extends BaseCommand {
  static override paths = [['disks']];
  static override usage = Command.Usage({
    description: 'list disks, their partitions and what is on them',
    details: `
      Shows each disk's model, serial number and size, its partitions drawn to scale, their file systems, how much of
      them is used, and what is mounted. Nothing is written. Run it as root to see more than the names.

      Exit status: 0, or 4 if something could not be read.
    `,
    examples: [
      ['All disks', 'ectype disks'],
      ['For programs', 'ectype disks --json'],
    ],
  });

  protected async run(): Promise<number> {
    const { disks } = await import('../../operation/inspect.js');
    const { diskText } = await import('../report/disk-text.js');
    for (const disk of await disks()) {
      if (this.json) this.printJson({ event: 'disk', ...disk });
      else this.print(`${diskText(disk, { detailed: false })}\n`);
    }
    return 0;
  }
}
