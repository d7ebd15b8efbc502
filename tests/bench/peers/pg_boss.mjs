// Jobs of pg-boss: `node pg_boss.mjs prepare|queue|work nothing|row COUNT` says how long it took.
// They are fetched and completed in batches, without a pause while batches are full. What a batch writes commits with its completion
// (transactional).
import { createRequire } from 'node:module';
import { measured } from './measured.mjs';

const { PgBoss } = createRequire(process.env.PACKAGES)('pg-boss');
const [step, work, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
// In one call of insert().
const BATCH = 10000;
const FETCHED = 1000;
// One for each core.
const WORKERS = 2;

const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, schedule: false, max: WORKERS + 2 });
boss.on('error', console.error);
await boss.start();

async function prepare() {
  await boss.createQueue(work);
}

async function queue() {
  return measured(async () => {
    for (let first = 1; first <= count; first += BATCH) {
      const length = Math.min(BATCH, count - first + 1);
      await boss.insert(work, Array.from({ length }, (_, n) => ({ data: { id: first + n } })));
    }
  });
}

async function workOff() {
  let ran = 0;
  const transactional = work === 'row';
  const options = { batchSize: FETCHED, localConcurrency: WORKERS, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, transactional };
  const statement = 'insert into public.done select unnest($1::bigint[])';
  const db = await boss.getDb();
  // Completed jobs are kept for seven days.
  const left = async () =>
    (await db.executeSql("select exists (select from pgboss.job where name = $1 and state < 'completed') as some", [work])).rows[0].some;
  const said = await measured(async () => {
    await boss.work(work, options, async (jobs, transaction) => {
      if (work === 'row') await transaction.executeSql(statement, [jobs.map((job) => job.data.id)]);
      ran += jobs.length;
    });
    while (ran < count || (await left())) await new Promise((resolve) => setTimeout(resolve, 5));
  });
  if (ran !== count) throw new Error(`${ran} jobs ran, not ${count}`);
  return said;
}

const said = await { prepare, queue, work: workOff }[step]();
await boss.stop({ graceful: true });
console.log(JSON.stringify(said ?? {}));
