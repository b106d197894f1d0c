//! Cloudflare Queues: sending to them, and the messages that they bring. Bodies are text: other kinds are changed on the way
//! by the libraries between us and the platform.

#![deny(clippy::disallowed_methods)]

use super::{Bindings, error_text};
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, JSON, JsString, Promise, Reflect};
use worker::wasm_bindgen_futures::JsFuture;
use worker::worker_sys::{Context, Message as SysMessage, MessageBatch};

#[wasm_bindgen(raw_module = "./platform/queue.js")]
extern "C" {
    fn enqueue(context: Option<&Context>, queue: &JsValue, texts: &Array, timeout_ms: u32) -> Promise;
}

/// A queue that can be sent to.
#[derive(Clone)]
pub struct Queue(JsValue);

impl Bindings {
    /// A queue, where it is bound.
    pub fn queue(&self, name: &str) -> Option<Queue> {
        self.get(name).map(Queue)
    }
}

impl Queue {
    /// Sends messages; when this returns, the queue holds them all. At most 100 and 256 KB together. With a context, sending goes on
    /// behind the reply when time has run out.
    ///
    /// # Errors
    /// The platform's words; when time ran out, the queue may hold them or not.
    pub async fn send(
        &self,
        context: Option<&Context>,
        texts: impl IntoIterator<Item = String>,
        timeout_ms: u32,
    ) -> Result<(), String> {
        let texts: Array = texts.into_iter().map(|text| JsValue::from_str(&text)).collect();
        super::text_of(enqueue(context, &self.0, &texts, timeout_ms)).await.map(|_| ())
    }
}

/// One message of a batch. Exactly one of [`Message::ack`] and [`Message::retry`] settles it.
#[derive(Clone)]
pub struct Message {
    message: SysMessage,
    /// The queue's name of it.
    pub id: String,
    /// How often it was brought, this time included.
    pub attempt: u32,
    /// Its text; for one that is no text, its JSON.
    pub text: String,
}

/// The queue's name and the messages of a batch.
///
/// # Errors
/// The platform's words: nothing was settled, and the batch has to come again.
pub fn messages_of(batch: &MessageBatch) -> Result<(String, Vec<Message>), JsValue> {
    let (name, messages) = (batch.queue()?, batch.messages()?);
    let messages = messages.iter().map(|message| Message::of(message.unchecked_into()));
    Ok((name.into(), messages.collect::<Result<_, _>>()?))
}

impl Message {
    fn of(message: SysMessage) -> Result<Message, JsValue> {
        // The worker crate has no accessor for the number of attempts.
        let attempts = Reflect::get(&message, &JsString::from("attempts")).ok().and_then(|value| value.as_f64());
        let attempt = attempts.filter(|count| (1.0..1e6).contains(count)).map_or(1, |count| count as u32);
        let body = message.body()?;
        // One that is no text is none of ours. It is parked as what it says.
        let text = match body.as_string() {
            Some(text) => text,
            None => JSON::stringify(&body)?.into(),
        };
        let id = message.id()?.into();
        Ok(Message { message, id, attempt, text })
    }

    /// The message is done with.
    pub fn ack(&self) -> Result<(), String> {
        self.message.ack().map_err(|error| error_text(&error))
    }

    /// The message shall come again after a delay.
    pub fn retry(&self, delay_s: u32) -> Result<(), String> {
        let options = worker::js_sys::Object::new();
        let is_set = Reflect::set(&options, &"delaySeconds".into(), &JsValue::from_f64(f64::from(delay_s)));
        is_set.and_then(|_| self.message.retry(options.into())).map_err(|error| error_text(&error))
    }
}

/// Runs futures at once and waits for all of them.
pub async fn all(futures: Vec<impl Future<Output = ()> + 'static>) {
    let promises: Array = futures
        .into_iter()
        .map(|future| {
            worker::wasm_bindgen_futures::future_to_promise(async move {
                future.await;
                Ok(JsValue::UNDEFINED)
            })
        })
        .collect();
    // None of them can fail.
    let _ = JsFuture::from(Promise::all(&promises)).await;
}
