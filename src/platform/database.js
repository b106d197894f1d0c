/** Runs statements as one atomic batch. Each is [sql, value, ...]. */
export async function runBatch(database, statementsJson) {
  const statements = JSON.parse(statementsJson).map(([sql, ...values]) => database.prepare(sql).bind(...values));
  const results = await database.batch(statements);
  return JSON.stringify(results.map(({ results, meta }) => ({ rows: results ?? [], changes: meta?.changes ?? 0 })));
}
