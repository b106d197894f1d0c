//! The edge's operations for operators (`/ops`), as commands ask for them. What a filter means is decided there.

mod parked;
mod queued;
mod refusal;

pub use parked::{Filter, Page, Replayed, Row, Shown};
pub use queued::{QueuedPage, QueuedRow};

use super::web::{self, base_url, client, is_this_machine};
use crate::config::secret;
use refusal::{Answer, Refused, read};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long an answer may take: a replay puts a thousand messages into the queue.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of an answer at most: a page of a thousand rows has some hundreds of kilobytes.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Where the edge is: scheme, host and port alone, for [`Edge::of_operator`]. For arguments.
///
/// # Errors
/// It is none, or a token would go to it in the clear.
pub fn edge_url(text: &str) -> Result<Url, String> {
    let url = base_url(text)?;
    // A token that went over the wire in the clear is nobody's any more.
    if url.scheme() != "https" && !is_this_machine(&url) {
        return Err("must begin with https://; http:// is for this machine alone".to_owned());
    }
    Ok(url)
}

/// An edge, as an operator with a token asks it. Not shown in `Debug`: it holds the token.
pub struct Edge {
    url: Url,
    client: Client,
    authorization: HeaderValue,
}

impl Edge {
    /// The edge at a URL that [`edge_url`] has read. The operator's token is the secret `OPERATOR_TOKEN`, which `variable` looks up; it
    /// goes nowhere but to the edge.
    ///
    /// # Errors
    /// There is no token, or none that can be sent; the system has no TLS to give.
    pub fn of_operator(url: Url, variable: impl Fn(&str) -> Option<String>) -> Result<Edge, String> {
        let token = secret("OPERATOR_TOKEN", variable)?;
        let token =
            token.ok_or("OPERATOR_TOKEN is not set: it is your token out of the edge's secret OPERATOR_TOKENS")?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| "OPERATOR_TOKEN holds a control character, which no token has")?;
        authorization.set_sensitive(true);
        let client = client(&url, TIMEOUT, "bytec-origin").map_err(|error| error.to_string())?;
        Ok(Edge { url, client, authorization })
    }

    /// Its URL, for people.
    pub fn name(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// A page of what is parked, the longest parked first: at most the filter's limit, [`Filter::LIMIT_MAX`] at most. `cursor` is the
    /// `next` of the page before.
    ///
    /// # Errors
    /// Why there is no answer, and what to do about it.
    pub async fn list(&self, filter: &Filter, cursor: Option<&str>) -> Result<Page, String> {
        let mut query = filter.pairs();
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        Ok(self.ask(Method::GET, &["parked"], &query).await?)
    }

    /// The postbacks of a request, event or conversion that wait in the queue.
    ///
    /// # Errors
    /// Why there is no answer, and what to do about it.
    pub async fn queued(&self, id: &str) -> Result<QueuedPage, String> {
        Ok(self.ask(Method::GET, &["queued"], &[("id", id.to_owned())]).await?)
    }

    /// One that is parked, with all that is kept of it; None where there is none of that id.
    ///
    /// # Errors
    /// Why there is no answer, and what to do about it.
    pub async fn show(&self, request_id: &str) -> Result<Option<Shown>, String> {
        // No id, and in a URL they are another path.
        if ["", ".", ".."].contains(&request_id) {
            return Ok(None);
        }
        match self.ask(Method::GET, &["parked", request_id], &[]).await {
            Ok(shown) => Ok(Some(shown)),
            Err(refused) if refused.code == "not_parked" => Ok(None),
            Err(refused) => Err(refused.text),
        }
    }

    /// Gives what a filter has back to the queue, at most its limit; a dry run says what that would be. Where
    /// [`Replayed::problem`] is set, not all got there.
    ///
    /// # Errors
    /// Why there is no answer, and what to do about it.
    pub async fn replay(&self, filter: &Filter, dry_run: bool) -> Result<Replayed, String> {
        let mut query = filter.pairs();
        query.push(("dry_run", dry_run.to_string()));
        Ok(self.ask(Method::POST, &["parked", "replay"], &query).await?)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Refused> {
        let mut url = self.url.clone();
        // A URL with a host has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().push("ops").extend(operation);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.send(method, url).await.map_err(|error| {
            let edge = self.name();
            Refused::unanswered(match error.is_timeout() {
                true => format!("{edge} did not answer within {} s", TIMEOUT.as_secs()),
                false => {
                    let why = web::innermost(error);
                    format!("nothing answers at {edge} ({why}): is the edge running, is the address right?")
                }
            })
        })?;
        read(self.name(), &answer)
    }

    async fn send(&self, method: Method, url: Url) -> Result<Answer, reqwest::Error> {
        let request = self.client.request(method, url).header(ACCEPT, "application/json");
        let mut answer = request.header(AUTHORIZATION, self.authorization.clone()).send().await?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = web::body(&mut answer, BODY_BYTES_MAX).await?;
        Ok(Answer { status: answer.status().as_u16(), retry_after, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_the_wire_in_the_clear_on_this_machine_alone() {
        for right in ["https://network.bytec.com", "http://127.0.0.1:8787", "http://[::1]:8787/", "http://localhost:1"]
        {
            assert!(edge_url(right).is_ok(), "{right}");
        }
        for wrong in ["http://network.bytec.com", "http://127.0.0.1.example", "http://10.0.0.1", "ws://127.0.0.1"] {
            assert!(edge_url(wrong).is_err(), "{wrong}");
        }
        assert!(edge_url("https://network.bytec.com/ops").unwrap_err().starts_with("must be scheme and host alone"));
    }

    #[test]
    fn the_token_is_a_secret_of_the_environment_and_is_not_told() {
        let of = |variables: &'static [(&str, &str)]| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Edge::of_operator(edge_url("https://network.bytec.com").unwrap(), variable)
        };
        assert!(of(&[]).err().unwrap().starts_with("OPERATOR_TOKEN is not set"));
        assert!(of(&[("OPERATOR_TOKEN", " ")]).err().unwrap().starts_with("OPERATOR_TOKEN is not set"));
        assert!(of(&[("OPERATOR_TOKEN_FILE", "/nowhere/token")]).err().unwrap().starts_with("OPERATOR_TOKEN_FILE: "));
        let told = of(&[("OPERATOR_TOKEN", "ge\nheim")]).err().unwrap();
        assert!(told.starts_with("OPERATOR_TOKEN holds") && !told.contains("heim"), "{told}");
        let edge = of(&[("OPERATOR_TOKEN", "geheim\n")]).ok().unwrap();
        assert_eq!(edge.authorization, "Bearer geheim");
        assert!(edge.authorization.is_sensitive());
    }
}
