//! What `npm run bench -- edge` puts behind the Workers it measures: answers every request as the origin answers a postback
//! that it has stored, and stores nothing. One thread, so that what is measured keeps the rest of the machine. It verifies
//! nothing and signs with the development key: no use for anything else.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use postback::acknowledgement::acknowledge;
use postback::id::Nonce;
use postback::key::{DEVELOPMENT_KEYS, Key, KeySet};
use postback::message_signature::header;
use postback::verdict::Verdict;
use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = Arc::new(KeySet::parse(DEVELOPMENT_KEYS).map_err(|problem| problem.to_string())?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let keys = Arc::clone(&keys);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&keys, &request))));
            // A client that goes away is none of our business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// `OK`, or nothing where that is preferred; acknowledged where the request names an event and a nonce.
fn answer(keys: &KeySet, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_minimal = request.headers().get(header::PREFER).is_some_and(|value| value == header::RETURN_MINIMAL);
    let mut response = Response::new(Full::new(Bytes::from_static(if is_minimal { b"" } else { b"OK" })));
    let headers = response.headers_mut();
    if !is_minimal {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    for name in [header::EVENT_ID, header::REQUEST_ID] {
        if let Some(value) = request.headers().get(name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(value) = keys.newest(0).and_then(|key| acknowledgement(key, request.headers())) {
        headers.insert(header::ACK, value);
        headers.insert(header::VERDICT, HeaderValue::from_static(Verdict::Created.name()));
    }
    response
}

fn acknowledgement(key: &Key, headers: &HeaderMap) -> Option<HeaderValue> {
    let event_id = headers.get(header::EVENT_ID)?.to_str().ok()?;
    let input = headers.get(header::SIGNATURE_INPUT)?.to_str().ok()?;
    let (nonce, _) = input.split_once(";nonce=\"")?.1.split_once('"')?;
    HeaderValue::from_str(&acknowledge(key, event_id, Verdict::Created, &Nonce::parse(nonce)?)).ok()
}
