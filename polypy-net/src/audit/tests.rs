//! The auditor on paused time, with a CLOB and workers made of notes.

use parking_lot::RwLock;
use polypy_core::{BookEvent, Interner, LifecycleEvent, Market, Timestamp, Token};

use super::*;
use crate::clob::ClobError;
use crate::registry::ConnectionId;

/// Has a book of every asset but those named; may be out of order.
#[derive(Default)]
struct Clob {
    lacks: Mutex<Vec<String>>,
    refuses: Mutex<Vec<String>>,
    broken: Mutex<bool>,
    hangs: Mutex<bool>,
    asked: Mutex<Vec<(Instant, usize)>>,
}

impl BookFetch for Clob {
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a RwLock<Interner>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Fetched> {
        Box::pin(async move {
            self.asked.lock().push((Instant::now(), assets.len()));
            if *self.hangs.lock() {
                std::future::pending::<()>().await;
            }
            if *self.broken.lock() {
                let error = serde_json::from_str::<u64>("x").unwrap_err();
                return Fetched {
                    unanswered: assets.to_vec(),
                    failure: Some(ClobError::Time(error)),
                    ..Fetched::default()
                };
            }
            let known = known.read();
            let (refused, answered): (Vec<_>, Vec<_>) = assets
                .iter()
                .partition(|id| self.refuses.lock().contains(&id.to_string()));
            let there = answered
                .iter()
                .filter(|id| !self.lacks.lock().contains(&id.to_string()));
            let books = there
                .map(|id| BookEvent {
                    info: Arc::clone(known.get(id.as_str()).unwrap()),
                    timestamp: Timestamp::from_millis(1),
                    hash: None,
                    bids: Vec::new(),
                    asks: Vec::new(),
                    tick_size: None,
                    last_trade_price: None,
                    min_order_size: None,
                    neg_risk: None,
                    version: None,
                })
                .collect();
            Fetched {
                books,
                unanswered: refused.into_iter().cloned().collect(),
                failure: None,
            }
        })
    }
}

#[derive(Default)]
struct Notes {
    audited: Mutex<Vec<String>>,
    gone: Mutex<Vec<AssetKey>>,
    resynced: Mutex<Vec<(AssetKey, StaleReason)>>,
}

impl AuditSink for Notes {
    fn audit(&self, book: Box<BookEvent>, _requested: std::time::Instant) {
        self.audited.lock().push(book.info.asset_id.to_string());
    }
}

impl LifecycleListener for Notes {
    fn offer(&self, _event: LifecycleEvent) {}
    fn confirm_gone(&self, assets: &[AssetKey]) {
        self.gone.lock().extend(assets);
    }
}

impl ResyncSink for Notes {
    fn resync(&self, _scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        self.resynced
            .lock()
            .extend(assets.iter().map(|key| (*key, reason)));
    }
}

struct Setting {
    registry: Arc<AssetRegistry>,
    clob: Arc<Clob>,
    notes: Arc<Notes>,
    early: Arc<EarlyAudits>,
    auditor: BookAuditor,
}

/// `markets` markets with tokens `1, 2, 3, ...`, all of them subscribed.
fn setting(markets: usize, config: AuditConfig) -> Setting {
    let registry = Arc::new(AssetRegistry::default());
    for market in 0..markets {
        let token = |outcome: usize| Token {
            token_id: (market * 2 + outcome).to_string().parse().unwrap(),
            outcome: outcome.to_string().into(),
        };
        let condition = format!("0x{market:x}").parse().unwrap();
        registry.upsert(Market::new(condition, vec![token(1), token(2)]));
    }
    for pending in registry.pending(markets) {
        let keys: Vec<_> = pending.assets.iter().map(|info| info.key).collect();
        registry.assign(&keys, ConnectionId(0));
    }
    let (clob, notes) = (Arc::<Clob>::default(), Arc::<Notes>::default());
    let early = Arc::<EarlyAudits>::default();
    let auditor = BookAuditor::new(
        config,
        Arc::clone(&registry),
        Arc::clone(&clob) as Arc<dyn BookFetch>,
        Arc::clone(&notes) as Arc<dyn AuditSink>,
        Arc::clone(&notes) as Arc<dyn LifecycleListener>,
        Arc::clone(&notes) as Arc<dyn ResyncSink>,
        Arc::clone(&early),
    );
    Setting {
        registry,
        clob,
        notes,
        early,
        auditor,
    }
}

fn config() -> AuditConfig {
    AuditConfig {
        period: Duration::from_secs(100),
        chunk: 10,
        ..AuditConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn every_subscribed_book_is_compared_once_a_period_at_an_even_pace() {
    let setting = setting(25, config());
    setting.auditor.start().await.unwrap();
    sleep(Duration::from_secs(99)).await;
    let mut audited = setting.notes.audited.lock().clone();
    audited.sort();
    audited.dedup();
    assert_eq!(audited.len(), 50);
    assert_eq!(setting.notes.audited.lock().len(), 50, "none of them twice");
    let asked = setting.clob.asked.lock().clone();
    assert_eq!(
        asked.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
        [10; 5]
    );
    assert!(
        asked
            .windows(2)
            .all(|pair| pair[1].0 - pair[0].0 == Duration::from_secs(20))
    );
    sleep(Duration::from_secs(100)).await;
    assert_eq!(setting.notes.audited.lock().len(), 100);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_early_is_compared_beside_the_rounds() {
    let setting = setting(25, config());
    setting.auditor.start().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let token = |id: &str| setting.registry.interner().read().get(id).unwrap().key;
    let (ours, ended) = (token("40"), token("45"));
    setting.registry.expire(&"0x16".parse().unwrap());
    // The first part of the round may have had any of them.
    setting.notes.audited.lock().clear();
    *setting.clob.lacks.lock() = vec!["40".into()];
    for _ in 0..10 {
        setting.early.request(&[ours, ended, token("41")]);
        sleep(Duration::from_secs(1)).await;
    }
    let audited = setting.notes.audited.lock().clone();
    let early = audited.iter().filter(|id| *id == "41").count();
    assert!((4..=7).contains(&early), "{early} in ten seconds");
    assert!(!audited.contains(&"45".to_owned()), "it has ended");
    // A denial is discovery's at once, and no round of its own.
    assert_eq!(setting.notes.gone.lock().first(), Some(&ours));
    assert_eq!(*setting.notes.resynced.lock(), []);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_venue_has_no_book_of_is_named_to_discovery() {
    let setting = setting(3, config());
    *setting.clob.lacks.lock() = vec!["3".into(), "4".into()];
    setting.auditor.start().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let expected: Vec<_> = {
        let interner = setting.registry.interner().read();
        ["3", "4"].map(|id| interner.get(id).unwrap().key).to_vec()
    };
    let mut gone = setting.notes.gone.lock().clone();
    gone.sort();
    assert_eq!(gone, expected);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_venue_does_not_answer_for_is_neither_there_nor_gone() {
    let setting = setting(3, config());
    *setting.clob.refuses.lock() = vec!["3".into()];
    *setting.clob.lacks.lock() = vec!["4".into()];
    setting.auditor.start().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(setting.notes.audited.lock().len(), 4);
    assert_eq!(setting.notes.gone.lock().len(), 1);
    let stats = setting.auditor.stats();
    assert_eq!(stats["books_unanswered"], 1);
    assert_eq!(stats["books_missing"], 1);
    assert_eq!(stats["failures"], 0);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_rest_denies_again_and_again_is_subscribed_again_ever_more_seldom() {
    let setting = setting(3, config());
    let token = |id: &str| setting.registry.interner().read().get(id).unwrap().key;
    let (denied, other) = (token("3"), token("4"));
    *setting.clob.lacks.lock() = vec!["3".into(), "4".into()];
    setting.auditor.start().await.unwrap();
    let mut rounds = Vec::new();
    for round in 1..=17 {
        sleep(Duration::from_secs(if round == 1 { 1 } else { 100 })).await;
        let resynced = std::mem::take(&mut *setting.notes.resynced.lock());
        if resynced.contains(&(denied, StaleReason::Silent)) {
            rounds.push(round);
        }
        // The other one is there in between: one denial alone says little.
        let is_other = resynced.iter().any(|(key, _)| *key == other);
        assert!(!is_other, "round {round}");
        let lacks = if round % 2 == 0 {
            vec!["3", "4"]
        } else {
            vec!["3"]
        };
        *setting.clob.lacks.lock() = lacks.into_iter().map(str::to_owned).collect();
    }
    assert_eq!(rounds, [2, 4, 8, 16]);
    assert_eq!(setting.auditor.stats()["tokens_resubscribed"], 4);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_fails_or_hangs_is_counted_and_asked_again_at_the_same_pace() {
    let setting = setting(3, config());
    *setting.clob.broken.lock() = true;
    setting.auditor.start().await.unwrap();
    sleep(Duration::from_secs(50)).await;
    assert_eq!(setting.auditor.stats()["failures"], 1);
    assert_eq!(setting.notes.gone.lock().len(), 0, "no answer is no news");
    *setting.clob.broken.lock() = false;
    *setting.clob.hangs.lock() = true;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(setting.auditor.stats()["failures"], 2);
    *setting.clob.hangs.lock() = false;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(setting.notes.audited.lock().len(), 6);
    setting.auditor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_at_once_in_any_state_and_can_start_again() {
    let setting = setting(3, config());
    *setting.clob.hangs.lock() = true;
    for _life in 0..2 {
        setting.auditor.start().await.unwrap();
        setting.auditor.start().await.unwrap();
        assert_eq!(setting.auditor.state(), ComponentState::Running);
        sleep(Duration::from_secs(1)).await;
        let before = Instant::now();
        setting.auditor.stop().await;
        setting.auditor.stop().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(setting.auditor.state(), ComponentState::Stopped);
    }
    assert_eq!(setting.clob.asked.lock().len(), 2);
}
