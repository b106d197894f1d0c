//! Erasing what is stored about an account: the statements of one transaction, each of which finds by the pseudonym what the ones
//! before it did.

use super::super::statement::{Dialect, Step};
use super::find::{
    GIVEN, IDS_OF_REREADS, SUBJECT, Sought, TOLD, names_it, names_no_other, of_subject, postbacks_of_person,
    rejections_of, rejections_of_requests, requests_of, reread_is_account, sets, tells,
};
use super::{ASKED, Account, Asked};
use postback::id::{Nonce, OWN_CONVERSION_PREFIX};
use postback::time::Timestamp;

/// What a pseudonym begins with, so that whoever meets one knows what it is.
const PSEUDONYM_PREFIX: &str = "erased-";
/// Fields of a postback that tell of a person beside the account, and that no money depends on.
const PERSONAL: [&str; 10] =
    ["sub_id", "aff_sub", "aff_sub2", "aff_sub3", "aff_sub4", "aff_sub5", "install_id", "session_id", "geo", "device"];

/// Texts of a conversion that stay, but for an account that a sender has put into one.
const KEPT: [&str; 7] =
    ["order_id", "campaign", "offer_id", "offer_name", "media_id", "payment_method", "consent_version"];

/// Whose data is erased, what stands in the account's place, and when.
#[derive(Clone, Debug)]
pub struct Erasing {
    account: Account,
    pseudonym: String,
    now: Timestamp,
}

impl Erasing {
    /// Erases an account now. `random` is this erasure's alone.
    pub fn new(account: Account, random: &Nonce, now: Timestamp) -> Erasing {
        Erasing { account, pseudonym: format!("{PSEUDONYM_PREFIX}{random}"), now }
    }

    /// What stands in the account's place.
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// A row for each id, and one without.
    pub(super) fn rows(&self, ids: Vec<String>) -> Vec<Asked> {
        self.account.with_ids(ids).into_iter().map(|asked| self.erasing(asked)).collect()
    }

    /// A row for each needle, where the statements look for themselves.
    fn needles(&self) -> Vec<Asked> {
        self.account.with_needles().map(|asked| self.erasing(asked)).collect()
    }

    fn erasing(&self, asked: Asked) -> Asked {
        Asked { pseudonym: Some(self.pseudonym.clone()), at: Some(self.now), ..asked }
    }
}

/// That there is still something of a request as it was received.
pub(in crate::store) const AS_RECEIVED: &str =
    "(client_ip is not null or body is not null or cast(headers as text) <> '{}' or target like '%?%')";

/// Of a rejected request nothing came that its ids would have to lead to.
const NO_IDS: &str = "event_id = null, conversion_id = null, order_id = null, click_id = null, account_id = null";
/// That it has any.
const HAS_IDS: &str = "coalesce(event_id, conversion_id, order_id, click_id, account_id) is not null";

/// A statement, the table that it changes, and the table whose keys it works on.
pub(super) struct Erase {
    pub(super) table: &'static str,
    pub(super) input: &'static str,
    pub(super) statement: Step<Asked>,
}

/// The statements, in their order.
///
/// (1) events that name the account name the pseudonym, and no more than they must
/// (2) so do its conversions; those that have since become another's, where they were judged as its deposits
/// (3) and links
/// (4) events of the person's clicks that name no account, and their conversions, tell no more than they must
/// (5) of requests as they were received there remains that they came, and what became of them; rejected ones name no ids; and what a
///     request was before it was read again has the pseudonym where an id was the account
/// (6) clicks are no more than a place and a time, and no installation is linked to them
/// (7) whoever is judging what was erased has it no longer
/// (8) conversions that events of several persons were folded to are folded again, from what is left; a fold that has read what was
///     erased is not written: it is read again. The keys are answered
pub(super) fn steps(dialect: Dialect, sought: Sought) -> Vec<Erase> {
    let step = |table, input, sets: &str, statement: String| {
        let statement = Step::new(dialect, ASKED, &format!(", {SUBJECT}{sets} {statement}"));
        Erase { table, input, statement }
    };
    let before = format!(", {}", sets("account_id", &sought.events("account_id")));
    let after = format!(", {}", sets("pseudonym", &sought.events("pseudonym")));
    let none = "";
    let [account, pseudonym] = ["account_id", "pseudonym"].map(of_subject);
    let content = |table: &str| format!("content = {}", reduced(dialect, table));
    let conversion = format!(
        "sub_id = null, geo = null, device = null, consent = {}, {},
         processing_error = case when processing_error is not null then 'erased' end",
        replaced("consent"),
        KEPT.map(|name| format!("{name} = {}", replaced(name))).join(", ")
    );
    let alone = "(conversion_key, occurrence) in (select conversion_key, occurrence from alone)";
    let request = format!(
        "target = {}, headers = '{{}}', body = null, client_ip = null",
        match dialect {
            Dialect::Postgres => "split_part(target, '?', 1)",
            Dialect::Sqlite => "substr(target, 1, instr(target || '?', '?') - 1)",
        }
    );
    let found = |table: &str, key: &str, condition: String| match sought {
        Sought::Given => format!("{key} in (select cast(id as bigint) from input where id is not null)"),
        Sought::Here => format!("{key} in (select {key} from {table} where {condition})"),
    };
    let postbacks =
        found("postbacks", "postback_id", format!("({} or {})", names_it("postbacks"), tells(dialect, "postbacks")));
    let recovered = format!("rejection_id in ({})", rejections_of_requests(&postbacks_of_person(dialect)));
    let rejections = found("rejections", "rejection_id", format!("({} or {recovered})", tells(dialect, "rejections")));
    let rereads = found("reread_requests", "reread_request_id", reread_is_account("reread_requests"));
    let request_of_verdict = format!("{request}, ignored = '[]', {}", content("postbacks"));
    vec![
        step("events", "events", &before, format!(
            "update events set {} where event_id in ({TOLD}) and {}", content("events"), names_it("events"),
        )),
        step("conversions", "events", none, format!(
            "update conversions set account_id = {pseudonym},
                deposit_account = case when deposit_account = {account} then {pseudonym} else deposit_account end, {conversion}
             where account_id = {account}",
        )),
        step("conversions", "events", none, format!(
            "update conversions set deposit_account = {pseudonym}
             where deposit_account = {account} and conversion_id in (
                select events.conversion_id from events where events.event_id in ({}))",
            sought.events("pseudonym"),
        )),
        step("links", "events", none, format!(
            "update links set linked_id = {pseudonym} where kind = 'account' and linked_id = {account}",
        )),
        step("events", "events", &after, format!(
            "update events set {} where event_id in ({TOLD}) and content ->> 'account_id' is null",
            content("events"),
        )),
        step("conversions", "events", &after, format!("update conversions set {conversion} where {alone}")),
        step("rejections", "events", &after, format!(
            "update rejections set {request}, {NO_IDS} where rejection_id in ({})", rejections_of("pseudonym"),
        )),
        step("rejections", "rejections", match sought {
            Sought::Given => none,
            Sought::Here => &after,
        }, format!(
            "update rejections set {request}, {NO_IDS} where {rejections} and ({AS_RECEIVED} or {HAS_IDS})",
        )),
        step("postbacks", "events", &after, format!(
            "update postbacks set {request_of_verdict}
             where postback_id in ({}) and {} and {AS_RECEIVED}", requests_of(TOLD), names_no_other("postbacks"),
        )),
        step("postbacks", "postbacks", none, format!(
            "update postbacks set {request_of_verdict} where {postbacks} and {AS_RECEIVED}",
        )),
        step("reread_requests", "reread_requests", none, format!(
            "update reread_requests set {} where {rereads}",
            IDS_OF_REREADS.map(|name| format!(
                "{name} = case when {name} = {account} then {pseudonym}
                    when {name} = '{OWN_CONVERSION_PREFIX}' || {account} then '{OWN_CONVERSION_PREFIX}' || {pseudonym} else {name} end"
            )).join(", "),
        )),
        step("clicks", "events", &after, "update clicks set sub_id = null, geo = null, device = null, referrer = null, utm = '{}',
                ad_click_ids = '{}'
             where click_id in (select click_id from clicked)".to_owned()),
        step("links", "events", &after,
            "delete from links where kind = 'install' and click_id in (select click_id from clicked)".to_owned()),
        step("work_items", "events", &after, format!(
            "update work_items set due_at = case when claim_id is null then due_at else {at} end, claim_id = null,
                last_error = case when last_error is not null then 'erased' end
             where event_id in ({TOLD})",
            at = of_subject("at"),
        )),
        step("rebuilds", "events", &after, rebuilds(dialect)).answering(),
    ]
}

impl Erase {
    fn answering(self) -> Erase {
        Erase { statement: self.statement.answering(), ..self }
    }
}

/// Requests that conversions are folded again whose events were changed in part, or were changed while the conversion itself was not.
/// Of the others nothing else can come: all that they were folded to was changed as they were. These are left alone, because what is
/// folded is evaluated again, by the rates and the rules of now.
fn rebuilds(dialect: Dialect) -> String {
    let generation = dialect.random();
    let [pseudonym, at] = ["pseudonym", "at"].map(of_subject);
    format!(
        ", changed as (
            select events.conversion_key,
                max(case when coalesce(events.content ->> 'account_id', {pseudonym}) = {pseudonym} then 1 else 0 end) as events
            from events where events.event_id in ({TOLD}) group by events.conversion_key)
         insert into rebuilds (conversion_key, generation, due_at)
         select changed.conversion_key, {generation}, {at} from changed
         where exists (select 1 from rebuilds as known where known.conversion_key = changed.conversion_key)
            or changed.events = 1 and (
                exists (select 1 from events as others where others.conversion_key = changed.conversion_key
                    and others.content ->> 'account_id' <> {pseudonym})
                or exists (select 1 from conversions as others where others.conversion_key = changed.conversion_key
                    and coalesce(others.account_id, '') <> {pseudonym}
                    and not exists (select 1 from alone where alone.conversion_key = others.conversion_key
                        and alone.occurrence = others.occurrence)))
         order by changed.conversion_key
         on conflict (conversion_key) do update set generation = rebuilds.generation + 1,
            last_error = case when rebuilds.last_error is not null then 'erased' end
         returning conversion_key as id, 'requested' as answer"
    )
}

/// A postback's content without what tells of a person, the pseudonym in the place of the account.
fn reduced(dialect: Dialect, table: &str) -> String {
    let kept = ["account_id", "creative_id"].into_iter().chain(KEPT);
    let kept: Vec<_> = kept.map(|field| (field, replaced(&format!("{table}.content ->> '{field}'")))).collect();
    let members = |prefix: &str| {
        kept.iter().map(|(field, text)| format!("'{prefix}{field}', {text}")).collect::<Vec<_>>().join(", ")
    };
    match dialect {
        Dialect::Postgres => {
            let personal = PERSONAL.map(|field| format!("'{field}'")).join(", ");
            format!(
                "jsonb_strip_nulls(({table}.content - array[{personal}])
                    || jsonb_build_object({}))",
                members("")
            )
        }
        Dialect::Sqlite => {
            let personal = PERSONAL.map(|field| format!("'$.{field}'")).join(", ");
            format!("json_replace(json_remove({table}.content, {personal}), {})", members("$."))
        }
    }
}

/// A text, or the pseudonym where it is the account or has it in it.
fn replaced(text: &str) -> String {
    let [account, part, pseudonym] = ["account_id", "part", "pseudonym"].map(of_subject);
    // Of both kinds of database: how often the account stands in a text, by what is left when it is taken out.
    format!(
        "case when {text} = {account} or length(replace({text}, {part}, '')) < length({text}) then {pseudonym} else {text} end"
    )
}

/// How many ids of conversions, events and clicks of the pseudonym still have the account in them.
pub(super) fn left(dialect: Dialect) -> Step<Asked> {
    let [account, part] = ["account_id", "part"].map(of_subject);
    let has_account = |id: &str| format!("({id} = {account} or length(replace({id}, {part}, '')) < length({id}))");
    let statement = format!(
        ", {SUBJECT}, {} select 'conversions' as id, cast(count(*) as text) as answer from conversions join own
            on own.conversion_key = conversions.conversion_key and own.occurrence = conversions.occurrence
         where {} or {} or {}
         union all select 'events' as id, cast(count(*) as text) as answer from told where {}",
        sets("pseudonym", GIVEN),
        has_account("conversions.conversion_id"),
        has_account("conversions.conversion_key"),
        has_account("coalesce(conversions.click_id, '')"),
        has_account("told.event_id"),
    );
    Step::new(dialect, ASKED, &statement).answering()
}

/// The same for a D1 database that no command reaches, as SQL: one statement behind the other, each of which looks for what it
/// changes.
pub fn erasing_sql(erasing: &Erasing) -> String {
    let rows = erasing.needles();
    let steps = steps(Dialect::Sqlite, Sought::Here);
    steps.iter().map(|step| format!("{};\n", step.statement.over(&rows).as_sqlite())).collect()
}
