// graphile-worker with the settings its own benchmark uses: a local queue, and completions without delay.
import { makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

const [action, url, count, batch] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 24 });

if (action === "fill") {
  const utils = await makeWorkerUtils({ connectionString: url });
  await utils.migrate();
  await utils.release();
  await pool.query("truncate graphile_worker._private_jobs");
  for (let start = 0; start < Number(count); start += 1000) {
    await pool.query(
      `select from graphile_worker.add_jobs(array(
         select ('noop', json_build_object('n', n), null, null, null, null, null, null)::graphile_worker.job_spec
         from generate_series($1::int, $2::int) as n))`,
      [start, start + 999],
    );
  }
  await pool.query("vacuum analyze graphile_worker._private_jobs");
} else {
  const started = Date.now() / 1000;
  const runner = await run({
    pgPool: pool,
    noHandleSignals: true,
    logger: undefined,
    taskList: { noop: () => {} },
    preset: {
      worker: {
        concurrentJobs: 24,
        localQueue: { size: Number(batch) },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
        pollInterval: 2000,
      },
    },
  });
  const watch = new pg.Client({ connectionString: url });
  await watch.connect();
  for (;;) {
    const { rows } = await watch.query("select 1 from graphile_worker._private_jobs limit 1");
    if (rows.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const ended = Date.now() / 1000;
  await runner.stop();
  await watch.end();
  console.log(JSON.stringify({ started, ended, done: 0 }));
}
await pool.end();
process.exit(0);
