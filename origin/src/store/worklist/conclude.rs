//! Writing down what was judged, or that it could not be.

use super::super::statement::{Column, Dialect, Step};
use super::super::totals::{Count, count, happened_at};
use super::super::turns::Turn;
use super::facts::{Counted, Facts, SaleId};
use super::put_back;
use super::take::{Item, Lease};
use postback::id::Nonce;
use postback::money::Amount;
use postback::time::Timestamp;

/// What became of an item.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// The item.
    pub item: Item,
    /// What was judged, and by which facts; None where there was nothing to judge.
    pub judged: Option<(Facts, Judged)>,
    /// What is next.
    pub next: Next,
    /// The others of its group.
    pub others: Vec<Other>,
}

impl Conclusion {
    /// What was judged, by which facts; None where its event is not the last one of the conversion: it is judged by that one's item.
    pub fn of_last_event(&self) -> Option<(&Facts, &Judged)> {
        let (facts, judged) = self.judged.as_ref()?;
        (facts.marks.last_event_id == self.item.event_id).then_some((facts, judged))
    }
}

/// Another conversion that is balanced together with one that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The event that last changed it.
    pub event_id: String,
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// When it was evaluated, as it was read.
    pub processed_at: Option<Timestamp>,
    /// Whether it is as it was evaluated with this one as it stands now.
    pub standing: Standing,
}

/// How a conversion's evaluation stands beside the facts of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it should be. Who is evaluating it has older facts.
    UpToDate,
    /// It has to be evaluated again.
    Outdated,
}

/// What is next for an item that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Done,
    /// It is judged again when there are more rates.
    WhenRatesCome,
}

/// How a conversion was judged, as it is written. `crate::processing` has the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// How it is joined to a click.
    pub attribution: &'static str,
    /// What is to be said of a deposit; [`Judged::COUNTS`] where it is the first or a repeat, which the account's others decide.
    pub deposit: Option<&'static str>,
    /// What it goes back of.
    pub refund_of: Option<SaleId>,
    /// What the customer paid, in the reporting currency, where the sender did not say.
    pub fx_sale_amount: Option<Amount>,
    /// What we are paid, in the reporting currency, where the sender did not say.
    pub fx_payout: Option<Amount>,
    /// What a return counts for in the balance of its sale; nothing of any other conversion.
    pub counted: Counted,
    /// Whether chargebacks left nothing of it.
    pub is_charged_back: bool,
    /// By which rate, a decimal.
    pub fx_rate: Option<String>,
    /// Of which day, `YYYY-MM-DD`.
    pub fx_rate_date: Option<String>,
    /// The consent that holds.
    pub consent: Option<String>,
    /// Codes of what is odd.
    pub findings: Vec<&'static str>,
}

impl Judged {
    /// A deposit that counts.
    pub const COUNTS: &'static str = "counts";
    /// The finding of a deposit that the sender calls first and we do not, or the other way round.
    pub const FTD_DIFFERS: &'static str = "ftd_differs";
    /// The finding of a first deposit that was charged back.
    pub const FIRST_DEPOSIT_REVERSED: &'static str = "first_deposit_reversed";
    /// What the database finds, which decides which deposit is the first.
    pub const FOUND_OF_DEPOSITS: [&'static str; 2] = [Judged::FTD_DIFFERS, Judged::FIRST_DEPOSIT_REVERSED];
}

/// An item that could not be done.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The item.
    pub item: Item,
    /// Whose it was.
    pub lease: Nonce,
    /// Why.
    pub reason: String,
    /// When it is due again; None: it is given up.
    pub due_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// A conclusion with what its statements need.
pub(super) struct Row {
    conclusion: Conclusion,
    claim_id: Nonce,
    now: Timestamp,
    slot: i64,
}

impl Row {
    pub(super) fn of(conclusion: Conclusion, lease: &Lease, slot: i64) -> Row {
        Row { conclusion, claim_id: lease.id.clone(), now: lease.now, slot }
    }

    /// What a transaction with it takes its turn about.
    pub(super) fn turns(&self) -> impl Iterator<Item = Turn> {
        let conversion = self.facts().map(|facts| &facts.conversion);
        let of = |read: fn(&super::facts::Conversion) -> Option<Turn>| conversion.and_then(read);
        [
            of(|conversion| conversion.account_id.clone().map(Turn::Account)),
            self.account_before().map(Turn::Account),
            of(|conversion| Some(Turn::ConversionId(conversion.conversion_id.clone()))),
            // Two that are balanced with each other, also where one of them names the other from another conversion id.
            self.facts().and_then(Facts::group_id).map(|id| Turn::ConversionId(id.to_owned())),
            of(|conversion| conversion.click_id.clone().map(Turn::Click)),
            of(|conversion| Some(Turn::Conversion(conversion.conversion_key.clone()))),
        ]
        .into_iter()
        .flatten()
    }

    fn facts(&self) -> Option<&Facts> {
        self.conclusion.judged.as_ref().map(|(facts, _)| facts)
    }

    /// Whose the conversion was when it was judged before.
    fn account_before(&self) -> Option<String> {
        self.facts()?.judged.as_ref()?.deposit_account.clone()
    }

    fn judged(&self) -> Option<&Judged> {
        self.conclusion.judged.as_ref().map(|(_, judged)| judged)
    }

    fn refund_of(&self) -> Option<&SaleId> {
        self.judged()?.refund_of.as_ref()
    }
}

const ROW: &[Column<Row>] = &[
    Column::text("event_id", |row| Some(row.conclusion.item.event_id.clone())),
    Column::text("claim_id", |row| Some(row.claim_id.to_string())),
    Column::time("settled_at", |row| Some(row.now)),
    Column::number("slot", |row| row.slot),
    Column::flag("waits_for_rates", |row| {
        Some(match row.conclusion.next {
            Next::Done => false,
            Next::WhenRatesCome => true,
        })
    }),
    Column::text("conversion_key", |row| row.facts().map(|facts| facts.conversion.conversion_key.clone())),
    Column::number("occurrence", |row| row.facts().map_or(0, |facts| facts.conversion.occurrence)),
    Column::number("revision", |row| row.facts().map_or(0, |facts| facts.conversion.revision)),
    Column::text("event", |row| row.facts().map(|facts| facts.conversion.event.clone())),
    Column::text("conversion_id", |row| row.facts().map(|facts| facts.conversion.conversion_id.clone())),
    Column::text("account_id", |row| row.facts().and_then(|facts| facts.conversion.account_id.clone())),
    Column::text("account_before", Row::account_before),
    Column::text("attribution", |row| row.judged().map(|judged| judged.attribution.to_owned())),
    Column::text("deposit", |row| row.judged().and_then(|judged| judged.deposit.map(str::to_owned))),
    Column::text("refund_of", |row| row.refund_of().map(|sale| sale.conversion_key.clone())),
    Column::number("refund_of_occurrence", |row| row.refund_of().map_or(0, |sale| sale.occurrence)),
    Column::amount("fx_sale_amount", |row| row.judged().and_then(|judged| judged.fx_sale_amount)),
    Column::amount("fx_payout", |row| row.judged().and_then(|judged| judged.fx_payout)),
    Column::amount("counted_sale_amount", |row| row.judged().and_then(|judged| judged.counted.sale_amount)),
    Column::text("counted_currency", |row| row.judged().and_then(|judged| judged.counted.currency.clone())),
    Column::amount("counted_usd_sale_amount", |row| row.judged().and_then(|judged| judged.counted.usd_sale_amount)),
    Column::amount("counted_payout", |row| row.judged().and_then(|judged| judged.counted.payout)),
    Column::text("counted_payout_currency", |row| {
        row.judged().and_then(|judged| judged.counted.payout_currency.clone())
    }),
    Column::amount("counted_usd_payout", |row| row.judged().and_then(|judged| judged.counted.usd_payout)),
    Column::flag("is_charged_back", |row| Some(row.judged().is_some_and(|judged| judged.is_charged_back))),
    Column::text("fx_rate", |row| row.judged().and_then(|judged| judged.fx_rate.clone())),
    Column::text("fx_rate_date", |row| row.judged().and_then(|judged| judged.fx_rate_date.clone())),
    Column::text("consent", |row| row.judged().and_then(|judged| judged.consent.clone())),
    Column::json("findings", |row| {
        let findings = row.judged().map_or(&[][..], |judged| &judged.findings);
        findings.iter().map(|code| serde_json::Value::from(*code)).collect::<serde_json::Value>().to_string()
    }),
];

/// An item of an event that is not the last one that changed its conversion.
pub(super) struct Superseded {
    /// Its event.
    pub(super) event_id: String,
    /// The conversion.
    pub(super) conversion_key: String,
    /// Which under its key.
    pub(super) occurrence: i64,
    /// Whose item it is.
    pub(super) claim_id: Nonce,
    /// When the last event's item is due.
    pub(super) at: Timestamp,
}

/// Parts the items of last events from the others: a conversion is written once, by the item of its last event.
pub(super) fn part_superseded(conclusions: Vec<Conclusion>, lease: &Lease) -> (Vec<Conclusion>, Vec<Superseded>) {
    let mut superseded = Vec::new();
    let settled = conclusions.into_iter().map(|conclusion| {
        let is_of_last = conclusion.of_last_event().is_some();
        let Some((facts, _)) = conclusion.judged.as_ref().filter(|_| !is_of_last) else { return conclusion };
        superseded.push(Superseded {
            event_id: conclusion.item.event_id.clone(),
            conversion_key: facts.conversion.conversion_key.clone(),
            occurrence: facts.conversion.occurrence,
            claim_id: lease.id.clone(),
            at: lease.now,
        });
        Conclusion { judged: None, next: Next::Done, others: Vec::new(), ..conclusion }
    });
    (settled.collect(), superseded)
}

/// Another conversion that was found to be up to date, and whose lease does not end.
pub(super) struct Confirmed {
    pub(super) event_id: String,
    pub(super) conversion_key: String,
    pub(super) occurrence: i64,
    pub(super) processed_at: Option<Timestamp>,
    pub(super) claim_id: Nonce,
    pub(super) at: Timestamp,
}

pub(super) const CONFIRMED: &[Column<Confirmed>] = &[
    Column::text("event_id", |row| Some(row.event_id.clone())),
    Column::text("conversion_key", |row| Some(row.conversion_key.clone())),
    Column::number("occurrence", |row| row.occurrence),
    Column::time("processed_at", |row| row.processed_at),
    Column::text("claim_id", |row| Some(row.claim_id.to_string())),
    Column::time("at", |row| Some(row.at)),
];

/// Ends leases of others' items: who has one has facts from before what is written now, and would write by them.
pub(super) fn revoke(dialect: Dialect) -> Step<Confirmed> {
    let statement = format!(
        "update work_items set due_at = input.at, claim_id = null, updated_at = input.at from input
         where work_items.event_id = input.event_id and work_items.claim_id <> input.claim_id
            and work_items.state = 'waiting'{}",
        dialect.among(CONFIRMED, "work_items.event_id", "event_id"),
    );
    Step::new(dialect, CONFIRMED, &statement)
}

/// The statements of [`super::Worklist::conclusions`], in their order.
pub(super) fn conclude(dialect: Dialect) -> Vec<Step<Row>> {
    let this = "known.conversion_key = input.conversion_key and known.occurrence = input.occurrence";
    let as_read =
        format!("known.revision = input.revision and known.event_id = input.event_id and {}", is_takers(dialect));
    let [delay, finish] = settle(dialect);
    let join = dialect.left_join_by_key("conversions", "known", this);
    let mut steps = count(dialect, ROW, Count::Out, &join, &as_read);
    steps.push(judge(dialect, this, &as_read));
    steps.push(rank(dialect, this, &as_read));
    steps.push(find_first(dialect, this, &as_read));
    steps.extend(count(dialect, ROW, Count::In, &join, &as_read));
    steps.push(put_back::firsts(dialect, ROW));
    steps.push(put_back::clicked_meanwhile(dialect, ROW));
    steps.push(delay);
    steps.push(finish);
    steps
}

/// That a row's item is still its taker's.
fn is_takers(dialect: Dialect) -> String {
    format!(
        "exists (select 1 from work_items
            where work_items.event_id = input.event_id and work_items.claim_id = input.claim_id{})",
        dialect.by_key()
    )
}

/// Writes the judgements. A deposit that counts is a repeat until it is found to be the first.
fn judge(dialect: Dialect, this: &str, as_read: &str) -> Step<Row> {
    let [fx_sale_amount, fx_payout] = ["fx_sale_amount", "fx_payout"].map(|name| dialect.amount(name));
    Step::new(
        dialect,
        ROW,
        &format!(
            "update conversions as known set is_processed = true, processing_error = null, processed_at = input.settled_at,
                attribution = input.attribution,
                deposit = case when input.deposit = '{counts}' then 'repeat' else input.deposit end,
                deposit_account = case when input.deposit = '{counts}' then input.account_id end,
                refund_of = input.refund_of,
                refund_of_occurrence = case when input.refund_of is not null then input.refund_of_occurrence end,
                {fx_sale_amount} = input.{fx_sale_amount}, {fx_payout} = input.{fx_payout},
                {counted}, counted_currency = input.counted_currency, counted_payout_currency = input.counted_payout_currency,
                is_charged_back = input.is_charged_back,
                fx_rate = {fx_rate}, fx_rate_date = {fx_rate_date}, consent = input.consent, findings = input.findings
             from input where {this}{} and {as_read}",
            dialect.among(ROW, "known.conversion_key", "conversion_key"),
            counts = Judged::COUNTS,
            counted = ["counted_sale_amount", "counted_payout", "counted_usd_sale_amount", "counted_usd_payout"]
                .map(|name| dialect.amount(name))
                .map(|name| format!("{name} = input.{name}"))
                .join(", "),
            fx_rate = dialect.decimal("input.fx_rate"),
            fx_rate_date = dialect.date("input.fx_rate_date"),
        ),
    )
}

/// Finds those deposits that are the first of their account's (R49): by when they happened, whenever they came.
fn rank(dialect: Dialect, this: &str, as_read: &str) -> Step<Row> {
    Step::new(
        dialect,
        ROW,
        &format!(
            "update conversions as known set deposit = 'first' from input
             where {this}{} and {as_read} and input.deposit = '{}' and not {}",
            dialect.among(ROW, "known.conversion_key", "conversion_key"),
            Judged::COUNTS,
            has_earlier(dialect, "known"),
        ),
    )
}

/// Finds what is odd about a deposit that could be the first: its sender says otherwise, or it was charged back. Answers what is found of
/// it by then, by the event of its item.
fn find_first(dialect: Dialect, this: &str, as_read: &str) -> Step<Row> {
    let differs =
        "known.is_ftd is not null and known.deposit <> 'undecided' and known.is_ftd <> (known.deposit = 'first')";
    let is_reversed = "known.deposit = 'first' and input.is_charged_back";
    let found = dialect.with_note("known.findings", &[(differs.to_owned(), Judged::FTD_DIFFERS)]);
    let found = dialect.with_note(&found, &[(is_reversed.to_owned(), Judged::FIRST_DEPOSIT_REVERSED)]);
    // SQLite knows no alias there, and no columns but those of the table.
    let known = match dialect {
        Dialect::Postgres => "known.",
        Dialect::Sqlite => "",
    };
    Step::new(
        dialect,
        ROW,
        &format!(
            "update conversions as known set findings = {found} from input
             where {this}{} and {as_read} and input.deposit is not null and ({differs} or {is_reversed})
             returning {known}event_id as id, cast({known}findings as text) as answer",
            dialect.among(ROW, "known.conversion_key", "conversion_key"),
        ),
    )
    .answering()
}

/// That a conversion is a deposit that counts: as the index of deposits says it, without which SQLite does not use that.
pub(super) fn counts(conversion: &str) -> String {
    format!("{conversion}.deposit in ('first', 'repeat')")
}

/// That there is an earlier deposit of a conversion's account that counts.
pub(in crate::store) fn has_earlier(dialect: Dialect, conversion: &str) -> String {
    format!(
        "exists (select 1 from conversions as earlier
            where earlier.account_id = {conversion}.account_id and {counts}
                and {} < {}{})",
        deposit_order("earlier"),
        deposit_order(conversion),
        dialect.by_key(),
        counts = counts("earlier"),
    )
}

/// The order of an account's deposits: by when they happened, then by receipt. As the index of deposits has it.
pub(super) fn deposit_order(conversion: &str) -> String {
    format!(
        "({}, {conversion}.received_at, {conversion}.first_request_id, {conversion}.conversion_key, {conversion}.occurrence)",
        happened_at(conversion)
    )
}

/// What is done is there no longer, so that the list stays as short as what is to be done.
fn settle(dialect: Dialect) -> [Step<Row>; 2] {
    let delayed = format!(
        "update work_items set state = 'delayed', claim_id = null, last_error = null, updated_at = input.settled_at
         from input where work_items.event_id = input.event_id and work_items.claim_id = input.claim_id
            and input.waits_for_rates{}",
        dialect.among(ROW, "work_items.event_id", "event_id"),
    );
    let done = format!(
        "delete from work_items where event_id in (select event_id from input){} and exists (select 1 from input
            where input.event_id = work_items.event_id and input.claim_id = work_items.claim_id and not input.waits_for_rates)",
        dialect.among(ROW, "work_items.event_id", "event_id"),
    );
    [Step::new(dialect, ROW, &delayed), Step::new(dialect, ROW, &done)]
}

/// Puts an item off or gives it up, and says why at its conversion.
pub(super) fn fail(dialect: Dialect) -> [Step<Failure>; 2] {
    const COLUMNS: &[Column<Failure>] = &[
        Column::text("event_id", |failure| Some(failure.item.event_id.clone())),
        Column::text("claim_id", |failure| Some(failure.lease.to_string())),
        Column::text("conversion_key", |failure| Some(failure.item.conversion_key.clone())),
        Column::text("reason", |failure| Some(failure.reason.clone())),
        Column::time("next_due_at", |failure| failure.due_at),
        Column::time("failed_at", |failure| Some(failure.now)),
    ];
    let conversion = format!(
        "update conversions as known set processing_error = input.reason from input
         where known.conversion_key = input.conversion_key and known.event_id = input.event_id{} and {}",
        dialect.among(COLUMNS, "known.conversion_key", "conversion_key"),
        is_takers(dialect),
    );
    let item = format!(
        "update work_items set state = case when input.next_due_at is null then 'dead' else 'waiting' end,
            due_at = coalesce(input.next_due_at, due_at), last_error = input.reason, claim_id = null,
            attempts = attempts + 1, updated_at = input.failed_at
         from input where work_items.event_id = input.event_id and work_items.claim_id = input.claim_id{}",
        dialect.among(COLUMNS, "work_items.event_id", "event_id"),
    );
    [Step::new(dialect, COLUMNS, &conversion), Step::new(dialect, COLUMNS, &item)]
}
