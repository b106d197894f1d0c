//! Partner files: TOML with every key known and every value checked (R6). A wrong file yields problems that name file,
//! key and reason; a build script stops on them, so that no program with a half-read partner exists.

use super::{AuthMode, Partner, Registry, fold_word};
use crate::event::Event;
use crate::field::Field;
use crate::money::Currency;
use crate::reply::Format;
use crate::status::Status;
use crate::zone::Zone;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// First segments of paths that belong to the service itself.
const RESERVED_SEGMENTS: [&str; 9] =
    ["postback", "partner", "click", "health", "ready", "info", "metrics", "openapi.json", "docs"];

/// What is wrong with a partner file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The key, dotted; empty when the file as a whole is at fault.
    pub key: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.file, self.reason)
        } else {
            write!(f, "{}: {}: {}", self.file, self.key, self.reason)
        }
    }
}

/// The file as written. docs/partner-files.md describes every key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerFile {
    name: String,
    tenant: String,
    endpoint: String,
    database: String,
    time_zone: String,
    reply: Format,
    auth: Vec<AuthMode>,
    currency: Option<String>,
    #[serde(default)]
    negative_amounts: bool,
    default_event: Option<String>,
    required: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    events: BTreeMap<String, String>,
    #[serde(default)]
    statuses: BTreeMap<String, String>,
}

/// Reads every `*.toml` of a folder.
///
/// # Errors
/// All problems of all files.
pub fn read_folder(folder: &Path) -> Result<Registry, Vec<Problem>> {
    let cannot = |file: &Path, error: std::io::Error| {
        vec![Problem {
            file: file.display().to_string(),
            key: String::new(),
            reason: format!("cannot be read: {error}"),
        }]
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
        let path = entry.map_err(|error| cannot(folder, error))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
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
/// All problems of all files, those between files (two of one endpoint or database) included.
pub fn read_files<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Registry, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut partners: Vec<Partner> = Vec::new();
    for (file, text) in files {
        let partner = match read(file, text) {
            Ok(partner) => partner,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        for other in &partners {
            for (key, same) in
                [("endpoint", other.endpoint == partner.endpoint), ("database", other.database == partner.database)]
            {
                if same {
                    let reason = format!("already taken by {}.toml", other.code);
                    problems.push(Problem { file: file.to_owned(), key: key.to_owned(), reason });
                }
            }
        }
        partners.push(partner);
    }
    partners.sort_by(|a, b| a.code.cmp(&b.code));
    if problems.is_empty() { Ok(Registry { partners }) } else { Err(problems) }
}

fn read(file: &str, text: &str) -> Result<Partner, Vec<Problem>> {
    let problem = |key: String, reason: String| vec![Problem { file: file.to_owned(), key, reason }];
    let document = toml::Deserializer::parse(text).map_err(|e| problem(String::new(), e.to_string()))?;
    let written: PartnerFile = serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        problem(if key == "." { String::new() } else { key }, error.inner().message().to_owned())
    })?;
    let mut check = Checks { file, problems: Vec::new() };
    let partner = check.partner(written);
    if check.problems.is_empty() { Ok(partner) } else { Err(check.problems) }
}

/// The checks of one file: each notes what is wrong and goes on, so that all is reported at once.
struct Checks<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn wrong(&mut self, key: &str, reason: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), key: key.to_owned(), reason: reason.into() });
    }

    fn partner(&mut self, written: PartnerFile) -> Partner {
        let code = self.file.strip_suffix(".toml").unwrap_or(self.file).to_owned();
        self.identifier("(file name)", &code);
        self.identifier("tenant", &written.tenant);
        self.identifier("database", &written.database);
        self.endpoint(&written.endpoint);
        if written.name.trim().is_empty() {
            self.wrong("name", "is empty");
        }
        self.auth(&written.auth);
        let currency = written.currency.map(|code| self.currency(&code));
        let required = written.required.iter().filter_map(|name| self.field("required", name)).collect::<Vec<_>>();
        if !required.iter().any(|field| matches!(field, Field::ConversionId | Field::EventId)) {
            self.wrong("required", "must name conversion_id or event_id, or no postback could be told from another");
        }
        Partner {
            code,
            name: written.name,
            tenant: written.tenant,
            endpoint: written.endpoint,
            database: written.database,
            zone: self.zone(&written.time_zone),
            reply: written.reply,
            auth: written.auth,
            currency,
            negative_amounts: written.negative_amounts,
            required,
            aliases: self.aliases(&written.aliases),
            events: self.events(&written.events),
            default_event: written.default_event.map(|name| self.default_event(&name)),
            statuses: self.statuses(&written.statuses),
        }
    }

    /// Names that become file names, database names and metric labels.
    fn identifier(&mut self, key: &str, text: &str) {
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !starts || !plain || text.len() > 48 {
            self.wrong(key, format!("{text:?} must be lower-case letters, digits and _, from a letter, at most 48"));
        }
    }

    fn endpoint(&mut self, endpoint: &str) {
        if endpoint.is_empty() {
            return;
        }
        let segment = |text: &str| {
            !text.is_empty()
                && !text.bytes().all(|b| b == b'.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
        };
        if !endpoint.split('/').all(segment) {
            self.wrong(
                "endpoint",
                format!("{endpoint:?} must be path segments of A-Za-z0-9._~- without outer slashes"),
            );
        }
        if endpoint.split('/').next().is_some_and(|first| RESERVED_SEGMENTS.contains(&first)) {
            self.wrong("endpoint", format!("{endpoint:?} begins with a segment of the service's own"));
        }
    }

    fn auth(&mut self, modes: &[AuthMode]) {
        if modes.is_empty() {
            self.wrong("auth", "names no mode; say \"open\" to believe everybody");
        }
        if modes.len() > 1 && modes.contains(&AuthMode::Open) {
            self.wrong("auth", "\"open\" stands alone: with another mode it would mean nothing");
        }
    }

    fn currency(&mut self, code: &str) -> String {
        if Currency::parse(code).is_none() {
            self.wrong("currency", format!("{code:?} is not an ISO 4217 code"));
        }
        code.to_owned()
    }

    fn zone(&mut self, name: &str) -> Zone {
        zone(name).unwrap_or_else(|| {
            self.wrong("time_zone", format!("{name:?} is not an IANA time zone, such as \"Asia/Kuala_Lumpur\""));
            Zone::utc()
        })
    }

    fn field(&mut self, key: &str, name: &str) -> Option<Field> {
        let field = Field::parse(name);
        if field.is_none() {
            self.wrong(key, format!("{name:?} is not a canonical field (docs/partner-files.md lists them)"));
        }
        field
    }

    fn aliases(&mut self, written: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Field> {
        let mut aliases = BTreeMap::new();
        for (field_name, names) in written {
            let key = format!("aliases.{field_name}");
            let Some(field) = self.field(&key, field_name) else { continue };
            for name in names {
                if let Some(other) = aliases.insert(name.clone(), field) {
                    self.wrong(&key, format!("{name:?} already means {}", other.name()));
                }
            }
        }
        aliases
    }

    fn events(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut events = BTreeMap::new();
        for (word, event) in written {
            let key = format!("events.{word}");
            match Event::parse(event) {
                Some(event) => {
                    if events.insert(fold_word(word), event.name().to_owned()).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{event:?} is no event's name")),
            }
        }
        events
    }

    fn statuses(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, Status> {
        let mut statuses = BTreeMap::new();
        for (word, status) in written {
            let key = format!("statuses.{word}");
            match Status::parse(status) {
                Some(status) => {
                    if statuses.insert(fold_word(word), status).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{status:?} is not pending, approved, rejected or paid")),
            }
        }
        statuses
    }

    /// The default is a canonical name, so that reading the canonical form again adds nothing.
    fn default_event(&mut self, name: &str) -> String {
        if Event::parse(name).is_none_or(|event| event.name() != name) {
            self.wrong("default_event", format!("{name:?} is no event's canonical name, such as \"conversion\""));
        }
        name.to_owned()
    }
}

/// The table of an IANA zone over the years that times are read in. None when there is no such zone.
pub fn zone(name: &str) -> Option<Zone> {
    let zone = jiff::tz::TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some_and(|known| known == name))?;
    // A day and more beyond each end, because local times stand up to 14 hours from UTC.
    let start = jiff::Timestamp::from_second(-2 * 86_400).ok()?;
    let end = jiff::Timestamp::from_second(4_102_444_800 + 2 * 86_400).ok()?;
    let first_offset_s = zone.to_offset(start).seconds();
    let mut offset_s = first_offset_s;
    let mut changes = Vec::new();
    for change in zone.following(start).take_while(|change| change.timestamp() < end) {
        // A change of name or of the daylight saving flag alone does not move the clocks.
        if change.offset().seconds() != offset_s {
            offset_s = change.offset().seconds();
            changes.push((change.timestamp().as_second(), offset_s));
        }
    }
    Some(Zone::new(name, first_offset_s, changes))
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

    const GOOD: &str = r#"
name = "Example"
tenant = "bytec"
endpoint = "example/event"
database = "example_db"
time_zone = "Europe/Berlin"
reply = "json"
auth = ["open"]
currency = "EUR"
default_event = "conversion"
required = ["conversion_id"]
[aliases]
usd_payout = ["rewars", "rewards"]
[events]
deposit_success = "deposit"
[statuses]
"Yet to consumed" = "pending"
"#;

    /// The problems of the good file with one text replaced.
    fn problems(find: &str, replace: &str) -> Vec<String> {
        assert!(GOOD.contains(find), "{find}");
        let text = GOOD.replace(find, replace);
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
            ("\"conversion_id\"", "\"click_id\"", "example.toml: required: must name conversion_id or event_id"),
            ("\"example/event\"", "\"/example\"", "example.toml: endpoint: \"/example\" must be path segments"),
            ("\"example/event\"", "\"health/x\"", "example.toml: endpoint: \"health/x\" begins with a segment"),
            ("\"example_db\"", "\"Example-DB\"", "example.toml: database: \"Example-DB\" must be lower-case"),
            ("[\"open\"]", "[]", "example.toml: auth: names no mode"),
            ("[\"open\"]", "[\"opne\"]", "example.toml: auth[0]: unknown variant `opne`"),
            ("reply = \"json\"", "reply = \"xml\"", "example.toml: reply: unknown variant `xml`"),
            ("name = \"Example\"", "nmae = \"Example\"", "example.toml: nmae: unknown field `nmae`"),
            ("name = \"Example\"", "", "example.toml: missing field `name`"),
            ("= \"conversion\"", "= \"Conversion!\"", "example.toml: default_event: \"Conversion!\" is no event's"),
        ] {
            let found = problems(find, replace);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{replace}: {found:#?}");
        }
        let found = problems("name =", "name == =");
        assert!(found.len() == 1 && found[0].starts_with("example.toml: TOML parse error at line 2"), "{found:#?}");
    }

    #[test]
    fn two_partners_share_neither_endpoint_nor_database() {
        let problems = read_files([("a.toml", GOOD), ("b.toml", GOOD)].into_iter()).unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["b.toml: endpoint: already taken by a.toml", "b.toml: database: already taken by a.toml"]);
    }

    #[test]
    fn the_documented_example_is_good() {
        let page = include_str!("../../../docs/partner-files.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let registry = read_files([("example.toml", example)].into_iter());
        assert_eq!(registry.unwrap_or_else(|problems| panic!("{problems:#?}")).all().len(), 1);
    }

    #[test]
    fn the_shipped_files_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
        let registry = read_folder(&folder).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(registry.all().len() >= 3);
    }
}
