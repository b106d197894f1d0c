//! One request to an origin and what it answered, in one crossing.

use super::head;
use crate::delivery::outgoing::Outgoing;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;
use worker::worker_sys::Context;

#[wasm_bindgen(raw_module = "./platform/exchange.js")]
extern "C" {
    fn exchange(
        context: Option<&Context>,
        head: &str,
        body: Option<&str>,
        timeout_ms: u32,
        body_chars_max: u32,
    ) -> Promise;
}

/// Characters of a refusal's body that are kept; ours are shorter (RELIABILITY's reply of 1 KiB).
const BODY_CHARS_MAX: u32 = 2_048;

/// An answer, its parts as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code; 0 for what is none.
    pub status: u16,
    /// The origin's acknowledgement, unchecked.
    pub ack: String,
    /// The body's type.
    pub content_type: String,
    /// Seconds that `Retry-After` asks for.
    pub retry_after_s: Option<u32>,
    /// The body, where [`Reply::Body`] was asked for or the answer is an acknowledged refusal.
    pub body: String,
}

/// What of an acknowledged answer is waited for.
#[derive(Clone, Copy)]
pub enum Reply<'c> {
    /// Its head; the body of a success is read to its end in the background of this invocation.
    Head(&'c Context),
    /// All of it.
    Body,
}

/// Sends a request and waits at most `timeout_ms` for the answer.
///
/// # Errors
/// The platform's words for what went wrong: no connection, or no answer in time.
pub async fn send(outgoing: &Outgoing, reply: Reply<'_>, timeout_ms: u32) -> Result<Answer, String> {
    let context = match reply {
        Reply::Head(context) => Some(context),
        Reply::Body => None,
    };
    let Outgoing { url, method, headers, body } = outgoing;
    let head = head([method, url], headers);
    let promise = exchange(context, &head, body.as_deref(), timeout_ms, BODY_CHARS_MAX);
    Ok(read(&super::text_of(promise).await?))
}

fn read(text: &str) -> Answer {
    let mut parts = text.splitn(5, '\n');
    let mut next = || parts.next().unwrap_or("");
    let (status, ack, content_type) = (next(), next(), next());
    let (retry_after, body) = (next(), next());
    Answer {
        status: status.parse().unwrap_or(0),
        ack: ack.to_owned(),
        content_type: content_type.to_owned(),
        retry_after_s: retry_after.trim().parse().ok(),
        body: body.to_owned(),
    }
}

/// Whether an error of [`send`] says that time ran out: the request may have arrived.
pub fn is_timeout(error: &str) -> bool {
    error.starts_with("TimeoutError") || error.starts_with("AbortError")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_whatever_it_holds() {
        let answer = read("503\n\ntext/html\n120\n<html>\n</html>");
        assert_eq!((answer.status, answer.retry_after_s, answer.body.as_str()), (503, Some(120), "<html>\n</html>"));
        assert_eq!(read("").status, 0);
        assert_eq!(read("200\nv1;x\n\nWed, 21 Oct 2026 07:28:00 GMT").retry_after_s, None);
    }
}
