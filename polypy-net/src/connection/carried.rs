//! What a connection carries and what is expected of it, from socket to socket.
//!
//! The one place where commands are applied: [`Carried::apply`] changes what is
//! kept and returns what follows from it. The connection's task (while there is no
//! socket) and its session (while there is one) act on the same [`Effects`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use polypy_core::{AssetId, AssetInfo, AssetKey, MarketEvent, StaleReason};
use tokio::time::Instant;

use super::Role;
use super::change_log::LogWriter;
use super::commands::{AssetCommand, PendingCommands};
use super::lag::LagReporter;

/// What is kept from socket to socket.
#[derive(Debug)]
pub(super) struct Carried {
    /// A market's tokens are neighbours.
    assets: BTreeMap<AssetKey, Arc<AssetInfo>>,
    role: Role,
    retired: bool,
    log_writer: LogWriter,
    lag_reporter: LagReporter,
}

/// What follows from commands. A connection without a socket only says what
/// departed, and whether to go on: its next socket subscribes to everything.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// To be subscribed: not carried before.
    pub(super) fresh: Vec<Arc<AssetInfo>>,
    /// To be taken off and resubscribed, each with the reason.
    pub(super) again: Vec<(Arc<AssetInfo>, StaleReason)>,
    /// To be taken off and resubscribed, also if they wait for a book: an earlier key of
    /// theirs is carried no longer, and what the venue is told is the same for both.
    pub(super) rekeyed: Vec<Arc<AssetInfo>>,
    /// To be unsubscribed: carried no longer.
    pub(super) gone: Vec<Arc<AssetInfo>>,
    /// Those of them, or never carried ones, that another connection waits for.
    pub(super) departed: Vec<AssetKey>,
    /// What was held back is to be handed over.
    pub(super) take_over: bool,
    /// The connection was retired by these commands.
    pub(super) retire: bool,
    /// The connection is to end.
    pub(super) close: bool,
}

/// What is to be resubscribed, by the reason for it: a frame is sent for one.
pub(super) fn by_reason(
    rekeyed: Vec<Arc<AssetInfo>>,
    again: Vec<(Arc<AssetInfo>, StaleReason)>,
) -> BTreeMap<&'static str, (StaleReason, Vec<Arc<AssetInfo>>)> {
    let rekeyed = rekeyed
        .into_iter()
        .map(|info| (info, StaleReason::Resubscribing));
    let mut groups = BTreeMap::new();
    for (info, reason) in rekeyed.chain(again) {
        let group = groups.entry(reason.name());
        let (_, infos) = group.or_insert_with(|| (reason, Vec::new()));
        infos.push(info);
    }
    groups
}

impl Carried {
    pub(super) fn new(role: Role) -> Self {
        Self {
            assets: BTreeMap::new(),
            role,
            retired: false,
            log_writer: LogWriter::default(),
            lag_reporter: LagReporter::default(),
        }
    }

    /// Applies commands; what follows.
    pub(super) fn apply(&mut self, commands: PendingCommands) -> Effects {
        let PendingCommands {
            assets,
            take_over,
            retire,
            log,
            lag,
            close,
        } = commands;
        let mut effects = Effects {
            take_over,
            retire: retire && !self.retired,
            close,
            ..Effects::default()
        };
        for (key, command) in assets {
            self.apply_to(key, command, &mut effects);
        }
        effects.rekeyed = self.known_by_another_key(&effects);
        if let Some(log) = &log {
            self.log_writer.begin(log);
        }
        if let Some((lag, replica)) = &lag {
            self.lag_reporter.begin(lag, *replica);
        }
        // After the log has begun: it must not cover what is gone.
        self.log_writer
            .gap(effects.gone.iter().map(|info| info.key));
        if take_over {
            self.role = Role::Serving;
        }
        self.retired |= retire;
        effects
    }

    fn apply_to(&mut self, key: AssetKey, command: AssetCommand, effects: &mut Effects) {
        match command {
            AssetCommand::Subscribe(info) => match self.assets.insert(key, Arc::clone(&info)) {
                None => effects.fresh.push(info),
                Some(_) => effects.again.push((info, StaleReason::Resubscribing)),
            },
            AssetCommand::Unsubscribe => effects.gone.extend(self.assets.remove(&key)),
            AssetCommand::Depart => {
                effects.gone.extend(self.assets.remove(&key));
                // Also one that never was here: somebody waits for the answer.
                effects.departed.push(key);
            }
            AssetCommand::Resubscribe(reason) => {
                if let Some(info) = self.assets.get(&key) {
                    effects.again.push((Arc::clone(info), reason));
                }
            }
        }
    }

    /// What is carried on under another key than one that has just gone.
    fn known_by_another_key(&self, effects: &Effects) -> Vec<Arc<AssetInfo>> {
        let gone = effects.gone.iter();
        let gone: HashSet<&AssetId> = gone.map(|info| &info.asset_id).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        // Those that begin now are subscribed after what has gone is taken off.
        let begins = |info: &Arc<AssetInfo>| effects.fresh.iter().any(|new| new.key == info.key);
        let is_on = |info: &&Arc<AssetInfo>| gone.contains(&info.asset_id) && !begins(info);
        self.assets.values().filter(is_on).cloned().collect()
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether the connection does not reopen.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) fn len(&self) -> usize {
        self.assets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.assets.is_empty()
    }

    pub(super) fn get(&self, asset: AssetKey) -> Option<&Arc<AssetInfo>> {
        self.assets.get(&asset)
    }

    /// The assets, a market's tokens replica by replica.
    pub(super) fn assets(&self) -> impl Iterator<Item = &Arc<AssetInfo>> {
        self.assets.values()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = AssetKey> + '_ {
        self.assets.keys().copied()
    }

    /// Writes down what a read held, for those who compare connections.
    pub(super) fn record(&mut self, events: &[MarketEvent]) {
        self.log_writer.record(events);
    }

    /// The same, with when it came.
    pub(super) fn report(&mut self, events: &[MarketEvent], now: Instant) {
        self.lag_reporter.report(events, now);
    }

    /// Changes of these may be missing until their next opening books.
    pub(super) fn note_gap(&mut self, assets: impl IntoIterator<Item = AssetKey>) {
        self.log_writer.gap(assets);
    }

    /// The socket has ended: nothing later is complete.
    pub(super) fn end_record(&mut self) {
        self.log_writer.end();
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::Interner;

    use super::super::commands::CommandMailbox;
    use super::*;

    fn assets(count: usize) -> Vec<Arc<AssetInfo>> {
        let mut interner = Interner::default();
        let condition = "0xa1".parse().unwrap();
        (0..count)
            .map(|id| {
                let id = id.to_string().parse().unwrap();
                interner.insert(&id, &condition, |key| {
                    AssetInfo::new(key, id.clone(), condition.clone())
                })
            })
            .collect()
    }

    fn keys<'a>(infos: impl IntoIterator<Item = &'a Arc<AssetInfo>>) -> Vec<AssetKey> {
        infos.into_iter().map(|info| info.key).collect()
    }

    #[test]
    fn what_follows_from_commands_depends_on_what_is_carried() {
        let (all, mailbox) = (assets(4), CommandMailbox::default());
        let mut carried = Carried::new(Role::Serving);
        mailbox.subscribe(all[..3].iter().cloned());
        let effects = carried.apply(mailbox.take());
        assert_eq!(keys(&effects.fresh), keys(&all[..3]));
        assert_eq!(carried.keys().collect::<Vec<_>>(), keys(&all[..3]));
        mailbox.subscribe([Arc::clone(&all[0])]);
        mailbox.unsubscribe(&[all[1].key]);
        mailbox.depart(&[all[2].key, all[3].key]);
        mailbox.resubscribe(&[
            (all[0].key, StaleReason::Hash),
            (all[3].key, StaleReason::Hash),
        ]);
        let effects = carried.apply(mailbox.take());
        assert_eq!(keys(&effects.fresh), []);
        // The command that came first is the stronger one.
        let again: Vec<_> = effects
            .again
            .iter()
            .map(|(info, why)| (info.key, *why))
            .collect();
        assert_eq!(again, [(all[0].key, StaleReason::Resubscribing)]);
        assert_eq!(keys(&effects.gone), keys(&all[1..3]));
        // One that was never here is free, too: somebody waits for the answer.
        assert_eq!(effects.departed, keys(&all[2..4]));
        assert_eq!(carried.keys().collect::<Vec<_>>(), [all[0].key]);
        mailbox.resubscribe(&[
            (all[0].key, StaleReason::Hash),
            (all[1].key, StaleReason::Hash),
        ]);
        let effects = carried.apply(mailbox.take());
        let again: Vec<_> = effects
            .again
            .iter()
            .map(|(info, why)| (info.key, *why))
            .collect();
        assert_eq!(again, [(all[0].key, StaleReason::Hash)]);
    }

    #[test]
    fn a_replacement_serves_from_its_take_over_on_and_is_retired_once() {
        let mailbox = CommandMailbox::default();
        let mut carried = Carried::new(Role::Replacement);
        let effects = carried.apply(mailbox.take());
        assert!(!effects.take_over && !effects.retire && !effects.close);
        assert_eq!(carried.role(), Role::Replacement);
        mailbox.take_over();
        assert!(carried.apply(mailbox.take()).take_over);
        assert_eq!(carried.role(), Role::Serving);
        for is_first in [true, false] {
            mailbox.retire();
            assert_eq!(carried.apply(mailbox.take()).retire, is_first);
            assert!(carried.is_retired());
        }
        mailbox.close();
        assert!(carried.apply(mailbox.take()).close);
        assert!(!carried.apply(mailbox.take()).close);
    }
}
