import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';

export class InspectCommand extends BaseCommand {
  static override paths = [['inspect']];
  static override usage = Command.Usage({
    description: 'look at one disk or partition in detail',
    details: `
      Shows the partition table, alignment, each file system's state (clean, dirty, hibernated) with what to do about
      it, how much a clone would copy, and warnings. Nothing is written.

      Exit status: 0; 4 if it cannot be read, 5 if its partition table is damaged beyond use.
    `,
    examples: [
      ['A disk', 'ectype inspect /dev/sda'],
      ['A raw image file', 'ectype inspect disk.img'],
      ['One partition', 'ectype inspect /dev/sda#2'],
    ],
  });

  disk = Option.String({ name: 'disk' });

  protected async run(): Promise<number> {
    const { inspect } = await import('../../operation/inspect.js');
    const { diskText } = await import('../report/disk-text.js');
    const disk = await inspect(this.disk);
    if (this.json) this.printJson({ event: 'disk', ...disk });
    else this.print(diskText(disk, { detailed: true }));
    return 0;
  }
}
