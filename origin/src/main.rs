//! The native host of the origin.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    bytec_origin::cli::run().await
}
