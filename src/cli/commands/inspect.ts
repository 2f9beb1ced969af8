import { Command, Option } from 'clipanion';
import { parseSize } from '../../base/units.js';
import type { AskedPlace } from '../../operation/owners.js';
import { BaseCommand } from '../base-command.js';

export class InspectCommand extends BaseCommand {
  static override paths = [['inspect']];
  static override usage = Command.Usage({
    description: 'look at one disk or partition in detail',
    details: `
      Shows the partition table, alignment, each file system's state (clean, dirty, hibernated) with what to do about
      it, how much a clone would copy, and warnings. Nothing is written.

      With --at it tells instead what lies at places of the disk: the partition, and in ext2/3/4, NTFS
      and FAT the file with all its paths, or the structure. LBA:n counts in the disk's own sectors; the kernel's log
      counts in 512 bytes on any disk.

      Exit status: 0; 4 if it cannot be read, 5 if its partition table is damaged beyond use.
    `,
    examples: [
      ['A disk', 'ectype inspect /dev/sda'],
      ['A raw image file', 'ectype inspect disk.img'],
      ['One partition', 'ectype inspect /dev/sda#2'],
      ['Which file a bad sector belongs to', 'ectype inspect /dev/sda --at LBA:123456'],
    ],
  });

  disk = Option.String({ name: 'disk' });

  at = Option.String('--at', {
    description: 'Tell what lies at these byte offsets (or sectors: LBA:123) of it, separated by commas',
  });

  protected async run(): Promise<number> {
    if (this.at !== undefined) return this.tellOwners(await parsePlaces(this.at));
    const { inspect } = await import('../../operation/inspect.js');
    const { diskText } = await import('../report/disk-text.js');
    const disk = await inspect(this.disk);
    if (this.json) this.printJson({ event: 'disk', ...disk });
    else this.print(diskText(disk, { detailed: true }));
    return 0;
  }

  private async tellOwners(asked: readonly AskedPlace[]): Promise<number> {
    const { ownersAt } = await import('../../operation/owners.js');
    const { ownersText } = await import('../report/owners-text.js');
    const owners = await ownersAt(this.disk, asked);
    if (this.json) this.printJson({ event: 'owners', ...owners });
    else this.print(ownersText(owners));
    return 0;
  }
}

/** "4096,LBA:17" as places. Throws `usage.bad-option`. */
async function parsePlaces(text: string): Promise<AskedPlace[]> {
  const places: AskedPlace[] = [];
  for (const word of text.split(',')) {
    const sector = /^LBA:(\d{1,15})$/i.exec(word.trim())?.[1];
    const number = sector === undefined ? parseSize(word) : Number(sector);
    if (number === undefined) {
      const { badOption } = await import('../../base/errors/usage.js');
      throw badOption('--at', text, 'wanted are byte offsets such as 1048576, or sectors such as LBA:2048');
    }
    places.push({ unit: sector === undefined ? 'byte' : 'sector', number });
  }
  return places;
}
