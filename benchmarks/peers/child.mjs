// A process of one peer of Node, as child.py is of Python: node child.mjs NAME VERB '{"dsn": …}'
import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./job.mjs";

const [, , name, verb, text] = process.argv;
const CHUNK = 1000;
const CONNECTIONS = 32;

const range = (first, end) => Array.from({ length: end - first }, (_, i) => first + i);

const verbs = {
  async bulk(producer, { count }) {
    const started = now();
    for (let first = 0; first < count; first += CHUNK)
      await producer.many(range(first, Math.min(count, first + CHUNK)));
    return { seconds: now() - started };
  },

  async singles(producer, { seconds }) {
    await Promise.all(range(0, CONNECTIONS).map((number) => producer.one(number)));
    const started = now();
    let next = 0;
    const hammer = async () => {
      while (now() < started + seconds) await producer.one(next++);
    };
    await Promise.all(range(0, CONNECTIONS).map(hammer));
    return { count: next, seconds: now() - started };
  },

  async trickle(producer, { count, first, gap }) {
    const committed = [];
    for (const number of range(first, first + count)) {
      await sleep(1000 * (gap[0] + Math.random() * (gap[1] - gap[0])));
      await producer.one(number);
      committed.push([number, now()]);
    }
    return committed;
  },

  async pour(producer, { rate, seconds }) {
    await producer.many([0]);
    const started = now() + 0.1;
    const total = Math.floor(rate * seconds);
    let sent = 1;
    while (sent < total) {
      const due = Math.min(total, Math.floor((now() - started) * rate));
      const end = Math.min(due, sent + CHUNK);
      if (end > sent) {
        await producer.many(range(sent, end));
        sent = end;
      } else await sleep(5);
    }
    return { started, count: total, late: now() - started - seconds };
  },
};

const peer = await import(`./adapters/${name}.mjs`);
const options = JSON.parse(text);
if (verb === "prepare") await peer.prepare(options.dsn);
else if (verb === "work") await peer.work(options.dsn);
else {
  const producer = await peer.producer(options.dsn, verb === "singles" ? CONNECTIONS : 1);
  console.log(JSON.stringify(await verbs[verb](producer, options)));
  await producer.close();
}
if (verb !== "work") process.exit(0);
