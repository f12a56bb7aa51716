use std::collections::HashSet;

use polypy_core::{
    AssetInfo, AssetKey, BookChange, BookPosition, BookState, BookStatus, ConditionId, Interner,
    Lane, Market, OrderBook, Selector, Side, Timestamp, TokenInfo, WholeBook,
};

use super::*;
use crate::client::Door;
use crate::filter::{Channel, Channels, Filter};
use crate::message::Event;
use crate::outbox::Batch;
use crate::subscription::NotLive;

/// One token with a book, whose worker runs; a name at which the catalogue panics.
struct OneBook {
    info: Arc<AssetInfo>,
    state: Mutex<BookState>,
    sink: Arc<dyn ChangeSink>,
    followed: Mutex<HashSet<AssetKey>>,
}

impl OneBook {
    fn new(sink: Arc<dyn ChangeSink>) -> Self {
        let mut interner = Interner::default();
        let (id, condition) = ("17".parse().unwrap(), ConditionId::new("0xa1").unwrap());
        let info = interner.insert(&id, &condition, |key| {
            AssetInfo::new(key, id.clone(), condition.clone())
        });
        Self {
            info,
            state: Mutex::new(BookState::Live),
            sink,
            followed: Mutex::default(),
        }
    }

    fn set_state(&self, state: BookState) {
        *self.state.lock() = state;
        self.write();
    }

    fn write(&self) {
        let mut book = OrderBook::default();
        book.apply_change(Side::Bid, "0.4".parse().unwrap(), "10".parse().unwrap());
        let now = Instant::now();
        let whole = WholeBook {
            info: Arc::clone(&self.info),
            book,
            position: BookPosition {
                epoch: 1,
                sequence: 1,
                revision: 0,
            },
            status: BookStatus {
                state: *self.state.lock(),
                verified: None,
                tick_size: None,
                since: now,
            },
            hash: None,
            at: Timestamp::from_millis(1),
            received: now,
        };
        let mut changes = vec![BookChange::Whole(Box::new(whole))];
        self.sink.append(Lane(0), &mut changes);
        self.sink.wake();
    }
}

impl ChangeSource for OneBook {
    fn lanes(&self) -> u16 {
        1
    }

    fn lane_of(&self, _asset: AssetKey) -> Lane {
        Lane(0)
    }

    fn is_running(&self, _lane: Lane) -> bool {
        true
    }

    fn follow(&self, _lane: Lane, assets: &[AssetKey]) -> bool {
        self.followed.lock().extend(assets);
        self.write();
        true
    }

    fn unfollow(&self, _lane: Lane, _assets: &[AssetKey]) -> bool {
        true
    }

    fn review(&self, _lane: Lane) -> Option<bool> {
        Some(false)
    }
}

impl CatalogueSource for OneBook {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        match selector {
            Selector::Event(_) => panic!("a defect"),
            Selector::Token(id) if &**id != "17" => Vec::new(),
            _ => vec![self.info.key],
        }
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        (asset == self.info.key).then(|| TokenInfo {
            info: Arc::clone(&self.info),
            outcome: None,
            winner: None,
        })
    }

    fn market(&self, _asset: AssetKey) -> Option<Arc<Market>> {
        None
    }
}

#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_429_800_000)
    }
}

fn hub() -> (StreamHub, Arc<OneBook>) {
    let hub = StreamHub::new(StreamConfig::default(), 1, "test/1");
    let books = Arc::new(OneBook::new(hub.sink()));
    hub.connect(
        Arc::clone(&books) as Arc<dyn ChangeSource>,
        Arc::clone(&books) as Arc<dyn CatalogueSource>,
        Arc::new(Wall),
        Arc::default(),
    );
    (hub, books)
}

fn books_of(ids: &[&str]) -> Filter {
    Filter::tokens(ids.iter().copied(), Channels::NONE.with(Channel::Book))
}

/// The types of the messages up to `ready`.
async fn until_ready(stream: &mut crate::Subscription) -> Vec<&'static str> {
    let mut names = Vec::new();
    while names.last() != Some(&"ready") {
        names.push(stream.next().await.expect("it goes on").event().name());
    }
    names
}

#[tokio::test]
async fn nothing_is_opened_before_the_start_and_every_client_ends_with_the_stop() {
    let (hub, _books) = hub();
    let streams = hub.streams();
    assert!(streams.open(Door::Library).is_err());
    hub.start().await.unwrap();
    let mut stream = streams.subscribe(books_of(&["17"])).await.unwrap();
    let names = until_ready(&mut stream).await;
    assert_eq!(names, ["hello", "subscribed", "snapshot", "ready"]);
    let refused = streams.subscribe(books_of(&["18"])).await.unwrap_err();
    assert!(refused.to_string().contains("\"18\""), "{refused}");
    assert_eq!(hub.stats()["clients"]["library"], 1);

    hub.stop().await;
    assert!(stream.next().await.is_none());
    assert!(streams.open(Door::Library).is_err());
    drop(stream);
    hub.start().await.unwrap();
    assert!(streams.subscribe(books_of(&["17"])).await.is_ok());
    hub.stop().await;
}

#[tokio::test]
async fn a_hub_that_panics_ends_its_clients_and_another_one_serves_them() {
    let (hub, _books) = hub();
    hub.start().await.unwrap();
    let streams = hub.streams();
    let mut stream = streams.subscribe(books_of(&["17"])).await.unwrap();
    until_ready(&mut stream).await;
    let bystander = streams.open(Door::WebSocket).unwrap();
    let mut filter = books_of(&["17"]);
    filter.selectors = vec![Selector::Event("defect".into())];
    let failed = streams.subscribe(filter).await.unwrap_err();
    assert!(failed.to_string().contains("connect again"), "{failed}");

    assert!(stream.next().await.is_none());
    let closing = loop {
        match bystander.next(1).await {
            Batch::Messages(_) => {}
            Batch::End(closing) => break closing,
        }
    };
    assert_eq!(closing.code, Closing::LATER);
    assert!(closing.retry_ms.is_some());
    let mut stream = streams.subscribe(books_of(&["17"])).await.unwrap();
    until_ready(&mut stream).await;
    assert_eq!(hub.stats()["restarts"], 1);
    hub.stop().await;
}

#[tokio::test]
async fn live_is_waited_for_and_what_is_not_live_is_counted() {
    let (hub, books) = hub();
    books.set_state(BookState::Stale(polypy_core::StaleReason::Hash));
    hub.start().await.unwrap();
    let streams = hub.streams();
    let filter = books_of(&["17"]);
    let short = Duration::from_millis(100);
    let not_live = streams.wait_until_live(&filter, short).await;
    let expected = NotLive::Timeout {
        live: 0,
        of: 1,
        after: short,
    };
    assert_eq!(not_live, Err(expected));
    let unknown = streams.wait_until_live(&books_of(&["18"]), short).await;
    assert!(matches!(unknown, Err(NotLive::Timeout { of: 0, .. })));

    let waiting = streams.wait_until_live(&filter, Duration::from_secs(60));
    let healing = async {
        tokio::task::yield_now().await;
        books.set_state(BookState::Live);
    };
    assert_eq!(tokio::join!(waiting, healing).0, Ok(()));
    hub.stop().await;
}

/// The next message that is shown by `shown`.
async fn hear<T>(hub: &StreamHub, channels: Channels, shown: impl Fn(&Event) -> Option<T>) -> T {
    let filter = Filter::everything(channels);
    let mut stream = hub.streams().subscribe(filter).await.unwrap();
    loop {
        let message = stream.next().await.unwrap();
        if let Some(found) = shown(message.event()) {
            return found;
        }
    }
}

#[tokio::test]
async fn what_the_program_says_of_itself_comes_while_somebody_wants_it() {
    let (hub, _books) = hub();
    let program = Arc::<crate::samples::tests::Program>::default();
    hub.watch(crate::samples::tests::watched(&program));
    hub.start().await.unwrap();
    let only = |channel| Channels::NONE.with(channel);
    let stats = hear(&hub, only(Channel::Stats), |event| match event {
        Event::Stats(stats) => Some(Arc::clone(&stats.stats)),
        _ => None,
    });
    let stats: serde_json::Value = serde_json::from_str(&stats.await).unwrap();
    assert_eq!(stats["workers"]["uptime_seconds"], 81);
    let health = hear(&hub, only(Channel::Health), |event| match event {
        Event::Health(health) => Some(health.clone()),
        _ => None,
    });
    let health = health.await;
    let verdict: serde_json::Value = serde_json::from_str(&health.health).unwrap();
    assert_eq!(verdict["healthy"], true);
    let sample: serde_json::Value = serde_json::from_str(&health.sample).unwrap();
    assert_eq!(sample["books_stale"], 3);
    hub.stop().await;
}
