//! `partners`: what the partner files came to.

use crate::config::registry;

/// Lists the partners.
///
/// # Errors
/// When JSON cannot be written, which does not happen.
pub fn partners(json: bool) -> Result<(), String> {
    let registry = registry()?;
    if json {
        println!("{}", serde_json::to_string_pretty(registry.all()).map_err(|error| error.to_string())?);
        return Ok(());
    }
    for partner in registry.all() {
        let modes: Vec<_> = partner.auth.iter().map(|mode| mode.name()).collect();
        println!(
            "{:<14} /{:<16} {:<18} {:<20} {}",
            partner.code,
            if partner.endpoint.is_empty() { "postback" } else { &partner.endpoint },
            partner.database,
            partner.zone.name(),
            modes.join("+")
        );
    }
    Ok(())
}
