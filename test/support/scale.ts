// Long tests run a seeded sample in `npm test` and the full numbers in `npm run test:long`.

/** True in `npm run test:long`. */
export const LONG: boolean = process.env['ECTYPE_LONG'] === '1';

/** How often to do something: `short` in every run of the tests, `long` in the long ones. */
export function rounds({ short, long }: { short: number; long: number }): number {
  return LONG ? long : short;
}
