// Writes down what V8 made of the command line's program, so that a start need not compile it again. Runs a small clone
// first: functions are compiled when they are called, and only those that were are in the cache.
// Usage: node scripts/code-cache.mjs (after scripts/bundle.mjs). A cache of another V8 is ignored when it is read.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const require = createRequire(import.meta.url);
const folder = resolve('dist/bundle/cli');
const { load } = require(join(folder, 'load.js'));
const scratch = mkdtempSync(join(tmpdir(), 'ectype-code-cache-'));
const source = join(scratch, 'source');
writeFileSync(source, Buffer.alloc(1 << 20, 'content of no file system'));
process.env.ECTYPE_STATE = join(scratch, 'state');
process.argv = [process.argv[0], join(folder, 'main.js'), 'clone', '--yes', '--quiet', source, join(scratch, 'target')];
process.stdout.write = () => true;
process.stderr.write = () => true;
const script = load(join(folder, 'program.js'));
process.on('exit', (status) => {
  rmSync(scratch, { recursive: true, force: true });
  if (status === 0) writeFileSync(join(folder, 'program.cache'), script.createCachedData());
});
