//! Every limit on what a sender may send, named with its unit, in one place (R14). Checked before allocation.

/// A request target (path and query) in bytes.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Headers of one request.
pub const HEADERS_MAX: usize = 50;
/// Names and values of all headers of one request, in bytes.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Parameters in one request, over query and body together.
pub const PARAMS_MAX: usize = 64;
/// A parameter's name, decoded, in bytes.
pub const PARAM_NAME_BYTES_MAX: usize = 64;
/// A parameter's value in a query or form, decoded, in bytes.
pub const PARAM_VALUE_BYTES_MAX: usize = 1024;
/// A string in a JSON body, in bytes.
pub const JSON_STRING_BYTES_MAX: usize = 4 * 1024;
/// A request body in bytes, counted while it is read.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Objects and arrays inside one another in a JSON body.
pub const JSON_DEPTH_MAX: usize = 8;
/// An identifier (event, click, conversion, ...) in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// A value that is kept of a click, in bytes. Longer ones are left out.
pub const CLICK_VALUE_BYTES_MAX: usize = 512;
/// Parameters `utm_*` that are kept of a click.
pub const CLICK_UTM_MAX: usize = 16;
/// Clicks in one batch from edge to origin.
pub const CLICKS_MAX: usize = 100;
/// A body from edge to origin in bytes, of a postback or a batch of clicks. A forwarded body holds the original, of which JSON writes a
/// control character as six bytes, beside the canonical form, which it can double. What the edge took must never be too large for the origin.
pub const FORWARDED_BODY_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;
/// The template of an offer's landing page, in bytes.
pub const LANDING_BYTES_MAX: usize = 2 * 1024;
/// How far ahead of its arrival an event may claim to have happened, in seconds.
pub const TIME_AHEAD_S_MAX: i64 = 24 * 60 * 60;
/// An event older than this at its arrival is accepted and flagged, in seconds (180 days).
pub const TIME_OLD_S: i64 = 180 * 24 * 60 * 60;
/// How far the clocks of signer and verifier may stand apart, in seconds, both ways.
pub const SIGNATURE_WINDOW_S: i64 = 300;
