import { Command } from 'clipanion';
import { BaseCommand } from '../base-command.js';

export class DoctorCommand extends BaseCommand {
  static override paths = [['doctor']];
  static override usage = Command.Usage({
    description: 'check what ectype needs on this machine',
    details: `
      Tells whether the native part works, whether the state folder can be written, which programs are there that
      ectype's advice refers to, and the one command that installs the missing ones. Nothing is installed.

      Exit status: 0 if clones can be made here, else 4.
    `,
    examples: [['Check this machine', 'ectype doctor']],
  });

  protected async run(): Promise<number> {
    const { doctor } = await import('../../operation/doctor.js');
    const { EXIT_STATUS } = await import('../../base/tool-error.js');
    const health = doctor();
    if (this.json) {
      this.printJson({ event: 'result', ...health });
    } else {
      for (const { what, ok, detail } of health.checks) this.print(`${ok ? 'ok     ' : 'missing'}  ${what}: ${detail}`);
      if (health.install) this.print(`\nInstall what is missing: ${health.install}`);
    }
    return health.usable ? 0 : EXIT_STATUS.device;
  }
}
