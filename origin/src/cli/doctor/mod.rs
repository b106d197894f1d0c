//! `doctor`: looks at configuration, databases, tunnel, edge and clock, and says what is wrong and what to do (R54). It changes
//! nothing and shows no secret.
//!
//! Looking and judging are apart: each check gathers what there is, with a limit on how long that takes, and a pure function says what
//! is wrong with it. What cannot be looked at hides nothing else.

// The parts that are looked at stand between looking and judging all.
mod gather;
mod configuration;
mod listener;
mod storage;
mod databases;
mod content;
mod clock;
mod tunnel;
mod edge_settings;
mod outside;
mod judge;
mod told;
mod code;
mod finding;
mod files;
mod waiting;
mod web;

use super::{OriginArgs, print};
use crate::app::Platform;
use clap::Args;
use judge::By;
use reqwest::Url;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What is looked at beside the configuration.
#[derive(Args)]
pub struct Doctor {
    /// cloudflared's configuration; /etc/cloudflared/config.yml or ~/.cloudflared/config.yml where there is one.
    #[arg(long, value_name = "FILE")]
    cloudflared: Option<PathBuf>,
    /// The edge's settings; wrangler.toml where there is one.
    #[arg(long, value_name = "FILE")]
    wrangler: Option<PathBuf>,
    /// Which environment of the edge's settings; that of the origin where it is not said.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// The origin's public URL, such as https://origin.bytec.com: whether the tunnel leads here.
    #[arg(long, value_parser = super::web::UrlArgument(super::web::base_url))]
    url: Option<Url>,
    /// The edge's URL, such as https://network.bytec.com: whether it reaches its origins, and whether its clock is ours.
    #[arg(long, value_parser = super::web::UrlArgument(super::web::base_url))]
    edge: Option<Url>,
    /// Megabytes that a disk with SQLite files should have free.
    #[arg(long, default_value_t = 1024, value_name = "MB")]
    free_mb_min: u32,
    /// Seconds that each check may take.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=300))]
    timeout_s: u16,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: OriginArgs,
}

/// Runs the command, and ends the program with it. 0: no problem; 1: some; 2: could not be asked.
pub async fn doctor(command: Doctor) -> ExitCode {
    let limit = Duration::from_secs(command.timeout_s.into());
    let gathered = gather::gather(&command, limit).await;
    let by = By {
        now: (Platform::SYSTEM.now)(),
        limit_s: limit.as_secs(),
        free_bytes_min: u64::from(command.free_mb_min) << 20,
    };
    let checked = judge::judge(&gathered, by);
    print(&if command.json { told::json(&checked).to_string() } else { told::text(&checked) });
    let _ = std::io::stdout().flush();
    let [problems, _] = told::counts(&checked);
    // A file that never answers has a thread that never ends, and a runtime that is let go of would wait for it.
    std::process::exit(i32::from(problems > 0));
}
