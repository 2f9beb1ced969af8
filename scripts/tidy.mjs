// Holds the architecture as data and fails where the code breaks it: layers, cycles, file sizes, banned calls.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

// A file imports its own folder or a lower layer. Folders on the same layer are strangers.
const LAYERS = {
  base: 1,
  map: 2,
  native: 3,
  device: 4,
  source: 5,
  partition: 6,
  filesystem: 6,
  state: 6,
  location: 7,
  plan: 8,
  detect: 8,
  reshape: 8,
  machine: 8,
  engine: 9,
  operation: 10,
  cli: 11,
};
const TOP = 12; // src/index.ts
// Folders inside a layer that are strangers to each other, but for the files that name them all.
const PLUGINS = 'filesystem';

const LONGEST_FILE = 300;
const LONGEST_FUNCTION = 60;

// Pattern, where it is allowed, why.
const BANNED = [
  [/\bconsole\.|process\.(stdout|stderr)/, ['cli'], 'only the command line prints'],
  [/process\.(exit|exitCode|argv)\b/, ['cli'], 'only the command line reads arguments and exits'],
  [/\b(?:src|dst)[A-Z]\w*\b|\b(?:const|let)\s+(?:src|dst)\b/, [], 'say source and target'],
  [
    /from 'node:fs'|from 'node:fs\/promises'/,
    ['source', 'device', 'state', 'location', 'reshape', 'machine', 'operation', 'cli'],
    'parsers and the engine read through a Source',
  ],
  [
    /from 'node:child_process'/,
    ['device', 'reshape', 'machine', 'operation'],
    'outside programs are started in few places',
  ],
  [/\bas any\b|:\s*any\b|@ts-ignore|@ts-expect-error|biome-ignore/, [], 'types are not switched off'],
  [/\b(TODO|FIXME|XXX|HACK)\b/, [], 'unfinished work is not kept in the code'],
];
const FOLDERS_NOT_NAMED = ['utils', 'helpers', 'common', 'misc'];

const problems = [];
const complain = (file, line, text) => problems.push(`${relative(root, file)}${line ? `:${line}` : ''}: ${text}`);

function filesBelow(folder, endings) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === 'build' ? [] : filesBelow(path, endings);
    return endings.some((ending) => name.endsWith(ending)) ? [path] : [];
  });
}

const source = join(root, 'src');
const folderOf = (file) => relative(source, file).split('/')[0];
const layerOf = (file) => (dirname(file) === source ? TOP : LAYERS[folderOf(file)]);

function importsOf(text) {
  return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map((match) => match[1]);
}

function checkLayers(file, target) {
  const from = layerOf(file);
  const to = layerOf(target);
  if (from === undefined || to === undefined) return complain(file, 0, `its folder is in no layer: ${folderOf(file)}`);
  if (folderOf(file) !== folderOf(target) && to >= from) {
    complain(file, 0, `${folderOf(file)} (layer ${from}) imports ${folderOf(target)} (layer ${to})`);
  }
  const [plugins, mine] = relative(source, file).split('/');
  const [, theirs] = relative(source, target).split('/');
  const isPlugin = (path) => relative(source, path).split('/').length > 2;
  if (plugins === PLUGINS && isPlugin(file) && isPlugin(target) && mine !== theirs) {
    complain(file, 0, `file system ${mine} imports file system ${theirs}`);
  }
}

function checkCycles(graph) {
  const done = new Set();
  const visit = (file, path) => {
    if (done.has(file)) return;
    const at = path.indexOf(file);
    if (at >= 0) {
      complain(
        file,
        0,
        `import cycle: ${[...path.slice(at), file].map((each) => relative(source, each)).join(' -> ')}`,
      );
      return;
    }
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
}

function checkLength(file, text) {
  const lines = text.split('\n').length - 1;
  if (lines > LONGEST_FILE) complain(file, 0, `${lines} lines; at most ${LONGEST_FILE}`);
}

// Not in tests: a suite's function is as long as its list of tests.
function checkFunctions(file, text) {
  const lines = text.split('\n');
  let start;
  lines.forEach((line, index) => {
    if (/^(export )?(default )?(async )?function\*? /.test(line)) start = index;
    if (line === '}' && start !== undefined) {
      const length = index - start + 1;
      if (length > LONGEST_FUNCTION)
        complain(file, start + 1, `a function of ${length} lines; at most ${LONGEST_FUNCTION}`);
      start = undefined;
    }
  });
}

function checkBanned(file, text) {
  const folder = folderOf(file);
  text.split('\n').forEach((line, index) => {
    for (const [pattern, allowed, why] of BANNED) {
      if (pattern.test(line) && !allowed.includes(folder)) complain(file, index + 1, `${why}: ${line.trim()}`);
    }
  });
}

function checkHeader(file, text) {
  const isCommand = relative(source, file).startsWith('cli/commands/'); // its help text says what it is for
  if (!text.startsWith('//') && !text.startsWith('#!') && !isCommand && !/^\/\*\*/.test(text)) {
    complain(file, 1, 'no header that says what the file is for');
  }
}

const graph = new Map();
for (const file of filesBelow(source, ['.ts'])) {
  const text = readFileSync(file, 'utf8');
  const targets = importsOf(text).map((name) => resolve(dirname(file), name).replace(/\.js$/, '.ts'));
  graph.set(file, targets);
  for (const target of targets) checkLayers(file, target);
  checkLength(file, text);
  checkFunctions(file, text);
  checkBanned(file, text);
  checkHeader(file, text);
  if (FOLDERS_NOT_NAMED.some((name) => file.includes(`/${name}/`) || file.endsWith(`/${name}.ts`))) {
    complain(file, 0, 'name it for its idea');
  }
}
checkCycles(graph);
for (const folder of ['test', 'bench', 'native']) {
  for (const file of filesBelow(join(root, folder), ['.ts', '.cc', '.h']))
    checkLength(file, readFileSync(file, 'utf8'));
}
for (const problem of problems) console.log(problem);
console.log(`${graph.size} files, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
