// The words that start QEMU. Pure. Invariant: the disk is given as a file descriptor that is open for reading only, under a
// node that is read-only; what the machine writes goes to an overlay that is thrown away.

import type { Bytes } from '../base/units.js';
import type { Accelerator } from './accelerator.js';
import type { Firmware, UefiFiles } from './firmware.js';

export type Bus = 'sata' | 'virtio' | 'nvme';

/** Where the serial port goes: to this process, or to the terminal, on which Ctrl-A X ends the machine. */
export type ConsoleKind = 'stream' | 'terminal';

/** Numbers of descriptors in the machine's process. */
export const DISK_FD = 3;
export const CONTROL_FD = 4;

export interface Hardware {
  readonly firmware: Firmware;
  /** Only for UEFI; `variables` is this machine's own copy. */
  readonly uefi: UefiFiles | undefined;
  readonly accelerator: Accelerator;
  readonly memory: Bytes;
  readonly cpus: number;
  readonly bus: Bus;
  readonly sectorSize: Bytes;
  /** User-mode network behind the host; none otherwise. */
  readonly network: boolean;
  readonly console: ConsoleKind;
  /** A window of QEMU's own. */
  readonly display: boolean;
  /** Only for UEFI: a folder that is shown as a disk, with a script for the firmware's shell. */
  readonly loaders: string | undefined;
  readonly disk: { readonly kind: 'file' | 'device'; readonly overlay: string };
}

export function machineArguments(hardware: Hardware): string[] {
  const { accelerator, memory, cpus, network, display } = hardware;
  return [
    ...['-nodefaults', '-no-user-config', '-name', 'ectype-boot'],
    // Without graphics the BIOS mirrors its text to the serial port; the screen is there all the same.
    ...['-machine', `q35${display ? '' : ',graphics=off'}`],
    ...(accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off']), // tables of five levels only cost time in emulation
    ...['-smp', String(cpus), '-m', `${Math.floor(memory / 1024)}K`],
    ...['-vga', 'std', '-display', display ? 'gtk' : 'none'],
    ...['-device', 'virtio-rng-pci'],
    ...firmwareArguments(hardware),
    ...diskArguments(hardware),
    ...(network ? ['-nic', 'user,model=e1000e'] : ['-nic', 'none']),
    ...consoleArguments(hardware),
    ...['-chardev', `socket,id=control,fd=${CONTROL_FD}`, '-mon', 'chardev=control,mode=control'],
  ];
}

function firmwareArguments({ uefi, loaders }: Hardware): string[] {
  if (!uefi) return [];
  const flash = (unit: number, file: string, readOnly: boolean): string[] => {
    const name = `flash${unit}`;
    const node = { driver: 'raw', 'node-name': name, 'read-only': readOnly, file: { driver: 'file', filename: file } };
    return ['-blockdev', JSON.stringify(node), '-machine', `pflash${unit}=${name}`];
  };
  const flashes = [...flash(0, uefi.code, true), ...flash(1, uefi.variables, false)];
  if (loaders === undefined) return flashes;
  const folder = { driver: 'vvfat', 'node-name': 'loaders', dir: loaders, 'read-only': true };
  // Behind the disk in the boot order: UEFI looks for nothing that is not in it.
  const stick = ['-device', 'qemu-xhci', '-device', 'usb-storage,drive=loaders,bootindex=1'];
  return [...flashes, '-blockdev', JSON.stringify(folder), ...stick];
}

/** As JSON: names of files may hold commas. The overlay is thrown away, so it is never flushed. */
function diskArguments({ disk, bus, sectorSize }: Hardware): string[] {
  const cache = { direct: false, 'no-flush': true };
  const base = {
    driver: 'raw',
    'read-only': true,
    file: {
      driver: disk.kind === 'device' ? 'host_device' : 'file',
      filename: '/dev/fdset/1',
      'read-only': true,
      locking: 'off', // the disk is claimed by us
    },
  };
  const overlay = {
    driver: 'qcow2',
    'node-name': 'disk',
    discard: 'unmap',
    cache,
    file: { driver: 'file', filename: disk.overlay, cache },
    backing: base,
  };
  return [
    ...['-add-fd', `fd=${DISK_FD},set=1`],
    ...['-blockdev', JSON.stringify(overlay)],
    ...['-device', diskDevice(bus, sectorSize)],
  ];
}

/** SATA disks have sectors of 512 bytes in QEMU. */
function diskDevice(bus: Bus, sectorSize: Bytes): string {
  const sectors = `logical_block_size=${sectorSize},physical_block_size=${Math.max(sectorSize, 4096)}`;
  if (bus === 'virtio') return `virtio-blk-pci,drive=disk,bootindex=0,${sectors}`;
  if (bus === 'nvme') return `nvme,drive=disk,serial=ectype,bootindex=0,${sectors}`;
  return 'ide-hd,drive=disk,bus=ide.0,bootindex=0';
}

function consoleArguments({ console: kind }: Hardware): string[] {
  return ['-chardev', `stdio,id=serial,signal=off${kind === 'terminal' ? ',mux=on' : ''}`, '-serial', 'chardev:serial'];
}
