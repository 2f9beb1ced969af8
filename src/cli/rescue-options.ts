// The options of --rescue: what each may say, and that none stands without it.

import { badOption } from '../base/errors/usage.js';
import { parseDuration } from '../base/units.js';
import type { RescueWish } from '../operation/clone-types.js';

export interface RescueWords {
  readonly retries: string | undefined;
  readonly time: string | undefined;
  readonly mapfile: string | undefined;
}

/** Undefined: no rescue was asked for. Throws `usage.bad-option`. */
export function parseRescue(isAsked: boolean, { retries, time, mapfile }: RescueWords): RescueWish | undefined {
  const given = { '--rescue-retries': retries, '--rescue-time': time, '--mapfile': mapfile };
  for (const [option, value] of Object.entries(given)) {
    if (!isAsked && value !== undefined) throw badOption(option, value, 'this option needs --rescue');
  }
  if (!isAsked) return undefined;
  if (retries !== undefined && !/^\d{1,4}$/.test(retries)) {
    throw badOption('--rescue-retries', retries, 'wanted is a number of passes, such as 0 or 3');
  }
  const seconds = time === undefined ? undefined : parseDuration(time);
  if (time !== undefined && seconds === undefined) {
    throw badOption('--rescue-time', time, 'wanted is a time such as 90s, 30m or 2h');
  }
  return { retries: retries === undefined ? undefined : Number(retries), seconds, mapfile };
}
