//! Which parked postbacks an operator means. Every name is known and every value is checked: a filter with a typing error
//! must not mean all of them.

use crate::parked::cause::Cause;
use postback::params::decode_pairs;
use postback::time::Timestamp;
use postback::zone::Zone;

/// Rows that one reply lists, or one call replays, at most.
pub const LIMIT_MAX: u32 = 1_000;
/// Rows where a request names no limit.
const LIMIT: u32 = 100;

/// Where a parked postback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for an operator.
    Parked,
    /// It was given to the queue again.
    Replaying,
    /// The origin stored it after all.
    Delivered,
}

impl State {
    /// The word in the table and in filters.
    pub const fn name(self) -> &'static str {
        match self {
            State::Parked => "parked",
            State::Replaying => "replaying",
            State::Delivered => "delivered",
        }
    }

    fn parse(name: &str) -> Option<State> {
        [State::Parked, State::Replaying, State::Delivered].into_iter().find(|state| state.name() == name)
    }
}

/// What is asked for; what is not named matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where it stands.
    pub state: Option<State>,
    /// A partner's code.
    pub partner: Option<String>,
    /// Why it was parked.
    pub cause: Option<Cause>,
    /// An event.
    pub event_id: Option<String>,
    /// One request.
    pub request_id: Option<String>,
    /// Parked at this instant or later.
    pub from: Option<Timestamp>,
    /// Parked before this instant.
    pub to: Option<Timestamp>,
    /// How many at most.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Whether anything shall be changed; only a replay is asked for it.
    pub dry_run: Option<bool>,
}

/// A part of a filter that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    /// The parameter.
    pub name: String,
    /// What would be right.
    pub hint: &'static str,
}

impl Filter {
    /// Reads a query.
    ///
    /// # Errors
    /// The first part that is not known, or not right.
    pub fn parse(query: &str) -> Result<Filter, Unclear> {
        let unclear = |name: &str, hint| Unclear { name: name.chars().take(64).collect(), hint };
        let pairs = decode_pairs(query).map_err(|_| unclear("query", "is not encoded as a query is"))?;
        let mut filter = Filter::default();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &pairs {
            if seen.contains(&name.as_ref()) {
                return Err(unclear(name, "is there twice"));
            }
            seen.push(name);
            let text = || Some(value.to_string()).filter(|text| !text.is_empty());
            let given = |is_right: bool, hint| if is_right { Ok(()) } else { Err(unclear(name, hint)) };
            match name.as_ref() {
                "state" => {
                    filter.state = State::parse(value);
                    given(filter.state.is_some(), "is one of parked, replaying, delivered")?;
                }
                "reason" => {
                    filter.cause = Cause::parse(value);
                    given(filter.cause.is_some(), "is one of exhausted, refused, unknown_partner, unreadable")?;
                }
                "partner" => {
                    filter.partner = text();
                    given(filter.partner.is_some(), "is a partner's code")?;
                }
                "event_id" => {
                    filter.event_id = text();
                    given(filter.event_id.is_some(), "is an event's id")?;
                }
                "request_id" => {
                    filter.request_id = text();
                    given(filter.request_id.is_some(), "is a request's id, as in our replies")?;
                }
                "from" => {
                    filter.from = Timestamp::parse(value, &Zone::utc());
                    given(filter.from.is_some(), "is a time in UTC, such as 2026-01-31T12:00:00Z")?;
                }
                "to" => {
                    filter.to = Timestamp::parse(value, &Zone::utc());
                    given(filter.to.is_some(), "is a time in UTC, such as 2026-01-31T12:00:00Z")?;
                }
                "limit" => {
                    filter.limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    given(filter.limit.is_some(), "is a number from 1 to 1000")?;
                }
                "cursor" => {
                    filter.cursor = text();
                    given(
                        filter.cursor.as_deref().is_some_and(|text| split_cursor(text).is_some()),
                        "is the next of a page",
                    )?;
                }
                "dry_run" => {
                    filter.dry_run = value.parse().ok();
                    given(filter.dry_run.is_some(), "is true or false")?;
                }
                _ => {
                    let hint =
                        "is not known: state, reason, partner, event_id, request_id, from, to, limit, cursor, dry_run";
                    return Err(unclear(name, hint));
                }
            }
        }
        Ok(filter)
    }

    /// How many rows at most.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT)
    }

    /// The condition in SQL, and its values from `?1` on.
    pub fn condition(&self) -> (String, Vec<String>) {
        let mut terms = Vec::new();
        let mut values: Vec<String> = Vec::new();
        let mut term = |sql: &str, value: Option<String>| {
            if let Some(value) = value {
                values.push(value);
                terms.push(sql.replace('?', &format!("?{}", values.len())));
            }
        };
        term("state = ?", self.state.map(|state| state.name().to_owned()));
        term("partner = ?", self.partner.clone());
        term("reason = ?", self.cause.map(|cause| cause.name().to_owned()));
        term("event_id = ?", self.event_id.clone());
        term("request_id = ?", self.request_id.clone());
        term("parked_at >= ?", self.from.map(Timestamp::to_sortable));
        term("parked_at < ?", self.to.map(Timestamp::to_sortable));
        if let Some((parked_at, request_id)) = self.cursor.as_deref().and_then(split_cursor) {
            term("(parked_at, request_id) > (?, ", Some(parked_at.to_owned()));
            values.push(request_id.to_owned());
            let place = values.len();
            if let Some(last) = terms.last_mut() {
                last.push_str(&format!("?{place})"));
            }
        }
        if terms.is_empty() { ("true".to_owned(), values) } else { (terms.join(" and "), values) }
    }
}

/// The cursor behind a row.
pub fn cursor_after(parked_at: &str, request_id: &str) -> String {
    format!("{parked_at}~{request_id}")
}

fn split_cursor(cursor: &str) -> Option<(&str, &str)> {
    cursor.split_once('~').filter(|(parked_at, request_id)| !parked_at.is_empty() && !request_id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_condition_over_values_that_are_bound() {
        let query =
            "state=parked&partner=rector&reason=refused&from=2026-01-01T00:00:00Z&cursor=a~b&limit=5&dry_run=true";
        let filter = Filter::parse(query).unwrap();
        let (sql, values) = filter.condition();
        assert_eq!(
            sql,
            "state = ?1 and partner = ?2 and reason = ?3 and parked_at >= ?4 and (parked_at, request_id) > (?5, ?6)"
        );
        assert_eq!(values, ["parked", "rector", "refused", "2026-01-01T00:00:00.000000Z", "a", "b"].map(str::to_owned));
        assert_eq!((filter.limit(), filter.dry_run), (5, Some(true)));
        assert_eq!(Filter::default().condition(), ("true".to_owned(), vec![]));
    }

    #[test]
    fn what_is_not_clear_is_refused_and_named() {
        for (query, name) in [
            ("partnr=rector", "partnr"),
            ("partner=", "partner"),
            ("partner=a&partner=b", "partner"),
            ("state=lost", "state"),
            ("reason=bad", "reason"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("from=yesterday", "from"),
            ("cursor=x", "cursor"),
            ("dry_run=1", "dry_run"),
            ("partner=%zz", "query"),
        ] {
            assert_eq!(Filter::parse(query).unwrap_err().name, name, "{query}");
        }
    }
}
