import { timeout, within } from "./timer.js";

/** Runs statements as one atomic batch, for so long. Each is [sql, value, ...]. */
export async function runBatch(database, statementsJson, timeoutMs) {
  const statements = JSON.parse(statementsJson).map(([sql, ...values]) => database.prepare(sql).bind(...values));
  const results = await within(timeoutMs, database.batch(statements), timeout("the database did not answer in time"));
  return JSON.stringify(results.map(({ results, meta }) => ({ rows: results ?? [], changes: meta?.changes ?? 0 })));
}
