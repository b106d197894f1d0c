//! The calls into JavaScript, each with its script beside it. Crossing the boundary is what costs time in a Worker, so each of these
//! does a whole job in one crossing and hands back text; and none of them can panic, whatever the platform answers.

pub mod database;
pub mod exchange;
pub mod incoming;
pub mod limiter;
pub mod queue;
pub mod response;
pub mod task;

use postback::time::Timestamp;
use wasm_bindgen::prelude::*;
use worker::Env;
use worker::js_sys::{Promise, Reflect};
use worker::worker_sys::Context;

#[wasm_bindgen(raw_module = "./platform/timer.js")]
extern "C" {
    fn sleep(ms: u32) -> Promise;
}

/// Bytes that a head usually has at most.
const HEAD_BYTES: usize = 2_048;

/// What `wrangler.toml` and the secrets bind to names.
#[derive(Clone)]
pub struct Bindings(Env);

impl Bindings {
    /// The bindings of an invocation.
    pub fn of(env: Env) -> Bindings {
        Bindings(env)
    }

    /// A variable or secret.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.get(name)?.as_string()
    }

    /// A binding that is an object.
    fn get(&self, name: &str) -> Option<JsValue> {
        let value = Reflect::get(self.0.as_ref(), &JsValue::from_str(name)).ok()?;
        (!value.is_undefined() && !value.is_null()).then_some(value)
    }

    /// Whether there is a binding of that name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// `Name: message` of a JavaScript error. Some quote a URL, which is nobody's to read: they are cut off in front of it.
fn error_text(error: &JsValue) -> String {
    match error.dyn_ref::<worker::js_sys::Error>() {
        Some(error) => without_url(&format!("{}: {}", String::from(error.name()), String::from(error.message()))),
        None => "not an Error".to_owned(),
    }
}

fn without_url(text: &str) -> String {
    match text.split_once("://") {
        Some((before, _)) => format!("{}(URL)", before.trim_end_matches(|c: char| c.is_ascii_alphabetic())),
        None => text.to_owned(),
    }
}

/// A promise's value as text.
///
/// # Errors
/// The platform's words.
async fn text_of(promise: Promise) -> Result<String, String> {
    let value = task::settled(promise).await.map_err(|error| error_text(&error))?;
    value.as_string().ok_or_else(|| "not a text".to_owned())
}

/// How a head goes to JavaScript, in one text (`head.js`): the headers' names with commas between them, the texts, the headers'
/// values, a line each.
fn head<const N: usize>(texts: [&str; N], headers: &[(&'static str, String)]) -> String {
    let mut head = String::with_capacity(HEAD_BYTES);
    for (name, _) in headers {
        if !head.is_empty() {
            head.push(',');
        }
        head.push_str(name);
    }
    for line in texts.into_iter().chain(headers.iter().map(|(_, value)| value.as_str())) {
        head.push('\n');
        head.push_str(line);
    }
    head
}

/// Waits.
pub async fn wait_ms(ms: u32) {
    // A timer does not fail; if it did, waiting shorter would do no harm.
    let _ = task::settled(sleep(ms)).await;
}

/// Runs work behind the reply, for as long as the platform allows (30 s).
pub fn in_background(context: &Context, work: impl Future<Output = ()> + 'static) {
    let promise = worker::wasm_bindgen_futures::future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    });
    // Where the platform does not take it the work still runs while the request lasts.
    let _ = context.wait_until(&promise);
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

/// The platform's clock. In a Worker it stands still between inputs and outputs.
pub fn now() -> Timestamp {
    // The clock's milliseconds are in range until the year 262000.
    Timestamp::from_unix_ms(chrono::Utc::now().timestamp_millis()).unwrap_or(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::without_url;

    #[test]
    fn no_url_of_an_error_reaches_the_log() {
        let text = "TypeError: Invalid URL: http://127.0.0.1:99999/postback?conversion_id=c1";
        assert_eq!(without_url(text), "TypeError: Invalid URL: (URL)");
        assert_eq!(without_url("Error: Network connection lost."), "Error: Network connection lost.");
    }
}
