//! The way back into the queue: by an operator's word, or by itself when the cause is gone.

use crate::config::Config;
use crate::delivery::inline;
use crate::health::origin_lives;
use crate::parked::cause::{Cause, Gone};
use crate::parked::filter::{Filter, State};
use crate::parked::table::{Table, Taken};
use crate::platform::{Bindings, now};
use crate::queue::item::Item;
use crate::queue::portion::portions;
use postback::time::Timestamp;
use std::collections::BTreeMap;

/// Messages that the queue takes at once.
const BATCH_MESSAGES_MAX: usize = 100;
/// Bytes that the queue takes at once, some left for what it adds itself.
const BATCH_BYTES_MAX: usize = 200_000;
/// How long the queue may take for a batch, in milliseconds.
const ENQUEUE_MS_MAX: u32 = 10_000;
/// Rows that are taken out of the table at once: their messages are all in memory.
const TAKEN_MAX: u32 = 100;
/// Rows that one run of the schedule gives back for each partner and cause.
const RETURNED_MAX: u32 = 500;
/// A replay not heard of for longer than the whole schedule with its jitter, in hours.
const STALE_HOURS: i64 = 96;
/// How long the rows of postbacks that have left the queue are kept, in hours: longer than writing one may be late.
const DONE_HOURS: i64 = 1;
/// How long delivered rows are kept, in hours (30 days).
const DELIVERED_HOURS: i64 = 30 * 24;

/// Gives at most `count_max` parked postbacks of a filter back to the queue; answers how many it holds now.
///
/// # Errors
/// How many went back before something failed, and what failed. What did not get into the queue is parked again, or, where even
/// that failed, stays "replaying" and can be replayed as such.
pub async fn replay(bindings: &Bindings, table: &Table, filter: &Filter, count_max: u32) -> Result<u32, (u32, String)> {
    let began = now();
    let mut returned: u32 = 0;
    while returned < count_max {
        let wanted = TAKEN_MAX.min(count_max.saturating_sub(returned));
        let taken = table.take(filter, wanted, began).await.map_err(|problem| (returned, problem))?;
        if taken.is_empty() {
            break;
        }
        // What cannot be read would come back under another name, as another row.
        let (readable, unreadable): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|taken| Item::from_message(&taken.message).is_ok());
        let mut not_sent: Vec<_> = unreadable.iter().map(|taken| taken.request_id.clone()).collect();
        let mut failed = None;
        for batch in batches(readable) {
            let ids: Vec<_> = batch.iter().map(|taken| taken.request_id.clone()).collect();
            if failed.is_none() {
                failed = send(bindings, batch).await.err();
            }
            match failed {
                None => returned = returned.saturating_add(u32::try_from(ids.len()).unwrap_or(u32::MAX)),
                Some(_) => not_sent.extend(ids),
            }
        }
        if !not_sent.is_empty()
            && let Err(problem) = table.put_back(&not_sent, now()).await
        {
            failed = Some(failed.map_or(problem.clone(), |before| format!("{before}; not put back: {problem}")));
        }
        if let Some(problem) = failed {
            return Err((returned, problem));
        }
    }
    Ok(returned)
}

/// Puts a batch into the queues that its rows belong into.
async fn send(bindings: &Bindings, batch: Vec<Taken>) -> Result<(), String> {
    let mut by_queue: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (name, message) in batch.iter().map(again) {
        by_queue.entry(name).or_default().push(message);
    }
    for (name, messages) in by_queue {
        let queue = bindings.queue(name).ok_or_else(|| format!("no queue is bound to {name}"))?;
        queue.send(None, messages, ENQUEUE_MS_MAX).await?;
    }
    Ok(())
}

/// The message, as one that was replayed, and its queue's binding.
fn again(taken: &Taken) -> (&'static str, String) {
    let replayed = Item::from_message(&taken.message).and_then(|item| {
        let queue = item.queue();
        Ok((queue, item.replayed(taken.replays)?))
    });
    // As it is, where it cannot be read: its consumer parks it again.
    replayed.unwrap_or_else(|_| (inline::QUEUE, taken.message.clone()))
}

/// Splits what was taken into what the queue takes at once.
fn batches(taken: Vec<Taken>) -> Vec<Vec<Taken>> {
    // A replayed message says how often, which may make it a little longer.
    portions(taken, BATCH_MESSAGES_MAX, BATCH_BYTES_MAX, |row| row.message.len().saturating_add(64))
}

/// What one run of the schedule did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Postbacks given back to the queue.
    pub returned: u32,
    /// Replays that were never heard of, parked again.
    pub parked_again: u64,
    /// Delivered rows forgotten.
    pub forgotten: u64,
    /// What failed.
    pub problems: Vec<String>,
}

/// Gives back what can be delivered now, parks again what got lost, forgets what is long delivered.
pub async fn tidy(config: &Config, bindings: &Bindings) -> Tidied {
    let mut tidied = Tidied::default();
    let table = match Table::open(bindings).await {
        Ok(table) => table,
        Err(problem) => return Tidied { problems: vec![problem], ..tidied },
    };
    let began = now();
    match table.settle(hours_before(began, STALE_HOURS), hours_before(began, DELIVERED_HOURS), began).await {
        Ok((parked_again, forgotten)) => (tidied.parked_again, tidied.forgotten) = (parked_again, forgotten),
        Err(problem) => tidied.problems.push(problem),
    }
    if let Err(problem) = table.forget_queued(hours_before(began, DONE_HOURS), hours_before(began, STALE_HOURS)).await {
        tidied.problems.push(problem);
    }
    let waiting = Filter { state: Some(State::Parked), ..Filter::default() };
    let counts = match table.count(&waiting).await {
        Ok(counts) => counts,
        Err(problem) => {
            tidied.problems.push(problem);
            return tidied;
        }
    };
    for count in counts {
        let Some(cause) = Cause::parse(&count.reason) else { continue };
        let filter = Filter { cause: Some(cause), partner: count.partner.clone(), ..Filter::default() };
        if !is_gone(config, &table, cause, &filter).await {
            continue;
        }
        match replay(bindings, &table, &filter, RETURNED_MAX).await {
            Ok(returned) => tidied.returned = tidied.returned.saturating_add(returned),
            Err((returned, problem)) => {
                tidied.returned = tidied.returned.saturating_add(returned);
                tidied.problems.push(problem);
            }
        }
    }
    tidied
}

async fn is_gone(config: &Config, table: &Table, cause: Cause, filter: &Filter) -> bool {
    let partner = filter.partner.as_deref().and_then(|code| config.registry.by_code(code));
    match cause.gone_when() {
        Gone::Never => false,
        Gone::PartnerIsKnown => partner.is_some_and(|partner| partner.is_active),
        Gone::OriginAnswers => {
            let Some(partner) = partner else { return false };
            for origin in config.origins.of(partner) {
                if origin_lives(config, origin).await {
                    return true;
                }
            }
            false
        }
        // The longest parked speaks for the others: an edge that learnt a form learnt all of it.
        Gone::FormIsKnown => {
            let first = table.list(&Filter { limit: Some(1), state: Some(State::Parked), ..filter.clone() }).await;
            let Some(row) = first.ok().and_then(|rows| rows.into_iter().next()) else { return false };
            let whole = table.show(&row.request_id).await.ok().flatten();
            whole.is_some_and(|(_, message)| Item::from_message(&message).is_ok())
        }
    }
}

fn hours_before(instant: Timestamp, hours: i64) -> Timestamp {
    let ms = instant.unix_ms().saturating_sub(hours.saturating_mul(3_600_000));
    Timestamp::from_unix_ms(ms).unwrap_or(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::parcel::tests::parcel;

    #[test]
    fn a_replayed_message_says_how_often() {
        let row = Taken { request_id: "r".to_owned(), message: parcel().to_message().unwrap(), replays: 9 };
        let (queue, message) = again(&row);
        assert_eq!((queue, Item::from_message(&message).unwrap().replays()), ("POSTBACKS", 9));
        let other = Taken { message: "mmm".to_owned(), ..row };
        assert_eq!(again(&other), ("POSTBACKS", "mmm".to_owned()));
    }
}
