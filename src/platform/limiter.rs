//! Cloudflare's rate-limit binding: counters by key in the location that a request came to.

use super::Bindings;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;

#[wasm_bindgen(inline_js = r#"
export async function count(limiter, key) {
  const { success } = await limiter.limit({ key });
  return success ? "" : "over";
}
"#)]
extern "C" {
    fn count(limiter: &JsValue, key: &str) -> Promise;
}

impl Bindings {
    /// Counts one for a key and says whether that is still within the limit. A limiter that is not bound or does not answer
    /// lets pass: what it protects is worth less than a postback.
    pub async fn within(&self, limiter: &str, key: &str) -> bool {
        let Some(limiter) = self.get(limiter) else { return true };
        super::text_of(count(&limiter, key)).await.map_or(true, |answer| answer.is_empty())
    }
}
