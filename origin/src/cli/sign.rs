//! `sign`: the canonical string and the signature of a request (`bytec-v1`), for partners who compare theirs with ours.

use super::print;
use super::request::{AskedRequest, target_of};
use clap::{Args, ValueEnum};
use postback::id::Nonce;
use postback::key::{Key, KeySet};
use postback::params::Params;
use postback::signature::{self, Presented, Profile, Refusal, header, string_to_sign};
use serde::Serialize;
use std::path::PathBuf;

/// How and with what to sign. Not shown in `Debug`: it holds a key.
#[derive(Args, Clone)]
pub struct SignArgs {
    /// id:hex, 64 hexadecimal digits. Other users of the machine can see arguments: for a key that counts use SIGN_KEY or
    /// --key-file.
    #[arg(long, env = "SIGN_KEY", hide_env_values = true)]
    key: Option<String>,
    /// A file that holds id:hex; counts before the others.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Where the signature goes.
    #[arg(long, value_enum, default_value_t = Form::Headers)]
    form: Form,
    /// What of the body is signed.
    #[arg(long, value_enum, default_value_t = ProfileArg::Raw)]
    profile: ProfileArg,
    /// Unix seconds; now where it is not said.
    #[arg(long)]
    timestamp: Option<i64>,
    /// 16 to 64 of A-Za-z0-9_-; random where it is not said.
    #[arg(long)]
    nonce: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// X-Key-Id, X-Timestamp, X-Nonce, X-Signature.
    Headers,
    /// _kid, _ts, _nonce, _sig.
    Query,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProfileArg {
    /// Its bytes.
    Raw,
    /// Its RFC 8785 form.
    Jcs,
}

/// The headers that a signature goes in.
pub fn headers_of(presented: &Presented, signature: &str) -> Vec<(&'static str, String)> {
    let Presented { key_id, timestamp, nonce, profile, .. } = presented;
    let profile = match profile {
        Profile::Raw => None,
        Profile::Jcs => Some((header::PROFILE, "jcs".to_owned())),
    };
    [
        (header::KEY_ID, key_id.clone()),
        (header::TIMESTAMP, timestamp.clone()),
        (header::NONCE, nonce.clone()),
        (header::SIGNATURE, signature.to_owned()),
    ]
    .into_iter()
    .chain(profile)
    .collect()
}

/// A request signed.
#[derive(Serialize)]
struct Signed {
    url: String,
    method: String,
    headers: Vec<(&'static str, String)>,
    string_to_sign: String,
    signature: String,
}

/// Signs a request at `now_s` with random bytes for its nonce, where the arguments do not say otherwise. Answers whether
/// it can be signed.
///
/// # Errors
/// When the key is none.
pub fn run(request: &AskedRequest, args: &SignArgs, now_s: i64, random: [u8; 16], json: bool) -> Result<bool, String> {
    let timestamp_s = args.timestamp.unwrap_or(now_s);
    let keys = args.keys()?;
    let key = keys.newest(timestamp_s).ok_or("no key is in force at that time")?;
    args.check(request)?;
    let signed = match args.sign(request, key, timestamp_s, random) {
        Ok(signed) => signed,
        Err(rejection) => {
            eprintln!("this request cannot be signed: {rejection}");
            return Ok(false);
        }
    };
    signed.verify(&keys, request, timestamp_s)?;
    let text = if json {
        serde_json::to_string_pretty(&signed).map_err(|error| error.to_string())?
    } else {
        let headers: String = signed.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!(
            "string to sign (lines joined by LF, none at the end)\n{}\n\n\
             signature, HMAC-SHA256 with the 32 bytes that the key's 64 digits stand for\n{}\n\n{headers}{} {}",
            signed.string_to_sign, signed.signature, signed.method, signed.url
        )
    };
    print(&text);
    Ok(true)
}

impl Signed {
    /// Verifies what was signed as the origin would: what is shown must hold.
    fn verify(&self, keys: &KeySet, request: &AskedRequest, now_s: i64) -> Result<(), String> {
        let header =
            |name: &str| Ok(self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()));
        let (path, query) = target_of(&self.url);
        let covered = signature::Request { method: &self.method, path, query, body: &request.body };
        let read = Params::from_request(query, request.content_type.as_deref(), &request.body);
        read.map_err(|rejection| format!("a request signed so would be refused: {rejection}"))?;
        let verified = Presented::find(header, query).and_then(|presented| match presented {
            Some(presented) => signature::verify(keys, &presented, &covered, now_s),
            None => Err(signature::Cause::Malformed.into()),
        });
        verified.map_err(|refusal| match refusal {
            Refusal::Unsignable(rejection) => format!("a request signed so would be refused: {rejection}"),
            Refusal::Invalid(cause) => {
                format!("a request signed so would be refused: signature_invalid ({})", cause.name())
            }
        })
    }
}

impl SignArgs {
    fn keys(&self) -> Result<KeySet, String> {
        let given = self.key.as_ref().filter(|text| !text.trim().is_empty());
        let text = match (&self.key_file, given) {
            (Some(path), _) => {
                std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
            }
            (None, Some(text)) => text.clone(),
            (None, None) => return Err("give a key: --key id:hex, SIGN_KEY or --key-file".to_owned()),
        };
        KeySet::parse(&text).map_err(|problem| format!("the key {problem}"))
    }

    /// Refuses what would be signed and never verify.
    fn check(&self, request: &AskedRequest) -> Result<(), String> {
        if self.form == Form::Query && self.profile == ProfileArg::Jcs {
            return Err("the jcs profile goes with headers: a query has no place to name it".to_owned());
        }
        if request.method != "POST" && !request.body.is_empty() {
            return Err(format!("the body of a {} is not read, so it cannot be signed", request.method));
        }
        if !matches!(request.method.as_str(), "GET" | "POST") {
            return Err("--method is GET or POST".to_owned());
        }
        match &self.nonce {
            Some(nonce) if !signature::good_nonce(nonce) => Err("--nonce must be 16 to 64 of A-Za-z0-9_-".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn sign(
        &self,
        request: &AskedRequest,
        key: &Key,
        timestamp_s: i64,
        random: [u8; 16],
    ) -> Result<Signed, postback::rejection::Rejection> {
        let presented = Presented {
            key_id: key.id().to_owned(),
            timestamp: timestamp_s.to_string(),
            nonce: self.nonce.clone().unwrap_or_else(|| Nonce::from_bytes(random).to_string()),
            signature: String::new(),
            profile: match self.profile {
                ProfileArg::Raw => Profile::Raw,
                ProfileArg::Jcs => Profile::Jcs,
            },
        };
        let Presented { key_id, timestamp, nonce, .. } = &presented;
        let (path, own_query) = request.target();
        let mut query = own_query.to_owned();
        if self.form == Form::Query {
            let joint = if query.is_empty() { "" } else { "&" };
            query = format!("{query}{joint}_kid={key_id}&_ts={timestamp}&_nonce={nonce}");
        }
        let covered = signature::Request { method: &request.method, path, query: &query, body: &request.body };
        let string_to_sign = string_to_sign(&presented, &covered)?;
        let signature = signature::sign(key, &presented, &covered)?;
        let base = request.url.split(['?', '#']).next().unwrap_or_default();
        let mut headers = Vec::new();
        let url = match self.form {
            Form::Query => format!("{base}?{query}&_sig={}", signature.replace('=', "%3D")),
            Form::Headers => {
                headers = headers_of(&presented, &signature);
                request.url.split('#').next().unwrap_or_default().to_owned()
            }
        };
        Ok(Signed { url, method: request.method.clone(), headers, string_to_sign, signature })
    }
}
