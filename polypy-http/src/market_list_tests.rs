//! Against the plain way of writing the same list.

use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt;
use polypy_core::AssetId;
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Source {
    number: AtomicU64,
    version: AtomicU64,
    asked: AtomicU64,
}

impl Source {
    fn of(number: u64) -> Arc<Self> {
        let source = Self::default();
        source.number.store(number, Ordering::Relaxed);
        Arc::new(source)
    }

    fn change(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}

impl MarketSource for Source {
    fn markets(&self) -> Vec<Arc<Market>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let number = self.number.load(Ordering::Relaxed);
        (0..number).map(|at| Arc::new(market(at))).collect()
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
}

fn market(at: u64) -> Market {
    Market {
        question: format!(
            "Is \"{at}\" more than {}?",
            "9".repeat(usize::try_from(at % 7).unwrap())
        ),
        ..Market::new(
            ConditionId::new(&format!("0x{at:064x}")).unwrap(),
            ["Yes", "No"]
                .map(|outcome| Token {
                    token_id: AssetId::new(&format!("{at}")).unwrap(),
                    outcome: outcome.into(),
                })
                .into(),
        )
    }
}

const WHOLE: Page = Page {
    offset: 0,
    limit: usize::MAX,
};

fn list_of(source: &Arc<Source>, memory: usize) -> MarketList {
    let source = Arc::clone(source) as Arc<dyn MarketSource>;
    MarketList::new(source, Memory::new(memory))
}

async fn text(body: Body) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

#[tokio::test]
async fn every_page_is_what_writing_it_alone_would_give() {
    for number in [0, 1, 2, 13] {
        let markets = list_of(&Source::of(number), 1 << 20);
        let listing = markets.list().unwrap();
        let total = usize::try_from(number).unwrap();
        for offset in [0, 1, 5, 12, 13, 14, 1_000_000] {
            for limit in [1, 2, 7, 13, 1_000_000] {
                let page = text(listing.page(Page { offset, limit })).await;
                let markets: Vec<Value> = (0..number)
                    .skip(offset)
                    .take(limit)
                    .map(|at| serde_json::to_value(Entry::new(&market(at))).unwrap())
                    .collect();
                let expected = json!({ "markets": markets, "total": total, "offset": offset });
                assert_eq!(page, format!("{expected}\n"), "{number} {offset} {limit}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_rendering_serves_all_until_the_source_changes() {
    let source = Source::of(50);
    let markets = list_of(&source, 1 << 20);
    assert!(markets.ready().is_none());
    let first = markets.list().unwrap();
    for _ in 0..100 {
        assert!(Arc::ptr_eq(&markets.ready().unwrap(), &first));
        assert!(Arc::ptr_eq(&markets.list().unwrap(), &first));
    }
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
    let held = markets.memory.taken();
    let pages: Vec<_> = (0..50)
        .map(|offset| first.page(Page { offset, limit: 10 }))
        .collect();
    assert_eq!(markets.memory.taken(), held, "pages are slices");

    source.change(51);
    // Renderings take no time while it stands still.
    tokio::time::advance(Duration::from_millis(1)).await;
    let second = markets.list().unwrap();
    assert_eq!(second.ends.len(), 51);
    drop((first, pages));
    assert!(markets.memory.taken() < held * 2, "the old one is gone");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_fit_beside_what_is_read_gives_way_to_the_newest_there_is() {
    let source = Source::of(200);
    let length = {
        let roomy = list_of(&source, 1 << 30);
        roomy.list().unwrap();
        roomy.memory.taken()
    };
    let markets = list_of(&source, length * 3 / 2);
    let first = markets.list().unwrap();
    // A client that reads it slowly.
    let reading = first.page(WHOLE);
    source.change(201);
    tokio::time::advance(Duration::from_secs(3)).await;
    let same = markets.list().unwrap();
    assert!(Arc::ptr_eq(&same, &first));
    let reply = markets.reply(&same, WHOLE, false);
    assert_eq!(reply.headers.get(AGE).unwrap(), "3");
    // It is not tried for every request.
    let asked = source.asked.load(Ordering::Relaxed);
    for _ in 0..10 {
        assert!(markets.ready().is_some());
    }
    assert_eq!(source.asked.load(Ordering::Relaxed), asked);
    drop((reading, reply));

    let small = list_of(&source, 1 << 10);
    assert_eq!(small.list().unwrap_err(), NoList::NoRoom);
}

#[tokio::test]
async fn the_compressed_form_is_made_once_and_counted() {
    let source = Source::of(100);
    let markets = list_of(&source, 1 << 20);
    let listing = markets.list().unwrap();
    assert!(listing.is_ready(WHOLE, false));
    assert!(!listing.is_ready(WHOLE, true));
    let before = markets.memory.taken();
    markets.prepare(&listing, WHOLE, true);
    assert!(listing.is_ready(WHOLE, true));
    assert!(markets.memory.taken() > before);
    let (one, two) = (listing.packed(WHOLE), listing.packed(WHOLE));
    assert_eq!(one.unwrap().as_ptr(), two.unwrap().as_ptr());
    let reply = markets.reply(&listing, WHOLE, true);
    assert_eq!(reply.headers.get(CONTENT_ENCODING).unwrap(), "gzip");
    assert_eq!(reply.headers.get(VARY).unwrap(), "accept-encoding");
    // A page goes as it is.
    let page = Page {
        offset: 1,
        limit: 1,
    };
    assert!(listing.is_ready(page, true));
    let reply = markets.reply(&listing, page, true);
    assert!(reply.headers.get(CONTENT_ENCODING).is_none());
}
