//! What is odd about a conversion that was judged: a code that is written beside it and counted.

/// Something odd. docs/operations.md says of each what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It names a click that we did not make, or that has not come yet.
    UnknownClick,
    /// It happened before the click that it names.
    ClickAfterConversion,
    /// It happened longer after its click than the partner's window.
    ClickTooOld,
    /// Event and click name different consents.
    ConsentDiffers,
    /// Neither names a consent, and the partner's file wants one.
    ConsentMissing,
    /// Money goes back of a conversion that is not known.
    OriginalMissing,
    /// Money goes back, and how much is not said: it is taken to be all that is left.
    AmountOfOriginal,
    /// A return does not say how much goes back, and nothing is left of its sale.
    NothingLeft,
    /// Returns of a sale take more than it came to.
    RefundExceedsSale,
    /// A sale was reduced by exactly what a return of it states.
    ReducedAndRefunded,
    /// A return states one of sale and payout: the other goes back in proportion.
    InProportion,
    /// A return does not say which of several sales it is of.
    SeveralOriginals,
    /// The sale that a return is of is rejected, or a flagged duplicate.
    OriginalRejected,
    /// There is an amount and no currency.
    CurrencyMissing,
    /// There is no rate for its day yet.
    RateMissing,
    /// The rate is of a day before, and a better one may come.
    RateProvisional,
    /// In the reporting currency it is no amount that can be kept.
    AmountOutOfRange,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Finding; 17] = [
        Finding::UnknownClick,
        Finding::ClickAfterConversion,
        Finding::ClickTooOld,
        Finding::ConsentDiffers,
        Finding::ConsentMissing,
        Finding::OriginalMissing,
        Finding::AmountOfOriginal,
        Finding::NothingLeft,
        Finding::RefundExceedsSale,
        Finding::ReducedAndRefunded,
        Finding::InProportion,
        Finding::SeveralOriginals,
        Finding::OriginalRejected,
        Finding::CurrencyMissing,
        Finding::RateMissing,
        Finding::RateProvisional,
        Finding::AmountOutOfRange,
    ];

    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Finding::UnknownClick => "unknown_click",
            Finding::ClickAfterConversion => "click_after_conversion",
            Finding::ClickTooOld => "click_too_old",
            Finding::ConsentDiffers => "consent_differs",
            Finding::ConsentMissing => "consent_missing",
            Finding::OriginalMissing => "original_missing",
            Finding::AmountOfOriginal => "amount_of_original",
            Finding::NothingLeft => "nothing_left",
            Finding::RefundExceedsSale => "refund_exceeds_sale",
            Finding::ReducedAndRefunded => "reduced_and_refunded",
            Finding::InProportion => "in_proportion",
            Finding::SeveralOriginals => "several_originals",
            Finding::OriginalRejected => "original_rejected",
            Finding::CurrencyMissing => "currency_missing",
            Finding::RateMissing => "rate_missing",
            Finding::RateProvisional => "rate_provisional",
            Finding::AmountOutOfRange => "amount_out_of_range",
        }
    }
}
