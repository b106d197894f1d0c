// Statistics counted again, from the rows, with other code than ours: amounts as whole micro-units, days by the runtime's time zones.

/** Amounts are compared in micro-units: no float touches money here either. */
export function micros(text) {
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(`${sign}${whole}${fraction.padEnd(6, "0")}`);
}

/** What conversions are counted by. */
export const COUNTED = `select coalesce(conversion_datetime, ts_event, received_at) as at, status,
  cast(coalesce(usd_sale_amount, fx_sale_amount) as text) as sale, cast(coalesce(usd_payout, fx_payout) as text) as payout, deposit from conversions`;

const nothing = () => ({ conversions: 0, first: 0, sale: 0n, payout: 0n });

/** What those that were not rejected come to, by days of a time zone. */
export function byDay(rows, zone) {
  const dayOf = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  const days = new Map();
  for (const row of rows.filter(({ status }) => status !== "rejected")) {
    const day = dayOf.format(new Date(row.at));
    const sum = days.get(day) ?? nothing();
    days.set(day, {
      conversions: sum.conversions + 1,
      first: sum.first + (row.deposit === "first" ? 1 : 0),
      sale: sum.sale + micros(row.sale ?? "0"),
      payout: sum.payout + micros(row.payout ?? "0"),
    });
  }
  return days;
}

/** The same as the API answers it; days on which nothing happened are left out. */
export function answered(periods) {
  const told = periods.map(({ start, conversions, first_deposits, sale_amount, payout }) => [
    start.slice(0, 10),
    { conversions, first: first_deposits, sale: micros(sale_amount), payout: micros(payout) },
  ]);
  return new Map(told.filter(([, { conversions }]) => conversions > 0));
}
