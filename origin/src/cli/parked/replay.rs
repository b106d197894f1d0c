//! `parked replay`: what is parked goes back to the queue, when somebody has seen what that is.

use super::{At, Which};
use crate::cli::edge::{Edge, Filter, Replayed};
use crate::cli::print;
use crate::cli::terminal::{columns, confirm, json, plain};
use clap::Args;

/// What is replayed.
#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    which: Which,
    /// At most so many, the longest parked first; 1000 where it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Filter::LIMIT_MAX)))]
    limit: Option<u32>,
    /// Only say what would be replayed.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    pub at: At,
}

/// Runs the command.
///
/// # Errors
/// Nothing was replayed, or not all.
pub async fn replay(edge: &Edge, command: Replay) -> Result<(), String> {
    let Replay { which, limit, dry_run, yes, at } = command;
    let mut filter = which.filter(limit);
    let planned = edge.replay(&filter, true).await?;
    let count = count(&planned, limit);
    if dry_run {
        print(&if at.json { json(&planned)? } else { counts(&planned, "would be replayed", count) });
        return Ok(());
    }
    if !yes {
        // On standard output stands nothing but what was done.
        eprintln!("{}", counts(&planned, "will be replayed", count));
        if count > 0 {
            confirm(
                &format!("give {count} back to the queue at {}?", edge.name()),
                "look with --dry-run, then say --yes",
            )
            .map_err(|why| format!("nothing was replayed: {why}"))?;
            // What was parked since nobody has seen.
            filter.limit = Some(count);
        }
    }
    let done = edge.replay(&filter, false).await?;
    print(&if at.json { json(&done)? } else { format!("{} in the queue again, {} left", done.replayed, done.left) });
    match done.problem {
        None => Ok(()),
        Some(problem) => Err(format!("not all: {}; what did not get into the queue is parked again", plain(&problem))),
    }
}

/// How many of what matches one replay takes.
fn count(planned: &Replayed, limit: Option<u32>) -> u32 {
    let limit = limit.unwrap_or(Filter::LIMIT_MAX);
    u32::try_from(planned.matching).map_or(limit, |matching| matching.min(limit))
}

fn counts(planned: &Replayed, what: &str, count: u32) -> String {
    if planned.matching == 0 {
        return "nothing is parked that matches".to_owned();
    }
    let groups = planned.by_partner_and_reason.iter().map(|group| {
        vec![group.partner.clone().unwrap_or_else(|| "-".to_owned()), group.reason.clone(), group.count.to_string()]
    });
    let head = ["partner", "reason", "parked"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(groups).collect();
    format!("{}\n{count} of {} {what}", columns(&rows), planned.matching)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(matching: u64) -> Replayed {
        let groups = serde_json::json!([
            {"partner": "rector", "reason": "refused", "count": 1}, {"partner": null, "reason": "unreadable", "count": matching.saturating_sub(1)},
        ]);
        let by_partner_and_reason = serde_json::from_value(groups).unwrap();
        Replayed { dry_run: true, matching, replayed: 0, left: matching, by_partner_and_reason, problem: None }
    }

    #[test]
    fn one_replay_takes_what_matches_up_to_its_limit() {
        for (matching, limit, expected) in
            [(3, None, 3), (3, Some(2), 2), (3, Some(7), 3), (5_000, None, 1_000), (u64::MAX, Some(9), 9)]
        {
            assert_eq!(count(&planned(matching), limit), expected, "{matching} {limit:?}");
        }
    }

    #[test]
    fn what_is_meant_is_shown_by_partner_and_reason() {
        assert_eq!(
            counts(&planned(3), "will be replayed", 2),
            "partner  reason      parked\nrector   refused     1\n-        unreadable  2\n2 of 3 will be replayed"
        );
        let nothing = Replayed { matching: 0, ..planned(1) };
        assert_eq!(counts(&nothing, "would be replayed", 0), "nothing is parked that matches");
    }
}
