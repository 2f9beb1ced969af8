// A process that makes a view and is killed meanwhile: says where it is, then stays there until the end.
// Usage: node reshape-victim.js <before | mounted | after> <json of ViewOptions>

import { makeView, type Step, type ViewOptions } from '../../src/reshape/view.js';

const [moment = '', text = '{}'] = process.argv.slice(2);
const options = JSON.parse(text) as ViewOptions;

const stay = (): Promise<never> => {
  process.stdout.write('here\n');
  return new Promise(() => setInterval(() => {}, 1000));
};
const inMount: Step = (bench) => bench.mounted('ext4', 'rw', stay);
const steps = moment === 'mounted' ? { after: [inMount] } : moment === 'before' ? { before: [stay] } : {};
const view = await makeView({ ...options, ...steps });
await stay();
await view.close();
