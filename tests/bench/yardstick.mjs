// What the origin's rate is measured by: the rows of one postback, inserted by pgbench. They are made of a row that the
// origin itself has written, whatever columns it has by now; ids alone are other ones in every transaction.
import { ask, Complaint } from "../../scripts/lib/run.mjs";

/** Tables that a postback is written to, in an order that foreign keys allow. */
const TABLES = ["nonces", "events", "conversions", "revisions", "postbacks", "links"];
/**
 * Not among them: a few rows that all postbacks add to, which no insert is like, and items of work, which are there until it is done.
 * The origin writes these, and does that work, beyond the yardstick.
 */
const BEYOND = ["totals", "totals_by_hour", "totals_by_day", "work_items"];
/** The yardstick of a single statement: the widest of them, the request as it came. */
const WIDEST = "postbacks";
/** Numbers conversions: they grow, as a network's do. */
const COUNTER = "yardstick_conversions";

/** Runs SQL in a database and answers what it prints. */
export function sql({ psql }, url, text) {
  const answer = ask(psql, ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text], { maxBuffer: 1 << 24 });
  if (answer === undefined) throw new Complaint(`psql failed: ${text}`);
  return answer;
}

/** The URL of another database of the same server. */
export function databaseUrl({ url }, name) {
  const other = new URL(url);
  other.pathname = `/${name}`;
  return other.href;
}

/**
 * What the origin has written of a postback: of each table its columns and one row's values. It must have been written
 * within the last minutes: times of then are replaced by those of later inserts, other times are the sender's.
 */
export function readSample(server, url) {
  const json = (text) => JSON.parse(sql(server, url, text));
  const tables = json(`
    select coalesce(json_agg(c.relname), '[]') from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and c.relname <> '_sqlx_migrations'`);
  const written = tables.filter((table) => sql(server, url, `select exists(select 1 from ${table})`) === "t");
  const strayed = written.filter((table) => ![...TABLES, ...BEYOND].includes(table));
  if (strayed.length) throw new Complaint(`a postback is written to ${strayed.join(", ")} as well: tests/bench/yardstick.mjs does not know that`);
  const sample = TABLES.filter((table) => written.includes(table)).map((table) => readTable(json, table));
  const value = (table, column) => sample.find(({ name }) => name === table)?.columns.find(({ name }) => name === column)?.value;
  return {
    tables: sample,
    ids: {
      event: value("events", "event_id"),
      conversion: value("events", "conversion_id"),
      nonce: value("nonces", "nonce"),
      request: value("postbacks", "request_id"),
    },
  };
}

function readTable(json, name) {
  const columns = json(`
    select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                      'made', a.attidentity <> '' or a.attgenerated <> ''
                                              or coalesce(pg_get_expr(d.adbin, d.adrelid) like 'nextval(%', false)) order by a.attnum)
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = '${name}'::regclass and a.attnum > 0 and not a.attisdropped`);
  const unique = json(`
    select coalesce(json_agg((select json_agg(a.attname) from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey))), '[]')
    from pg_index i where i.indrelid = '${name}'::regclass and i.indisunique`);
  const ofOnePostback = columns.some((column) => column.name === "event_id") ? "where event_id = (select min(event_id) from events)" : "limit 1";
  const values = json(`select json_build_array(${columns.map((column) => `${column.name}::text`)}) from ${name} ${ofOnePostback}`);
  const recent = json(`
    select json_build_array(${columns.map(({ name, type }) =>
      type.startsWith("timestamp") ? `coalesce(abs(extract(epoch from ${name} - now())) < 600, false)` : "false",
    )}) from ${name} ${ofOnePostback}`);
  return { name, unique, columns: columns.map((column, index) => ({ ...column, value: values[index], isNow: recent[index] })) };
}

/**
 * A text for SQL and for pgbench, which takes `:name` for a variable of its own wherever it stands. In a prepared statement
 * it is read once, where the origin's values are read every time: the yardstick has rather less to do than the origin.
 */
function literal(text, type) {
  if (text === null) return "null";
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll(":", "\\003A");
  return `cast(U&'${escaped}' as ${type})`;
}

/** `insert into table (columns) values (...)` or `select ... from`, ids replaced by what `fresh` says of them. */
function insert(table, ids, fresh, from) {
  const columns = table.columns.filter(({ made }) => !made);
  const known = new Map(Object.entries(ids).map(([id, value]) => [value, fresh[id]]));
  const isKnown = ({ value }) => known.has(value);
  // Another column that must be unique, and is not so by one of the ids beside it.
  const byName = new Map(table.columns.map((column) => [column.name, column]));
  const own = new Set();
  for (const index of table.unique) {
    const parts = index.map((name) => byName.get(name));
    if (parts.some((part) => part.made || isKnown(part))) continue;
    for (const { name, isNow } of parts) if (!isNow) own.add(name);
  }
  const expression = (column) => {
    const { name, type, value, isNow } = column;
    if (isNow) return "now()";
    if (isKnown(column)) return known.get(value)();
    if (!own.has(name)) return literal(value, type);
    // Of the sample's value, so that tables that name the same thing do so here.
    const digest = `md5(${fresh.event()} || ${literal(value, "text")})`;
    if (type === "uuid") return `cast(${digest} as uuid)`;
    if (/text|character/.test(type)) return `left(repeat(${digest}, 4), ${value.length})`;
    if (/int/.test(type)) return fresh.number();
    throw new Complaint(`${table.name}.${name} must be unique, and tests/bench/yardstick.mjs has no way to make a ${type}`);
  };
  const head = `insert into ${table.name} (${columns.map(({ name }) => name).join(", ")})`;
  const values = columns.map(expression).join(", ");
  return from === undefined ? `${head} values (${values})` : `${head} select ${values} from ${from}`;
}

/** What pgbench draws for the ids of one postback: as many digits as the origin's have, equally spread. */
const DRAW = `\\set a random(1152921504606846976, 9223372036854775807)
\\set b random(1152921504606846976, 9223372036854775807)
\\set c random(1152921504606846976, 9223372036854775807)
\\set d random(1048576, 16777215)
`;

/** Ids of those draws. The counter moves with the first conversion of a script. */
function drawn() {
  let isFirst = true;
  const number = () => {
    const call = isFirst ? "nextval" : "currval";
    isFirst = false;
    return `${call}('${COUNTER}')`;
  };
  const hex = (...names) => names.map((name) => `to_hex(cast(:${name} as bigint))`).join(" || ");
  return {
    number,
    event: () => `'evt_' || ${hex("a", "b")}`,
    conversion: () => `'1763683200123-' || ${number()}`,
    nonce: () => hex("c", "d"),
    request: () => hex("b", "d"),
  };
}

/** A script for pgbench: all rows of a postback, in one transaction. */
export function wholePostback({ tables, ids }) {
  const fresh = drawn();
  return [`${DRAW}begin`, ...tables.map((table) => insert(table, ids, fresh)), "commit;\n"].join(";\n");
}

/** A script for pgbench: the widest row alone. */
export function widestRow({ tables, ids }) {
  const table = tables.find(({ name }) => name === WIDEST);
  return `${DRAW}${insert(table, ids, drawn())};\n`;
}

/** Makes an empty copy of a database that nobody uses, for pgbench's rows. */
export function copyForPgbench(server, original, name) {
  sql(server, server.url, `create database ${name} template ${original}`);
  sql(server, databaseUrl(server, name), `create sequence ${COUNTER}`);
}

/** Statements that store postbacks `first` to `last` of `all`, but for nonces, which are not kept. */
export function fillStatements({ tables, ids }, first, last, all) {
  // Spread over all event ids and yet in their order: random ones would be put in anywhere, which takes hours.
  const stride = 2n ** 60n / BigInt(all);
  const event = `'evt_' || lpad(to_hex(n * ${stride}), 15, '0') || right(md5(cast(n as text)), 17)`;
  const id = () => `left(md5(cast(n as text)), 22)`;
  const fresh = { number: () => "n", event: () => event, conversion: () => "'1763683100123-' || n", nonce: id, request: id };
  const rows = `generate_series(cast(${first} as bigint), ${last}) n`;
  return tables.filter(({ name }) => name !== "nonces").map((table) => insert(table, ids, fresh, rows));
}
