// pg-boss.
import { load, payload, ran } from "../job.mjs";

const PgBoss = load("pg-boss");

async function open(dsn, max) {
  const boss = new PgBoss({ connectionString: dsn, max, schedule: false });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  return boss;
}

export async function prepare(dsn) {
  const boss = await open(dsn, 2);
  await boss.createQueue("note");
  await boss.stop({ graceful: false, wait: true });
}

export async function producer(dsn, connections) {
  const boss = await open(dsn, connections);
  return {
    one: (number) => boss.send("note", payload(number)),
    many: (numbers) =>
      boss.insert(numbers.map((number) => ({ name: "note", data: payload(number) }))),
    close: () => boss.stop({ graceful: false, wait: false }),
  };
}

export async function work(dsn) {
  const boss = await open(dsn, 10);
  const options = { batchSize: 500, pollingIntervalSeconds: 0.5 };
  const id = await boss.work("note", options, async (jobs) => {
    for (const job of jobs) ran(job.data.n);
    // A full batch says that more is waiting: look again at once.
    if (jobs.length === options.batchSize) boss.notifyWorker(id);
  });
}
