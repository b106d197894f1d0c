//! What is wrong with a question.

/// What is wrong with a question: a stable code, the parameter, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code.
    pub code: &'static str,
    /// The parameter.
    pub field: &'static str,
    /// What to do.
    pub hint: &'static str,
}

impl Problem {
    /// A parameter that there is not: a typing error must not mean everything.
    pub const UNKNOWN: Problem =
        Problem { code: "unknown_param", field: "", hint: "there is no such parameter here; docs/api.md lists them" };
    /// The query cannot be decoded, or has a parameter twice.
    pub const MALFORMED: Problem =
        Problem { code: "invalid_query", field: "", hint: "each parameter once, percent-encoded UTF-8" };
    /// No such time zone.
    pub const TIME_ZONE: Problem =
        Problem { code: "invalid_time_zone", field: "tz", hint: "an IANA name, such as Asia/Kuala_Lumpur" };
    /// The beginning is no time.
    pub const FROM: Problem = Problem {
        code: "invalid_time",
        field: "from",
        hint: "a date such as 2025-11-21, or an instant such as 2025-11-21T00:00:00Z; years 1970 to 2099",
    };
    /// The end is no time.
    pub const TO: Problem = Problem { field: "to", ..Problem::FROM };
    /// There is nothing between beginning and end.
    pub const RANGE: Problem = Problem { code: "invalid_range", field: "to", hint: "must be after from" };
    /// There is too much between them.
    pub const RANGE_TOO_LONG: Problem =
        Problem { code: "invalid_range", field: "to", hint: "at most 400 days by the day or in all, 31 by the hour" };
    /// Statistics are kept by quarters of an hour.
    pub const NO_QUARTER: Problem = Problem {
        code: "invalid_range",
        field: "from",
        hint: "statistics begin and end at quarters of an hour: minutes 00, 15, 30 or 45",
    };
    /// No such interval.
    pub const INTERVAL: Problem = Problem { code: "invalid_interval", field: "interval", hint: "day, hour or all" };
    /// No such form.
    pub const FORMAT: Problem = Problem { code: "invalid_format", field: "format", hint: "json or csv" };
    /// No such number of conversions.
    pub const LIMIT: Problem = Problem { code: "invalid_limit", field: "limit", hint: "a number from 1 to 1000" };
    /// No place that a page has named.
    pub const CURSOR: Problem =
        Problem { code: "invalid_cursor", field: "cursor", hint: "take next_cursor of the page before, as it is" };
    /// No such status.
    pub const STATUS: Problem =
        Problem { code: "invalid_status", field: "status", hint: "pending, approved, rejected or paid" };
    /// No such event.
    pub const EVENT: Problem =
        Problem { code: "invalid_event", field: "event", hint: "an event's canonical name, such as deposit" };
    /// No such verdict.
    pub const VERDICT: Problem =
        Problem { code: "invalid_verdict", field: "verdict", hint: "created, duplicate, revised or conflict" };
    /// Nothing that a code can be.
    pub const CODE: Problem =
        Problem { code: "invalid_code", field: "code", hint: "a code of the replies, such as invalid_amount" };
    /// No such way.
    pub const VIA: Problem = Problem { code: "invalid_via", field: "via", hint: "direct or edge" };
    /// Neither yes nor no.
    pub const AUTHENTICATED: Problem = Problem { code: "invalid_flag", field: "authenticated", hint: "true or false" };
    /// Every one, for the document of the API. Of ids there is one for each parameter.
    pub const ALL: [Problem; 25] = [
        Problem::UNKNOWN,
        Problem::MALFORMED,
        Problem::TIME_ZONE,
        Problem::FROM,
        Problem::TO,
        Problem::RANGE,
        Problem::RANGE_TOO_LONG,
        Problem::NO_QUARTER,
        Problem::INTERVAL,
        Problem::FORMAT,
        Problem::LIMIT,
        Problem::CURSOR,
        Problem::STATUS,
        Problem::EVENT,
        Problem::id("click_id"),
        Problem::id("conversion_id"),
        Problem::id("account_id"),
        Problem::id("order_id"),
        Problem::id("request_id"),
        Problem::id("event_id"),
        Problem::id("id"),
        Problem::VERDICT,
        Problem::CODE,
        Problem::VIA,
        Problem::AUTHENTICATED,
    ];
    /// No id.
    pub const fn id(field: &'static str) -> Problem {
        Problem { code: "invalid_id", field, hint: "1 to 512 bytes without control characters" }
    }
}
