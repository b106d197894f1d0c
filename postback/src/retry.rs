//! When a postback that could not be delivered is tried again: a schedule of seventy-two hours, with jitter, so that what
//! failed together does not come back together (R19). Pure: which retry it is and whose it is decide the delay.

use crate::id::ContentDigest;

/// Base delays before the first retries, in seconds; all that follow wait [`LAST_DELAY_S`].
const FIRST_DELAYS_S: [u32; 8] = [5, 15, 45, 120, 300, 600, 1_200, 1_800];
/// Base delay before every later retry, in seconds.
const LAST_DELAY_S: u32 = 3_600;
/// Retries until a message is given up: their base delays come to 72 hours and 8 minutes.
pub const RETRIES_MAX: u32 = 79;
/// How long an answer's `Retry-After` may put a retry off, in seconds.
pub const RETRY_AFTER_S_MAX: u32 = 3_600;

/// Base delays by the number of the retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    first_s: Vec<u32>,
    last_s: u32,
    retries_max: u32,
}

impl Schedule {
    /// Seventy-two hours.
    pub fn standard() -> Schedule {
        Schedule { first_s: FIRST_DELAYS_S.to_vec(), last_s: LAST_DELAY_S, retries_max: RETRIES_MAX }
    }

    /// A short one for drills and tests: a delay in seconds for each retry, `1,1,2`.
    pub fn parse(text: &str) -> Option<Schedule> {
        let first_s: Option<Vec<u32>> =
            text.split(',').map(|delay| delay.trim().parse().ok().filter(|delay| *delay <= LAST_DELAY_S)).collect();
        let first_s = first_s.filter(|delays| delays.len() <= FIRST_DELAYS_S.len())?;
        let retries_max = u32::try_from(first_s.len()).ok()?;
        Some(Schedule { first_s, last_s: LAST_DELAY_S, retries_max })
    }

    /// Seconds to wait after a message's attempt number `attempt` (the first is 1) has failed; None when that was the last.
    ///
    /// The jitter is 0 to 25 % upwards, so that the base delays are a lower bound. It follows from the message's name and
    /// the attempt: spread evenly over messages, and the same for everybody who computes it.
    pub fn delay_s(&self, attempt: u32, message: &str) -> Option<u32> {
        if attempt > self.retries_max {
            return None;
        }
        let place = usize::try_from(attempt.saturating_sub(1)).ok()?;
        let base_s = self.first_s.get(place).copied().unwrap_or(self.last_s);
        let jitter_s = u64::from(base_s).saturating_mul(u64::from(jitter(attempt, message))) >> 18;
        Some(base_s.saturating_add(u32::try_from(jitter_s).unwrap_or(0)))
    }

    /// The delay where an answer asks for one, too: the longer of both, the answer's only up to an hour.
    pub fn delay_s_at_least(&self, attempt: u32, message: &str, asked_s: Option<u32>) -> Option<u32> {
        let own_s = self.delay_s(attempt, message)?;
        Some(own_s.max(asked_s.unwrap_or(0).min(RETRY_AFTER_S_MAX)))
    }
}

/// Sixteen bits that look random: the first two bytes of a SHA-256.
fn jitter(attempt: u32, message: &str) -> u16 {
    let mut digest = ContentDigest::of("bytec-jitter-v1");
    digest.add(message);
    digest.add(&attempt.to_string());
    let hex = digest.into_hex();
    hex.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_schedule_is_seventy_two_hours_of_seventy_nine_retries() {
        let standard = Schedule::standard();
        let bases: Vec<_> = (1..=RETRIES_MAX)
            .map(|n| standard.first_s.get(n as usize - 1).copied().unwrap_or(standard.last_s))
            .collect();
        assert_eq!(bases[..9], [5, 15, 45, 120, 300, 600, 1_200, 1_800, 3_600]);
        assert_eq!(bases.iter().sum::<u32>(), 259_685);
        assert!(bases.iter().sum::<u32>() > 72 * 3_600);
        assert!(standard.delay_s(79, "m").is_some());
        assert_eq!(standard.delay_s(80, "m"), None);
    }

    #[test]
    fn jitter_is_upwards_to_a_quarter_and_differs_between_messages() {
        let standard = Schedule::standard();
        let delays: Vec<_> = (0..1_000).map(|n| standard.delay_s(9, &format!("m{n}")).unwrap()).collect();
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!((3_600..3_650).contains(least) && (4_450..4_500).contains(most), "{least} {most}");
        assert_eq!(standard.delay_s(9, "m1"), standard.delay_s(9, "m1"));
    }

    #[test]
    fn an_answer_may_ask_for_more_but_for_an_hour_at_most() {
        let standard = Schedule::standard();
        let delay = |asked_s| standard.delay_s_at_least(1, "m", asked_s).unwrap();
        assert!((5..=6).contains(&delay(None)) && (5..=6).contains(&delay(Some(1))));
        assert_eq!([delay(Some(60)), delay(Some(90_000))], [60, 3_600]);
    }

    #[test]
    fn a_short_schedule_ends_early() {
        let short = Schedule::parse("1, 0,2").unwrap();
        let delays: Vec<_> = (1..=4).map(|attempt| short.delay_s(attempt, "m")).collect();
        assert_eq!(delays, [Some(1), Some(0), Some(2), None]);
        for wrong in ["", "x", "1,,2", "-1", "4000", "1,1,1,1,1,1,1,1,1"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }
}
