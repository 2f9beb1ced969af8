// Joins the compiled command line into a few files: a start reads one of them instead of a hundred.
// Libraries with native parts or worker files of their own stay packages.
import { build } from 'esbuild';

await build({
  entryPoints: ['dist/src/cli/main.js', 'dist/src/engine/worker.js'],
  outdir: 'dist/bundle/cli', // as deep as dist/src/cli: paths relative to a file stay right
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['piscina', 'xxhash-addon', '@node-rs/crc32'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
