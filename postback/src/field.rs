//! The canonical fields (R7): our one name for each thing a postback can say, and how its text is read.

/// How the text of a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier: kept as it is, at most [`crate::limits::ID_BYTES_MAX`].
    Id,
    /// Words: kept as they are.
    Text,
    /// An event's name.
    Event,
    /// A conversion's standing.
    Status,
    /// An instant.
    Time,
    /// An exact decimal.
    Amount,
    /// ISO 4217.
    Currency,
    /// Yes or no.
    Flag,
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal: $kind:ident,)*) => {
        /// One canonical field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[doc = $doc])* $variant,)* }

        impl Field {
            /// Every field, in canonical order.
            pub const ALL: &[Field] = &[$(Field::$variant,)*];

            /// The canonical name.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            /// What it says, for people.
            pub fn about(self) -> &'static str {
                match self { $(Field::$variant => concat!($($doc),*).trim_start(),)* }
            }

            /// How its text is read.
            pub const fn kind(self) -> Kind {
                match self { $(Field::$variant => Kind::$kind,)* }
            }

            /// The field of a canonical name.
            pub fn parse(name: &str) -> Option<Field> {
                match name { $($name => Some(Field::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    /// The sender's id of this event, where it has one.
    EventId = "event_id": Id,
    /// What happened.
    Event = "event": Event,
    /// The click that our redirector created.
    ClickId = "click_id": Id,
    /// The partner's id of the conversion.
    ConversionId = "conversion_id": Id,
    /// The event id of the sale that a refund or chargeback takes money back of.
    OriginalEventId = "original_event_id": Id,
    /// The shop's id of the order.
    OrderId = "order_id": Id,
    /// The publisher's medium.
    MediaId = "media_id": Id,
    /// The publisher's own mark.
    SubId = "sub_id": Id,
    /// Affiliate mark 1 (networks write it without a number).
    AffSub = "aff_sub": Text,
    /// Affiliate mark 2.
    AffSub2 = "aff_sub2": Text,
    /// Affiliate mark 3.
    AffSub3 = "aff_sub3": Text,
    /// Affiliate mark 4.
    AffSub4 = "aff_sub4": Text,
    /// Affiliate mark 5.
    AffSub5 = "aff_sub5": Text,
    /// The partner's id of the offer.
    OfferId = "offer_id": Id,
    /// The offer's name.
    OfferName = "offer_name": Text,
    /// The customer's account with the advertiser.
    AccountId = "account_id": Id,
    /// The installation of an application, by the id that its measurer gave it.
    InstallId = "install_id": Id,
    /// The customer's visit.
    SessionId = "session_id": Id,
    /// The campaign's name.
    Campaign = "campaign": Text,
    /// The advertisement shown.
    CreativeId = "creative_id": Id,
    /// Where the conversion stands.
    Status = "status": Status,
    /// When the event happened.
    TsEvent = "ts_event": Time,
    /// When the conversion happened, as the partner has it.
    ConversionDatetime = "conversion_datetime": Time,
    /// What the customer paid, in `currency`.
    SaleAmount = "sale_amount": Amount,
    /// What we are paid, in `currency`.
    Payout = "payout": Amount,
    /// The currency of `sale_amount` and `payout`.
    Currency = "currency": Currency,
    /// What the customer paid, in US dollars.
    UsdSaleAmount = "usd_sale_amount": Amount,
    /// What we are paid, in US dollars.
    UsdPayout = "usd_payout": Amount,
    /// Whether the sender calls it the account's first deposit.
    IsFtd = "is_ftd": Flag,
    /// How the customer paid.
    PaymentMethod = "payment_method": Text,
    /// The customer's country or region.
    Geo = "geo": Text,
    /// The customer's kind of device.
    Device = "device": Text,
    /// The version of the consent the customer gave (R64).
    ConsentVersion = "consent_version": Text,
}

/// In partner files and their built form a field is its canonical name.
impl serde::Serialize for Field {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Field {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Field::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("{name:?} is not a canonical field")))
    }
}
