// The files of a small Debian, made once by debootstrap and kept for later tests.
// Invariant: the cache holds whole trees only: a tree gets its final name when it is complete, and is only read then.

import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun } from '../run.js';

const SUITE = 'bookworm';
const PACKAGES = [
  'linux-image-amd64',
  'initramfs-tools',
  'zstd',
  'systemd-sysv',
  'udev',
  'e2fsprogs',
  'btrfs-progs',
  'xfsprogs',
  'dosfstools',
  'grub-pc-bin',
  'grub-efi-amd64-bin',
];

/** Of the kernel's modules only these folders are kept: what a disk needs. The rest is most of the system's size. */
const KEPT_MODULES = ['arch', 'block', 'crypto', 'drivers', 'fs', 'lib', 'net'];
const KEPT_DRIVERS = ['ata', 'block', 'cdrom', 'char', 'firmware', 'hid', 'md', 'nvme', 'scsi', 'virtio'];
const KEPT_FILE_SYSTEMS = ['autofs', 'btrfs', 'efivarfs', 'ext4', 'fat', 'fuse', 'jbd2', 'nls', 'ntfs3', 'xfs'];
const KEPT_FILES = /\.ko$|^modules\.(builtin|order)/;

/** What nobody waits for at a login prompt. */
const MASKED = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'systemd-binfmt.service',
  'systemd-journal-flush.service',
  'systemd-pstore.service',
  'systemd-rfkill.socket',
];

/** Small files of random bytes, to be compared after a clone. */
export const FILE_COUNT = 400;
export const FILES_FOLDER = 'srv/files';

/** Changes when the recipe does: an old tree is not taken for a new one. */
const RECIPE = createHash('sha256')
  .update(JSON.stringify([SUITE, PACKAGES, KEPT_MODULES, KEPT_DRIVERS, KEPT_FILE_SYSTEMS, MASKED, FILE_COUNT, 1]))
  .digest('hex')
  .slice(0, 12);

/** ECTYPE_TEST_CACHE, or a folder of the user's cache. */
export function cacheFolder(): string {
  const { ECTYPE_TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return ECTYPE_TEST_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'ectype-test');
}

/** The root folder of the tree; takes minutes and the network the first time. Throws if it cannot be made. */
export function debianTree(): string {
  const tree = join(cacheFolder(), `debian-${SUITE}-${RECIPE}`);
  if (existsSync(tree)) return tree;
  mkdirSync(cacheFolder(), { recursive: true });
  const building = mkdtempSync(`${tree}.building-`);
  try {
    console.log(`making a Debian once, in ${tree}`);
    run('debootstrap', ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, building, mirror()]);
    shrink(building);
    configure(building);
    addFiles(building);
    run('chroot', [building, 'depmod', kernelVersion(building)]);
    run('chroot', [building, 'update-initramfs', '-u', '-k', kernelVersion(building)]);
    run('chmod', ['755', building]);
    if (!existsSync(tree)) renameSync(building, tree); // another test may have been faster
    return tree;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** Where this machine gets its own packages from. */
function mirror(): string {
  const { status, stdout } = tryRun('apt-get', [
    'indextargets',
    '--format',
    '$(RELEASE) $(COMPONENT) $(REPO_URI)',
    'Created-By: Packages',
  ]);
  const found = stdout.split('\n').find((line) => status === 0 && line.startsWith(`${SUITE} main `));
  if (found === undefined) throw new Error(`apt knows no source of ${SUITE} main: add one to make the test's Debian`);
  return found.split(' ')[2] ?? '';
}

/** The release of the tree's only kernel. */
export function kernelVersion(tree: string): string {
  const [version, another] = readdirSync(join(tree, 'lib/modules'));
  if (version === undefined || another !== undefined) throw new Error(`${tree} does not have exactly one kernel`);
  return version;
}

function shrink(tree: string): void {
  const remove = (path: string): void => rmSync(join(tree, path), { recursive: true, force: true });
  for (const folder of ['usr/share/doc', 'usr/share/locale', 'usr/share/man', 'var/lib/apt/lists']) remove(folder);
  run('chroot', [tree, 'apt-get', 'clean']);
  const modules = `lib/modules/${kernelVersion(tree)}`;
  const keepOnly = (folder: string, kept: readonly string[]): void => {
    for (const name of readdirSync(join(tree, folder))) {
      if (!kept.includes(name) && !KEPT_FILES.test(name)) remove(`${folder}/${name}`);
    }
  };
  keepOnly(`${modules}/kernel`, KEPT_MODULES);
  keepOnly(`${modules}/kernel/drivers`, KEPT_DRIVERS);
  keepOnly(`${modules}/kernel/fs`, KEPT_FILE_SYSTEMS);
  keepOnly(`${modules}/kernel/net`, []);
}

function configure(tree: string): void {
  const write = (path: string, text: string): void => writeFileSync(join(tree, path), text);
  write('etc/hostname', 'debian\n');
  write('etc/machine-id', `${randomBytes(16).toString('hex')}\n`); // an empty one means a first boot, which is slow
  write('etc/initramfs-tools/conf.d/all', 'MODULES=most\nCOMPRESS=zstd\n');
  write('etc/initramfs-tools/modules', 'ext4\nbtrfs\nxfs\nvirtio_blk\nvirtio_pci\nahci\nsd_mod\nnvme\n');
  for (const unit of MASKED) symlinkSync('/dev/null', join(tree, 'etc/systemd/system', unit));
}

function addFiles(tree: string): void {
  const sums: string[] = [];
  for (let index = 0; index < FILE_COUNT; index += 1) {
    const folder = join(FILES_FOLDER, `folder-${index % 20}`);
    mkdirSync(join(tree, folder), { recursive: true });
    const path = join(folder, `file-${index}`);
    const bytes = randomBytes(1 + ((index * 2711) % 60_000));
    writeFileSync(join(tree, path), bytes);
    sums.push(`${createHash('sha256').update(bytes).digest('hex')}  ${path.slice(FILES_FOLDER.length + 1)}`);
  }
  writeFileSync(join(tree, FILES_FOLDER, 'sha256sums'), `${sums.join('\n')}\n`);
}

/** What GRUB is made of, as bytes of a file in the tree. */
export function grubFile(tree: string, name: string): Buffer {
  return readFileSync(join(tree, 'usr/lib/grub', name));
}
