// One file system without a partition table through several rounds: cloned, judged, changed, cloned again.

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { demandNothingInvented, holdsNoise, oldFile, sha256 } from './clone-judge.js';
import { onPartition } from './disk-builder.js';
import { ectypeIn } from './ectype-cli.js';
import { type Content, changeFiles, checkContent, type Listing, listFiles, makeContent } from './partition-content.js';
import { randomFrom, SEED } from './random.js';
import { rounds } from './scale.js';

/** Blocks under the marker are read once more when they are written last. */
const READ_TWICE: Bytes = 128 * KiB;
/** The end of a larger target is cleared from memory, which counts as reading. */
const CLEARED_END: Bytes = 1 * MiB;

export interface Variant {
  readonly name: string;
  readonly content: Content;
  readonly size: Bytes;
}

/** One test a variant. Each gets a folder of its own in `scratch`. */
export function testVariants(scratch: string, variants: readonly Variant[]): void {
  for (const [index, variant] of variants.entries()) {
    test(variant.name, () => severalTimes(variant, join(scratch, `${index}`), SEED + index));
  }
}

async function severalTimes(variant: Variant, folder: string, seed: number): Promise<void> {
  const { content, size } = variant;
  const random = randomFrom(seed);
  const ectype = ectypeIn(folder);
  const source = join(folder, 'source.img');
  await makeContent(source, content, { size, sectorSize: 512, random });
  const target = oldFile(join(folder, 'target.img'), size + random.pick([0, 0, 3 * MiB + 512]));

  for (let run = 0; run < rounds({ short: 2, long: 8 }); run += 1) {
    if (run > 0) await changeFiles(source, content, { random, generation: run });
    assert.ok(holdsNoise(source, run), 'there is deleted data that could travel');
    const before = sha256(source);
    // What a rapid run leaves where files went is none of these tests': rapid-clone shows what it does.
    const options = run === 0 ? ['--overwrite-target', target] : ['--detect', 'hash'];
    const { plan, amounts } = ectype.clone(source, target, ...options);
    const [volume] = plan.volumes;
    assert.is(volume?.method, 'allocated', volume?.methodReason);
    // Old signatures are looked for in the first and the last MiB: there is no room for a witness in less than this.
    const again = size >= 2 * MiB + BLOCK_SIZE ? 'hash' : 'compare';
    assert.is(volume?.detect, run === 0 ? 'first' : again, volume?.detectReason);
    const most = (volume?.used ?? 0) + READ_TWICE + Math.min(statSync(target).size - size, CLEARED_END);
    assert.ok(amounts.sourceRead <= most, `${amounts.sourceRead} bytes were read, ${volume?.used} are used`);
    assert.is(sha256(source), before, 'the source is what it was');
    if (run === 0) demandNothingInvented(alone(source, variant), target);
    // Deleted data of an earlier round may lie in the unused end of a used cluster by now, which travels with it.
    assert.not.ok(holdsNoise(target, run), 'no deleted data');
    await demandSame(source, target, variant);
    assert.not.ok(ectype.clone(source, target).changed, 'a run without changes writes nothing');
  }
  rmSync(folder, { recursive: true });
}

function alone(path: string, { content, size }: Variant) {
  const partitions = [{ number: 1, extent: { offset: 0, length: size }, content }];
  return { path, size, table: 'mbr', sectorSize: 512, partitions } as const;
}

async function demandSame(source: string, target: string, { content, size }: Variant): Promise<void> {
  const whole = { offset: 0, length: size };
  const wanted = await onPartition(source, whole, (file) => listFiles(file, content), { write: false });
  assert.ok(wanted.size > 0);
  const look = (file: string): Promise<Listing> => {
    checkContent(file, content);
    return listFiles(file, content);
  };
  assert.equal(await onPartition(target, whole, look, { write: false }), wanted, 'the same files');
}
