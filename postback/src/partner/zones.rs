//! The tables of IANA zones, made from the time zone database when a program is built.

use crate::zone::Zone;

/// The table of an IANA zone over the years that times are read in. None when there is no such zone.
pub fn zone(name: &str) -> Option<Zone> {
    // In the database for systems that were never set up, and no place on earth.
    if name == "Factory" {
        return None;
    }
    let zone = jiff::tz::TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some_and(|known| known == name))?;
    // A day and more beyond each end, because local times stand up to 14 hours from UTC.
    let start = jiff::Timestamp::from_second(-2 * 86_400).ok()?;
    let end = jiff::Timestamp::from_second(4_102_444_800 + 2 * 86_400).ok()?;
    let first_offset_s = zone.to_offset(start).seconds();
    let mut offset_s = first_offset_s;
    let mut changes = Vec::new();
    for change in zone.following(start).take_while(|change| change.timestamp() < end) {
        // A change of name or of the daylight saving flag alone does not move the clocks.
        if change.offset().seconds() != offset_s {
            offset_s = change.offset().seconds();
            changes.push((change.timestamp().as_second(), offset_s));
        }
    }
    Some(Zone::new(name, first_offset_s, changes))
}
