// Statistics counted again, from the rows, with other code than ours: amounts as whole micro-units, days by the runtime's time zones.

/** Amounts are compared in micro-units: no float touches money here either. */
export function micros(text) {
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(`${sign}${whole}${fraction.padEnd(6, "0")}`);
}

/** What conversions are counted by. */
export const COUNTED = `select coalesce(conversion_datetime, ts_event, received_at) as at, event, status,
  cast(is_duplicate as integer) as marked, deposit,
  cast(coalesce(counted_sale_amount, sale_amount) as text) as local_sale, coalesce(counted_currency, currency) as currency,
  cast(coalesce(counted_usd_sale_amount, usd_sale_amount, fx_sale_amount) as text) as sale,
  cast(coalesce(counted_payout, payout) as text) as local_payout, coalesce(counted_payout_currency, payout_currency) as payout_currency,
  cast(coalesce(counted_usd_payout, usd_payout, fx_payout) as text) as payout from conversions`;

/** Fields of statistics that count, and those that sum amounts. */
const COUNTS = ["conversions", "sales", "registrations", "deposits", "refunds", "chargebacks", "rejected", "duplicates", "first_deposits", "waiting_for_rates"];
const AMOUNTS = ["sale_amount", "payout", "gross_sale_amount", "gross_payout", "returned_sale_amount", "returned_payout", "pending_sale_amount", "pending_payout"];
/** Events of ours that are conversions and no sale. */
const NO_SALE = ["registration", "kyc_approved", "deposit", "lead", "install"];

const nothing = () => Object.fromEntries([...COUNTS.map((name) => [name, 0]), ...AMOUNTS.map((name) => [name, 0n])]);

const waits = (local, dollars, currency) => local !== null && dollars === null && currency !== null && currency !== "USD";
const isWaiting = (row) => [waits(row.local_sale, row.sale, row.currency), waits(row.local_payout, row.payout, row.payout_currency)];
const counts = ({ marked, status }) => !Number(marked) && status !== "rejected";

/** Adds a conversion to sums. */
function add(sum, row) {
  if (Number(row.marked)) return { ...sum, duplicates: sum.duplicates + 1 };
  if (!counts(row)) return { ...sum, rejected: sum.rejected + 1 };
  const [sale, payout] = [row.sale, row.payout].map((text) => micros(text ?? "0"));
  const isReturn = ["refund", "chargeback"].includes(row.event);
  const more = { ...sum };
  const count = (name, holds) => (more[name] += holds ? 1 : 0);
  const money = (prefix, holds) => {
    more[`${prefix}sale_amount`] += holds ? sale : 0n;
    more[`${prefix}payout`] += holds ? payout : 0n;
  };
  count("conversions", !isReturn);
  count("sales", !isReturn && !NO_SALE.includes(row.event));
  for (const event of ["registration", "deposit", "refund", "chargeback"]) count(`${event}s`, row.event === event);
  count("first_deposits", row.deposit === "first");
  count("waiting_for_rates", isWaiting(row).some(Boolean));
  money("", true);
  money("gross_", !isReturn);
  money("returned_", isReturn);
  money("pending_", row.status === "pending");
  return more;
}

/** What conversions come to, by days of a time zone. */
export function byDay(rows, zone) {
  const dayOf = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  const days = new Map();
  for (const row of rows) {
    const day = dayOf.format(new Date(row.at));
    days.set(day, add(days.get(day) ?? nothing(), row));
  }
  return days;
}

/** What all of them come to. */
export const inTotal = (rows) => rows.reduce(add, nothing());

/** What waits for rates, as the API answers it. */
export function waitingByCurrency(rows) {
  const byCurrency = new Map();
  for (const row of rows.filter(counts)) {
    const [sale, payout] = isWaiting(row);
    for (const currency of new Set([...(sale ? [row.currency] : []), ...(payout ? [row.payout_currency] : [])])) {
      const known = byCurrency.get(currency) ?? { currency, conversions: 0, sale_amount: 0n, payout: 0n };
      known.conversions += 1;
      if (sale && row.currency === currency) known.sale_amount += micros(row.local_sale);
      if (payout && row.payout_currency === currency) known.payout += micros(row.local_payout);
      byCurrency.set(currency, known);
    }
  }
  return [...byCurrency.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
}

/** A total or a period of the API, in the form of these sums. */
export function sums(told) {
  return Object.fromEntries([...COUNTS.map((name) => [name, told[name]]), ...AMOUNTS.map((name) => [name, micros(told[name])])]);
}

/** The days of an answer of the API; those on which nothing happened are left out. */
export function answered(periods) {
  const days = periods.map((period) => [period.start.slice(0, 10), sums(period)]);
  return new Map(days.filter(([, day]) => COUNTS.some((name) => day[name] !== 0)));
}
