//! D1 for the tests: real ones, in workerd, behind an address that runs batches in them (scripts/lib/d1.mjs).

use bytec_origin::store::d1::{Batch, D1};
use bytec_origin::store::location::Location;
use bytec_origin::store::{Database, Store};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use postback::duplicate::DuplicatePolicy;
use std::sync::Arc;
use tokio::net::TcpStream;

/// One database of those that `npm test` has started.
#[derive(Clone, Debug)]
pub struct Bridge {
    authority: String,
    path: String,
}

impl Bridge {
    /// The database of a number, empty.
    pub fn to(number: u32) -> Bridge {
        let url = std::env::var("TEST_D1_URL").expect("TEST_D1_URL is not set: run npm test");
        let authority = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        Bridge { authority, path: format!("/D{number}") }
    }

    /// Makes the tables: `partner`, or `shared`.
    pub async fn migrate(&self, tables: &str) {
        self.post(&format!("/{tables}"), String::new()).await.unwrap();
    }

    /// Where the database is, for what opens it by its place.
    pub fn location(&self) -> Location {
        Location::D1 { name: self.path.clone(), way: D1::new(Arc::new(self.clone())) }
    }

    pub fn open(&self, policy: DuplicatePolicy) -> Store {
        Store::over(Database::D1(D1::new(Arc::new(self.clone()))), policy)
    }

    /// Runs one statement; answers the first column of its rows.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let answered = self.post("", serde_json::json!([[sql]]).to_string()).await.unwrap();
        let answered: Vec<serde_json::Value> = serde_json::from_str(&answered).unwrap();
        let rows = answered[0]["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()).collect()
    }

    /// What the database says to a statement that it refuses.
    pub async fn refused(&self, sql: &str) -> String {
        self.post("", serde_json::json!([[sql]]).to_string()).await.unwrap_err()
    }

    async fn post(&self, path: &str, body: String) -> Result<String, String> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.path))
            .header("host", &self.authority)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let is_done = response.status().is_success();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if is_done { Ok(text) } else { Err(text) }
    }
}

impl Batch for Bridge {
    fn run(&self, statements: String) -> BoxFuture<'_, Result<String, String>> {
        async move { self.post("", statements).await }.boxed()
    }
}
