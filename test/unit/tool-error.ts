// Errors on their way between threads.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EXIT_STATUS, errnoOf, fromWire, ToolError, toWire } from '../../src/base/tool-error.js';

const across = (error: unknown): Error => fromWire(structuredClone(toWire(error)));

test('a ToolError keeps code, family, status, hint and details', () => {
  for (const hint of ['Do something', undefined]) {
    const details = { path: '/dev/sdb', list: [1, 2], nested: { deep: true } };
    const error = new ToolError({ code: 'device.what', message: 'it failed', details, ...(hint ? { hint } : {}) });
    const back = across(error);
    assert.instance(back, ToolError);
    assert.equal(
      [back.message, (back as ToolError).code, (back as ToolError).exitStatus, (back as ToolError).hint],
      ['it failed', 'device.what', EXIT_STATUS.device, hint],
    );
    assert.equal((back as ToolError).details, details);
  }
});

test('other errors stay what they are: bugs, with their stack', () => {
  const error = new TypeError('x is not a function');
  const back = across(error);
  assert.not.instance(back, ToolError);
  assert.is(back.message, error.message);
  assert.is(back.stack, error.stack);
  assert.is(across('a string').message, 'a string');
  assert.is(across(undefined).message, 'undefined');
});

test('errno names are recognised, Node codes are not', () => {
  assert.is(errnoOf(Object.assign(new Error(), { code: 'EIO' })), 'EIO');
  assert.is(errnoOf(Object.assign(new Error(), { code: 'ERR_INVALID_ARG_TYPE' })), undefined);
  assert.is(errnoOf(Object.assign(new Error(), { code: 5 })), undefined);
  assert.is(errnoOf({ code: 'EIO' }), undefined);
  assert.is(errnoOf(undefined), undefined);
});

test('every family has a status of its own, and none is that of a bug or of success', () => {
  const statuses = Object.values(EXIT_STATUS);
  assert.is(new Set(statuses).size, statuses.length);
  for (const status of [0, 1, 70]) assert.not.ok(statuses.includes(status));
});

test.run();
