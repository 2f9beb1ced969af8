// Every error of base/errors with fixed arguments: what the golden file renders.

import * as afterMove from '../../src/base/errors/after-move.js';
import * as device from '../../src/base/errors/device.js';
import * as filesystem from '../../src/base/errors/filesystem.js';
import * as identity from '../../src/base/errors/identity.js';
import * as layout from '../../src/base/errors/layout.js';
import * as live from '../../src/base/errors/live.js';
import * as machine from '../../src/base/errors/machine.js';
import * as partition from '../../src/base/errors/partition.js';
import * as places from '../../src/base/errors/partition-places.js';
import * as reshape from '../../src/base/errors/reshape.js';
import * as run from '../../src/base/errors/run.js';
import * as safety from '../../src/base/errors/safety.js';
import * as state from '../../src/base/errors/state.js';
import * as usage from '../../src/base/errors/usage.js';
import type { ToolError } from '../../src/base/tool-error.js';

const GiB = 2 ** 30;

function failed(code: string): Error {
  return Object.assign(new Error(`${code}: as Node says it`), { code });
}

/** By the name of the function; several where the text depends on what happened. */
export const SAMPLES: Readonly<Record<string, readonly ToolError[]>> = {
  cannotOpen: ['EACCES', 'EPERM', 'EBUSY', 'ENOENT', 'EROFS', 'ENOMEDIUM', 'ENXIO', 'EEXIST', 'ENOTDIR', 'EWHAT'].map(
    (code) => device.cannotOpen('/dev/sdb', failed(code)),
  ),
  nativeMissing: [device.nativeMissing(new Error('Cannot find module'))],
  notADisk: [
    device.notADisk('/tmp', 'a directory'),
    device.notADisk('fifo', 'a special file, which cannot be a target'),
  ],
  emptyMedium: [device.emptyMedium('/dev/sdb')],
  noFolder: [device.noFolder('backup/disk.img', 'backup')],
  cannotRead: [device.cannotRead('/dev/sdb', 1.25 * GiB, 65536, failed('EIO'))],
  mediumReplaced: [device.mediumReplaced('/dev/disk/by-id/usb-STICK')],
  readPastEnd: [device.readPastEnd('disk.img', 5 * GiB, 4096)],
  cannotWrite: [
    device.cannotWrite('/dev/sdb', 0, 65536, failed('EIO')),
    device.cannotWrite('disk.img', 3 * GiB, 65536, failed('ENOSPC')),
    device.cannotWrite('disk.img', 2 ** 32, 65536, failed('EFBIG')),
  ],
  cannotFlush: [device.cannotFlush('/dev/sdb', failed('EIO'))],
  readBackDiffers: [device.readBackDiffers('/dev/sdb', 32 * GiB)],
  cannotFreeze: ['EBUSY', 'EOPNOTSUPP', 'EPERM', 'EIO'].map((code) => live.cannotFreeze('/home', failed(code))),
  mountOutOfReach: [live.mountOutOfReach('/dev/sda2')],
  thawedByAnother: [live.thawedByAnother(['/home', '/'])],
  cannotHoldStill: [live.cannotHoldStill('/dev/sda', 'vfat', ['/boot/efi']), live.cannotHoldStill('/dev/sda', '', [])],
  targetOnFrozen: [live.targetOnFrozen('/home/standby.img', '/home')],
  tooMuchChanges: [live.tooMuchChanges(42.4, 60)],
  cannotThaw: [live.cannotThaw(['/home'], failed('EIO'))],
  watchdogLost: [live.watchdogLost('SIGKILL ended it')],
  watchdogFired: [live.watchdogFired('no sign of life for 5000 ms')],
  sourceUnclean: [
    filesystem.sourceUnclean(
      'partition 2 "root"',
      'ext4',
      'its journal was not replayed (needs_recovery is set)',
      'Mount it and unmount it',
    ),
  ],
  sectorSizeStays: [
    afterMove.sectorSizeStays('partition 2 "root"', 'xfs', {
      sectorSize: 4096,
      reason: 'its sectors have 512 bytes, and it cannot be converted',
      advice: 'Make a new file system on the target and copy the files, or choose a target with smaller sectors',
    }),
  ],
  notMovable: [afterMove.notMovable('partition 3', 'ntfs', 'it has no NTFS boot sector')],
  cannotRebuild: [afterMove.cannotRebuild('partition 1', 'its files need 40 MiB, and there is room for 30 MiB')],
  rebuildDiffers: [afterMove.rebuildDiffers('partition 1', '/EFI/BOOT/BOOTX64.EFI', 'has other content')],
  gptDamaged: [
    partition.gptDamaged('/dev/sda', { primary: 'the primary is missing', backup: 'the backup is cut off' }),
  ],
  tableSectorSizeDiffers: [partition.tableSectorSizeDiffers('/dev/sda', { table: 512, disk: 4096 })],
  sectorSizeUnsupported: [partition.sectorSizeUnsupported('/dev/sda', 8192)],
  partitionOutside: [
    partition.partitionOutside(
      '/dev/sda',
      'partition 2',
      { first: 9, last: 99, lowest: 34, highest: 90 },
      'what it may use',
    ),
  ],
  partitionReversed: [partition.partitionReversed('/dev/sda', 'partition 2', { first: 99, last: 9 })],
  partitionNumbersImpossible: [partition.partitionNumbersImpossible('/dev/sda', 'partition 2')],
  partitionsOverlap: [
    partition.partitionsOverlap(
      '/dev/sda',
      { label: 'partition 1', first: 34, last: 99 },
      { label: 'partition 2', first: 90, last: 199 },
    ),
  ],
  ebrLoop: [partition.ebrLoop('/dev/sda', 2048)],
  ebrOutside: [partition.ebrOutside('/dev/sda', { at: 2048, to: 9, lowest: 2048, highest: 8191 })],
  ebrDamaged: [partition.ebrDamaged('/dev/sda', { at: 2048, to: 4096 })],
  tooManyLogicals: [partition.tooManyLogicals('/dev/sda', 256)],
  targetTooSmall: [
    partition.targetTooSmall({ needed: 500 * GiB, targetSize: 480 * GiB }),
    partition.targetTooSmall({ needed: 1024, targetSize: 1023 }),
  ],
  sectorSizeChange: [partition.sectorSizeChange({ source: 512, target: 4096 })],
  noSuchPartition: [
    partition.noSuchPartition(9, [1, 2, 5]),
    partition.noSuchPartition(2, [1]),
    partition.noSuchPartition(1, []),
  ],
  viewsDiffer: [reshape.viewsDiffer('partition 2 "root"', 'btrfs', '/dev/sdb')],
  scratchTooSmall: [
    reshape.scratchTooSmall('partition 2 "root"', '/var/lib/ectype/scratch', { needed: 3 * GiB, free: GiB }),
  ],
  bootNeedsDisk: [machine.bootNeedsDisk('/dev/sda#2')],
  cannotStartSectors: [
    machine.cannotStartSectors('/dev/sda', 4096, 'virtual SATA disks have 512', 'Use --bus nvme or --bus virtio'),
  ],
  noDisplay: [machine.noDisplay()],
  unfinishedDisk: [machine.unfinishedDisk('/dev/sdb')],
  uefiMissing: [machine.uefiMissing('/dev/sda')],
  lacksMemory: [machine.lacksMemory({ wanted: 2 * GiB, available: GiB })],
  machineFailed: [
    machine.machineFailed('disk.img', { status: 1, said: ['no such device.'] }),
    machine.machineFailed('disk.img', { status: 'SIGSEGV', said: [] }),
  ],
  machineRefuses: [machine.machineRefuses('screendump', 'the machine has ended')],
  bootFailed: [machine.bootFailed('/dev/sdb', 'the kernel panicked', {})],
  bootUnproven: [machine.bootUnproven('/dev/sdb', 'no login prompt on the serial console in 5 min 0 s', {})],
  bootInterrupted: [machine.bootInterrupted('/dev/sdb')],
  programMissing: [reshape.programMissing('resize2fs', 'e2fsprogs')],
  programFailed: [
    reshape.programFailed('resize2fs', 'resize partition 2 "root"', {
      status: 1,
      said: ['no space left.', 'aborted.'],
    }),
    reshape.programFailed('qemu-img', 'list what has changed', { status: 'SIGKILL', said: [] }),
  ],
  programTooSlow: [reshape.programTooSlow('ntfsresize', 'resize partition 3', 120)],
  resizeUnsupported: [reshape.resizeUnsupported('partition 1', 'exfat', 'no tool on Linux resizes exFAT')],
  belowMinimum: [
    reshape.belowMinimum('partition 2', 'ext4', {
      wanted: GiB,
      minimum: 1.5 * GiB,
      reason: 'what resize2fs needs for its files',
    }),
  ],
  reshapeUnproven: [reshape.reshapeUnproven('partition 2', 'ext4', 'no known file system')],
  cannotMountView: [reshape.cannotMountView('partition 2', 'xfs', 'unknown filesystem type')],
  scratchUnusable: [reshape.scratchUnusable('/var/tmp', failed('ENOSPC'))],
  viewNotRemoved: [reshape.viewNotRemoved('/var/tmp/ectype-view-1-2-abc', 'something is mounted there')],
  overlayDamaged: [reshape.overlayDamaged('/var/tmp/changes', 'its entries do not fit')],
  reshapeInterrupted: [reshape.reshapeInterrupted('partition 2 "root"')],
  placeNotAligned: [places.placeNotAligned('partition 2', { offset: 1048576, length: 31457792 }, 4096)],
  placesOverlap: [
    places.placesOverlap(
      { label: 'partition 1', first: 2048, last: 4095 },
      { label: 'extended partition 2', first: 4000, last: 8191 },
    ),
  ],
  placeBeyondMbr: [
    places.placeBeyondMbr('partition 3 "data"', { first: 4294965248, last: 4294969343, sectorSize: 512 }),
  ],
  noRoomForRecord: [places.noRoomForRecord('partition 5', 2048)],
  outsideContainer: [places.outsideContainer('partition 6', { first: 8192, last: 10239 }, { first: 2048, last: 9215 })],
  typeUnknownToGpt: [places.typeUnknownToGpt('partition 2', '0xa5')],
  twinOfWindows: [identity.twinOfWindows('/dev/sda', ['partition 3 "Basic data": /Windows/System32'])],
  identityUnknown: [identity.identityUnknown('/dev/sda')],
  newIdUnsupported: [identity.newIdUnsupported('partition 2', 'btrfs', 'it lies on 2 devices')],
  newIdUnproven: [
    identity.newIdUnproven('partition 2', 'xfs', { wanted: '0b2c91a4-7d1e-4f8a-9a53-6f1d2c3b4a59', found: '' }),
  ],
  interrupted: [run.interrupted()],
  interruptedUntouched: [run.interruptedUntouched()],
  sourceChangedEarly: [run.sourceChangedEarly('source.img')],
  sourceChanged: [
    run.sourceChanged(['partition 1', 'partition 2 "root"'], { armed: true }),
    run.sourceChanged(['source.img'], { armed: false }),
  ],
  verifyFailed: [run.verifyFailed('/dev/sdb', 1, {}), run.verifyFailed('/dev/sdb', 12, { differing: [] })],
  inUseByAnother: [safety.inUseByAnother('disk.img')],
  sameDisk: [safety.sameDisk('/dev/sda', '/dev/loop0', '/dev/loop0 lies on /dev/sda')],
  targetInUse: [safety.targetInUse('/dev/sdb', ['mounted on /home (/dev/sdb1)', 'swap space in use (/dev/sdb2)'])],
  sourceInUse: [safety.sourceInUse('/dev/sda', ['mounted on / (/dev/sda2)'])],
  targetHoldsState: [safety.targetHoldsState('/dev/sdb', '/var/lib/ectype')],
  targetReadOnly: [safety.targetReadOnly('/dev/sdb')],
  lacksRoom: [safety.lacksRoom('/mnt/disk.img', { needed: 40 * GiB, free: 30 * GiB })],
  targetWasSource: [safety.targetWasSource('/dev/sdb', 'SERIAL1')],
  targetHoldsData: [safety.targetHoldsData('/dev/sdb', 'a GPT with 3 partitions', 'SERIAL1')],
  wrongOverwriteId: [safety.wrongOverwriteId('/dev/sdb', 'SERIAL2', 'SERIAL1')],
  kernelNameWithYes: [safety.kernelNameWithYes('/dev/sdb', 'SERIAL1')],
  notConfirmed: [safety.notConfirmed('/dev/sdb')],
  cannotAsk: [safety.cannotAsk('/dev/sdb')],
  targetChanged: [safety.targetChanged('target.img')],
  identityChanged: [safety.identityChanged('/dev/sdb', 'SERIAL1', 'SERIAL2')],
  stateUnusable: [state.stateUnusable('/var/lib/ectype', failed('EROFS'))],
  targetLocked: [state.targetLocked('/dev/sdb')],
  badLocation: [usage.badLocation('#2')],
  badOption: [usage.badOption('--only', '1,x', 'wanted are partition numbers such as 1,3')],
  diskAndPartition: [usage.diskAndPartition('/dev/sda', '/dev/sdb#2')],
  noTable: [usage.noTable('disk.img', 2)],
  optionNeedsDisks: [usage.optionNeedsDisks('--only')],
  contradictingOptions: [
    usage.contradictingOptions(
      '--keep-excluded',
      '--forensic',
      'Leave --keep-excluded out: --forensic keeps every byte',
    ),
  ],
  badSyntax: [usage.badSyntax('not enough positional arguments', 'clone'), usage.badSyntax('what', '')],
  unknownCommand: [usage.unknownCommand('clown', ['clone', 'disks'])],
  sizeOfFixed: [
    layout.sizeOfFixed(1, 'efi-system', 512 * 2 ** 20),
    ...['bios-boot', 'boot-loader', 'microsoft-reserved', 'recovery', 'foreign', 'unrecognised'].map((reason) =>
      layout.sizeOfFixed(2, reason, GiB),
    ),
  ],
  sizeBelowMinimum: [layout.sizeBelowMinimum(3, { wanted: 10 * GiB, minimum: 12.5 * GiB })],
  sizeAboveMaximum: [layout.sizeAboveMaximum(3, { wanted: 3072 * GiB, maximum: 2048 * GiB })],
  sizeBeyondPartition: [layout.sizeBeyondPartition(4, 8 * GiB)],
  layoutTooSmall: [
    layout.layoutTooSmall({
      needed: 500 * GiB,
      missing: 20 * GiB,
      targetSize: 480 * GiB,
      remedies: {
        fill: true,
        gpt: false,
        reduce: [
          { number: 2, size: 100 * GiB, by: 20 * GiB },
          { number: 3, size: 'min', by: 21 * GiB },
        ],
        drop: [3, 4],
      },
    }),
    layout.layoutTooSmall({
      needed: 500 * GiB,
      missing: 512,
      targetSize: 500 * GiB - 512,
      remedies: { fill: false, gpt: false, reduce: [], drop: [] },
    }),
  ],
  layoutBeyondMbr: [
    layout.layoutBeyondMbr({
      needed: 2148 * GiB,
      missing: 100 * GiB,
      sectorSize: 512,
      remedies: { fill: false, gpt: true, reduce: [], drop: [5] },
    }),
  ],
};
