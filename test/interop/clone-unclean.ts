// File systems that were not left in order, through the command line: `inspect` says what to do, a clone is refused and
// the target keeps every byte, --forensic copies them as they lie; and once the advice was followed, all files come through.

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { mounted as mountedBtrfs } from '../support/btrfs-image.js';
import { clones, type Ectype, ectype, fileDigest, refuses } from '../support/cli.js';
import { oldFile } from '../support/clone-judge.js';
import * as crash from '../support/crash-images.js';
import { mounted } from '../support/ext4-image.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import {
  type Content,
  checkContent,
  EXFAT,
  EXT4,
  FAT16,
  FAT32,
  listFiles,
  NTFS,
} from '../support/partition-content.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { tryRun } from '../support/run.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { mountedXfs } from '../support/xfs-image.js';

const scratch = scratchFolder();
const XFS: Content = { kind: 'xfs', options: [] };
const BTRFS: Content = { kind: 'btrfs', options: [] };

interface Unclean {
  readonly name: string;
  readonly make: (image: string, random: Random) => void | Promise<void>;
  readonly kind: 'needs-replay' | 'dirty' | 'hibernated';
  readonly message: RegExp;
  readonly advice: RegExp;
  /** What the advice says, as far as it can be done without Windows and without that file system's driver. */
  readonly follow?: (image: string) => void | Promise<void>;
  /** What its files are read by afterwards. */
  readonly content?: Content;
  /** One more of a kind: in the long run only. Its state is judged in every run, by the plugin's own test. */
  readonly long?: boolean;
}

const replay = (content: Content, follow: (image: string) => void, kind: Unclean['kind'] = 'needs-replay') => ({
  kind,
  content,
  follow,
});
const SHUT_DOWN = { kind: 'hibernated', advice: /Start Windows and shut it down fully/ } as const;
const CHKDSK = { kind: 'dirty', advice: /Windows/ } as const;

/** Status 1: repaired. */
function repaired(command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = tryRun(command, args);
  assert.ok(status <= 1, `${command}: ${stdout}${stderr}`);
}

const fat = (bits: 12 | 16 | 32, mark: 'boot' | 'table', long = false): Unclean => ({
  long,
  name: `FAT${bits}, dirty by its ${mark === 'boot' ? 'boot sector' : 'table'}`,
  make: (image, random) =>
    crash.dirtyFat(image, random, {
      bits,
      mark,
      size: { 12: 3, 16: 20, 32: 40 }[bits] * MiB,
      ...(bits === 32 ? { sectorsPerCluster: 1 } : {}),
    }),
  message: /not unmounted/,
  advice: /fsck\.vfat/,
  ...replay(bits === 32 ? FAT32 : FAT16, (image) => repaired('fsck.vfat', ['-a', image]), 'dirty'),
});

const session = (header: string, { length, long = false }: { length?: number; long?: boolean } = {}): Unclean => ({
  long,
  name: `NTFS with a hiberfil.sys that says "${header}"${length === undefined ? '' : ' and is short'}`,
  make: (image, random) => crash.hibernatedNtfs(image, random, header, length),
  message: /hibernated/,
  ...SHUT_DOWN,
  content: NTFS,
  // ntfs-3g does away with what it takes for a session; the rest is deleted by hand.
  follow: (image) =>
    withNtfsMounted(image, (folder) => rmSync(join(folder, 'hiberfil.sys'), { force: true }), {
      options: 'remove_hiberfile',
    }),
});

const swap = (signature: string, long = false): Unclean => ({
  long,
  name: `a swap area with ${signature}`,
  make: (image, random) => crash.sleepingSwap(image, random, signature),
  kind: 'hibernated',
  message: /hibernates/,
  advice: /shut it down/,
});

const CASES: readonly Unclean[] = [
  {
    name: 'ext4 with a journal to replay',
    make: (image, random) => crash.crashedExt(image, random, []),
    message: /journal was not replayed/,
    advice: /Mount it and unmount it/,
    ...replay(EXT4, (image) => mounted(image, () => {})),
  },
  {
    name: 'ext4 without a journal, not unmounted',
    make: (image, random) => crash.crashedExt(image, random, ['-O', '^has_journal']),
    message: /not unmounted/,
    advice: /e2fsck/,
    ...replay(EXT4, (image) => repaired('e2fsck', ['-fp', image]), 'dirty'),
  },
  {
    name: 'XFS with a log to replay',
    make: crash.crashedXfs,
    message: /log was not replayed/,
    advice: /Mount it and unmount it once/,
    ...replay(XFS, (image) => mountedXfs(image, () => {})),
  },
  {
    name: 'btrfs with a log tree to replay',
    make: crash.crashedBtrfs,
    message: /log tree was not replayed/,
    advice: /Mount it and unmount it/,
    ...replay(BTRFS, (image) => mountedBtrfs([image], () => {})),
  },
  { name: 'NTFS marked dirty', make: crash.dirtyNtfs, message: /marked dirty|not unmounted|journal/, ...CHKDSK },
  {
    name: 'NTFS with an open $LogFile',
    make: (image, random) => crash.loggedNtfs(image, random, 'open'),
    message: /not unmounted/,
    ...CHKDSK,
  },
  {
    name: 'NTFS with a $LogFile of version 2.0 (Fast Startup)',
    make: (image, random) => crash.loggedNtfs(image, random, 'cached'),
    message: /Fast Startup/,
    ...SHUT_DOWN,
  },
  session('hibr'),
  session('HIBR', { long: true }),
  session('wake'),
  session('RSTR', { long: true }),
  session('', { length: 100 }),
  fat(12, 'boot', true),
  fat(16, 'boot'),
  fat(16, 'table', true),
  fat(32, 'boot', true),
  fat(32, 'table'),
  {
    name: 'exFAT, not unmounted',
    make: crash.crashedExfat,
    message: /not unmounted/,
    advice: /fsck\.exfat/,
    ...replay(EXFAT, (image) => repaired('fsck.exfat', ['-y', image]), 'dirty'),
  },
  {
    name: 'F2FS without a checkpoint of an unmount',
    make: crash.crashedF2fs,
    kind: 'needs-replay',
    message: /not unmounted|checkpoint/,
    advice: /Mount it once/,
  },
  swap('S1SUSPEND'),
  ...['S2SUSPEND', 'ULSUSPEND', 'LINHIB0001'].map((signature) => swap(signature, true)),
];

function inspected(cli: Ectype, image: string, { kind, message, advice }: Unclean): void {
  const { status, stdout } = cli.run(['inspect', image]);
  assert.is(status, 0);
  for (const said of [new RegExp(`${kind}: `), message, advice]) assert.match(stdout, said);
}

for (const [index, unclean] of CASES.filter(({ long }) => LONG || !long).entries()) {
  test(unclean.name, async () => {
    const image = join(scratch, `${index}.img`);
    await unclean.make(image, randomFrom(SEED + index));
    const cli = ectype(scratch);
    const before = fileDigest(image);
    inspected(cli, image, unclean);

    const target = oldFile(join(scratch, `${index}.target`), statSync(image).size);
    const overwrite = `--overwrite-target=${target}`;
    const error = refuses(cli, ['clone', '--yes', overwrite, image, target], {
      status: 5,
      code: 'filesystem.unclean',
      message: unclean.message,
      untouched: [image, target],
    });
    assert.match(String(error['hint']), unclean.advice);
    assert.match(String(error['hint']), /--forensic/);

    const forensic = oldFile(join(scratch, `${index}.forensic`), statSync(image).size);
    clones(cli, ['--forensic', `--overwrite-target=${forensic}`, image, forensic]);
    assert.is(fileDigest(forensic), before, 'byte for byte');
    assert.is(fileDigest(image), before, 'the source is what it was');
    rmSync(forensic);
    await healed(unclean, { cli, image, target });
    rmSync(image);
    rmSync(target);
  });
}

/** Follows the advice: then it is cloned, and every file that was promised to be durable is there. */
async function healed(
  { content, follow }: Unclean,
  { cli, image, target }: { cli: Ectype; image: string; target: string },
): Promise<void> {
  if (!content || !follow) return;
  await follow(image);
  clones(cli, [`--overwrite-target=${target}`, image, target]);
  const wanted = await listFiles(image, content);
  assert.ok(wanted.size > 3);
  checkContent(target, content);
  assert.equal([...(await listFiles(target, content))], [...wanted]);
}

test.run();
