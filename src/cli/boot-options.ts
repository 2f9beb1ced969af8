// The options of boot: what each may say, and which need another or exclude one.

import { noDisplay } from '../base/errors/machine.js';
import { badOption, contradictingOptions } from '../base/errors/usage.js';
import { MiB, parseDuration, parseSize } from '../base/units.js';
import type { Accelerator } from '../machine/accelerator.js';
import type { Bus } from '../machine/command.js';
import type { FirmwareWish } from '../machine/firmware.js';
import type { BootOptions } from '../operation/boot.js';

export interface BootWords {
  readonly prove: boolean;
  readonly timeLimit: string | undefined;
  readonly console: string | undefined;
  readonly display: boolean;
  readonly screenshot: string | undefined;
  readonly after: string | undefined;
  readonly firmware: string | undefined;
  readonly bus: string | undefined;
  readonly accel: string | undefined;
  readonly memory: string | undefined;
  readonly cpus: string | undefined;
  readonly network: boolean;
  readonly scratch: string | undefined;
  readonly json: boolean;
}

export interface BootWish {
  readonly machine: Omit<BootOptions, 'disk' | 'report' | 'signal'>;
  readonly timeoutMs: number | undefined;
  readonly afterMs: number;
}

const FIRMWARES: readonly FirmwareWish[] = ['auto', 'uefi', 'bios'];
const ACCELERATORS: readonly Accelerator[] = ['kvm', 'tcg'];
const BUSES: readonly Bus[] = ['sata', 'virtio', 'nvme'];
const CONSOLES = ['serial'] as const;
const USUAL_AFTER_SECONDS = 60;
const LEAST_MEMORY = 64 * MiB;

/** Throws `usage.bad-option`, `usage.contradicting-options`, `usage.no-display`. */
export function parseBootWords(words: BootWords): BootWish {
  refuseCombinations(words);
  const { network, scratch } = words;
  const timeout = seconds('--time-limit', words.timeLimit);
  oneOf('--console', words.console, CONSOLES);
  return {
    machine: {
      firmware: oneOf('--firmware', words.firmware, FIRMWARES),
      bus: oneOf('--bus', words.bus, BUSES),
      accelerator: oneOf('--accel', words.accel, ACCELERATORS),
      memory: memory(words.memory),
      cpus: cpus(words.cpus),
      network,
      scratch,
    },
    timeoutMs: timeout === undefined ? undefined : timeout * 1000,
    afterMs: (seconds('--after', words.after) ?? USUAL_AFTER_SECONDS) * 1000,
  };
}

function refuseCombinations({ prove, display, screenshot, json, ...words }: BootWords): void {
  if (words.timeLimit !== undefined && !prove) throw badOption('--time-limit', words.timeLimit, 'this needs --prove');
  if (words.after !== undefined && (screenshot === undefined || prove)) {
    throw badOption('--after', words.after, 'this needs --screenshot, without --prove');
  }
  const unseen = prove ? '--prove' : screenshot === undefined ? undefined : '--screenshot';
  const shown = display ? '--display' : words.console === undefined ? undefined : '--console';
  if (unseen !== undefined && shown !== undefined) {
    throw contradictingOptions(shown, unseen, `Leave ${shown} out: ${unseen} shows nothing`);
  }
  if (display && words.console !== undefined) {
    throw contradictingOptions('--console', '--display', 'Choose one of them');
  }
  if (json && unseen === undefined && !display) {
    throw contradictingOptions('--json', 'the serial console', 'Give --prove, --screenshot or --display too');
  }
  if (display && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY']) throw noDisplay();
}

function oneOf<T extends string>(option: string, text: string | undefined, choices: readonly T[]): T | undefined {
  if (text === undefined) return undefined;
  const found = choices.find((choice) => choice === text);
  if (found === undefined)
    throw badOption(option, text, `wanted is ${choices.join(', ').replace(/, (\w+)$/, ' or $1')}`);
  return found;
}

function seconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const found = parseDuration(text);
  if (found === undefined || found === 0) throw badOption(option, text, 'wanted is a time such as 90s, 5m or 1h');
  return found;
}

function memory(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const found = parseSize(text);
  if (found === undefined || found < LEAST_MEMORY)
    throw badOption('--memory', text, 'wanted is a size such as 512M or 2G');
  return found;
}

function cpus(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d?$/.test(text)) throw badOption('--cpus', text, 'wanted is a number from 1 to 99');
  return Number(text);
}
