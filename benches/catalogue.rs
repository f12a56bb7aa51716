//! What the catalogue costs: `make bench-catalogue`.
//!
//! Made listings of 50,000 and 200,000 markets, 1,000 queries of each kind. Two ways to
//! find words take turns: the scan that the program has, and lists of markets by word. Each
//! query takes the best hundred of what it found, by fit and then by day volume.
//!
//! What is printed is the time that the thread ran, one query after the other. A quiet
//! machine has warmer caches; nothing else of it is in the figures.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use polypy_benches::clock::thread_nanos;
use polypy_benches::listing::Listing;
use polypy_core::Cents;
use polypy_core::catalogue::{
    CatalogueTable, CatalogueView, Figures, Listed, MarketNumber, Phrase, words,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 2] = [50_000, 200_000];
const QUERIES: usize = 1_000;
/// Markets that an answer shows.
const PAGE: usize = 100;
/// Rows of one of the venue's answers.
const ROWS: usize = 100;

fn main() {
    for size in SIZES {
        measure(size);
    }
}

fn measure(size: usize) {
    let rows: Vec<_> = Listing::new(7).take(size).collect();
    let mut table = CatalogueTable::default();
    let begun = thread_nanos();
    for row in rows.iter().cloned() {
        table.take_in(row);
    }
    println!("{size} markets taken in: {:.0?} a market", per(begun, size));
    let view = table.view();
    let begun = thread_nanos();
    let lists = Lists::new(&view);
    println!("  lists by word made: {:.0?} a market", per(begun, size));
    for (kind, queries) in queries(&rows) {
        let phrases: Vec<_> = queries
            .iter()
            .filter_map(|query| Phrase::parse(query).ok())
            .collect();
        let mut found = 0;
        let scanned = times(&phrases, |phrase| found += scan(&view, phrase).len());
        let listed = times(&queries, |query| {
            black_box(lists.search(&view, query));
        });
        println!(
            "  {kind:<14} scan p50 {:>8.1?} p99 {:>8.1?}   lists p50 {:>8.1?} p99 {:>8.1?}   {} shown",
            scanned.0,
            scanned.1,
            listed.0,
            listed.1,
            found / queries.len().max(1)
        );
        for query in queries.iter().take(20) {
            if let Ok(phrase) = Phrase::parse(query) {
                assert_eq!(scan(&view, &phrase), lists.search(&view, query), "{query}");
            }
        }
    }
    let pages: Vec<_> = (0..QUERIES).collect();
    let page = times(&pages, |at| {
        let from = MarketNumber::new((at * 41) as u64);
        black_box(
            view.from(from)
                .take(PAGE)
                .map(|found| found.entry.figures)
                .collect::<Vec<_>>(),
        );
    });
    println!(
        "  a page of {PAGE}    p50 {:>8.1?} p99 {:>8.1?}",
        page.0, page.1
    );
    pages_taken_in(&mut table, &rows, "as they were", |_| {});
    pages_taken_in(&mut table, &rows, "figures moved", |row| {
        row.figures = Figures {
            volume: Some(Cents::new(1)),
            ..Figures::default()
        };
    });
    let mut held = table.view();
    let versions = times(&pages, |at| {
        let row = rows[*at].clone();
        let figures = Figures {
            volume: Some(Cents::new(2)),
            ..row.figures
        };
        table.take_in(Listed { figures, ..row });
        held = table.view();
    });
    drop(held);
    println!(
        "  a row, while a reader holds the view before it: p50 {:>8.1?} p99 {:>8.1?}",
        versions.0, versions.1
    );
}

/// Takes pages of the venue in while a reader holds the view before.
fn pages_taken_in(
    table: &mut CatalogueTable,
    rows: &[Listed],
    what: &str,
    change: impl Fn(&mut Listed),
) {
    let mut pages: Vec<Vec<Listed>> = rows.chunks(ROWS).take(QUERIES).map(<[_]>::to_vec).collect();
    pages.iter_mut().flatten().for_each(change);
    let mut pages = pages.into_iter();
    let number: Vec<_> = (0..pages.len()).collect();
    let mut held = table.view();
    let page = times(&number, |_| {
        for row in pages.next().into_iter().flatten() {
            table.take_in(row);
        }
        held = table.view();
    });
    println!(
        "  {ROWS} rows, {what}: p50 {:>8.1?} p99 {:>8.1?}",
        page.0, page.1
    );
}

/// What people ask for, a thousand times each.
fn queries(rows: &[Listed]) -> Vec<(&'static str, Vec<String>)> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut any = |words: usize| {
        let question = &rows[random.usize(..rows.len())].market.question;
        let mut own: Vec<_> = question.split(' ').filter(|word| word.len() > 2).collect();
        random.shuffle(&mut own);
        own.truncate(words);
        own.join(" ")
    };
    let of = |each: &mut dyn FnMut() -> String| (0..QUERIES).map(|_| each()).collect();
    let mut letters = ('a'..='z').cycle();
    vec![
        ("a word", of(&mut || any(1))),
        ("two words", of(&mut || any(2))),
        ("bitcoin", of(&mut || "bitcoin".to_owned())),
        ("up or down", of(&mut || "up or down".to_owned())),
        ("will win", of(&mut || "will win".to_owned())),
        (
            "one letter",
            of(&mut || letters.next().unwrap_or('a').to_string()),
        ),
        ("nothing", of(&mut || "qqqq".to_owned())),
    ]
}

type Hits = Vec<(MarketNumber, u64)>;

/// The best of what was found.
fn best(mut hits: Vec<(impl Ord + Copy, Reverse<u64>, MarketNumber)>) -> Hits {
    if hits.len() > PAGE {
        hits.select_nth_unstable(PAGE);
        hits.truncate(PAGE);
    }
    hits.sort_unstable();
    hits.into_iter()
        .map(|(_, Reverse(volume), number)| (number, volume))
        .collect()
}

fn scan(view: &CatalogueView, phrase: &Phrase) -> Hits {
    let hits = view.search(phrase).map(|(found, fit)| {
        let volume = found.entry.figures.volume_day.map_or(0, Cents::get);
        (fit, Reverse(volume), found.entry.number)
    });
    best(hits.collect())
}

/// Markets by word.
struct Lists {
    numbers: BTreeMap<String, Vec<u32>>,
}

impl Lists {
    fn new(view: &CatalogueView) -> Self {
        let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for found in view.iter() {
            let number = u32::try_from(found.entry.number.get()).unwrap_or(u32::MAX);
            for word in words(found.words) {
                let list = numbers.entry(word.to_owned()).or_default();
                if list.last() != Some(&number) {
                    list.push(number);
                }
            }
        }
        Self { numbers }
    }

    fn of(&self, word: &str) -> Vec<u32> {
        let mut all: Vec<u32> = self
            .numbers
            .range(word.to_owned()..)
            .take_while(|(other, _)| other.starts_with(word))
            .flat_map(|(_, numbers)| numbers.iter().copied())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn search(&self, view: &CatalogueView, query: &str) -> Hits {
        let mut folded = String::new();
        polypy_core::catalogue::fold(query, &mut folded);
        let mut lists: Vec<_> = words(&folded).map(|word| self.of(word)).collect();
        lists.sort_by_key(Vec::len);
        let mut lists = lists.into_iter();
        let mut numbers = lists.next().unwrap_or_default();
        for list in lists {
            numbers.retain(|number| list.binary_search(number).is_ok());
        }
        let Ok(phrase) = Phrase::parse(query) else {
            return Vec::new();
        };
        let hits = numbers.into_iter().filter_map(|number| {
            let found = view.from(MarketNumber::new(u64::from(number))).next()?;
            let volume = found.entry.figures.volume_day.map_or(0, Cents::get);
            Some((
                phrase.fit(found.words)?,
                Reverse(volume),
                found.entry.number,
            ))
        });
        best(hits.collect())
    }
}

/// The middle and the last but a hundredth of what each took.
fn times<T>(of: &[T], mut each: impl FnMut(&T)) -> (Duration, Duration) {
    let mut times: Vec<_> = of
        .iter()
        .map(|one| {
            let begun = thread_nanos();
            each(one);
            Duration::from_nanos(thread_nanos() - begun)
        })
        .collect();
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    (at(50), at(99))
}

fn per(begun: u64, count: usize) -> Duration {
    Duration::from_nanos((thread_nanos() - begun) / count as u64)
}
