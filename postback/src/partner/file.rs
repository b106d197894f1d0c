//! Partner files: TOML with every key known and every value checked (R6). A wrong file yields problems that name file,
//! key and reason; a build script stops on them, so that no program with a half-read partner exists.

pub use super::problem::Problem;
pub use super::zones::zone;

use super::schema;
use super::{Partner, Registry};
use crate::id::ContentDigest;
use std::path::Path;

/// Reads every `*.toml` of a folder.
///
/// # Errors
/// All problems of all files.
pub fn read_folder(folder: &Path) -> Result<Registry, Vec<Problem>> {
    read_folders(&[folder])
}

/// Reads every `*.toml` of several folders as one registry. A file of a name that an earlier folder has is left out: who
/// copied an example goes by the copy.
///
/// # Errors
/// As [`read_folder`].
pub fn read_folders(folders: &[&Path]) -> Result<Registry, Vec<Problem>> {
    let cannot = |file: &Path, error: std::io::Error| {
        vec![Problem {
            file: file.display().to_string(),
            key: String::new(),
            reason: format!("cannot be read: {error}"),
        }]
    };
    let mut paths = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
            let path = entry.map_err(|error| cannot(folder, error))?.path();
            let is_known = paths.iter().any(|known: &std::path::PathBuf| known.file_name() == path.file_name());
            if path.extension().is_some_and(|ending| ending == "toml") && !is_known {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).map_err(|error| cannot(path, error))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
    }
    read_files(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

/// Reads files given as name and text.
///
/// # Errors
/// All problems of all files, those between files (two of one endpoint, database or offer) included.
pub fn read_files<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Registry, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut partners: Vec<Partner> = Vec::new();
    for (file, text) in files {
        let partner = match schema::read(file, text) {
            Ok(partner) => partner,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        for other in &partners {
            for (key, same, value) in [
                ("endpoint", other.endpoint == partner.endpoint, &partner.endpoint),
                ("database", other.database == partner.database, &partner.database),
            ] {
                if same {
                    let reason = format!("{value:?} is already taken by {}.toml", other.code);
                    problems.push(Problem { file: file.to_owned(), key: key.to_owned(), reason });
                }
            }
            for offer in partner.offers.keys().filter(|offer| other.offers.contains_key(*offer)) {
                let reason = format!("is already taken by {}.toml", other.code);
                problems.push(Problem { file: file.to_owned(), key: format!("offers.{offer}"), reason });
            }
        }
        let rules_version = rules_version(&partner)
            .map_err(|reason| vec![Problem { file: file.to_owned(), key: String::new(), reason }])?;
        partners.push(Partner { rules_version, ..partner });
    }
    partners.sort_by(|a, b| a.code.cmp(&b.code));
    if problems.is_empty() { Ok(Registry { partners }) } else { Err(problems) }
}

/// A digest of what a file came to, the time zone's transitions included.
fn rules_version(partner: &Partner) -> Result<String, String> {
    let rules = serde_json::to_string(partner).map_err(|error| format!("cannot be written as JSON: {error}"))?;
    let mut digest = ContentDigest::of("bytec-rules-v1");
    digest.add(&rules);
    Ok(digest.into_hex().chars().take(16).collect())
}

/// For build scripts: reads a folder of partner files, writes what they came to as `partners.json` into the build's
/// output folder, and stops the build with every problem when a file is wrong.
pub fn embed(folder: &Path) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let registry = match read_folder(folder) {
        Ok(registry) => registry,
        Err(problems) => {
            for problem in problems {
                // A parse error shows the place over several lines; each must reach the person.
                for line in problem.to_string().lines() {
                    println!("cargo::error=partners/{line}");
                }
            }
            return;
        }
    };
    let written = serde_json::to_string(&registry).map_err(|error| error.to_string()).and_then(|json| {
        let out = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
        std::fs::write(Path::new(&out).join("partners.json"), json).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        println!("cargo::error=partners.json cannot be written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicate::RefundRepeat;
    use crate::partner::{OnExceeding, OnReversed, OtherAmount, RefundRules};

    const GOOD: &str = r#"
name = "Example"
tenant = "bytec"
endpoint = "example/event"
database = "example_db"
time_zone = "Europe/Berlin"
reply = "json"
auth = ["open"]
currency = "EUR"
amount_max = "5000000"
retry_window_s = 3600
default_event = "conversion"
required = ["conversion_id"]
[aliases]
usd_payout = ["rewars", "rewards"]
[constants]
geo = "MY"
[events]
deposit_success = "deposit"
[statuses]
"Yet to consumed" = "pending"
[duplicates]
key = "click_id+event"
window_s = 60
[offers.summer]
landing = "https://shop.example/{sub_id}?c={click_id}&s={utm_source}"
allow = ["sub_id", "utm_source"]
[ftd]
minimum = "10"
currency = "USD"
reversed = "next"
[refunds]
exceeding = "cap"
other_amount = "stated"
repeat = "add"
[attribution]
window_days = 30
[consent]
required = true
[report]
delimiter = ";"
time_format = "%d/%m/%Y %H:%M"
time_zone = "UTC"
[report.columns]
"Transaction ID" = "conversion_id"
"Commission" = "usd_payout"
"#;

    /// The good file, proving itself in every way that has a table.
    fn proving() -> String {
        let tables = "[ip]\nallow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n[mtls]\nsha256 = [\"HEX\"]\n\
                      [jwt]\nissuer = \"them\"\naudience = \"us\"\n";
        GOOD.replace("[\"open\"]", "[\"ip\", \"mtls\", \"jwt\", \"path_key\"]")
            + &tables.replace("HEX", &"ab".repeat(32))
    }

    /// The problems of the good file with one text replaced.
    fn problems(find: &str, replace: &str) -> Vec<String> {
        problems_of(GOOD, find, replace)
    }

    fn problems_of(good: &str, find: &str, replace: &str) -> Vec<String> {
        assert!(good.contains(find), "{find}");
        let text = good.replace(find, replace);
        match read_files([("example.toml", text.as_str())].into_iter()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_good_file_is_read() {
        let registry = read_files([("example.toml", GOOD)].into_iter()).unwrap();
        let again = Registry::from_json(&serde_json::to_string(&registry).unwrap()).unwrap();
        assert_eq!(registry, again, "what a build embeds is what the file said");
        assert_eq!(again.by_path("/postback/example/event").unwrap().code, "example");
        assert_eq!(again.by_path("/partner/example/event").unwrap().code, "example");
        assert_eq!(again.by_path("/example/event").unwrap().code, "example");
        for path in ["/", "", "/example", "/example/event/", "//example/event", "/postback", "/postback/", "/click/x"] {
            assert_eq!(again.by_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_wrong_file_names_file_key_and_reason() {
        for (find, replace, expected) in [
            ("Europe/Berlin", "Europe/Brlin", "example.toml: time_zone: \"Europe/Brlin\" is not an IANA time zone"),
            ("usd_payout =", "usd_pay =", "example.toml: aliases.usd_pay: \"usd_pay\" is not a canonical field"),
            ("\"rewards\"", "\"rewars\"", "example.toml: aliases.usd_payout: \"rewars\" already means usd_payout"),
            ("\"EUR\"", "\"EURO\"", "example.toml: currency: \"EURO\" is not an ISO 4217 code"),
            ("\"pending\"", "\"waiting\"", "example.toml: statuses.Yet to consumed: \"waiting\" is not pending"),
            ("[\"conversion_id\"]", "[\"click_id\"]", "example.toml: required: must name conversion_id or event_id"),
            ("\"example/event\"", "\"/example\"", "example.toml: endpoint: \"/example\" must be path segments"),
            ("\"example/event\"", "\"health/x\"", "example.toml: endpoint: \"health/x\" begins with a segment"),
            ("\"example/event\"", "\"smoke/x\"", "example.toml: endpoint: \"smoke/x\" begins with a segment"),
            ("\"example/event\"", "\"clicks\"", "example.toml: endpoint: \"clicks\" begins with a segment"),
            ("\"example/event\"", "\"ops\"", "example.toml: endpoint: \"ops\" begins with a segment"),
            ("\"example/event\"", "\"a/stats\"", "example.toml: endpoint: \"a/stats\" ends with a segment"),
            ("\"example_db\"", "\"Example-DB\"", "example.toml: database: \"Example-DB\" must be lower-case"),
            ("[\"open\"]", "[]", "example.toml: auth: names no mode"),
            ("[\"open\"]", "[\"opne\"]", "example.toml: auth[0]: unknown variant `opne`"),
            ("reply = \"json\"", "reply = \"xml\"", "example.toml: reply: unknown variant `xml`"),
            ("name = \"Example\"", "nmae = \"Example\"", "example.toml: nmae: unknown field `nmae`"),
            ("name = \"Example\"", "", "example.toml: missing field `name`"),
            ("= \"conversion\"", "= \"Conversion!\"", "example.toml: default_event: \"Conversion!\" is no event's"),
            ("\"rewards\"", "\"REWARS\"", "example.toml: aliases.usd_payout: \"REWARS\" already means usd_payout"),
            ("\"rewards\"", "\"usd_payout\"", "example.toml: aliases.usd_payout: \"usd_payout\" means itself"),
            ("\"rewards\"", "\"Payout\"", "example.toml: aliases.usd_payout: \"Payout\" is payout but for its case"),
            ("\"rewards\"", "\"_sig\"", "example.toml: aliases.usd_payout: \"_sig\" proves who sends"),
            ("\"rewards\"", "\"a\\nb\"", "example.toml: aliases.usd_payout: \"a\\nb\" is no name"),
            ("geo = \"MY\"", "geo = \" MY\"", "example.toml: constants.geo: \" MY\" is not written as it is stored"),
            (
                "geo = \"MY\"",
                "geo = \"M\\nY\"",
                "example.toml: constants.geo: \"M\\nY\" is not written as it is stored",
            ),
            ("geo = \"MY\"", "payout = \"-5.00\"", "example.toml: constants.payout: is below zero"),
            ("geo = \"MY\"", "ts_event = \"2025-01-01T00:00:00Z\"", "example.toml: constants.ts_event: is a time"),
            ("geo = \"MY\"", "event_id = \"1\"", "example.toml: constants.event_id: tells one event from another"),
            ("\"Yet to consumed\"", "\" \"", "example.toml: statuses. : is an empty word"),
            ("\"Yet to consumed\"", "\"none\"", "example.toml: statuses.none: is a placeholder or a macro"),
            (
                "[\"conversion_id\"]",
                "[\"conversion_id\", \"event\"]",
                "example.toml: required: names event, which has a default",
            ),
            (
                "[\"conversion_id\"]",
                "[\"conversion_id\", \"currency\"]",
                "example.toml: required: names currency, which has",
            ),
            (
                "usd_payout =",
                "order_id = [\"conversion_id\"]\nusd_payout =",
                "example.toml: required: names conversion_id, which no",
            ),
            ("reply =", "placeholders = [\" X\"]\nreply =", "example.toml: placeholders: \" X\" has outer spaces"),
            ("[\"open\"]", "[\"token\", \"token\"]", "example.toml: auth: names one mode twice"),
            ("Europe/Berlin", "Factory", "example.toml: time_zone: \"Factory\" is not an IANA time zone"),
            ("\"rewards\"", "\"\"", "example.toml: aliases.usd_payout: holds an empty name"),
            ("geo = \"MY\"", "usd_payout = \"1.00\"", "example.toml: aliases.usd_payout: is a constant as well"),
            ("geo = \"MY\"", "currency = \"RM\"", "example.toml: constants.currency: \"RM\" is no value"),
            ("geo = \"MY\"", "click_id = \"1\"", "example.toml: constants.click_id: tells one event from another"),
            ("geo = \"MY\"", "region = \"MY\"", "example.toml: constants.region: \"region\" is not a canonical field"),
            ("key = \"click_id+event\"", "key = \"click\"", "example.toml: duplicates.key: unknown variant `click`"),
            ("window_s = 60", "", "example.toml: duplicates.window_s: is needed with click_id+event"),
            ("window_s = 60", "window_s = 0", "example.toml: duplicates.window_s: must be at least 1"),
            ("key = \"click_id+event\"", "", "example.toml: duplicates.window_s: goes with key"),
            ("window_s = 60", "window = 60", "example.toml: duplicates.window: unknown field `window`"),
            ("minimum = \"10\"", "minimum = \"10,0\"", "example.toml: ftd.minimum: \"10,0\" is no amount"),
            ("minimum = \"10\"", "minimum = 10", "example.toml: ftd.minimum: invalid type: integer"),
            ("currency = \"USD\"", "currency = \"US\"", "example.toml: ftd.currency: \"US\" is not an ISO 4217"),
            ("\"next\"", "\"goes\"", "example.toml: ftd.reversed: unknown variant `goes`"),
            ("\"cap\"", "\"trim\"", "example.toml: refunds.exceeding: unknown variant `trim`"),
            ("\"stated\"", "\"said\"", "example.toml: refunds.other_amount: unknown variant `said`"),
            ("\"add\"", "\"sum\"", "example.toml: refunds.repeat: unknown variant `sum`"),
            ("other_amount =", "amount =", "example.toml: refunds.amount: unknown field `amount`"),
            ("= 3600", "= 2592001", "example.toml: retry_window_s: must be 0 to 2592000"),
            ("= 3600", "= -1", "example.toml: retry_window_s: invalid value"),
            ("\"5000000\"", "\"0.009999\"", "example.toml: amount_max: \"0.009999\" is no amount from 0.01 to 9999"),
            ("\"5000000\"", "\"-1\"", "example.toml: amount_max: \"-1\" is no amount from 0.01"),
            ("\"5000000\"", "\"1000000000000\"", "example.toml: amount_max: \"1000000000000\" is no amount from"),
            ("\"5000000\"", "5000000", "example.toml: amount_max: invalid type: integer"),
            ("geo = \"MY\"", "payout = \"5000000.01\"", "example.toml: constants.payout: is more than amount_max"),
            ("window_days = 30", "window_days = 0", "example.toml: attribution.window_days: must be 1 to"),
            ("window_days = 30", "days = 30", "example.toml: attribution.days: unknown field `days`"),
            ("required = true", "required = \"yes\"", "example.toml: consent.required: invalid type: string"),
            ("\";\"", "\"x\"", "example.toml: report.delimiter: 'x' is none of"),
            ("\";\"", "\";;\"", "example.toml: report.delimiter: invalid value: string"),
            ("delimiter = \";\"", "decimal_mark = \"'\"", "example.toml: report.decimal_mark: '\\'' is neither"),
            ("%d/%m/%Y", "%d/%m", "example.toml: report.time_format: is no format"),
            ("%d/%m/%Y", "%Q", "example.toml: report.time_format: is no format"),
            ("%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M", "example.toml: report.time_format: is no format"),
            ("%d/%m/%Y %H:%M", "%d/%m/%Y %H", "example.toml: report.time_format: is no format"),
            ("%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%SZ", "example.toml: report.time_format: is no format"),
            ("%d/%m/%Y %H:%M", "%s", "example.toml: report.time_format: is no format"),
            ("\"UTC\"", "\"utc\"", "example.toml: report.time_zone: \"utc\" is not an IANA"),
            (
                "\"usd_payout\"",
                "\"commission\"",
                "example.toml: report.columns.Commission: \"commission\" is not a canonical",
            ),
            (
                "\"usd_payout\"",
                "\"conversion_id\"",
                "example.toml: report.columns.Transaction ID: conversion_id has another",
            ),
            ("\"Commission\"", "\"transaction_id\"", "example.toml: report.columns.transaction_id: stands twice"),
            ("\"Commission\"", "\" \"", "example.toml: report.columns. : is an empty name"),
            ("[\"open\"]", "[\"open\", \"token\"]", "example.toml: auth: \"open\" stands alone"),
            ("[\"open\"]", "[\"ip\"]", "example.toml: auth: names \"ip\", which needs a table [ip]"),
            ("[aliases]", "[ip]\nallow = [\"::1/128\"]\n[aliases]", "example.toml: ip: has no effect"),
            ("reply =", "unknown_status = \"store\"\nreply =", "example.toml: unknown_status: unknown variant `store`"),
            ("reply =", "placeholders = [\"\"]\nreply =", "example.toml: placeholders: holds an empty word"),
            ("reply =", "max_daily_requests = 0\nreply =", "example.toml: max_daily_requests: must be at least 1"),
            ("reply =", "data_retention_days = 0\nreply =", "example.toml: data_retention_days: must be 1 to"),
            (
                "reply =",
                "click_retention_days = 0\nreply =",
                "example.toml: click_retention_days: must be at least 34: attr",
            ),
            (
                "reply =",
                "click_retention_days = 33\nreply =",
                "example.toml: click_retention_days: must be at least 34: attr",
            ),
            (
                "reply =",
                "click_retention_days = 3658\nreply =",
                "example.toml: click_retention_days: must be 1 to 3657",
            ),
            ("reply =", "data_retention_days = -1\nreply =", "example.toml: data_retention_days: invalid value"),
        ] {
            let found = problems(find, replace);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{replace}: {found:#?}");
        }
        let found = problems("name =", "name == =");
        assert!(found.len() == 1 && found[0].starts_with("example.toml: TOML parse error at line 2"), "{found:#?}");
    }

    #[test]
    fn rules_about_money_are_read_and_have_defaults() {
        let partner = |text: &str| {
            let registry = read_files([("example.toml", text)].into_iter());
            registry.unwrap_or_else(|problems| panic!("{problems:#?}")).by_code("example").unwrap().clone()
        };
        let written = partner(GOOD);
        let rules = |exceeding, other_amount, repeat| RefundRules { exceeding, other_amount, repeat };
        assert_eq!(written.refunds, rules(OnExceeding::Cap, OtherAmount::Stated, RefundRepeat::Add));
        assert_eq!((written.duplicates.retry_window_s, written.duplicates.refund_repeat), (3_600, RefundRepeat::Add));
        assert_eq!(written.first_deposit.unwrap().reversed, OnReversed::Next);
        assert_eq!(written.amount_max.to_string(), "5000000.00");
        let bare = ["amount_max = \"5000000\"\n", "retry_window_s = 3600\n", "reversed = \"next\"\n"]
            .into_iter()
            .chain(["exceeding = \"cap\"\n", "other_amount = \"stated\"\n", "repeat = \"add\"\n"])
            .fold(GOOD.to_owned(), |text, line| text.replace(line, ""));
        let default = partner(&bare);
        assert_eq!(default.refunds, rules(OnExceeding::Flag, OtherAmount::InProportion, RefundRepeat::Restate));
        assert_eq!(
            (default.duplicates.retry_window_s, default.duplicates.refund_repeat),
            (604_800, RefundRepeat::Restate)
        );
        assert_eq!(default.first_deposit.unwrap().reversed, OnReversed::Stays);
        assert_eq!(default.amount_max.to_string(), "10000000000.00");
        for (find, replace, retry_window_s, amount_max) in [
            ("= 3600", "= 0", 0, "5000000.00"),
            ("= 3600", "= 2592000", 2_592_000, "5000000.00"),
            ("\"5000000\"", "\"0.01\"", 3_600, "0.01"),
            ("\"5000000\"", "\"999999999999.999999\"", 3_600, "999999999999.999999"),
        ] {
            let partner = partner(&GOOD.replace(find, replace));
            let read = (partner.duplicates.retry_window_s, partner.amount_max.to_string());
            assert_eq!(read, (retry_window_s, amount_max.to_owned()), "{replace}");
        }
    }

    #[test]
    fn a_way_to_prove_oneself_is_whole_and_right() {
        for (find, replace, expected) in [
            (
                "203.0.113.0/24",
                "203.0.113.1/24",
                "example.toml: ip.allow: \"203.0.113.1/24\" has bits behind its prefix",
            ),
            ("203.0.113.0/24", "203.0.113.0", "example.toml: ip.allow: \"203.0.113.0\" is no CIDR range"),
            ("[\"203.0.113.0/24\", \"2001:db8::/32\"]", "[]", "example.toml: ip.allow: is empty"),
            ("abab\"]", "abAB\"]", "example.toml: mtls.sha256: \"abab"),
            ("issuer = \"them\"", "issuer = \"\"", "example.toml: jwt.issuer: is empty"),
            ("audience = \"us\"", "", "example.toml: jwt: missing field `audience`"),
            ("\"ip\", ", "", "example.toml: ip: has no effect: auth does not name \"ip\""),
        ] {
            let found = problems_of(&proving(), find, replace);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{replace}: {found:#?}");
        }
        let registry = read_files([("example.toml", proving().as_str())].into_iter()).unwrap();
        let again = Registry::from_json(&serde_json::to_string(&registry).unwrap()).unwrap();
        assert_eq!(registry, again, "what a build embeds is what the file said");
    }

    #[test]
    fn a_landing_page_that_a_click_could_turn_elsewhere_is_refused() {
        const LANDING: &str = "https://shop.example/{sub_id}?c={click_id}&s={utm_source}";
        const NO_HOST: &str = "is no host of letters, digits, . and - with an optional port";
        let long = format!("{LANDING}{}", "x".repeat(2048));
        for (replace, expected) in [
            ("http://shop.example/{sub_id}?c={click_id}&s={utm_source}", "must begin with https:// (http://"),
            ("//shop.example/{sub_id}?c={click_id}&s={utm_source}", "must begin with https://"),
            ("{sub_id}://shop.example/?c={click_id}&s={utm_source}", "must begin with https://"),
            ("https:/shop.example/{sub_id}?c={click_id}&s={utm_source}", "must begin with https://"),
            ("https://{sub_id}/?c={click_id}&s={utm_source}", &format!("\"{{sub_id}}\" {NO_HOST}")),
            ("https://shop.example{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("https://shop.example:{sub_id}/?c={click_id}&s={utm_source}", NO_HOST),
            ("https://u@shop.example/{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("https://u:1@shop.example/{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("https:///{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("https://-/{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("https://shop.example:99999/{sub_id}?c={click_id}&s={utm_source}", NO_HOST),
            ("http://localhost.evil.example/{sub_id}?c={click_id}&s={utm_source}", "must begin with https://"),
            (
                "https://shop.example/ /{sub_id}?c={click_id}&s={utm_source}",
                "\"https://shop.example/ /\" has characters",
            ),
            ("https://shop.example/{sub_id}?c={click_id}&s={utm_source}}", "has a brace without its partner"),
            ("https://shop.example/{sub_id}?s={utm_source}", "has no {click_id}"),
            ("https://shop.example/{sub_id}?c={click_id}&s={utm_source}&g={geo}", "{geo} is not in allow"),
            (&long, "has more than 2048 bytes"),
        ] {
            let found = problems(LANDING, replace);
            let is_told = |problem: &String| problem.starts_with("example.toml: offers.summer.landing: ");
            // Without braces in pairs, no name has a place either.
            assert!(
                found.iter().any(|problem| is_told(problem) && problem.contains(expected)),
                "{replace}: {found:#?}"
            );
            assert!(found.len() == 1 || expected.contains("brace"), "{replace}: {found:#?}");
        }
        for good in
            ["http://127.0.0.1:8787/", "http://localhost/", "https://shop.example:8443?", "https://shop.example#"]
        {
            assert_eq!(problems("https://shop.example/", good), [""; 0], "{good}");
        }
        for (replace, expected) in [
            ("[\"sub_id\", \"utm_source\", \"sub_id\"]", "names \"sub_id\" twice"),
            ("[\"sub_id\", \"utm_source\", \"geo\"]", "\"geo\" has no place in landing"),
            ("[\"sub_id\", \"utm_source\", \"click_id\"]", "\"click_id\" is filled in anyway"),
            ("[\"sub_id\", \"utm_source\", \"Geo\"]", "\"Geo\" must be lower-case letters"),
            ("[\"sub_id\", \"utm_source\", \"ts_token\"]", "\"ts_token\" proves who sends"),
        ] {
            let found = problems("[\"sub_id\", \"utm_source\"]", replace);
            let expected = format!("example.toml: offers.summer.allow: {expected}");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{replace}: {found:#?}");
        }
        for (replace, expected) in [
            ("[offers.Summer]", "offers.Summer: an offer's code is lower-case"),
            ("[offers.-summer]", "offers.-summer: an offer's code is"),
            ("[offers.summer]\nlink = \"x\"", "offers.summer.link: unknown field `link`"),
        ] {
            let found = problems("[offers.summer]", replace);
            assert!(found.len() == 1 && found[0].starts_with(&format!("example.toml: {expected}")), "{found:#?}");
        }
    }

    #[test]
    fn an_offer_is_one_partners_and_is_there_while_the_partner_is_active() {
        let registry = read_files([("example.toml", GOOD)].into_iter()).unwrap();
        let (partner, offer) = registry.offer("summer").unwrap();
        assert_eq!((partner.code.as_str(), offer.allow.len()), ("example", 2));
        assert_eq!(registry.offer("winter"), None);
        let stopped = GOOD.replace("reply =", "is_active = false\nreply =");
        assert_eq!(read_files([("example.toml", stopped.as_str())].into_iter()).unwrap().offer("summer"), None);
        let other = GOOD.replace("example/event", "b").replace("example_db", "b_db");
        for second in [other.clone(), other.replace("reply =", "is_active = false\nreply =")] {
            let problems = read_files([("a.toml", GOOD), ("b.toml", &second)].into_iter()).unwrap_err();
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].to_string(), "b.toml: offers.summer: is already taken by a.toml");
        }
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let text = GOOD.replace("Berlin", "Brlin").replace("\"EUR\"", "\"EURO\"").replace("usd_payout =", "usd_pay =");
        let problems = read_files([("example.toml", text.as_str())].into_iter()).unwrap_err();
        let mut keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["aliases.usd_pay", "currency", "time_zone"]);
    }

    #[test]
    fn an_inactive_partner_has_no_endpoint() {
        let text = GOOD.replace("reply =", "is_active = false\nreply =");
        let registry = read_files([("example.toml", text.as_str())].into_iter()).unwrap();
        assert_eq!(registry.by_path("/example/event"), None);
    }

    #[test]
    fn two_partners_share_neither_endpoint_nor_database() {
        let problems = read_files([("a.toml", GOOD), ("b.toml", GOOD)].into_iter()).unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "b.toml: endpoint: \"example/event\" is already taken by a.toml",
                "b.toml: database: \"example_db\" is already taken by a.toml",
                "b.toml: offers.summer: is already taken by a.toml"
            ]
        );
    }

    #[test]
    fn the_documented_example_is_good() {
        let page = include_str!("../../../docs/partner-files.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let registry = read_files([("example.toml", example)].into_iter());
        assert_eq!(registry.unwrap_or_else(|problems| panic!("{problems:#?}")).all().len(), 1);
    }

    #[test]
    fn the_shipped_files_are_good_and_so_are_the_examples_beside_them() {
        let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
        let registry = read_folders(&[&partners, &partners.join("examples")]);
        let registry = registry.unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(registry.all().len() >= 13, "three partners and ten networks");
    }
}
