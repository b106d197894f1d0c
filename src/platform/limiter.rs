//! Cloudflare's rate-limit binding: counters by key in the location that a request came to.

use super::Bindings;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;

#[wasm_bindgen(raw_module = "./platform/limiter.js")]
extern "C" {
    fn count(limiter: &JsValue, key: &str, timeout_ms: u32) -> Promise;
}

/// How long a counter may take, in milliseconds.
const ANSWER_MS_MAX: u32 = 300;

impl Bindings {
    /// Counts one for a key and says whether that is still within the limit. A limiter that is not bound or does not answer
    /// lets pass: what it protects is worth less than a postback.
    pub async fn within(&self, limiter: &str, key: &str) -> bool {
        let Some(limiter) = self.get(limiter) else { return true };
        super::text_of(count(&limiter, key, ANSWER_MS_MAX)).await.map_or(true, |answer| answer.is_empty())
    }
}
