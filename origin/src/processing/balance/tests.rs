use super::*;
use crate::store::worklist::SaleId;
use chrono::NaiveDate;
use postback::duplicate::RefundRepeat;
use postback::money::Amount;
use postback::status::Status;

pub(super) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Rates of two days. Those of the 27th are still to come, and there are none in October.
pub(super) fn rates() -> Rates {
    let mut rates = Rates::default();
    for (date, currency, rate) in [
        ("2026-11-20", "USD", "1.1520"),
        ("2026-11-20", "MYR", "4.7790"),
        ("2026-11-26", "USD", "1.1600"),
        ("2026-11-26", "MYR", "4.7500"),
    ] {
        rates.add(day(date), currency, rate.parse().unwrap());
    }
    rates
}

const FLAG: RefundRules = RefundRules {
    exceeding: OnExceeding::Flag,
    other_amount: OtherAmount::InProportion,
    repeat: RefundRepeat::Restate,
};
const CAP: RefundRules =
    RefundRules { exceeding: OnExceeding::Cap, other_amount: OtherAmount::InProportion, repeat: RefundRepeat::Restate };
const STATED: RefundRules =
    RefundRules { exceeding: OnExceeding::Flag, other_amount: OtherAmount::Stated, repeat: RefundRepeat::Restate };

/// `470 MYR`, `470 MYR = 100`, `= 100` (dollars), `470` (no currency), or nothing.
fn statement(text: &str) -> Statement {
    let (local, dollars) = text.split_once('=').unwrap_or((text, ""));
    let (amount, currency) = local.trim().split_once(' ').unwrap_or((local.trim(), ""));
    let amount_of = |text: &str| (!text.trim().is_empty()).then(|| Amount::parse(text.trim()).unwrap());
    let currency = (!currency.is_empty()).then(|| currency.to_owned());
    Statement { amount: amount_of(amount), currency, dollars: amount_of(dollars) }
}

fn text(statement: &Statement) -> String {
    let local = statement.amount.iter().map(ToString::to_string);
    let dollars = statement.dollars.iter().map(|dollars| format!("= {dollars}"));
    let words: Vec<String> = local.chain(statement.currency.clone()).chain(dollars).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

/// A member that was received at that millisecond, and happened on the 20th (a sale) or the 26th.
fn member(kind: Kind, at: i64, sale: &str, payout: &str) -> Member {
    Member {
        conversion_key: format!("k{at}"),
        occurrence: 1,
        kind,
        received: (at, format!("r{at}")),
        status: Some(Status::Approved),
        is_duplicate: false,
        sale: statement(sale),
        payout: statement(payout),
        day: day(if kind == Kind::Sale { "2026-11-20" } else { "2026-11-26" }),
        names: NamedSale::Unnamed,
        reductions: Vec::new(),
    }
}

fn sale(at: i64, sale: &str, payout: &str) -> Member {
    member(Kind::Sale, at, sale, payout)
}

fn refund(at: i64, sale: &str, payout: &str) -> Member {
    member(Kind::Refund, at, sale, payout)
}

fn chargeback(at: i64, sale: &str, payout: &str) -> Member {
    member(Kind::Chargeback, at, sale, payout)
}

fn rejected(member: Member) -> Member {
    Member { status: Some(Status::Rejected), ..member }
}

/// What is found of each member: amounts of a return, then findings and marks.
fn found(members: &[Member], rules: &RefundRules) -> Vec<String> {
    let line = |balanced: Balanced| {
        let counted = balanced.counted.map(|counted| format!("{} | {}", text(&counted.sale), text(&counted.payout)));
        let findings = balanced.findings.iter().map(|finding| finding.code().to_owned());
        let marks = [(balanced.waits_for_rates, "waits"), (balanced.is_charged_back, "charged back")];
        let marks = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark.to_owned());
        counted.into_iter().chain(findings).chain(marks).collect::<Vec<_>>().join(", ")
    };
    balance(members, rules, &rates()).into_iter().map(line).collect()
}

#[test]
fn a_return_without_an_amount_takes_what_is_left() {
    let members = [sale(1, "50 USD", ""), refund(2, "15 USD", ""), refund(3, "", "")];
    let expected = ["", "-15.00 USD = -15.00 | -", "-35.00 USD = -35.00 | -, amount_of_original"];
    assert_eq!(found(&members, &FLAG), expected);
    // Also where it was received first, and before its sale.
    let members = [sale(3, "50 USD", "5 USD"), refund(1, "", ""), refund(2, "15 USD", "2 USD"), refund(4, "", "")];
    let expected = [
        "",
        "-35.00 USD = -35.00 | -3.00 USD = -3.00, amount_of_original",
        "-15.00 USD = -15.00 | -2.00 USD = -2.00",
        "0.00 USD = 0.00 | 0.00 USD = 0.00, nothing_left",
    ];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn a_rejected_sale_has_nothing_to_return() {
    let members = [rejected(sale(1, "10.50 USD", "")), refund(2, "10.50 USD", "")];
    assert_eq!(found(&members, &FLAG), ["", "0.00 USD = 0.00 | 0.00 = 0.00, original_rejected"]);
    let members = [rejected(sale(1, "100 USD", "10 USD")), refund(2, "", ""), chargeback(3, "", "")];
    let nothing = "0.00 USD = 0.00 | 0.00 USD = 0.00, original_rejected";
    assert_eq!(found(&members, &CAP), ["", nothing, nothing]);
    let members = [Member { is_duplicate: true, ..sale(1, "100 USD", "10 USD") }, refund(2, "100 USD", "10 USD")];
    assert_eq!(found(&members, &FLAG), ["", nothing]);
    // Approved again, they count again.
    let members = [sale(1, "100 USD", "10 USD"), refund(2, "", ""), chargeback(3, "", "")];
    let expected = [
        "",
        "-100.00 USD = -100.00 | -10.00 USD = -10.00, amount_of_original",
        "0.00 USD = 0.00 | 0.00 USD = 0.00, nothing_left",
    ];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn a_rejected_return_takes_nothing() {
    let members = [sale(1, "100 USD", ""), rejected(refund(2, "30 USD", "")), refund(3, "", "")];
    let expected = ["", "0.00 USD = 0.00 | 0.00 = 0.00", "-100.00 USD = -100.00 | -, amount_of_original"];
    assert_eq!(found(&members, &FLAG), expected);
    let members = [sale(1, "100 USD", ""), Member { is_duplicate: true, ..refund(2, "", "") }, refund(3, "", "")];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn more_than_came_is_found_and_counted_or_trimmed() {
    let members = [sale(1, "100 USD", "10 USD"), refund(2, "250 USD", "25 USD")];
    let exceeds = "refund_exceeds_sale";
    let flagged = format!("-250.00 USD = -250.00 | -25.00 USD = -25.00, {exceeds}");
    assert_eq!(found(&members, &FLAG), [exceeds, &flagged]);
    let all = format!("-100.00 USD = -100.00 | -10.00 USD = -10.00, {exceeds}");
    assert_eq!(found(&members, &CAP), [exceeds, &all]);
    // The latest received are trimmed, to nothing where they have to be, and exactly in dollars too.
    let members =
        [sale(1, "470 MYR", ""), refund(2, "300 MYR", ""), refund(4, "200 MYR", ""), refund(3, "300 MYR = 60", "")];
    let expected = [
        exceeds,
        "-300.00 MYR = -72.316384 | -",
        "0.00 MYR = 0.00 | -, refund_exceeds_sale",
        "-170.00 MYR = -40.979285 | -, refund_exceeds_sale",
    ];
    assert_eq!(found(&members, &CAP), expected);
    // In another currency than the sale, which is in dollars, the amount is trimmed with its dollars.
    let members = [sale(1, "= 10", ""), refund(2, "84 MYR = 20", "")];
    assert_eq!(found(&members, &CAP), [exceeds, "-42.00 MYR = -10.00 | -, refund_exceeds_sale"]);
    // Nothing is known to have come on the side.
    let members = [sale(1, "", "10 USD"), refund(2, "1000 USD", "10 USD")];
    assert_eq!(found(&members, &CAP), ["", "-1000.00 USD = -1000.00 | -10.00 USD = -10.00"]);
}

#[test]
fn only_the_latest_that_overdraw_a_sale_are_found() {
    let members = [sale(1, "100 USD", ""), refund(4, "40 USD", ""), refund(3, "50 USD", ""), refund(2, "60 USD", "")];
    let expected = [
        "refund_exceeds_sale",
        "-40.00 USD = -40.00 | -, refund_exceeds_sale",
        "-50.00 USD = -50.00 | -, refund_exceeds_sale",
        "-60.00 USD = -60.00 | -",
    ];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn a_wholly_returned_sale_comes_to_nothing_in_dollars_whatever_the_rates_of_other_days() {
    let members = [sale(1, "470 MYR", ""), refund(2, "470 MYR", "")];
    assert_eq!(found(&members, &FLAG), ["", "-470.00 MYR = -113.295669 | -"]);
    let rate = &balance(&members, &FLAG, &rates())[1].rate;
    assert_eq!(rate.as_ref().map(|rate| rate.date), Some(day("2026-11-20")));
    // In parts: one, two and three thirds of a dollar, each rounded once.
    let members = [sale(1, "3 MYR = 1", ""), refund(2, "1 MYR", ""), refund(3, "1", ""), refund(4, "", "")];
    let expected =
        ["", "-1.00 MYR = -0.333333 | -", "-1.00 MYR = -0.333334 | -", "-1.00 MYR = -0.333333 | -, amount_of_original"];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn stated_dollars_stand_and_what_exhausts_the_sale_takes_the_dollars_that_are_left() {
    let members = [sale(1, "470 MYR = 100", ""), refund(2, "235 MYR = 48", ""), refund(3, "235 MYR", "")];
    assert_eq!(found(&members, &FLAG), ["", "-235.00 MYR = -48.00 | -", "-235.00 MYR = -52.00 | -"]);
    let members = [sale(1, "470 MYR = 100", ""), refund(2, "", ""), refund(3, "235 MYR = 48", "")];
    let expected = ["", "-235.00 MYR = -52.00 | -, amount_of_original", "-235.00 MYR = -48.00 | -"];
    assert_eq!(found(&members, &FLAG), expected);
    // Dollars alone are worth the sale's own rate, and so many of them as came are all of it.
    let members = [sale(1, "470 MYR = 98.34", ""), refund(2, "= 33.33", ""), refund(3, "= 65.01", "")];
    assert_eq!(found(&members, &CAP), ["", "-159.295302 MYR = -33.33 | -", "-310.704698 MYR = -65.01 | -"]);
    let members = [sale(1, "1600000 IDR = 98.34", ""), refund(2, "100000", ""), refund(3, "= 92.19375", "")];
    let expected = ["", "-100000.00 IDR = -6.14625 | -", "-1500000.00 IDR = -92.19375 | -"];
    assert_eq!(found(&members, &FLAG), expected);
    let members = [sale(1, "1600000 IDR = 98.34", ""), refund(2, "333333", ""), refund(3, "= 77.852520", "")];
    let expected = ["", "-333333.00 IDR = -20.48748 | -", "-1266667.00 IDR = -77.85252 | -"];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn more_dollars_than_came_are_found_and_counted_or_trimmed() {
    let exceeds = "refund_exceeds_sale";
    let members = [sale(1, "100 MYR = 20", ""), refund(2, "60 MYR = 25", ""), refund(3, "40 MYR", "")];
    let expected = [exceeds, "-60.00 MYR = -25.00 | -, refund_exceeds_sale", "-40.00 MYR = 0.00 | -"];
    assert_eq!(found(&members, &FLAG), expected);
    let expected = [exceeds, "-60.00 MYR = -20.00 | -, refund_exceeds_sale", "-40.00 MYR = 0.00 | -"];
    assert_eq!(found(&members, &CAP), expected);
    // Also where an amount is left.
    let members = [sale(1, "100 MYR = 20", ""), refund(2, "50 MYR = 50", "")];
    assert_eq!(found(&members, &FLAG), [exceeds, "-50.00 MYR = -50.00 | -, refund_exceeds_sale"]);
    assert_eq!(found(&members, &CAP), [exceeds, "-50.00 MYR = -20.00 | -, refund_exceeds_sale"]);
    // The latest received overdraw it.
    let members = [sale(1, "100 MYR = 20", ""), refund(3, "10 MYR = 12", ""), refund(2, "10 MYR = 15", "")];
    let expected = [exceeds, "-10.00 MYR = -5.00 | -, refund_exceeds_sale", "-10.00 MYR = -15.00 | -"];
    assert_eq!(found(&members, &CAP), expected);
    // What the amounts take too much is found once: by the sale's rate 150 MYR are 30 dollars.
    let members = [sale(1, "100 MYR = 20", ""), refund(2, "100 MYR = 20", ""), refund(3, "50 MYR = 10", "")];
    let expected = [exceeds, "-100.00 MYR = -20.00 | -", "-50.00 MYR = -10.00 | -, refund_exceeds_sale"];
    assert_eq!(found(&members, &FLAG), expected);
    // Less than came is nothing odd, and neither is a sender's rounding that comes to as much.
    let members = [sale(1, "3 MYR = 1", ""), refund(2, "1 MYR = 0.34", ""), refund(3, "2 MYR = 0.66", "")];
    assert_eq!(found(&members, &FLAG), ["", "-1.00 MYR = -0.34 | -", "-2.00 MYR = -0.66 | -"]);
    // A millionth of a dollar for each return is rounding.
    for (first, second) in [("100 MYR = 33.333334", "= 66.666667"), ("150 MYR = 50.000001", "150 MYR = 50")] {
        let members = [sale(1, "300 MYR = 100", ""), refund(2, first, ""), refund(3, second, "")];
        assert!(!found(&members, &CAP).concat().contains(exceeds), "{first} and {second}");
    }
    let members =
        [sale(1, "300 MYR = 100", ""), refund(2, "150 MYR = 50.000002", ""), refund(3, "150 MYR = 50.000001", "")];
    assert_eq!(found(&members, &CAP)[2], "-150.00 MYR = -49.999998 | -, refund_exceeds_sale");
    // Those that state no dollars take what the others leave of them, so that all of the sale is all of its dollars.
    let members =
        [sale(1, "100 MYR = 20", ""), refund(2, "20 MYR = 15", ""), refund(3, "60 MYR", ""), refund(4, "20 MYR", "")];
    let expected = ["", "-20.00 MYR = -15.00 | -", "-60.00 MYR = -5.00 | -", "-20.00 MYR = 0.00 | -"];
    assert_eq!(found(&members, &FLAG), expected);
    // By the rate of the sale's day, while that is not final.
    let late = |member: Member| Member { day: day("2026-11-27"), ..member };
    let members = [late(sale(1, "100 MYR", "")), refund(2, "50 MYR = 50", "")];
    assert_eq!(found(&members, &FLAG)[1], "-50.00 MYR = -50.00 | -, refund_exceeds_sale");
    let expected = "-50.00 MYR = -24.421053 | -, refund_exceeds_sale, rate_provisional, waits";
    assert_eq!(found(&members, &CAP)[1], expected);
    // Nothing is compared with dollars that are not known.
    let early = |member: Member| Member { day: day("2026-10-01"), ..member };
    let members = [early(sale(1, "100 MYR", "")), refund(2, "50 MYR = 50", "")];
    assert_eq!(found(&members, &FLAG), ["", "-50.00 MYR = -50.00 | -"]);
}

#[test]
fn a_sale_of_no_dollars_has_no_rate_and_gives_back_none() {
    let members = [sale(1, "100 MYR = 0", ""), refund(2, "50 MYR", "")];
    assert_eq!(found(&members, &FLAG), ["", "-50.00 MYR = 0.00 | -"]);
    assert_eq!(balance(&members, &FLAG, &rates())[1].rate, None);
    // Ten dollars are 41.484375 MYR by the rate of its day.
    let members = [sale(1, "100 MYR = 0", ""), refund(2, "= 10", ""), refund(3, "", "")];
    let rest = "-58.515625 MYR = 0.00 | -, amount_of_original";
    let expected = ["refund_exceeds_sale", "-41.484375 MYR = -10.00 | -, refund_exceeds_sale", rest];
    assert_eq!(found(&members, &FLAG), expected);
    let expected = ["refund_exceeds_sale", "-41.484375 MYR = 0.00 | -, refund_exceeds_sale", rest];
    assert_eq!(found(&members, &CAP), expected);
}

#[test]
fn another_currency_goes_by_the_rate_of_its_own_day() {
    // 20 EUR are 23.20 dollars on the 26th, and those 96.24375 MYR by the sale's own rate.
    let members = [sale(1, "470 MYR", ""), refund(2, "20 EUR", ""), refund(3, "", "")];
    let expected = ["", "-96.24375 MYR = -23.20 | -", "-373.75625 MYR = -90.095669 | -, amount_of_original"];
    assert_eq!(found(&members, &FLAG), expected);
    // A rate that is still to come is waited for: how much is left is undecided, and what the sale is found to be.
    let members = [sale(1, "470 MYR", ""), refund(2, "20 XXX", ""), refund(3, "", "")];
    let expected = ["waits", "-20.00 XXX | -, rate_missing, waits", "- | -, amount_of_original, rate_missing, waits"];
    assert_eq!(found(&members, &FLAG), expected);
    let late = |member: Member| Member { day: day("2026-11-27"), ..member };
    let members = [sale(1, "470 MYR", ""), late(refund(2, "20 EUR", ""))];
    assert_eq!(found(&members, &FLAG), ["waits", "-96.24375 MYR = -23.20 | -, rate_provisional, waits"]);
    // Whatever is left, the first takes it.
    let members = [sale(1, "470 MYR", ""), refund(2, "20 XXX", ""), refund(3, "", ""), refund(4, "", "")];
    assert_eq!(found(&members, &FLAG)[3], "0.00 MYR = 0.00 | -, nothing_left, waits");
    // One that waits does not hide that nothing is left.
    let members = [sale(1, "470 MYR", ""), refund(2, "20 XXX", ""), refund(3, "470 MYR", ""), refund(4, "", "")];
    let expected = "0.00 MYR = 0.00 | -, nothing_left, waits";
    assert_eq!(found(&members, &FLAG)[3], expected);
}

#[test]
fn without_the_rate_of_the_sale_dollars_are_undecided_unless_stated() {
    let early = |member: Member| Member { day: day("2026-10-01"), ..member };
    let members = [early(sale(1, "470 MYR", "")), refund(2, "100 MYR", ""), refund(3, "70 MYR = 15", "")];
    assert_eq!(found(&members, &FLAG), ["", "-100.00 MYR | -, rate_missing, waits", "-70.00 MYR = -15.00 | -"]);
    let members = [early(sale(1, "470 MYR", "")), refund(2, "= 15", "")];
    assert_eq!(found(&members, &FLAG), ["waits", "= -15.00 | -, rate_missing, waits"]);
    let late = |member: Member| Member { day: day("2026-11-27"), ..member };
    let members = [late(sale(1, "100 MYR", "")), refund(2, "50 MYR", ""), refund(3, "10 MYR = 2", "")];
    let expected = ["", "-50.00 MYR = -12.210526 | -, rate_provisional, waits", "-10.00 MYR = -2.00 | -"];
    assert_eq!(found(&members, &FLAG), expected);
    let members = [sale(1, "100", ""), refund(2, "50", ""), refund(3, "", "")];
    let expected = ["", "-50.00 | -, currency_missing", "-50.00 | -, amount_of_original, currency_missing"];
    assert_eq!(found(&members, &FLAG), expected);
}

#[test]
fn the_side_that_is_not_stated_goes_back_in_proportion() {
    let members =
        [sale(1, "90 USD", "10 USD"), refund(2, "30 USD", ""), refund(3, "30 USD", ""), refund(4, "30 USD", "")];
    let expected = [
        "",
        "-30.00 USD = -30.00 | -3.333333 USD = -3.333333, in_proportion",
        "-30.00 USD = -30.00 | -3.333334 USD = -3.333334, in_proportion",
        "-30.00 USD = -30.00 | -3.333333 USD = -3.333333, in_proportion",
    ];
    assert_eq!(found(&members, &FLAG), expected);
    assert_eq!(found(&members, &STATED)[1..], ["-30.00 USD = -30.00 | -"; 3]);
    // The sale has no such other side.
    let members = [sale(1, "90 USD", ""), refund(2, "30 USD", "")];
    assert_eq!(found(&members, &FLAG), ["", "-30.00 USD = -30.00 | -"]);
    // The last of the one is the last of the other, and never more than is left.
    let members =
        [sale(1, "100 USD", "10 USD"), refund(2, "40 USD", "3 USD"), refund(3, "", "5 USD"), refund(4, "60 USD", "")];
    let expected = [
        "",
        "-40.00 USD = -40.00 | -3.00 USD = -3.00",
        "0.00 USD = 0.00 | -5.00 USD = -5.00, in_proportion",
        "-60.00 USD = -60.00 | -2.00 USD = -2.00, in_proportion",
    ];
    assert_eq!(found(&members, &FLAG), expected);
    let members = [sale(1, "100 USD", "10 USD"), refund(2, "250 USD", "")];
    let expected = "-250.00 USD = -250.00 | -10.00 USD = -10.00, refund_exceeds_sale, in_proportion";
    assert_eq!(found(&members, &FLAG), ["refund_exceeds_sale", expected]);
    // Nothing is known of the side that it states: how much of the other goes back is not said.
    let members = [sale(1, "", "10 USD"), refund(2, "30 USD", "")];
    assert_eq!(found(&members, &FLAG), ["", "-30.00 USD = -30.00 | -10.00 USD = -10.00, amount_of_original"]);
    assert_eq!(found(&members, &STATED), ["", "-30.00 USD = -30.00 | -"]);
}

#[test]
fn a_sale_that_was_reduced_by_what_is_refunded_is_found_and_both_count() {
    let reduced_by = |by: &str| vec![Reduction { side: Side::Sale, by: statement(by) }];
    let reduced = |by: &str| reduced_by(&format!("{by} USD = {by}"));
    let members = [
        Member { reductions: reduced("30"), ..sale(1, "70 USD", "") },
        refund(2, "30 USD", ""),
        refund(3, "30 USD", ""),
    ];
    let found_of = found(&members, &FLAG);
    assert_eq!(
        found_of,
        ["reduced_and_refunded", "-30.00 USD = -30.00 | -, reduced_and_refunded", "-30.00 USD = -30.00 | -"]
    );
    let twice = [reduced("30"), reduced("30")].concat();
    let members =
        [Member { reductions: twice, ..sale(1, "70 USD", "") }, refund(2, "30 USD", ""), refund(3, "30 USD", "")];
    assert_eq!(found(&members, &FLAG)[1..], ["-30.00 USD = -30.00 | -, reduced_and_refunded"; 2]);
    let members = [Member { reductions: reduced("31"), ..sale(1, "70 USD", "30 USD") }, refund(2, "30 USD", "30 USD")];
    assert!(!found(&members, &FLAG).join(",").contains("reduced"));
    // In dollars in either form; another currency is another amount.
    for (by, refunded, is_found) in [
        ("30 USD = 30", "= 30", true),
        ("30 MYR", "30 MYR", true),
        ("30 MYR", "30", true),
        ("30 MYR", "30 EUR", false),
        ("30 EUR", "= 30", false),
        ("30 MYR = 7", "= 7", true),
        ("30 MYR = 7", "7 USD", true),
        ("30 MYR = 7", "30 MYR = 8", true),
        ("30 MYR = 7", "7", false),
        ("= 7", "7", true),
    ] {
        let members = [Member { reductions: reduced_by(by), ..sale(1, "70 MYR", "") }, refund(2, refunded, "")];
        assert_eq!(found(&members, &FLAG).join(",").contains("reduced"), is_found, "{by} {refunded}");
    }
}

#[test]
fn an_excess_leaves_the_dollars_of_what_exhausted_the_sale() {
    let members = [sale(1, "100 MYR", ""), refund(2, "50 MYR = 20", ""), refund(3, "50 MYR", "")];
    let expected = ["-50.00 MYR = -20.00 | -", "-50.00 MYR = -4.105461 | -"];
    assert_eq!(found(&members, &FLAG)[1..], expected);
    let more = [&members[..], &[refund(4, "10 MYR", "")]].concat();
    assert_eq!(found(&more, &FLAG)[1..3], expected);
    assert_eq!(found(&more, &FLAG)[3], "-10.00 MYR = -2.410546 | -, refund_exceeds_sale");
    // The same where the one that states its own is received last.
    let members = [sale(1, "100 MYR", ""), refund(2, "50 MYR", ""), refund(3, "50 MYR = 20", "")];
    assert_eq!(found(&members, &FLAG)[1..], ["-50.00 MYR = -4.105461 | -", "-50.00 MYR = -20.00 | -"]);
}

#[test]
fn of_several_sales_the_newest_that_counts_is_meant_unless_one_is_named() {
    let several = "several_originals";
    let members = [
        sale(1, "100 USD", ""),
        sale(2, "50 USD", ""),
        rejected(sale(3, "7 USD", "")),
        refund(4, "20 USD", ""),
        refund(5, "", ""),
    ];
    let stated = format!("-20.00 USD = -20.00 | -, {several}");
    let rest = format!("-130.00 USD = -130.00 | -, {several}, amount_of_original");
    assert_eq!(found(&members, &FLAG)[3..], [stated, rest]);
    let original = |index: usize| balance(&members, &FLAG, &rates())[index].original.clone();
    assert_eq!(original(3).map(|sale| sale.conversion_key).as_deref(), Some("k2"));
    // The one that it names, also where that is rejected; another than the one that it names is not.
    let names = |key: &str, member: Member| Member {
        names: NamedSale::Known(SaleId { conversion_key: key.to_owned(), occurrence: 1 }),
        ..member
    };
    let members = [
        sale(1, "100 USD", ""),
        sale(2, "50 USD", ""),
        rejected(sale(3, "7 USD", "")),
        names("k1", refund(4, "60 USD", "")),
        names("k3", refund(5, "", "")),
        names("k1", refund(6, "", "")),
        names("k9", refund(7, "5 USD", "")),
    ];
    let expected = [
        "-60.00 USD = -60.00 | -",
        "0.00 USD = 0.00 | 0.00 = 0.00, original_rejected",
        "-40.00 USD = -40.00 | -, amount_of_original",
        "-5.00 USD = -5.00 | -, original_missing",
    ];
    assert_eq!(found(&members, &FLAG)[3..], expected);
    // In several currencies only the dollars can be added up.
    let members = [sale(1, "100 USD", ""), sale(2, "470 MYR", ""), refund(3, "", "")];
    assert_eq!(found(&members, &FLAG)[2], format!("= -213.295669 | -, {several}, amount_of_original"));
    // A registration and a duplicate are no second sale.
    let members = [
        sale(1, "100 USD", ""),
        sale(2, "", ""),
        Member { is_duplicate: true, ..sale(3, "100 USD", "") },
        refund(4, "", ""),
    ];
    assert_eq!(found(&members, &FLAG)[3], "-100.00 USD = -100.00 | -, amount_of_original");
}

#[test]
fn without_a_sale_stated_amounts_count_as_said() {
    let members =
        [refund(1, "10 EUR", "= 2"), refund(2, "", ""), refund(3, "10", "10 XXX"), rejected(refund(4, "10 EUR", ""))];
    let missing = "original_missing";
    let expected = [
        format!("-10.00 EUR = -11.60 | = -2.00, {missing}"),
        format!("- | -, {missing}"),
        format!("-10.00 | -10.00 XXX, {missing}, currency_missing, rate_missing, waits"),
        format!("0.00 EUR = 0.00 | 0.00 = 0.00, {missing}"),
    ];
    assert_eq!(found(&members, &FLAG), expected);
    // A sale without any amount has nothing to give back.
    assert_eq!(found(&[sale(1, "", ""), refund(2, "", "")], &FLAG), ["", "- | -, nothing_left"]);
}

#[test]
fn a_sale_of_which_chargebacks_left_nothing_is_charged_back() {
    let is_charged_back =
        |members: &[Member], rules: &RefundRules| balance(members, rules, &rates())[0].is_charged_back;
    assert!(is_charged_back(&[sale(1, "100 USD", "10 USD"), chargeback(2, "", "")], &FLAG));
    assert!(is_charged_back(
        &[sale(1, "100 USD", "10 USD"), refund(2, "40 USD", ""), chargeback(3, "60 USD", "")],
        &FLAG
    ));
    assert!(is_charged_back(&[sale(1, "100 USD", "10 USD"), chargeback(2, "100 USD", "")], &STATED));
    assert!(is_charged_back(&[sale(1, "", "10 USD"), chargeback(2, "", "10 USD")], &FLAG));
    assert!(!is_charged_back(&[sale(1, "100 USD", ""), refund(2, "", ""), chargeback(3, "", "")], &FLAG));
    assert!(!is_charged_back(&[sale(1, "100 USD", ""), chargeback(2, "99 USD", "")], &FLAG));
    assert!(!is_charged_back(&[sale(1, "100 USD", "10 USD"), chargeback(2, "1 USD", "10 USD")], &FLAG));
    assert!(!is_charged_back(&[rejected(sale(1, "100 USD", "")), chargeback(2, "", "")], &FLAG));
}

#[test]
fn what_cannot_be_stored_is_found() {
    let most = "999999999999.999999";
    let members = [sale(1, &format!("{most} USD"), ""), sale(2, &format!("{most} USD"), ""), refund(3, "", "")];
    let expected = "- | -, several_originals, amount_of_original, amount_out_of_range";
    assert_eq!(found(&members, &FLAG)[2].replace("USD | ", "- | "), expected);
    let members = [sale(1, "= 0.000001", ""), refund(2, &format!("{most} EUR"), "")];
    let expected = format!("-{most} EUR | -, amount_out_of_range");
    assert_eq!(found(&members, &FLAG), [String::new(), expected]);
}
