import { Command, Option } from 'clipanion';
import type { BootOptions } from '../../operation/boot.js';
import { BaseCommand } from '../base-command.js';

export class BootCommand extends BaseCommand {
  static override paths = [['boot']];
  static override usage = Command.Usage({
    description: 'start a disk in a virtual machine that cannot write to it',
    details: `
      Starts the disk with QEMU. What its system writes goes into a temporary file and is gone in the end; the disk is
      opened for reading only. There is no network unless --network is given, as a clone should not talk to the world by
      surprise. Disks with an EFI system partition start with UEFI (OVMF), all others with BIOS. A boot loader that a
      computer starts by an entry in its firmware is started too, and it is said that there is no such entry here.

      Without options its serial console appears on the terminal; Ctrl-A X ends the machine. With --prove nothing is
      shown: it waits for a login prompt on the serial console and ends the machine. A system that does not use the
      serial console (Windows, or Linux without console=ttyS0) cannot be proven to start: a picture of its screen is
      saved for you to look at.

      Exit status: 0 ended, or with --prove: a login prompt was seen; 2 wrong usage; 3 the disk is in use; 4 QEMU, its
      firmware or the disk failed; 7 the system did not start, or nothing proves that it did; 130 stopped.
    `,
    examples: [
      ['On the serial console', 'ectype boot /dev/sdb'],
      ['Prove that a clone starts', 'ectype boot --prove /dev/sdb'],
      ['See what is on the screen after two minutes', 'ectype boot --screenshot screen.png --after 2m disk.img'],
    ],
  });

  disk = Option.String({ name: 'disk' });
  prove = Option.Boolean('--prove', false, { description: 'Wait for a login prompt, tell, and end' });
  timeLimit = Option.String('--time-limit', { description: 'With --prove: how long to wait; default 5m' });
  console = Option.String('--console', { description: 'serial: the serial console on this terminal; the default' });
  display = Option.Boolean('--display', false, { description: "Show the machine's screen in a window" });
  screenshot = Option.String('--screenshot', { description: 'Save the screen as this PNG file, and end' });
  after = Option.String('--after', { description: 'With --screenshot: how long to wait before; default 60s' });
  firmware = Option.String('--firmware', { description: 'Default auto: UEFI if there is an EFI system partition' });
  bus = Option.String('--bus', { description: 'How the disk is attached; default sata (nvme for sectors of 4096)' });
  accel = Option.String('--accel', { description: 'Default kvm if it works here, else tcg: emulation, which is slow' });
  memory = Option.String('--memory', { description: 'Memory of the machine; default 1G, or what is free' });
  cpus = Option.String('--cpus', { description: 'Processors of the machine; default 2, or what there is' });
  network = Option.Boolean('--network', false, { description: 'Connect it to the network, behind this computer' });
  scratch = Option.String('--scratch', { description: 'Folder for what its system writes; default TMPDIR' });

  protected async run(): Promise<number> {
    const { parseBootWords } = await import('../boot-options.js');
    const { reporter } = await import('../report/progress.js');
    const wish = parseBootWords(this);
    const { report, close } = reporter({ json: this.json, quiet: this.quiet, ...this.context });
    try {
      return await this.withSignal((signal) => {
        const options: BootOptions = { disk: this.disk, ...wish.machine, report, signal };
        if (this.prove) return this.#prove(options, wish.timeoutMs);
        return this.screenshot === undefined ? this.#show(options) : this.#picture(options, wish.afterMs);
      });
    } finally {
      close();
    }
  }

  async #prove(options: BootOptions, timeoutMs: number | undefined): Promise<number> {
    const { describe, proveBoot } = await import('../../operation/boot.js');
    const { formatDuration } = await import('../../base/units.js');
    const proof = await proveBoot({ ...options, timeoutMs, screenshot: this.screenshot });
    if (this.json) this.printJson({ event: 'result', ...proof });
    if (!proof.booted) {
      const { bootFailure, consoleText } = await import('../report/boot-failure.js');
      if (!this.json && !this.quiet) this.context.stderr.write(consoleText(proof));
      throw bootFailure(this.disk, proof);
    }
    const took = `${formatDuration(proof.seconds)} (${describe(proof)})`;
    if (!this.json) this.print(`${this.disk} starts: ${proof.saw} after ${took}`);
    return 0;
  }

  async #show(options: BootOptions): Promise<number> {
    const { bootHere } = await import('../../operation/boot.js');
    if (!this.display && !this.quiet && !this.json) this.context.stderr.write('Ctrl-A X ends the machine\n');
    const facts = await bootHere(options, { display: this.display });
    if (this.json) this.printJson({ event: 'result', ...facts });
    return 0;
  }

  async #picture(options: BootOptions, afterMs: number): Promise<number> {
    const { pictureOf } = await import('../../operation/boot.js');
    const path = this.screenshot ?? '';
    const facts = await pictureOf(options, { path, afterMs });
    if (this.json) this.printJson({ event: 'result', ...facts, screenshot: path });
    else this.print(`the screen is in ${path}`);
    return 0;
  }
}
