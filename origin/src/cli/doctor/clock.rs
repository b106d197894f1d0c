//! The clock: a signature is believed for five minutes before and after the instant that it names, so clocks may stand apart by less.

use super::code::Code;
use super::finding::{Checked, Finding};
use postback::limits::SIGNATURE_WINDOW_S;

/// From here on somebody should look, in milliseconds: a clock that is kept is not so far off.
const APART_MS: u64 = 30_000;

/// What our clock is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Whose clock it is.
    pub whose: String,
    /// How far it is ahead of ours, in milliseconds.
    pub ahead_ms: i64,
}

/// What is wrong with our clock, or another.
pub fn check(others: &[Other]) -> Checked {
    if others.is_empty() {
        return Checked::skipped(
            "clock",
            "nothing to compare it with: --edge https://network.bytec.com, or a PostgreSQL",
        );
    }
    let told: Vec<_> = others.iter().map(|other| format!("{} {:+} s", other.whose, other.ahead_ms / 1_000)).collect();
    Checked::new("clock", "", told.join(", "), others.iter().filter_map(judge).collect())
}

fn judge(other: &Other) -> Option<Finding> {
    let Other { whose, ahead_ms } = other;
    let apart_ms = ahead_ms.unsigned_abs();
    let direction = if *ahead_ms < 0 { "behind" } else { "ahead of" };
    let says = format!("the clock of {whose} is {} s {direction} ours", apart_ms / 1_000);
    let hint = "on the machine whose clock is wrong: timedatectl, then sudo timedatectl set-ntp true; the right time: curl -sI https://cloudflare.com | grep -i ^date";
    let code = if apart_ms > SIGNATURE_WINDOW_S.unsigned_abs().saturating_mul(1_000) {
        Code::ClockOutsideWindow
    } else if apart_ms > APART_MS {
        Code::ClockApart
    } else {
        return None;
    };
    Some(Finding::new(code, says, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_stand_apart_by_a_little() {
        let code = |ahead_ms| judge(&Other { whose: "x".to_owned(), ahead_ms }).map(|finding| finding.code.name());
        for (s, expected) in [
            (0, None),
            (29, None),
            (-29, None),
            (31, Some("clock_apart")),
            (-299, Some("clock_apart")),
            (301, Some("clock_outside_window")),
            (-3_600, Some("clock_outside_window")),
        ] {
            assert_eq!(code(s * 1_000), expected, "{s}");
        }
        assert_eq!(check(&[]).state(), "skipped");
    }
}
