//! What can be found: a stable code for each, which scripts go by, and how bad it is. docs/doctor.md has the same list.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works, and somebody should look.
    Warning,
    /// Something does not work, or somebody is believed who must not be.
    Problem,
}

impl Level {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Warning => "warning",
            Level::Problem => "problem",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $name:literal: $level:ident,)+) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $name] $variant,)+
        }

        impl Code {
            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// How bad it is.
            pub const fn level(self) -> Level {
                match self { $(Code::$variant => Level::$level,)+ }
            }
        }
    };
}

codes! {
    Overdue = "overdue": Problem,
    // Configuration.
    Configuration = "configuration": Problem,
    DevelopmentKey = "development_key": Problem,
    DevelopmentToken = "development_token": Problem,
    DevelopmentEnvironment = "development_environment": Warning,
    KeyWeak = "key_weak": Problem,
    KeyShared = "key_shared": Problem,
    KeysNotInForce = "keys_not_in_force": Problem,
    KeysEnding = "keys_ending": Warning,
    KeyOver = "key_over": Warning,
    KeyToCome = "key_to_come": Warning,
    SecretReadable = "secret_readable": Problem,
    BindReachable = "bind_reachable": Warning,
    PartnerOpen = "partner_open": Warning,
    // The address.
    AddressNotHere = "address_not_here": Problem,
    PortTaken = "port_taken": Problem,
    OriginDegraded = "origin_degraded": Problem,
    OriginOtherVersion = "origin_other_version": Warning,
    OriginOtherPartners = "origin_other_partners": Warning,
    // Files.
    FolderNotWritable = "folder_not_writable": Problem,
    FileNotWritable = "file_not_writable": Problem,
    FileReadable = "file_readable": Warning,
    NetworkFileSystem = "network_file_system": Problem,
    DiskFull = "disk_full": Problem,
    DiskNearlyFull = "disk_nearly_full": Warning,
    // Databases.
    DatabaseAway = "database_away": Problem,
    DatabaseRefuses = "database_refuses": Problem,
    DatabaseBroken = "database_broken": Problem,
    DatabaseMissing = "database_missing": Problem,
    DatabaseUnmade = "database_unmade": Warning,
    DatabaseOfTwo = "database_of_two": Problem,
    DatabaseReadOnly = "database_read_only": Problem,
    DatabaseUnsafe = "database_unsafe": Problem,
    DatabaseNotOwned = "database_not_owned": Problem,
    PostgresTooOld = "postgres_too_old": Problem,
    SchemaOlder = "schema_older": Warning,
    SchemaNewer = "schema_newer": Warning,
    SchemaDiffers = "schema_differs": Problem,
    ConnectionsTooFew = "connections_too_few": Warning,
    MonthsMissing = "months_missing": Warning,
    // What is in them.
    ItemsDead = "items_dead": Problem,
    ProcessingBehind = "processing_behind": Warning,
    RatesWaitedFor = "rates_waited_for": Problem,
    RatesOld = "rates_old": Warning,
    PartnersUnsynced = "partners_unsynced": Warning,
    PartnerUnknown = "partner_unknown": Warning,
    TokenNone = "token_none": Warning,
    CredentialEnding = "credential_ending": Warning,
    // The clock.
    ClockApart = "clock_apart": Warning,
    ClockOutsideWindow = "clock_outside_window": Problem,
    // The tunnel.
    TunnelUnreadable = "tunnel_unreadable": Problem,
    TunnelUnnamed = "tunnel_unnamed": Problem,
    TunnelNoHostname = "tunnel_no_hostname": Problem,
    TunnelOtherService = "tunnel_other_service": Problem,
    TunnelNoCatchAll = "tunnel_no_catch_all": Problem,
    TunnelNoCredentials = "tunnel_no_credentials": Problem,
    // The edge's settings.
    EdgeSettingsUnreadable = "edge_settings_unreadable": Problem,
    EdgeEnvironment = "edge_environment": Problem,
    OriginUrlWrong = "origin_url_wrong": Problem,
    OriginUrlNotTheTunnels = "origin_url_not_the_tunnels": Problem,
    SecretInVars = "secret_in_vars": Problem,
    BindingMissing = "binding_missing": Problem,
    QueueSettings = "queue_settings": Problem,
    DatabaseIdMissing = "database_id_missing": Problem,
    // From outside.
    OriginUnreachable = "origin_unreachable": Problem,
    OriginNotOurs = "origin_not_ours": Problem,
    OriginBehindAccess = "origin_behind_access": Warning,
    EdgeUnreachable = "edge_unreachable": Problem,
    EdgeNotOurs = "edge_not_ours": Problem,
    EdgeMisconfigured = "edge_misconfigured": Problem,
    EdgeOriginUnreachable = "edge_origin_unreachable": Problem,
    EdgeOtherVersion = "edge_other_version": Warning,
}
