// Jobs of graphile-worker: `node graphile_worker.mjs prepare|queue|work nothing|row COUNT` says how long it took.
// Its settings are those of its own benchmark, as its page on performance names them: 24 jobs at once, a local queue of 500, jobs that
// are completed in batches.
import { createRequire } from 'node:module';
import { measured } from './measured.mjs';

const { Logger, makeWorkerUtils, run } = createRequire(process.env.PACKAGES)('graphile-worker');
const { Pool } = createRequire(process.env.PACKAGES)('pg');
const [step, work, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const connectionString = process.env.DATABASE_URL;
const CONCURRENT = 24;
// In one call of add_jobs.
const BATCH = 10000;

const silent = { error: console.error, warn: console.error, info() {}, debug() {} };
const logger = new Logger(() => (level, message) => silent[level === 'warning' ? 'warn' : level](message));

async function prepare() {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.release();
}

async function queue() {
  const utils = await makeWorkerUtils({ connectionString, logger });
  const said = await measured(async () => {
    for (let first = 1; first <= count; first += BATCH) {
      const length = Math.min(BATCH, count - first + 1);
      await utils.addJobs(Array.from({ length }, (_, n) => ({ identifier: work, payload: { id: first + n } })));
    }
  });
  await utils.release();
  return said;
}

async function workOff() {
  const pool = new Pool({ connectionString, max: CONCURRENT + 1 });
  pool.on('error', console.error);
  pool.on('connect', (client) => client.on('error', console.error));
  let ran = 0;
  const taskList = {
    nothing: () => { ran += 1; },
    row: async ({ id }, { query }) => {
      await query('insert into public.done values ($1)', [id]);
      ran += 1;
    },
  };
  // No job is left in the table when all have been completed.
  const left = async () => (await pool.query('select exists (select from graphile_worker._private_jobs) as some')).rows[0].some;
  let runner;
  const said = await measured(async () => {
    runner = await run({
      taskList,
      pgPool: pool,
      logger,
      noHandleSignals: true,
      preset: {
        worker: {
          concurrentJobs: CONCURRENT,
          maxPoolSize: CONCURRENT + 1,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    while (ran < count || (await left())) await new Promise((resolve) => setTimeout(resolve, 5));
  });
  if (ran !== count) throw new Error(`${ran} jobs ran, not ${count}`);
  await runner.stop();
  await pool.end();
  return said;
}

console.log(JSON.stringify(await { prepare, queue, work: workOff }[step]() ?? {}));
