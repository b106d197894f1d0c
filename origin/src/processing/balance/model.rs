//! Properties of the balance, beside a model that was written from the rules and not from the code: one sale in one currency, returns in
//! that currency. The wider generator at the end has several sales, other currencies and missing rates; there only invariants are held.

#![expect(clippy::arithmetic_side_effects, reason = "a test stops where a sum overflows")]

use super::tests::{day, rates};
use super::*;
use crate::processing::Finding;
use crate::store::worklist::SaleId;
use postback::duplicate::RefundRepeat;
use postback::money::Amount;
use postback::status::Status;
use proptest::prelude::*;

/// A return in the model: what it says of each side, and whether it counts.
#[derive(Clone, Debug)]
struct Said {
    sale: Option<i64>,
    payout: Option<i64>,
    counts: bool,
}

/// What each return of a sale takes from one side in micro-units, from what all of them say, in order of receipt.
fn model(came: [i64; 2], counts: bool, returns: &[Said], rules: &RefundRules) -> Vec<[i64; 2]> {
    let says = |index: usize, side: usize| [returns[index].sale, returns[index].payout][side];
    let mut takes = vec![[0_i64; 2]; returns.len()];
    if !counts {
        return takes;
    }
    let counting: Vec<usize> = (0..returns.len()).filter(|index| returns[*index].counts).collect();
    let taken = |takes: &[[i64; 2]], side: usize| takes.iter().map(|take| take[side]).sum::<i64>();
    // Returns with an amount count as said; with `cap` the latest are trimmed until all comes to what came.
    for side in 0..2 {
        for index in &counting {
            takes[*index][side] = says(*index, side).unwrap_or(0);
        }
        for index in counting.iter().rev() {
            let over = (taken(&takes, side) - came[side]).max(0);
            if rules.exceeding == OnExceeding::Cap {
                takes[*index][side] -= over.min(takes[*index][side]);
            }
        }
    }
    // The other amount goes back in proportion, never more than is left; who returns the last of the one returns the last of the other.
    for (side, other) in [(0, 1), (1, 0)] {
        let mut returned = 0_i128;
        for index in &counting {
            if says(*index, side).is_none() {
                continue;
            }
            let share = |returned: i128| {
                let [came, other_came] = [came[side], came[other]].map(i128::from);
                let (whole, rest) = (returned * other_came / came, returned * other_came % came);
                whole + i128::from(rest * 2 > came || rest * 2 == came && whole % 2 == 1)
            };
            let before = returned;
            returned += i128::from(takes[*index][side]);
            if says(*index, other).is_some() || rules.other_amount == OtherAmount::Stated {
                continue;
            }
            let left = (came[other] - taken(&takes, other)).max(0);
            let part = i64::try_from(share(returned) - share(before)).unwrap();
            takes[*index][other] =
                if (before + 1..=returned).contains(&i128::from(came[side])) { left } else { part.min(left) };
        }
    }
    // Returns without any amount: the first takes all that is left.
    for side in 0..2 {
        if let Some(first) =
            counting.iter().find(|index| returns[**index].sale.is_none() && returns[**index].payout.is_none())
        {
            takes[*first][side] = (came[side] - taken(&takes, side)).max(0);
        }
    }
    takes
}

fn members(came: [i64; 2], status: Status, returns: &[Said]) -> Vec<Member> {
    let statement = |micros: Option<i64>| Statement {
        amount: micros.map(|micros| Amount::from_micros(micros).unwrap()),
        currency: Some("MYR".to_owned()),
        dollars: None,
    };
    let sale = Member {
        conversion_key: "sale".to_owned(),
        occurrence: 1,
        kind: Kind::Sale,
        received: (1000, "r".to_owned()),
        status: Some(status),
        is_duplicate: false,
        sale: statement(Some(came[0])),
        payout: statement(Some(came[1])),
        day: day("2026-11-20"),
        names: NamedSale::Unnamed,
        reductions: Vec::new(),
    };
    let back = |(index, said): (usize, &Said)| Member {
        conversion_key: format!("return{index}"),
        kind: if index % 2 == 0 { Kind::Refund } else { Kind::Chargeback },
        // Some were received before their sale, and some in the same millisecond.
        received: (998 + i64::try_from(index).unwrap() / 2, format!("r{index:03}")),
        status: (!said.counts).then_some(Status::Rejected),
        sale: statement(said.sale),
        payout: statement(said.payout),
        day: day("2026-11-26"),
        ..sale.clone()
    };
    std::iter::once(sale.clone()).chain(returns.iter().enumerate().map(back)).collect()
}

fn said() -> impl Strategy<Value = Said> {
    let amount = || {
        prop_oneof![
            Just(None),
            (0_i64..=40_000_000).prop_map(Some),
            (0_i64..=40).prop_map(|units| Some(units * 1_000_000))
        ]
    };
    (amount(), amount(), prop::bool::weighted(0.9)).prop_map(|(sale, payout, counts)| Said { sale, payout, counts })
}

fn rules() -> impl Strategy<Value = RefundRules> {
    let exceeding = prop::sample::select(vec![OnExceeding::Flag, OnExceeding::Cap]);
    let other_amount = prop::sample::select(vec![OtherAmount::InProportion, OtherAmount::Stated]);
    (exceeding, other_amount).prop_map(|(exceeding, other_amount)| RefundRules {
        exceeding,
        other_amount,
        repeat: RefundRepeat::Restate,
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![4 => Just(Status::Approved), 1 => Just(Status::Pending), 1 => Just(Status::Rejected)]
}

fn micros(amount: Option<Amount>) -> i64 {
    amount.unwrap().micros()
}

fn sides(balanced: &Balanced) -> [&Statement; 2] {
    let counted = balanced.counted.as_ref().unwrap();
    [&counted.sale, &counted.payout]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_return_takes_what_the_model_says(
        came in [1_i64..=100_000_000, 1_i64..=10_000_000],
        status in status(),
        returns in prop::collection::vec(said(), 0..7),
        rules in rules(),
    ) {
        let members = members(came, status, &returns);
        let found = balance(&members, &rules, &rates());
        let expected = model(came, status != Status::Rejected, &returns, &rules);
        let rate = rates().between("MYR", "USD", day("2026-11-20")).unwrap();
        for side in 0..2 {
            let total = rate.convert(Amount::from_micros(came[side]).unwrap()).unwrap().micros();
            let (mut base, mut dollars) = (0_i64, 0_i64);
            for (index, (balanced, expected)) in found[1..].iter().zip(&expected).enumerate() {
                let counted = sides(balanced)[side];
                let is_said = [returns[index].sale, returns[index].payout][side].is_some();
                // A side of which nothing goes back may be left out, where the return does not state it.
                if counted.amount.is_none() {
                    prop_assert!(!is_said && expected[side] == 0 && counted.dollars.is_none(), "{index} of {found:#?}");
                    continue;
                }
                prop_assert_eq!(micros(counted.amount), -expected[side], "side {} of {} of {:#?}", side, index, found);
                prop_assert_eq!(counted.currency.as_deref(), Some("MYR"));
                base += expected[side];
                dollars -= micros(counted.dollars);
                if status != Status::Rejected {
                    // By the sale's own rate, and all returns so far together are rounded once.
                    let exact = rust_decimal::Decimal::from(i128::from(total) * i128::from(base)) / rust_decimal::Decimal::from(came[side]);
                    let off = (exact - rust_decimal::Decimal::from(dollars)).abs();
                    prop_assert!(off <= rust_decimal::Decimal::new(5, 1), "{exact} and {dollars} of {found:#?}");
                }
                if base == came[side] && expected[side] > 0 {
                    prop_assert_eq!(dollars, total, "a sale that is wholly returned comes to exactly nothing");
                }
            }
        }
    }
}

/// A statement of any kind: nothing, local, dollars or both, also in a currency that has no rate.
fn statement() -> impl Strategy<Value = Statement> {
    let amount = || prop::option::of((0_i64..=50).prop_map(|units| Amount::from_micros(units * 1_234_567).unwrap()));
    let currency = prop::sample::select(vec![Some("MYR"), Some("MYR"), Some("USD"), Some("EUR"), Some("XXX"), None]);
    (amount(), currency, prop_oneof![3 => Just(None), 1 => amount()])
        .prop_map(|(amount, currency, dollars)| Statement { amount, currency: currency.map(str::to_owned), dollars })
}

fn member() -> impl Strategy<Value = Member> {
    let kind = prop::sample::select(vec![Kind::Sale, Kind::Sale, Kind::Refund, Kind::Refund, Kind::Chargeback]);
    let status = prop::option::of(prop::sample::select(Status::ALL.to_vec()));
    let reduction = (
        prop::sample::select(Side::ALL.to_vec()),
        prop::option::of((1_i64..=50).prop_map(|units| Amount::from_micros(units * 1_234_567).unwrap())),
        prop::sample::select(vec![Some("MYR".to_owned()), Some("USD".to_owned()), None]),
        prop::option::of((1_i64..=50).prop_map(|units| Amount::from_micros(units * 1_234_567).unwrap())),
    );
    let reduction = reduction
        .prop_map(|(side, amount, currency, dollars)| Reduction { side, by: Statement { amount, currency, dollars } });
    let reductions = prop::collection::vec(reduction, 0..3);
    let known = |key: &str, occurrence| NamedSale::Known(SaleId { conversion_key: key.to_owned(), occurrence });
    let names = prop_oneof![
        7 => Just(NamedSale::Unnamed),
        1 => Just(NamedSale::Unknown),
        2 => prop::sample::select(vec![known("k0", 1), known("k1", 1), known("k1", 2), known("k9", 1)]),
    ];
    // The last of these days has no rates yet, so the days before are provisional at most.
    let day = prop::sample::select(vec![day("2026-11-20"), day("2026-11-26"), day("2026-11-27"), day("2026-10-01")]);
    (kind, 0_i64..6, status, prop::bool::weighted(0.1), statement(), statement(), (day, names, reductions)).prop_map(
        |(kind, at, status, is_duplicate, sale, payout, (day, names, reductions))| Member {
            conversion_key: String::new(),
            occurrence: 1,
            kind,
            received: (at, String::new()),
            status,
            is_duplicate,
            sale,
            payout,
            day,
            names: if kind == Kind::Sale { NamedSale::Unnamed } else { names },
            reductions: if kind == Kind::Sale { reductions } else { Vec::new() },
        },
    )
}

fn group() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(member(), 0..8).prop_map(|mut members| {
        for (index, member) in members.iter_mut().enumerate() {
            member.conversion_key = format!("k{index}");
            member.received.1 = format!("r{index}");
        }
        members
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_order_of_the_members_does_not_matter(
        (members, shuffled) in group().prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
        rules in rules(),
    ) {
        let by_key = |members: &[Member]| {
            let balanced = balance(members, &rules, &rates());
            assert_eq!(balanced.len(), members.len());
            let mut rows: Vec<_> = members.iter().map(|member| member.conversion_key.clone()).zip(balanced).collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            rows
        };
        prop_assert_eq!(by_key(&members), by_key(&shuffled));
    }

    #[test]
    fn returns_never_bring_money_and_findings_are_named_once(members in group(), rules in rules()) {
        for (member, balanced) in members.iter().zip(balance(&members, &rules, &rates())) {
            prop_assert_eq!(balanced.counted.is_some(), member.kind != Kind::Sale);
            for finding in &balanced.findings {
                prop_assert_eq!(balanced.findings.iter().filter(|other| *other == finding).count(), 1);
            }
            prop_assert!(!balanced.findings.contains(&Finding::RateMissing) || balanced.waits_for_rates);
            prop_assert!(!balanced.findings.contains(&Finding::RateProvisional) || balanced.waits_for_rates);
            if member.kind == Kind::Sale {
                continue;
            }
            for statement in sides(&balanced) {
                prop_assert!(statement.amount.is_none_or(|amount| amount.micros() <= 0));
                prop_assert!(statement.dollars.is_none_or(|amount| amount.micros() <= 0));
            }
            if member.status == Some(Status::Rejected) || member.is_duplicate || balanced.findings.contains(&Finding::OriginalRejected) {
                for statement in sides(&balanced) {
                    prop_assert_eq!((micros(statement.amount), micros(statement.dollars)), (0, 0));
                }
            }
        }
    }

    #[test]
    fn with_cap_nothing_overdraws_a_sale_whatever_the_currencies_of_its_returns(
        came in 0_i64..=50_000_000,
        dollars in prop::option::of(0_i64..=20_000_000),
        other_amount in prop::sample::select(vec![OtherAmount::InProportion, OtherAmount::Stated]),
        mut members in group(),
    ) {
        let kept = |member: &Member| member.kind != Kind::Sale && member.names == NamedSale::Unnamed;
        members.retain(kept);
        let amount = |micros: i64| Amount::from_micros(micros);
        let local = Statement { amount: amount(came), currency: Some("MYR".to_owned()), dollars: dollars.and_then(amount) };
        let in_dollars = Statement { amount: None, currency: None, dollars: amount(came) };
        let sale = self::members([0, 0], Status::Approved, &[]).remove(0);
        // A local zero beside dollars is balanced in dollars.
        prop_assume!(came > 0);
        members.push(Member { sale: local, payout: in_dollars, ..sale });
        let rules = RefundRules { exceeding: OnExceeding::Cap, other_amount, repeat: RefundRepeat::Restate };
        let (mut returned, mut in_dollars_returned, mut is_emptied) = ([0_i64; 2], 0_i64, false);
        let by_its_day = rates().between("MYR", "USD", day("2026-11-20")).and_then(|rate| rate.convert(Amount::from_micros(came)?));
        let in_dollars_came = dollars.unwrap_or(by_its_day.unwrap().micros());
        for (member, balanced) in members.iter().zip(balance(&members, &rules, &rates())).filter(|(member, _)| member.kind != Kind::Sale) {
            let [sale, payout] = sides(&balanced);
            // What is undecided is in its own currency still.
            let is_decided = !balanced.findings.contains(&Finding::RateMissing) && !balanced.findings.contains(&Finding::CurrencyMissing);
            returned[0] += sale.amount.filter(|_| is_decided).map_or(0, Amount::micros);
            returned[1] += payout.dollars.map_or(0, Amount::micros);
            in_dollars_returned += sale.dollars.map_or(0, Amount::micros);
            is_emptied |= member.states_nothing() && member.counts() && !balanced.waits_for_rates;
        }
        prop_assert!(returned[0] >= -came && returned[1] >= -came, "{came} and {returned:?}");
        prop_assert!(in_dollars_returned >= -in_dollars_came, "{in_dollars_came} and {in_dollars_returned}");
        prop_assert!(!is_emptied || returned[1] == -came, "{came} and {returned:?}");
    }

    #[test]
    fn with_cap_a_sale_in_dollars_is_never_overdrawn(
        came in 0_i64..=60_000_000,
        amounts in prop::collection::vec(prop::option::of(0_i64..=50_000_000), 0..6),
    ) {
        let in_dollars = |micros: Option<i64>| Statement { amount: None, currency: None, dollars: micros.and_then(Amount::from_micros) };
        let returns: Vec<_> = amounts.iter().map(|_| Said { sale: None, payout: None, counts: true }).collect();
        let mut members = members([0, 0], Status::Approved, &returns);
        for (member, micros) in members.iter_mut().zip(std::iter::once(Some(came)).chain(amounts.iter().copied())) {
            (member.sale, member.payout) = (in_dollars(micros), in_dollars(None));
        }
        let rules = RefundRules { exceeding: OnExceeding::Cap, other_amount: OtherAmount::InProportion, repeat: RefundRepeat::Restate };
        let found = balance(&members, &rules, &rates());
        let returned: i64 = found[1..].iter().map(|balanced| micros(sides(balanced)[0].dollars)).sum();
        let stated: i64 = amounts.iter().flatten().sum();
        let is_all = stated >= came || amounts.contains(&None);
        prop_assert_eq!(came + returned, if is_all { 0 } else { came - stated });
        prop_assert_eq!(found[0].findings.contains(&Finding::RefundExceedsSale), stated > came);
    }
}
