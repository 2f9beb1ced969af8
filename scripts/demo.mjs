// The demo: a GPT disk with an EFI partition, ext4, NTFS and swap is cloned onto a larger disk that is full of old
// data, changed, cloned again, and every file is checked on the clone with other people's programs. Needs no root.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const MiB = 1024 * 1024;
const ectype = fileURLToPath(new URL('./ectype', import.meta.url));
const room = (folder) => (existsSync(folder) ? statfsSync(folder).bavail * statfsSync(folder).bsize : 0);
const folder = mkdtempSync(join(room('/dev/shm') > 6144 * MiB ? '/dev/shm' : tmpdir(), 'ectype-demo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));

const env = {
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  LC_ALL: 'C',
  MTOOLS_SKIP_CHECK: '1',
  ECTYPE_STATE: join(folder, 'state'),
};
const at = (name) => join(folder, name);
const source = at('old-disk.img');
const target = at('new-disk.img');

// Number, name, type for sgdisk, size.
const PARTITIONS = [
  { number: 1, name: 'EFI', type: 'ef00', size: 64 * MiB },
  { number: 2, name: 'linux', type: '8300', size: 640 * MiB },
  { number: 3, name: 'windows', type: '0700', size: 256 * MiB },
  { number: 4, name: 'swap', type: '8200', size: 64 * MiB },
];
let offset = MiB;
for (const partition of PARTITIONS) {
  partition.offset = offset;
  offset += partition.size;
}

let passed = 0;
let failed = 0;
function check(what, ok, detail = '') {
  if (ok) passed += 1;
  else failed += 1;
  console.log(`  ${ok ? 'ok    ' : 'FAILED'} ${what}${ok ? '' : `\n${detail}`}`);
}

function tryRun(command, args, input) {
  return spawnSync(command, args, {
    env,
    input: input && Buffer.from(input),
    encoding: 'buffer',
    maxBuffer: 512 * MiB,
  });
}

function run(command, args, input) {
  const { status, stdout, stderr, error } = tryRun(command, args, input);
  if (error || status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error ?? `ended with ${status}\n${stdout}${stderr}`}`);
  return stdout;
}

const put = (file, disk, { offset: start }) =>
  run('dd', [`if=${file}`, `of=${disk}`, 'bs=1M', `seek=${start / MiB}`, 'conv=notrunc', 'status=none']);
const cut = (disk, { offset: start, size, number }) => {
  const file = at(`part-${number}.img`);
  run('dd', [`if=${disk}`, `of=${file}`, 'bs=1M', `skip=${start / MiB}`, `count=${size / MiB}`, 'status=none']);
  return file;
};

function filesBelow(top) {
  const walk = (path) =>
    readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
      const below = join(path, entry.name);
      return entry.isDirectory() ? walk(below) : entry.isFile() ? [below] : [];
    });
  return existsSync(top) ? walk(top) : [];
}

const fileDigest = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Relative path → sha256 of every file below a folder. */
function digests(top) {
  return new Map(filesBelow(top).map((file) => [relative(top, file), fileDigest(file)]));
}

/** The files that go onto the disk: of this machine, some thousands of them. */
function gatherFiles() {
  const files = at('files');
  mkdirSync(join(files, 'linux'), { recursive: true });
  let bytes = 0;
  let count = 0;
  for (const from of [
    '/usr/share/doc',
    '/usr/include',
    '/usr/share/zoneinfo',
    '/usr/lib/node_modules',
    '/usr/local/lib/node_modules',
  ]) {
    for (const file of filesBelow(from)) {
      const { size } = statSync(file);
      if (count >= 8000 || bytes + size > 320 * MiB || size > 32 * MiB) continue;
      count += 1;
      bytes += size + 4096;
      cpSync(file, join(files, 'linux', file));
    }
  }
  for (const [name, count] of [
    ['EFI', 20],
    ['windows', 40],
  ]) {
    mkdirSync(join(files, name));
    for (let index = 0; index < count; index += 1) {
      writeFileSync(join(files, name, `file${index}.bin`), randomBytes(1000 + index * 37_000));
    }
  }
  return files;
}

// Noise from a counter: the same in every run of the demo.
let counter = 0;
function randomBytes(length) {
  counter += 1;
  const key = createHash('sha256').update(`demo ${counter}`).digest('hex');
  return run('openssl', ['enc', '-aes-256-ctr', '-K', key, '-iv', '0'.repeat(32)], Buffer.alloc(length));
}

function buildDisk(files) {
  writeFileSync(source, '');
  truncateSync(source, 1100 * MiB);
  const words = PARTITIONS.flatMap(({ number, name, type, offset: start, size }) => [
    '-n',
    `${number}:${start / 512}:${(start + size) / 512 - 1}`,
    '-t',
    `${number}:${type}`,
    '-c',
    `${number}:${name}`,
  ]);
  run('sgdisk', [...words, source]);
  const make = [
    (file) => {
      run('mkfs.fat', ['-F', '32', '-n', 'EFI', file]);
      run('mcopy', [
        '-i',
        file,
        '-s',
        ...readdirSync(join(files, 'EFI')).map((name) => join(files, 'EFI', name)),
        '::',
      ]);
    },
    (file) => run('mkfs.ext4', ['-q', '-L', 'linux', '-d', join(files, 'linux'), file]),
    (file) => {
      run('mkntfs', ['-q', '-F', '-L', 'windows', file]);
      for (const name of readdirSync(join(files, 'windows')))
        run('ntfscp', ['-q', file, join(files, 'windows', name), name]);
    },
    (file) => run('mkswap', ['-L', 'swap', file]),
  ];
  PARTITIONS.forEach((partition, index) => {
    const file = at(`part-${partition.number}.img`);
    writeFileSync(file, '');
    truncateSync(file, partition.size);
    make[index](file);
    put(file, source, partition);
  });
}

/** A day's work on the old disk: files are replaced, made and removed. */
function changeDisk(files) {
  const [efi, linux, windows] = PARTITIONS.map((partition) => [partition, cut(source, partition)]);
  writeFileSync(join(files, 'EFI', 'file3.bin'), randomBytes(50_000));
  run('mcopy', ['-o', '-i', efi[1], join(files, 'EFI', 'file3.bin'), '::']);
  const names = filesBelow(join(files, 'linux')).map((file) => relative(join(files, 'linux'), file));
  for (const name of names.filter((_, index) => index % 100 === 0)) {
    writeFileSync(join(files, 'linux', name), randomBytes(9000));
    // debugfs has no way to replace a file: remove it, write it again.
    run('debugfs', ['-w', '-f', '-', linux[1]], `rm "/${name}"\nwrite "${join(files, 'linux', name)}" "/${name}"\n`);
  }
  writeFileSync(join(files, 'windows', 'file7.bin'), randomBytes(400_000));
  run('ntfscp', ['-q', windows[1], join(files, 'windows', 'file7.bin'), 'file7.bin']);
  for (const [partition, file] of [efi, linux, windows]) put(file, source, partition);
}

const rows = [];
function clone(what, to = target) {
  const { status, stdout, stderr } = tryRun(ectype, [
    'clone',
    source,
    to,
    '--yes',
    `--overwrite-target=${to}`,
    '--json',
    '--verify',
  ]);
  const lines = stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const result = lines.find(({ event }) => event === 'result');
  check(
    `${what}: ectype ends with 0 and has verified the target`,
    status === 0 && result?.verified > 0,
    `${stdout}${stderr}`,
  );
  if (result) rows.push({ what, ...result.amounts, seconds: result.seconds });
  return result;
}

/** The same partitions where the disk's own table says that they are. */
function partitionsOn(disk) {
  const { partitiontable } = JSON.parse(run('sfdisk', ['--json', disk]));
  return PARTITIONS.map((partition) => {
    const { start, size } = partitiontable.partitions[partition.number - 1];
    return { ...partition, offset: start * 512, size: size * 512 };
  });
}

/** Everything on the clone, judged by others. */
function checkClone(files, to = target) {
  check(
    'sgdisk finds no problem in the partition table',
    /No problems found/.test(run('sgdisk', ['-v', to]).toString()),
  );
  const [efi, linux, windows, swap] = partitionsOn(to).map((partition) => cut(to, partition));
  check('fsck.fat finds the EFI partition clean', tryRun('fsck.fat', ['-n', efi]).status === 0);
  check('e2fsck finds ext4 clean', tryRun('e2fsck', ['-fn', linux]).status === 0);
  check('ntfsfix finds NTFS clean', tryRun('ntfsfix', ['-n', windows]).status === 0);
  check('swap has its label', /LABEL="swap"/.test(run('blkid', ['-p', swap]).toString()));
  const out = at('restored');
  rmSync(out, { recursive: true, force: true });
  for (const name of ['EFI', 'linux', 'windows']) mkdirSync(join(out, name), { recursive: true });
  run('mcopy', ['-i', efi, '-s', '-n', '::', join(out, 'EFI')]);
  run('debugfs', ['-R', `rdump / "${join(out, 'linux')}"`, linux]);
  for (const name of readdirSync(join(files, 'windows')))
    writeFileSync(join(out, 'windows', name), run('ntfscat', ['-q', windows, name]));
  for (const name of ['EFI', 'linux', 'windows']) {
    const wanted = digests(join(files, name));
    const found = digests(join(out, name));
    const wrong = [...wanted].filter(([file, digest]) => found.get(file) !== digest).map(([file]) => file);
    check(
      `all ${wanted.size} files of ${name} are equal (sha256)`,
      wanted.size > 0 && wrong.length === 0,
      wrong.slice(0, 5).join('\n'),
    );
  }
}

/** Starts a clone, kills it in the middle, and shows that the target does not look like a disk. */
async function killInTheMiddle(to) {
  const child = spawn(ectype, ['clone', source, to, '--yes', `--overwrite-target=${to}`, '--json'], {
    env,
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
  const armed = () => run('head', ['-c', '17', to]).toString() === 'ECTYPE INCOMPLETE';
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline && child.exitCode === null && !armed())
    await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGKILL');
  check('a clone was killed while it wrote', (await ended) === 'SIGKILL');
  check(
    'the killed target shows no partitions',
    !/\b1\b.*EFI/.test(tryRun('sfdisk', ['--dump', to]).stdout.toString()),
  );
}

function fill(disk, size) {
  writeFileSync(disk, '');
  run('sh', ['-c', `head -c ${size} /dev/zero | tr '\\0' '\\245' > "${disk}"`]);
}

function table() {
  const mib = (bytes) => (bytes / MiB).toFixed(1).padStart(10);
  console.log(
    `\n${'run (MiB)'.padEnd(34)}${['read', 'written', 'zeroed', 'unchanged'].map((word) => word.padStart(10)).join('')}${'seconds'.padStart(9)}`,
  );
  for (const { what, sourceRead, written, zeroed, skipped, seconds } of rows) {
    console.log(
      `${what.padEnd(34)}${mib(sourceRead)}${mib(written)}${mib(zeroed)}${mib(skipped)}${seconds.toFixed(2).padStart(9)}`,
    );
  }
}

console.log('Making an old disk (1.1 GiB, four partitions) and a larger new one full of old data ...');
const files = gatherFiles();
buildDisk(files);
fill(target, 1400 * MiB);
const before = fileDigest(source);

console.log('\nFirst clone');
clone('first clone');
checkClone(files);
check('the old disk was not changed', fileDigest(source) === before);

console.log('\nFiles on the old disk change; the same command again');
changeDisk(files);
clone('after changes');
checkClone(files);

console.log('\nNothing changes; the same command again');
const idle = clone('nothing changed');
check(
  'nothing at all was written',
  idle?.changed === false && idle.amounts.written + idle.amounts.zeroed + idle.amounts.discarded === 0,
);

console.log('\nAnother new disk; the clone is killed in the middle and run again');
const other = at('other-disk.img');
fill(other, 1200 * MiB);
await killInTheMiddle(other);
clone('after the kill', other);
checkClone(files, other);

console.log('\nA smaller disk: the Linux file system shrinks on the way, the old disk stays as it is; then a delta');
const smaller = at('smaller-disk.img');
fill(smaller, 800 * MiB);
const old = fileDigest(source);
clone('onto a smaller disk', smaller);
checkClone(files, smaller);
check('the old disk was not changed', fileDigest(source) === old);
changeDisk(files);
clone('smaller, after changes', smaller);
checkClone(files, smaller);

table();
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
