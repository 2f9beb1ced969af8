// Claims against a model that has one owner a byte.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openClaims, ownersFrom, unknownOwners } from '../../src/filesystem/claims.js';
import { overlaps } from '../../src/map/extent.js';
import { assertCovered, ownerAt } from '../support/owners.js';
import { type Random, randomFrom, SEED } from '../support/random.js';

const SIZE = 300;
const random = randomFrom(SEED);

function someExtent(from: Random): { offset: number; length: number } {
  const offset = from.below(SIZE);
  return { offset, length: from.below(from.pick([3, 20, SIZE - offset + 1])) };
}

test('the first claim of a byte wins, nothing else is claimed, nothing is lost', () => {
  for (let round = 0; round < 2000; round += 1) {
    const asked = Array.from({ length: random.between(0, 8) }, () => someExtent(random));
    const claims = openClaims<{ name: string }>(asked);
    const model: (string | undefined)[] = Array.from({ length: SIZE * 2 }, () => undefined);
    for (const { offset, length } of asked) model.fill('', offset, offset + length);
    for (let count = random.below(15); count > 0; count -= 1) {
      const extent = someExtent(random);
      const mine = model.slice(extent.offset, extent.offset + extent.length).includes('');
      if (extent.length > 0) assert.is(claims.meets(extent), mine);
      assert.is(claims.claim(extent, { name: `${count}` }), mine);
      for (let at = extent.offset; at < extent.offset + extent.length; at += 1)
        if (model[at] === '') model[at] = `${count}`;
    }
    const owners = ownersFrom(claims, ({ name }) => ({ kind: 'file', names: [name] }));
    assertCovered(
      asked.filter(({ length }) => length > 0),
      owners,
    );
    for (const [at, name] of model.entries()) {
      if (name === undefined) assert.not(owners.some(({ extent }) => overlaps(extent, { offset: at, length: 1 })));
      else assert.is(ownerAt(owners, at).names[0] ?? '', name);
    }
  }
});

test('neighbours of one claimant are one owner', () => {
  const claims = openClaims<{ name: string }>([{ offset: 0, length: 100 }]);
  const one = { name: 'one' };
  claims.claim({ offset: 20, length: 10 }, one);
  claims.claim({ offset: 10, length: 10 }, one);
  claims.claim({ offset: 30, length: 10 }, { name: 'other' });
  const owners = ownersFrom(claims, ({ name }) => ({ kind: 'file', names: [name] }));
  assert.equal(
    owners.map(({ extent, names }) => [extent.offset, extent.length, names[0]]),
    [
      [0, 10, undefined],
      [10, 20, 'one'],
      [30, 10, 'other'],
      [40, 60, undefined],
    ],
  );
});

test('where nothing can be told, every byte has an owner without a name', () => {
  const asked = [
    { offset: 5, length: 5 },
    { offset: 10, length: 2 },
  ];
  assert.equal(unknownOwners(asked), [{ extent: { offset: 5, length: 7 }, kind: 'structure', names: [] }]);
});

test.run();
