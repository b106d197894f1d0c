//! `parked`: postbacks and clicks that automatic delivery gave up on, at the edge: listed, shown, given back to the queue (R54).

mod list;
mod replay;
mod show;

use super::edge::{Edge, Filter, edge_url};
use super::web::UrlArgument;
use super::{ended, wrong};
use clap::{Args, Subcommand};
use list::List;
use replay::Replay;
use reqwest::Url;
use show::Show;
use std::process::ExitCode;

/// What can be done with what is parked.
#[derive(Subcommand)]
pub enum Parked {
    /// List what matches, the longest parked first.
    List(List),
    /// Show one, with all that is kept of it.
    Show(Show),
    /// Give what matches back to the queue. Shows first what that would be, and asks.
    Replay(Replay),
}

/// The edge that is asked, and how it is told.
#[derive(Args)]
pub struct At {
    /// The edge's URL, such as https://network.bytec.com. Your token out of its OPERATOR_TOKENS comes from OPERATOR_TOKEN, or from the
    /// file that OPERATOR_TOKEN_FILE names.
    #[arg(long, env = "EDGE_URL", value_name = "URL", value_parser = UrlArgument(edge_url))]
    edge: Url,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Which are meant; all where nothing is said.
#[derive(Args)]
struct Which {
    /// parked, replaying or delivered.
    #[arg(long, value_name = "WORD")]
    state: Option<String>,
    /// A partner's code.
    #[arg(long, value_name = "CODE")]
    partner: Option<String>,
    /// Why it was parked: exhausted, refused, unknown_partner or unreadable.
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// One event.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    event_id: Option<String>,
    /// One request.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    request_id: Option<String>,
    /// Parked at this time or later; UTC, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Parked before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Which {
    fn filter(self, limit: Option<u32>) -> Filter {
        let Which { state, partner, reason, event_id, request_id, from, to } = self;
        Filter { state, partner, reason, event_id, request_id, from, to, limit }
    }
}

/// Runs the command. 0: done; 1: failed, or nobody said yes; 2: wrong usage, or no token.
pub async fn parked(command: Parked) -> ExitCode {
    let (Parked::List(List { at, .. }) | Parked::Show(Show { at, .. }) | Parked::Replay(Replay { at, .. })) = &command;
    let edge = match Edge::of_operator(at.edge.clone(), |name| std::env::var(name).ok()) {
        Ok(edge) => edge,
        Err(problem) => return wrong(&problem),
    };
    ended(match command {
        Parked::List(command) => list::list(&edge, command).await,
        Parked::Show(command) => show::show(&edge, command).await,
        Parked::Replay(command) => replay::replay(&edge, command).await,
    })
}
