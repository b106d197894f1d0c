//! What a check came to.

use super::code::{Code, Level};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// What is wrong, without secrets.
    pub says: String,
    /// What to do: the file or variable, and the command or edit that mends it.
    pub hint: String,
}

impl Finding {
    /// A finding.
    pub fn new(code: Code, says: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { code, says: says.into(), hint: hint.into() }
    }
}

/// One check: what was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What kind of thing it is about.
    pub check: &'static str,
    /// Which one, where there are several.
    pub subject: String,
    /// What was looked at; of a check that was left out, how to have it made.
    pub looked_at: String,
    /// Whether it was left out, because nobody has said where to look.
    pub is_skipped: bool,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// A check that was made.
    pub fn new(check: &'static str, subject: &str, looked_at: impl Into<String>, findings: Vec<Finding>) -> Checked {
        let mut findings = findings;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.code.level()));
        Checked { check, subject: subject.to_owned(), looked_at: looked_at.into(), is_skipped: false, findings }
    }

    /// A check that was left out.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Checked {
        Checked { is_skipped: true, ..Checked::new(check, "", why, Vec::new()) }
    }

    /// A check that did not end in time.
    pub fn overdue(check: &'static str, subject: &str, looked_at: impl Into<String>, limit_s: u64) -> Checked {
        let finding = Finding::new(
            Code::Overdue,
            format!("no end after {limit_s} s"),
            "look why it hangs: a file on a disk that is away, a pipe, a machine that is overloaded; --timeout-s waits longer",
        );
        Checked::new(check, subject, looked_at, vec![finding])
    }

    /// The worst that was found.
    pub fn level(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.code.level()).max()
    }

    /// How it went, in a word.
    pub fn state(&self) -> &'static str {
        match self.level() {
            Some(level) => level.name(),
            None if self.is_skipped => "skipped",
            None => "ok",
        }
    }
}
