//! A report's head: which of its columns mean what.

use postback::field::Field;
use postback::partner::{Partner, fold_word};
use std::collections::BTreeMap;

/// A column that is read: its place, its name, and what it means.
pub struct ReadColumn {
    pub place: usize,
    pub name: String,
    pub field: Field,
}

/// Which columns mean which fields, and the names of those that mean nothing.
pub fn columns<'h>(
    partner: &Partner,
    head: impl Iterator<Item = &'h str>,
    more: &BTreeMap<String, Field>,
) -> Result<(Vec<ReadColumn>, Vec<String>), String> {
    let (mut found, mut ignored): (Vec<ReadColumn>, Vec<String>) = (Vec::new(), Vec::new());
    let named: BTreeMap<_, _> = more.iter().map(|(name, field)| (fold_word(name), *field)).collect();
    let is_said = |field: &Field| named.values().chain(partner.report.columns.values()).any(|said| said == field);
    for (place, name) in head.enumerate() {
        let name = name.trim();
        let folded = fold_word(name);
        let said = named.get(&folded).or_else(|| partner.report.columns.get(&folded)).copied();
        let by_name = || {
            let joined = folded.replace(' ', "_");
            let field = partner.field_of_any_case(name).or_else(|| partner.field_of_any_case(&joined));
            // What was said of another column stands.
            field.filter(|field| !is_said(field))
        };
        match said.or_else(by_name) {
            None => ignored.push(name.to_owned()),
            Some(field) => match found.iter().find(|other| other.field == field) {
                Some(other) => {
                    return Err(format!(
                        "its columns {:?} and {name:?} both mean {}: say which, --column 'NAME={}'",
                        other.name,
                        field.name(),
                        field.name()
                    ));
                }
                None => found.push(ReadColumn { place, name: name.to_owned(), field }),
            },
        }
    }
    let names: Vec<_> =
        found.iter().map(|column| &column.name).chain(&ignored).map(|name| format!("{name:?}")).collect();
    let has = |name: &str| found.iter().any(|column| fold_word(&column.name) == fold_word(name));
    if let Some(unknown) = more.keys().find(|name| !has(name)) {
        return Err(format!("it has no column {unknown:?} (they are {})", names.join(", ")));
    }
    if found.iter().any(|column| column.field == Field::ConversionId) {
        Ok((found, ignored))
    } else {
        Err(format!(
            "none of its columns is the conversion's id (they are {}): say which, --column 'NAME=conversion_id', or in the table [report.columns] \
             of partners/{}.toml",
            names.join(", "),
            partner.code
        ))
    }
}
