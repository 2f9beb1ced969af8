// Every error text that users can see, rendered with fixed arguments and compared with errors.txt beside this file.
// After changing a text on purpose: ECTYPE_UPDATE_GOLDEN=1 node dist/test/golden/errors.js, then read the diff.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EXIT_STATUS, fromWire, ToolError, toWire } from '../../src/base/tool-error.js';
import { SAMPLES } from '../support/error-samples.js';

const GOLDEN = fileURLToPath(new URL('../../../test/golden/errors.txt', import.meta.url));
const MODULES = new URL('../../src/base/errors/', import.meta.url);
/** Exported beside the errors, but no error itself. */
const NO_ERROR = ['describeCause'];

async function errorFunctions(): Promise<string[]> {
  const names: string[] = [];
  for (const file of readdirSync(fileURLToPath(MODULES)).filter((name) => name.endsWith('.js'))) {
    const module: Record<string, unknown> = await import(new URL(file, MODULES).href);
    for (const [name, value] of Object.entries(module)) if (typeof value === 'function') names.push(name);
  }
  return names.filter((name) => !NO_ERROR.includes(name)).sort();
}

function render(name: string, error: ToolError): string {
  return [
    `${error.code} (${error.exitStatus})  ${name}`,
    `  ${error.message}`,
    `  hint: ${error.hint ?? '-'}`,
    '',
  ].join('\n');
}

test('every function is rendered, and nothing else', async () => {
  assert.equal(Object.keys(SAMPLES).sort(), await errorFunctions());
});

test('the texts are those of errors.txt', () => {
  const text = Object.keys(SAMPLES)
    .sort()
    .flatMap((name) => SAMPLES[name]?.map((error) => render(name, error)) ?? [])
    .join('\n');
  if (process.env['ECTYPE_UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, text);
  assert.fixture(text, readFileSync(GOLDEN, 'utf8'));
});

test('a code belongs to one function, and its family has an exit status', () => {
  const owners = new Map<string, string>();
  for (const [name, errors] of Object.entries(SAMPLES)) {
    for (const { code, exitStatus, family } of errors) {
      assert.is(owners.get(code) ?? name, name, `${code} is used twice`);
      owners.set(code, name);
      assert.match(code, /^[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*$/);
      assert.is(exitStatus, EXIT_STATUS[family]);
    }
  }
});

test('hints are one imperative sentence, messages carry no full stop and no line break', () => {
  for (const { message, hint } of Object.values(SAMPLES).flat()) {
    assert.match(message, /^[^\n]*[^\n.]$/);
    assert.ok(hint !== undefined, message);
    assert.match(hint, /^[A-Z`][^\n]*[^\n.]$/);
  }
});

test('every error survives the way between threads, details included', () => {
  for (const error of Object.values(SAMPLES).flat()) {
    const back = fromWire(structuredClone(toWire(error)));
    assert.instance(back, ToolError);
    const { code, message, hint, exitStatus, details } = back as ToolError;
    assert.equal(
      { code, message, hint, exitStatus, details },
      {
        code: error.code,
        message: error.message,
        hint: error.hint,
        exitStatus: error.exitStatus,
        details: error.details,
      },
    );
    assert.type(JSON.stringify(details), 'string');
  }
});

test.run();
