//! Why a postback was parked, and what makes it worth another try without anybody asking.

/// Why a postback was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No origin acknowledged it in 72 hours of trying.
    Exhausted,
    /// The origin acknowledged that it will not take it: a postback that contradicts what is stored, or a click that it cannot read.
    Refused,
    /// The origin cannot read what an edge read and signed: the two differ in version, or there is a bug.
    VersionSkew,
    /// This edge does not know the partner, which another edge knew.
    UnknownPartner,
    /// The message is none that this edge can read.
    Unreadable,
}

/// What has to be so before a postback goes back into the queue by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its partner's origin answers again.
    OriginAnswers,
    /// This edge knows its partner.
    PartnerIsKnown,
    /// A later edge reads its form.
    FormIsKnown,
    /// Nothing but an operator's word.
    Never,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 5] =
        [Cause::Exhausted, Cause::Refused, Cause::VersionSkew, Cause::UnknownPartner, Cause::Unreadable];

    /// The code in the table, in replies and in filters.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Exhausted => "exhausted",
            Cause::Refused => "refused",
            Cause::VersionSkew => "version_skew",
            Cause::UnknownPartner => "unknown_partner",
            Cause::Unreadable => "unreadable",
        }
    }

    /// The cause of a code.
    pub fn parse(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// When it is gone.
    pub const fn gone_when(self) -> Gone {
        match self {
            // Another version may be there by now. If not, it is tried for 72 hours more, and parked again.
            Cause::Exhausted | Cause::VersionSkew => Gone::OriginAnswers,
            Cause::UnknownPartner => Gone::PartnerIsKnown,
            Cause::Unreadable => Gone::FormIsKnown,
            Cause::Refused => Gone::Never,
        }
    }
}
