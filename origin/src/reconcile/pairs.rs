//! Which conversion of a report is which of ours, and in what the two differ.

use super::report::{MONEY, Ours, Theirs};
use super::{Rules, day_of};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::field::Field;
use postback::money::Amount;
use postback::status::Status;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

/// Under one id there are a few. Where there are so many that this many pairs could be looked at, each is taken for the next.
const LOOKED_AT_MAX: usize = 40_000;

/// A conversion of the report, one of ours, or both, which are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As the partner has it; None: the report has it not.
    pub theirs: Option<Theirs>,
    /// As it is stored; None: we have it not.
    pub ours: Option<Ours>,
    /// In what they differ.
    pub differences: Vec<Difference>,
}

/// A field that differs; an empty text is nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The canonical name, or `day`.
    pub field: &'static str,
    /// What the report says.
    pub theirs: String,
    /// What we have.
    pub ours: String,
}

impl Pair {
    /// Its id.
    pub fn conversion_id(&self) -> &str {
        let theirs = self.theirs.as_ref().map(|theirs| theirs.conversion_id.as_str());
        theirs.or(self.ours.as_ref().map(|ours| ours.conversion_id.as_str())).unwrap_or_default()
    }

    /// The day that it counts to: the report's, or ours where that says none.
    pub fn day(&self, zone: &TimeZone) -> Option<Date> {
        let theirs = self.theirs.as_ref().and_then(|theirs| theirs.day(zone));
        theirs.or_else(|| day_of(self.ours.as_ref()?.happened_at, zone))
    }
}

impl Pair {
    /// Whether it counts to one of these days: by the report, or by ours where that has it not. What the report has without a time does.
    pub(super) fn is_on(&self, days: RangeInclusive<Date>, zone: &TimeZone) -> bool {
        let day = match &self.theirs {
            Some(theirs) => theirs.day(zone),
            None => self.day(zone),
        };
        day.is_none_or(|day| days.contains(&day))
    }

    /// Whether the report has it and we have it not, or otherwise.
    pub(super) fn is_off(&self) -> bool {
        self.theirs.is_some() && (self.ours.is_none() || !self.differences.is_empty())
    }

    /// Its id, where it is off.
    pub(super) fn id_where_off(&self) -> Option<String> {
        self.theirs.as_ref().filter(|_| self.is_off()).map(|theirs| theirs.conversion_id.clone())
    }
}

/// Pairs a report's rows with ours, in the order of days and of ids. What is marked as a duplicate counts for nothing, so it is no pair
/// of anything.
pub fn pair(theirs: &[&Theirs], ours: &[&Ours], rules: &Rules) -> Vec<Pair> {
    let mut by_id: BTreeMap<&str, (Vec<&Theirs>, Vec<&Ours>)> = BTreeMap::new();
    for row in theirs {
        by_id.entry(&row.conversion_id).or_default().0.push(row);
    }
    for ours in ours.iter().filter(|ours| !ours.is_duplicate) {
        by_id.entry(&ours.conversion_id).or_default().1.push(ours);
    }
    let mut pairs: Vec<_> = by_id.into_values().flat_map(|(theirs, ours)| pair_named(theirs, ours, rules)).collect();
    pairs.sort_by_cached_key(|pair| (pair.day(&rules.zone), pair.conversion_id().to_owned()));
    pairs
}

/// Pairs what has one id: those first that are most alike.
fn pair_named(mut theirs: Vec<&Theirs>, mut ours: Vec<&Ours>, rules: &Rules) -> Vec<Pair> {
    theirs.sort_by_key(|row| (row.happened_at, row.line));
    ours.sort_by_key(|ours| ours.happened_at);
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut left: BTreeSet<usize> = (0..ours.len()).collect();
    if theirs.len().saturating_mul(ours.len()) <= LOOKED_AT_MAX {
        let places = theirs.iter().enumerate().flat_map(|(row, theirs)| {
            ours.iter()
                .enumerate()
                .filter(|(_, ours)| may_be(theirs, ours))
                .map(move |(place, ours)| (unlikeness(theirs, ours, rules), row, place))
        });
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        for (_, row, place) in places {
            if !taken.contains_key(&row) && left.remove(&place) {
                taken.insert(row, place);
            }
        }
    } else {
        // Whatever is alike in what it may be is taken in its order.
        let mut queues: BTreeMap<(&str, bool), VecDeque<usize>> = BTreeMap::new();
        for (place, ours) in ours.iter().enumerate() {
            queues.entry((&ours.event, ours.is_below_zero())).or_default().push_back(place);
        }
        for (row, theirs) in theirs.iter().enumerate() {
            let is_next = |places: &&mut VecDeque<usize>| {
                let next = places.front().and_then(|place| ours.get(*place));
                next.is_some_and(|ours| may_be(theirs, ours))
            };
            if let Some(place) = queues.values_mut().find(is_next).and_then(VecDeque::pop_front) {
                left.remove(&place);
                taken.insert(row, place);
            }
        }
    }
    let of_row = |(row, theirs): (usize, &&Theirs)| {
        let ours = taken.get(&row).and_then(|place| ours.get(*place)).map(|ours| (*ours).clone());
        let differences = ours.as_ref().map(|ours| differences(theirs, ours, rules)).unwrap_or_default();
        Pair { theirs: Some((*theirs).clone()), ours, differences }
    };
    let extra = left.iter().filter_map(|place| ours.get(*place)).map(|ours| Pair {
        theirs: None,
        ours: Some((*ours).clone()),
        differences: Vec::new(),
    });
    theirs.iter().enumerate().map(of_row).chain(extra).collect()
}

/// Whether they can be one: a row that names its event is of that event alone, and one that does not takes money back where its amounts are
/// below zero.
fn may_be(theirs: &Theirs, ours: &Ours) -> bool {
    match &theirs.event {
        Some(event) => *event == ours.event,
        None if theirs.money.is_empty() => true,
        None if theirs.takes_back() => ours.is_below_zero(),
        None => !ours.takes_back(),
    }
}

/// How unlike they are: rows that name their event have less to choose from, so they come first; then in how many fields they differ,
/// whether ours takes money back, and how far apart they are.
fn unlikeness(theirs: &Theirs, ours: &Ours, rules: &Rules) -> (bool, usize, bool, i64) {
    let apart_s = theirs.happened_at.map(|at| at.unix_s().saturating_sub(ours.happened_at.unix_s()).saturating_abs());
    let differences = differences(theirs, ours, rules).len();
    (theirs.event.is_none(), differences, ours.takes_back(), apart_s.unwrap_or(0))
}

/// In what they differ, of what the report says.
fn differences(theirs: &Theirs, ours: &Ours, rules: &Rules) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |field: &'static str, theirs: String, ours: String| {
        found.push(Difference { field, theirs, ours });
    };
    if let Some(status) = theirs.status
        && ours.status != Some(status)
    {
        differ(
            Field::Status.name(),
            status.name().to_owned(),
            ours.status.map(Status::name).unwrap_or_default().to_owned(),
        );
    }
    for field in MONEY {
        let Some(amount) = theirs.money.get(&field) else { continue };
        let stored = ours.amount(field);
        if !stored.is_some_and(|stored| is_near(*amount, stored, rules.tolerance)) {
            differ(field.name(), amount.to_string(), stored.map(|stored| stored.to_string()).unwrap_or_default());
        }
    }
    if let Some(currency) = theirs.local_currency()
        && ours.currency.as_deref() != Some(currency)
    {
        differ(Field::Currency.name(), currency.to_owned(), ours.currency.clone().unwrap_or_default());
    }
    if let (Some(theirs), Some(ours)) = (theirs.day(&rules.zone), day_of(ours.happened_at, &rules.zone))
        && theirs != ours
    {
        differ("day", theirs.to_string(), ours.to_string());
    }
    found
}

/// Whether two amounts are the same, as far as a tolerance goes.
pub(super) fn is_near(a: Amount, b: Amount, tolerance: Amount) -> bool {
    a.micros().saturating_sub(b.micros()).saturating_abs() <= tolerance.micros()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Last;
    use super::*;
    use postback::time::Timestamp;
    use postback::zone::Zone;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    pub fn rules() -> Rules {
        let tolerance = Amount::parse("0").unwrap();
        Rules {
            zone: TimeZone::get("Asia/Kuala_Lumpur").unwrap(),
            days: (Date::constant(2025, 1, 1), Date::constant(2025, 12, 31)),
            tolerance,
            threshold: Decimal::from(3),
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, &Zone::utc()).unwrap()
    }

    fn amounts(payout: &str) -> BTreeMap<Field, Amount> {
        Amount::parse(payout).into_iter().map(|amount| (Field::UsdPayout, amount)).collect()
    }

    /// `id status payout time`, an empty one with `-`.
    pub fn theirs(text: &str) -> Theirs {
        let parts: Vec<_> = text.split(' ').collect();
        let [id, event, status, payout, time] = parts.try_into().unwrap();
        Theirs {
            line: 2,
            conversion_id: id.to_owned(),
            event: (event != "-").then(|| event.to_owned()),
            status: Status::parse(status),
            happened_at: (time != "-").then(|| at(time)),
            date: None,
            money: amounts(payout),
            currency: None,
            assumed_currency: None,
        }
    }

    pub fn ours(text: &str) -> Ours {
        let Theirs { conversion_id, event, status, happened_at, money, .. } = theirs(text);
        Ours {
            conversion_id,
            event: event.unwrap(),
            status,
            happened_at: happened_at.unwrap(),
            reporting: money.clone(),
            money,
            currency: None,
            key: text.to_owned(),
            last: Last { received_s: 0, changed_at: at("2025-12-01T00:00:00Z") },
            is_duplicate: false,
        }
    }

    fn paired(report: &[&str], stored: &[&str]) -> Vec<String> {
        let report: Vec<_> = report.iter().map(|text| theirs(text)).collect();
        let stored: Vec<_> = stored.iter().map(|text| ours(text)).collect();
        let shown = |pair: Pair| {
            let side = |is: bool, name: &str| if is { name.to_owned() } else { "-".to_owned() };
            let differences: Vec<_> = pair
                .differences
                .iter()
                .map(|differs| format!("{} {} {}", differs.field, differs.theirs, differs.ours))
                .collect();
            format!(
                "{} {}{} {}",
                pair.conversion_id(),
                side(pair.theirs.is_some(), "T"),
                side(pair.ours.is_some(), "O"),
                differences.join("; ")
            )
        };
        pair(&report.iter().collect::<Vec<_>>(), &stored.iter().collect::<Vec<_>>(), &rules())
            .into_iter()
            .map(shown)
            .collect()
    }

    const T: &str = "2025-11-20T10:00:00Z";

    #[test]
    fn what_one_side_has_alone_and_what_differs() {
        assert_eq!(
            paired(
                &[
                    &format!("a - approved 10.50 {T}"),
                    &format!("b - approved 1 {T}"),
                    &format!("d - pending 2 {T}"),
                    "e - approved 3 -"
                ],
                &[
                    &format!("a purchase approved 10.5 {T}"),
                    &format!("c purchase pending 1 {T}"),
                    &format!("d purchase - - {T}"),
                    &format!("e purchase rejected 3.01 {T}")
                ],
            ),
            [
                "a TO ",
                "b T- ",
                "c -O ",
                "d TO status pending ; usd_payout 2.00 ",
                "e TO status approved rejected; usd_payout 3.00 3.01",
            ]
        );
    }

    #[test]
    fn days_are_the_zone_s() {
        // Midnight in Kuala Lumpur is at 16:00 UTC.
        assert_eq!(
            paired(&["a - - 1 2025-11-20T15:59:00Z"], &["a purchase - 1 2025-11-20T16:00:00Z"]),
            ["a TO day 2025-11-20 2025-11-21"]
        );
        assert_eq!(paired(&["a - - 1 2025-11-20T00:00:00Z"], &["a purchase - 1 2025-11-20T15:00:00Z"]), ["a TO "]);
    }

    #[test]
    fn a_date_without_a_time_is_a_day_of_the_zone() {
        // Midnight of the report's clocks is on the day before on ours.
        let dated = |day| Theirs { date: Some(day), ..theirs("a - - 1 2025-11-19T12:00:00Z") };
        let stored = ours("a purchase - 1 2025-11-20T15:59:00Z");
        for (day, differs) in [(Date::constant(2025, 11, 20), 0), (Date::constant(2025, 11, 19), 1)] {
            let pairs = pair(&[&dated(day)], &[&stored], &rules());
            assert_eq!((pairs[0].day(&rules().zone), pairs[0].differences.len()), (Some(day), differs));
        }
    }

    #[test]
    fn under_one_id_each_is_what_it_is_most_like() {
        // A sale and its refund, of which the report has the sale, in another order than ours.
        assert_eq!(
            paired(
                &[&format!("a - approved 10 {T}")],
                &[&format!("a refund - -10 {T}"), &format!("a purchase approved 10 {T}")]
            ),
            ["a TO ", "a -O "]
        );
        // Rows that name their events are of these alone.
        assert_eq!(
            paired(
                &[&format!("a deposit - 5 {T}"), &format!("a registration - 0 {T}")],
                &[&format!("a registration - 0 {T}"), &format!("a first_deposit - 5 {T}")]
            ),
            ["a T- ", "a TO ", "a -O "]
        );
        assert_eq!(
            paired(&[&format!("a - - 5 {T}"), &format!("a refund - -5 {T}")], &[&format!("a refund - -5 {T}")]),
            ["a T- ", "a TO "]
        );
        // A sale is no refund, also where nothing else is left.
        assert_eq!(paired(&[&format!("a - approved 10 {T}")], &[&format!("a refund - -10 {T}")]), ["a T- ", "a -O "]);
        // A correction is below zero and no refund.
        assert_eq!(paired(&[&format!("a - approved -4 {T}")], &[&format!("a conversion approved -4 {T}")]), ["a TO "]);
        // What is alike is one, whichever row comes first.
        assert_eq!(
            paired(
                &[&format!("a - approved 3 {T}"), &format!("a - approved 1 {T}")],
                &[&format!("a purchase approved 1 {T}"), &format!("a purchase approved 2 {T}")]
            ),
            ["a TO usd_payout 3.00 2.00", "a TO "]
        );
        // Two of one kind: by their amounts.
        assert_eq!(
            paired(
                &[&format!("a - approved 1 {T}"), &format!("a - approved 2 {T}")],
                &[&format!("a purchase approved 2 {T}"), &format!("a purchase approved 1 {T}")]
            ),
            ["a TO ", "a TO "]
        );
    }

    #[test]
    fn what_is_marked_as_a_duplicate_is_no_pair() {
        let marked = Ours { is_duplicate: true, ..ours(&format!("a purchase approved 1 {T}")) };
        let pairs = pair(&[&theirs(&format!("a - approved 1 {T}"))], &[&marked], &rules());
        assert!(pairs.len() == 1 && pairs[0].ours.is_none());
    }

    #[test]
    fn thousands_under_one_id_are_taken_in_their_order() {
        let sale = format!("a - approved 1 {T}");
        let report: Vec<_> = (0..30_000).map(|_| theirs(&sale)).collect();
        let refund = ours(&format!("a refund - -1 {T}"));
        let mut stored: Vec<_> = (0..30_000).map(|_| refund.clone()).collect();
        stored.extend((0..20_000).map(|_| ours(&format!("a purchase approved 1 {T}"))));
        let pairs = pair(&report.iter().collect::<Vec<_>>(), &stored.iter().collect::<Vec<_>>(), &rules());
        let both = pairs.iter().filter(|pair| pair.theirs.is_some() && pair.ours.is_some()).count();
        assert_eq!((both, pairs.len()), (20_000, 60_000));
    }

    proptest! {
        /// Nothing is lost and nothing is counted twice, and a pair is never as unlike as two strangers: ids are equal.
        #[test]
        fn each_is_in_one_pair(
            report in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_u8), 0..12),
            stored in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_u8), 0..12),
        ) {
            let text = |(id, event, payout): &(u8, u8, u8), named: bool| {
                let event = ["purchase", "refund", if named { "deposit" } else { "-" }][usize::from(*event)];
                format!("c{id} {event} approved {payout} {T}")
            };
            let report: Vec<_> = report.iter().map(|row| theirs(&text(row, false))).collect();
            let stored: Vec<_> = stored.iter().map(|row| ours(&text(row, true))).collect();
            let pairs = pair(&report.iter().collect::<Vec<_>>(), &stored.iter().collect::<Vec<_>>(), &rules());
            let (mut found, mut kept): (Vec<_>, Vec<_>) = Default::default();
            for pair in &pairs {
                found.extend(pair.theirs.clone());
                kept.extend(pair.ours.clone());
                if let (Some(theirs), Some(ours)) = (&pair.theirs, &pair.ours) {
                    prop_assert_eq!(&theirs.conversion_id, &ours.conversion_id);
                    prop_assert!(theirs.event.is_none() || theirs.event.as_ref() == Some(&ours.event));
                }
            }
            let sorted = |mut texts: Vec<String>| { texts.sort(); texts };
            let of = |all: &[Theirs]| sorted(all.iter().map(|one| format!("{one:?}")).collect());
            let of_ours = |all: &[Ours]| sorted(all.iter().map(|one| format!("{one:?}")).collect());
            prop_assert_eq!(of(&found), of(&report));
            prop_assert_eq!(of_ours(&kept), of_ours(&stored));
            // What could be one is never left alone on both sides.
            for theirs in pairs.iter().filter(|pair| pair.ours.is_none()).filter_map(|pair| pair.theirs.as_ref()) {
                for ours in pairs.iter().filter(|pair| pair.theirs.is_none()).filter_map(|pair| pair.ours.as_ref()) {
                    prop_assert!(theirs.conversion_id != ours.conversion_id || !may_be(theirs, ours));
                }
            }
        }
    }
}
