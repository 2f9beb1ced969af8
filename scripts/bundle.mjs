// Joins the compiled command line into plain scripts, the program and what its worker threads run: a start reads one
// file instead of a hundred, and neither it nor a worker thread has to start the loader of ES modules (a third of a
// start's time). Libraries with native parts stay packages. The program is started by a few lines that give V8 what
// scripts/code-cache.mjs wrote down of it.
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const folder = 'dist/bundle';
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/package.json`, '{ "type": "commonjs" }\n');
await build({
  entryPoints: [
    { in: 'dist/src/cli/main.js', out: 'program' },
    { in: 'dist/src/engine/task-worker.js', out: 'task-worker' },
    { in: 'dist/src/device/watchdog-process.js', out: 'watchdog-process' },
    // What piscina starts each thread with: it looks for it beside its own code, which is in the program now.
    { in: 'node_modules/piscina/dist/worker.js', out: 'worker' },
  ],
  outdir: `${folder}/cli`, // as deep as dist/src/cli: paths relative to a file stay right
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  external: ['xxhash-addon', '@node-rs/crc32', '@napi-rs/nice'],
  banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  define: { 'import.meta.url': '__moduleUrl' },
  logLevel: 'warning',
});

const cli = `${folder}/cli`;
writeFileSync(
  `${cli}/load.js`,
  `const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

/** Runs a plain script as a module, with V8's cache of it if there is one. */
exports.load = (file) => {
  let cachedData;
  try {
    cachedData = readFileSync(join(dirname(file), 'program.cache'));
  } catch {}
  const text = readFileSync(file, 'utf8').replace(/^#!/, '//');
  const wrapped = '(function (exports, require, module, __filename, __dirname) {' + text + '\\n})';
  const script = new Script(wrapped, { filename: file, cachedData });
  script.runInThisContext()({}, createRequire(file), {}, file, dirname(file));
  return script;
};
`,
);
writeFileSync(
  `${cli}/main.js`,
  `#!/usr/bin/env node
require('./load.js').load(require('node:path').join(__dirname, 'program.js'));
`,
);
chmodSync(`${cli}/main.js`, 0o755);
