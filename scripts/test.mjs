// Runs every test file in a process of its own and adds up what they say. The last line is `N passed, N failed`.
// Usage: scripts/test [--long] [words in file names...]
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const long = process.argv.includes('--long');
const FOLDERS = ['unit', 'conformance', 'golden', 'property', 'fault', 'cli', 'interop', 'bench'];
const LIMIT_MS = (long ? 180 : 10) * 60_000;
// Two at a time: a machine has two cores at least, and most tests wait for disks and outside programs.
const PARALLEL = 2;

function testFiles() {
  const files = FOLDERS.flatMap((folder) => {
    const path = join(root, 'dist/test', folder);
    try {
      return readdirSync(path)
        .filter((name) => name.endsWith('.js'))
        .map((name) => join(path, name));
    } catch {
      return [];
    }
  });
  return files.filter((file) => words.length === 0 || words.some((word) => relative(root, file).includes(word)));
}

function runFile(file) {
  return new Promise((resolve) => {
    const state = mkdtempSync(join(tmpdir(), 'ectype-state-'));
    const start = Date.now();
    const env = { ...process.env, ECTYPE_STATE: state, ECTYPE_LONG: long ? '1' : '', NO_COLOR: '1', FORCE_COLOR: '0' };
    const child = spawn(process.execPath, ['--enable-source-maps', file], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      rmSync(state, { recursive: true, force: true });
      // uvu prints totals for each file; a process that died without them has failed as a whole.
      const total = Number(/^\s*Total:\s+(\d+)/m.exec(output)?.[1] ?? 0);
      const passed = Number(/^\s*Passed:\s+(\d+)/m.exec(output)?.[1] ?? 0);
      const died = status !== 0 && total === passed;
      const failed = total - passed + (died || total === 0 ? 1 : 0);
      const seconds = ((Date.now() - start) / 1000).toFixed(1);
      const [seed = ''] = /^seed \d+/m.exec(output) ?? [];
      const name = relative(join(root, 'dist/test'), file);
      console.log(
        `${failed === 0 ? 'ok    ' : 'FAILED'} ${name}  ${passed} passed, ${seconds} s${seed && `, ${seed}`}`,
      );
      if (failed > 0) console.log(`${output}\nended with ${signal ?? status}\n`);
      resolve({ passed, failed });
    });
  });
}

const began = Date.now();
const queue = testFiles();
let passed = 0;
let failed = 0;
async function worker() {
  for (let file = queue.shift(); file; file = queue.shift()) {
    const result = await runFile(file);
    passed += result.passed;
    failed += result.failed;
  }
}
await Promise.all(Array.from({ length: PARALLEL }, worker));
console.log(`all of it took ${((Date.now() - began) / 1000).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
