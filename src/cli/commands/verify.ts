import { Command, Option } from 'clipanion';
import { BaseCommand, parseNumbers, parseSectorSize } from '../base-command.js';
import { parseLayout } from '../layout-options.js';

export class VerifyCommand extends BaseCommand {
  static override paths = [['verify']];
  static override usage = Command.Usage({
    description: 'prove that a target is a clone of its source',
    details: `
      Reads every used byte of both sides, past the page cache, and compares them; the partition table is compared with
      what a clone would write. Page, hibernation and swap files, which a clone leaves out, must read as zeros: give
      the same options as to the clone. File systems that were given another size are compared with a view of the source
      at that size. Both are opened for reading only.

      Exit status: 0 equal; 7 they differ; 2 wrong usage; 3 the target cannot be a clone (too small); 4 a disk failed;
      5 a file system cannot be compared as it is.
    `,
    examples: [
      ['A clone', 'ectype verify /dev/sda /dev/sdb'],
      ['A clone made with --only', 'ectype verify --only 1,3 /dev/sda /dev/sdb'],
    ],
  });

  source = Option.String({ name: 'source' });
  target = Option.String({ name: 'target' });
  only = Option.String('--only', { description: 'Partition numbers that were cloned, such as 1,3' });
  forensic = Option.Boolean('--forensic', false, { description: 'Compare every byte, allocated or not' });
  keepExcluded = Option.Boolean('--keep-excluded', false, {
    description: 'The clone was made with --keep-excluded: compare page, hibernation and swap files too',
  });
  excludePageFiles = Option.Boolean('--exclude-page-files', false, {
    description: 'With --forensic: the clone was made with --exclude-page-files',
  });
  layout = Option.String('--layout', { description: 'As given to the clone: same, fill or proportional' });
  sizes = Option.Array('--size', { description: 'As given to the clone, such as 2=200G' });
  table = Option.String('--table', { description: 'As given to the clone: same or gpt' });
  identity = Option.String('--identity', { description: 'As given to the clone: keep or new' });
  scratch = Option.String('--scratch', { description: 'Folder for what resizing moves; default: in the state folder' });
  sectorSize = Option.String('--sector-size', { description: 'Sector size to assume for a target file: 512 or 4096' });

  protected async run(): Promise<number> {
    const { verify } = await import('../../operation/verify.js');
    const { EXIT_STATUS } = await import('../../base/tool-error.js');
    const { verifyText } = await import('../report/result-text.js');
    const { reporter } = await import('../report/progress.js');
    const only = await parseNumbers('--only', this.only);
    const sectorSize = await parseSectorSize(this.sectorSize);
    const { report, close } = reporter({ json: this.json, quiet: this.quiet, ...this.context });
    try {
      const { source, target, forensic, keepExcluded, excludePageFiles, scratch } = this;
      const exclusions = { forensic, keepExcluded, excludePageFiles };
      const sizes = { ...(await parseLayout(this)), scratch, sectorSize };
      const result = await this.withSignal((signal) =>
        verify({ source, target, only, ...exclusions, ...sizes, report, signal }),
      );
      close();
      if (this.json) this.printJson({ event: 'result', ...result });
      else this.print(verifyText(this.source, this.target, result));
      return result.equal ? 0 : EXIT_STATUS.verify;
    } finally {
      close();
    }
  }
}
