// Graphile Worker.
import { load, payload, ran } from "../job.mjs";

const { makeWorkerUtils, run, Logger } = load("graphile-worker");
const logger = new Logger(() => () => {});

export async function prepare(dsn) {
  const utils = await makeWorkerUtils({ connectionString: dsn, logger });
  await utils.migrate();
  await utils.addJob("note", payload(0));
  await utils.withPgClient((client) => client.query("DELETE FROM graphile_worker._private_jobs"));
  await utils.release();
}

export async function producer(dsn, connections) {
  const utils = await makeWorkerUtils({
    connectionString: dsn,
    logger,
    maxPoolSize: connections,
  });
  return {
    one: (number) => utils.addJob("note", payload(number)),
    many: (numbers) =>
      utils.addJobs(numbers.map((number) => ({ identifier: "note", payload: payload(number) }))),
    close: () => utils.release(),
  };
}

export async function work(dsn) {
  await run({
    preset: {
      worker: {
        connectionString: dsn,
        concurrentJobs: 24,
        maxPoolSize: 10,
        pollInterval: 2000,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    logger,
    taskList: { note: (body) => ran(body.n) },
  });
}
