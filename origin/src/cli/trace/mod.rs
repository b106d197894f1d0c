//! `trace`: everything that is stored about an id, in every partner's database, and what the edge has queued and parked of it.

mod edge;
mod text;

use super::edge::{Edge, edge_url};
use super::stores::{Absent, in_those};
use super::web::UrlArgument;
use super::{DatabasesArgs, print, terminal, wrong};
use crate::config::registry;
use crate::reports::{TraceQuestion, trace_of};
use clap::Args;
use reqwest::Url;
use serde_json::{Value, json};
use std::process::ExitCode;

/// What is traced.
#[derive(Args)]
pub struct Trace {
    /// Id of a request, event, conversion, order, click or account; - reads it from standard input, so that it is in no list of processes.
    #[arg(allow_hyphen_values = true)]
    id: String,
    /// Time zone of the times that are shown, such as Asia/Kuala_Lumpur.
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// Edge whose queued and parked postbacks are searched as well; with OPERATOR_TOKEN.
    #[arg(long, value_name = "URL", value_parser = UrlArgument(edge_url))]
    edge: Option<Url>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// Runs the command. 0: found; 1: found nowhere; 2: wrong usage or configuration, or a database or the edge could not be asked.
pub async fn trace(command: Trace) -> ExitCode {
    let Trace { id, tz, edge, json, databases } = command;
    let ready = question(id, &tz).and_then(|question| {
        let edge = edge.map(|url| Edge::of_operator(url, |name| std::env::var(name).ok())).transpose()?;
        Ok((question, edge, registry()?))
    });
    let (question, edge, registry) = match ready {
        Ok(ready) => ready,
        Err(problem) => return wrong(&problem),
    };
    // Those that are named must be there; of all partners, some may have no database yet.
    let is_named = databases.partners.iter().any(|code| !code.trim().is_empty());
    let absent = if is_named { Absent::IsWrong } else { Absent::IsSkipped };
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let mut traces = Vec::new();
    let mut is_whole = in_those(&locations, &registry, absent, async |partner, store| {
        traces.push(trace_of(&partner.code, store, &question).await.map_err(|error| error.to_string())?);
        Ok(())
    })
    .await;
    traces.retain(|trace| trace["found"] == Value::Bool(true));
    let at_edge = match &edge {
        None => None,
        Some(edge) => match edge::at_edge(edge, question.id(), &traces).await {
            Ok(found) => Some(found),
            Err(problem) => {
                eprintln!("{problem}");
                is_whole = false;
                None
            }
        },
    };
    let is_found = !traces.is_empty() || at_edge.as_ref().is_some_and(|found| !found.is_empty());
    let shown = if json {
        let edge =
            |found: &edge::AtEdge| json!({"queued": found.queued, "parked": found.parked, "is_cut": found.is_cut});
        let edge = at_edge.as_ref().map(edge);
        let trace = json!({"id": question.id(), "found": is_found, "partners": traces, "edge": edge});
        terminal::json(&trace)
    } else {
        Ok(text::of(question.id(), &traces, at_edge.as_ref(), is_whole))
    };
    match shown {
        Ok(shown) => print(&shown),
        Err(problem) => return wrong(&problem),
    }
    match (is_whole, is_found) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
    }
}

/// The same question as the API would be asked.
fn question(id: String, tz: &str) -> Result<TraceQuestion, String> {
    let id = match id.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("standard input cannot be read: {error}"))?,
        _ => id,
    };
    let pairs = [("id", id.trim()), ("tz", tz)];
    let query = serde_urlencoded::to_string(pairs).map_err(|error| error.to_string())?;
    TraceQuestion::read(&query).map_err(|problem| {
        let argument = if problem.field == "tz" { "--tz" } else { "ID" };
        format!("{argument}: {} ({})", problem.hint, problem.code)
    })
}
