// Joins the compiled command line into two plain scripts, the program and its worker: a start reads one file instead of
// a hundred, and neither it nor a worker thread has to start the loader of ES modules (a third of a start's time).
// Libraries with native parts or worker files of their own stay packages.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const folder = 'dist/bundle';
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/package.json`, '{ "type": "commonjs" }\n');
await build({
  entryPoints: ['dist/src/cli/main.js', 'dist/src/engine/worker.js'],
  outdir: `${folder}/cli`, // as deep as dist/src/cli: paths relative to a file stay right
  entryNames: '[name]',
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  external: ['piscina', 'xxhash-addon', '@node-rs/crc32'],
  banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  define: { 'import.meta.url': '__moduleUrl' },
  logLevel: 'warning',
});
