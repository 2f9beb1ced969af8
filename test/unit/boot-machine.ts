// The virtual machine before it is started: what QEMU is told, which firmware, how much memory. And the talk with QEMU.

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { GiB, MiB } from '../../src/base/units.js';
import { chooseMemory, usableAccelerator } from '../../src/machine/accelerator.js';
import { type Hardware, machineArguments } from '../../src/machine/command.js';
import { openControl } from '../../src/machine/control.js';
import { chooseFirmware, findUefi } from '../../src/machine/firmware.js';
import { makeMachineFolder } from '../../src/machine/folder.js';
import { share } from '../../src/machine/screen.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const HARDWARE: Hardware = {
  firmware: 'bios',
  uefi: undefined,
  accelerator: 'tcg',
  memory: GiB,
  cpus: 2,
  bus: 'sata',
  sectorSize: 512,
  network: false,
  console: 'stream',
  display: false,
  loaders: undefined,
  disk: { kind: 'device', overlay: '/tmp/a,b/overlay.qcow2' },
};

interface Node {
  readonly driver: string;
  readonly filename?: string;
  readonly 'read-only'?: boolean;
  readonly file?: Node;
  readonly backing?: Node;
}

function nodesOf(hardware: Hardware): Node[] {
  const words = machineArguments(hardware);
  return words.filter((_, index) => words[index - 1] === '-blockdev').map((text): Node => JSON.parse(text));
}

test('the disk is a read-only node over a descriptor; only the overlay can be written', () => {
  for (const kind of ['file', 'device'] as const) {
    for (const bus of ['sata', 'virtio', 'nvme'] as const) {
      const [disk, ...others] = nodesOf({ ...HARDWARE, bus, disk: { kind, overlay: '/x/overlay' } });
      assert.equal(others, []);
      assert.is(disk?.file?.filename, '/x/overlay');
      assert.is(disk?.backing?.['read-only'], true);
      assert.is(disk?.backing?.file?.['read-only'], true);
      assert.is(disk?.backing?.file?.filename, '/dev/fdset/1');
      assert.is(disk?.backing?.file?.driver, kind === 'device' ? 'host_device' : 'file');
    }
  }
});

test('no network unless it is asked for', () => {
  assert.match(machineArguments(HARDWARE).join(' '), / -nic none /);
  assert.match(machineArguments({ ...HARDWARE, network: true }).join(' '), / -nic user,/);
});

test('sectors of 4096 bytes are told to the disk', () => {
  for (const bus of ['virtio', 'nvme'] as const) {
    const words = machineArguments({ ...HARDWARE, bus, sectorSize: 4096 }).join(' ');
    assert.match(words, /logical_block_size=4096,physical_block_size=4096/);
  }
});

test('UEFI code is read-only, its variables are not', () => {
  const uefi = { code: '/c', variables: '/v' };
  const [code, variables, loaders] = nodesOf({ ...HARDWARE, firmware: 'uefi', uefi, loaders: '/l' });
  assert.equal([loaders?.driver, loaders?.['read-only']], ['vvfat', true]);
  assert.equal([code?.file?.filename, code?.['read-only']], ['/c', true]);
  assert.equal([variables?.file?.filename, variables?.['read-only']], ['/v', false]);
});

test('an EFI system partition asks for UEFI, unless the user knows better', () => {
  const esp = { type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' };
  assert.is(chooseFirmware('auto', [{ type: '0x83' }, esp]), 'uefi');
  assert.is(chooseFirmware('auto', [{ type: '0xef' }]), 'uefi');
  assert.is(chooseFirmware('auto', [{ type: '0x83' }]), 'bios');
  assert.is(chooseFirmware('auto', []), 'bios');
  assert.is(chooseFirmware('bios', [esp]), 'bios');
  assert.is(chooseFirmware('uefi', []), 'uefi');
});

test('firmware is found only with its variables', () => {
  const files = { code: join(scratch, 'code.fd'), variables: join(scratch, 'vars.fd') };
  assert.is(findUefi([files]), undefined);
  writeFileSync(files.code, '');
  assert.is(findUefi([files]), undefined);
  writeFileSync(files.variables, '');
  assert.equal(findUefi([{ code: '/nowhere', variables: '/nowhere' }, files]), files);
});

test('memory: what is usual, less if less is free, never more than is free', () => {
  assert.is(chooseMemory(undefined, 8 * GiB), GiB);
  assert.is(chooseMemory(undefined, 768 * MiB), 512 * MiB);
  assert.is(chooseMemory(3 * GiB, 8 * GiB), 3 * GiB);
  for (const [wanted, available] of [
    [undefined, 300 * MiB],
    [8 * GiB, 8 * GiB],
  ] as const) {
    assert.throws(
      () => chooseMemory(wanted, available),
      (error: unknown) => error instanceof ToolError && error.code === 'device.lacks-memory',
    );
  }
});

test('KVM counts only where a machine starts with it', () => {
  assert.is(usableAccelerator('true', join(scratch, 'no-kvm')), 'tcg');
  const device = join(scratch, 'kvm');
  writeFileSync(device, '');
  assert.is(usableAccelerator('false', device), 'tcg');
  assert.is(usableAccelerator('true', device), 'kvm');
});

test('the folder of a process that is gone is removed, others stay', () => {
  const folder = join(scratch, 'folders');
  mkdirSync(folder);
  const mine = makeMachineFolder(folder);
  mkdirSync(join(folder, 'ectype-boot-999999999-1-gone'));
  mkdirSync(join(folder, `ectype-boot-${process.pid}-1-reused`));
  mkdirSync(join(folder, 'ectype-boot-of-somebody'));
  const another = makeMachineFolder(folder);
  const expected = [mine, another, join(folder, 'ectype-boot-of-somebody')].sort();
  assert.equal(
    readdirSync(folder)
      .map((name) => join(folder, name))
      .sort(),
    expected,
  );
});

/** Stands for QEMU: answers each command with what `answer` makes of it. */
function fakeQemu(answer: (command: string, id: number) => string): Duplex {
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      for (const line of chunk.toString().split('\n').filter(Boolean)) {
        const { execute, id }: { execute: string; id: number } = JSON.parse(line);
        const text = answer(execute, id);
        // In pieces, as a socket may give them.
        stream.push(text.slice(0, 3));
        stream.push(text.slice(3));
      }
      done();
    },
  });
  stream.push('{"QMP": {"version": {}}}\r\n');
  return stream;
}

test('commands are answered, errors are told, events come through, nonsense does not hurt', async () => {
  const events: string[] = [];
  const stream = fakeQemu((command, id) =>
    command === 'bad'
      ? `{"id": ${id}, "error": {"class": "GenericError", "desc": "no such thing"}}\r\n`
      : `what\r\n[]\r\nnull\r\n{"event": "RESET", "data": {}}\r\n{"id": ${id}, "return": {}}\r\n`,
  );
  const control = openControl(stream, (name) => events.push(name));
  await control.execute('good');
  assert.ok(events.length > 0 && events.every((name) => name === 'RESET'));
  try {
    await control.execute('bad');
    assert.unreachable('an error was taken for a success');
  } catch (error) {
    assert.match(String(error), /cannot do "bad": no such thing/);
  }
});

test('when QEMU is gone, nobody waits for its answers', async () => {
  const stream = fakeQemu(() => '\n');
  const control = openControl(stream, () => {});
  const waiting = control.execute('quit').then(() => 'done', String);
  setTimeout(() => stream.destroy(), 10);
  assert.match(await waiting, /the machine has ended/);
  assert.match(await control.execute('quit').then(() => 'done', String), /the machine has ended/);
});

test('pictures: how much of them differs', () => {
  assert.is(share(Buffer.from('abcd'), Buffer.from('abcd')), 0);
  assert.is(share(Buffer.from('abcd'), Buffer.from('abxx')), 0.5);
  assert.is(share(Buffer.from('abcd'), Buffer.from('abcde')), 1);
});

test.run();
