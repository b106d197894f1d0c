//! The calls into JavaScript that the `worker` crate has no single call for. Crossing the boundary is what costs time
//! in a Worker, so each of these does a whole job in one crossing.

use crate::outgoing::Outgoing;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, Promise, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{ReadableStream, Request};

#[wasm_bindgen(inline_js = r#"
// Sends one request and answers [status, acknowledgement, content type, body]; the body is left unread. The signal
// bounds headers and body together.
export async function exchange(url, method, headerLines, body, timeoutMs) {
  const headers = headerLines.split("\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  const reply = await fetch(url, { method, headers, body, redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
  return [reply.status, reply.headers.get("bytec-ack"), reply.headers.get("content-type"), reply.body];
}

// Reads a request's body up to a limit; undefined when it is larger.
export async function readBody(request, bytesMax) {
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > bytesMax) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}
"#)]
extern "C" {
    fn exchange(url: &str, method: &str, header_lines: &str, body: Option<&str>, timeout_ms: u32) -> Promise;

    #[wasm_bindgen(js_name = readBody)]
    fn read_body_js(request: &Request, bytes_max: u32) -> Promise;
}

/// An answer of which only the headers have been read.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The origin's acknowledgement, unchecked.
    pub ack: Option<String>,
    /// The body's type.
    pub content_type: Option<String>,
    /// The body, unread.
    pub body: Option<ReadableStream>,
}

impl Answer {
    /// Lets go of a body that nobody will read, which otherwise holds its connection.
    pub fn discard(self) {
        if let Some(body) = self.body {
            // The outcome is not awaited: the answer is not ours to wait for.
            let _ = body.cancel();
        }
    }
}

/// Sends one attempt.
///
/// # Errors
/// The platform's words for what went wrong: no connection, or no answer in `timeout_ms`.
pub async fn send(outgoing: &Outgoing, timeout_ms: u32) -> Result<Answer, String> {
    let lines: Vec<_> = outgoing.headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let promise = exchange(&outgoing.url, &outgoing.method, &lines.join("\n"), outgoing.body.as_deref(), timeout_ms);
    let parts: Array = JsFuture::from(promise).await.map_err(|error| error_text(&error))?.unchecked_into();
    let status = parts.get(0).as_f64().unwrap_or_default();
    Ok(Answer {
        // A status is a small whole number; anything else is no answer of HTTP and becomes 0 here.
        status: if (100.0..1000.0).contains(&status) { status as u16 } else { 0 },
        ack: parts.get(1).as_string(),
        content_type: parts.get(2).as_string(),
        body: parts.get(3).dyn_into().ok(),
    })
}

/// A request's body, read up to a limit.
///
/// # Errors
/// The platform's words when the sender broke off. `Ok(None)`: larger than `bytes_max`.
pub async fn read_body(request: &Request, bytes_max: u32) -> Result<Option<Vec<u8>>, String> {
    let body = JsFuture::from(read_body_js(request, bytes_max)).await.map_err(|error| error_text(&error))?;
    Ok(body.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
}

/// `Name: message` of a JavaScript error; such errors hold no URLs and no headers.
fn error_text(error: &JsValue) -> String {
    match error.dyn_ref::<worker::js_sys::Error>() {
        Some(error) => format!("{}: {}", String::from(error.name()), String::from(error.message())),
        None => "not an Error".to_owned(),
    }
}

/// Sixteen random bytes of Web Crypto.
///
/// # Errors
/// When the platform has none, which it never lacks inside a request.
pub fn random_bytes() -> Result<[u8; 16], String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
