//! The questions of docs/questions.md, asked as they stand there, with the answers held
//! against the exchange's own list.
//!
//! `POLYPY_PYTHON` names an interpreter with the packages of the Python client; without
//! it the questions in Python are left out, and so are those of curl where it is missing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;

use polypy::config::Config;
use polypy_core::{AssetId, BookLookup, BookState, Timestamp};
use polypy_sim::SimConfig;
use polypy_tests::world::{SOON, World};
use polypy_tests::{http, program, tree, wait};
use serde_json::Value;

/// Markets of the exchange, and those of them that are followed.
const MARKETS: usize = 400;
const FOLLOWED: usize = 300;
const DAY: u64 = 86_400_000;
/// The address that the document asks.
const DOCUMENTED: &str = "http://localhost:8080";

/// An open market as the exchange lists it.
struct Row {
    slug: String,
    /// Its words: question, event, slug.
    words: String,
    event: String,
    tags: Vec<String>,
    volume: f64,
    volume_day: f64,
    liquidity: f64,
    end: u64,
    neg_risk: bool,
    tokens: Vec<AssetId>,
}

impl Row {
    fn read(row: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let number = |value: &Value| value.as_f64().expect("a number");
        let tokens = serde_json::from_str::<Vec<String>>(&text(&row["clobTokenIds"]));
        let tokens = tokens.expect("a list in a text");
        let end = Timestamp::from_rfc3339(&text(&row["endDate"])).expect("a moment");
        let event = &row["events"][0];
        let words = format!(
            "{} {} {}",
            text(&row["question"]),
            text(&event["title"]),
            text(&row["slug"])
        );
        let tags = row["tags"].as_array().expect("tags").iter();
        Self {
            slug: text(&row["slug"]),
            words: plain(&words),
            event: text(&event["slug"]),
            tags: tags.map(|tag| text(&tag["slug"])).collect(),
            volume: number(&row["volumeNum"]),
            volume_day: number(&row["volume24hr"]),
            liquidity: number(&row["liquidityNum"]),
            end: end.millis(),
            neg_risk: row["negRisk"].as_bool().expect("a flag"),
            tokens: tokens
                .iter()
                .map(|id| AssetId::new(id).expect("an id"))
                .collect(),
        }
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// Whether a word begins so.
    fn says(&self, beginning: &str) -> bool {
        let mut words = self.words.split(|c: char| !c.is_alphanumeric());
        words.any(|word| word.starts_with(beginning))
    }
}

/// Lower case, without the accents that the exchange's places have.
fn plain(text: &str) -> String {
    let letter = |c| match c {
        'ã' => 'a',
        'é' => 'e',
        'ü' => 'u',
        other => other,
    };
    text.to_lowercase().chars().map(letter).collect()
}

async fn listing(world: &World) -> Vec<Row> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/markets/keyset?limit=100&include_tag=true&after_cursor={cursor}");
        let page = http::get(world.sim.local_addr(), &path).await;
        let page = page.expect("an answer").json();
        rows.extend(page["markets"].as_array().expect("rows").clone());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return rows.iter().map(Row::read).collect(),
        }
    }
}

/// A number below 2^53.
fn exact(number: u64) -> f64 {
    let half = |half: u64| f64::from(u32::try_from(half & 0xffff_ffff).expect("it is a half"));
    half(number >> 32) * 4_294_967_296.0 + half(number)
}

/// What an answer has to be: these markets, in an order in which this grows.
struct Answer {
    slugs: Vec<String>,
    keys: HashMap<String, f64>,
    /// No more than so many, where more match.
    most: usize,
}

/// The answers, in the order of the document.
fn answers(world: &World, rows: &[Row], now: u64) -> Vec<Answer> {
    let registry = world.polypy.registry();
    let live = registry.live_conditions().len();
    assert_eq!(live, FOLLOWED, "as many as may be are followed");
    let books = world.polypy.books();
    let book = |token: &AssetId| books.book(token.as_str(), 1);
    let is_followed = |row: &&Row| !matches!(book(&row.tokens[0]), BookLookup::Unknown);
    let is_left_out = |row: &&Row| !is_followed(row);
    let spread = |row: &Row| {
        let spreads = row.tokens.iter().filter_map(|token| match book(token) {
            BookLookup::Found(view) if view.state == BookState::Live => {
                let (bid, ask) = (view.bids.first()?, view.asks.first()?);
                let millionths = |level: &polypy_core::Level| f64::from(level.price.millionths());
                Some(millionths(ask) - millionths(bid))
            }
            _ => None,
        });
        spreads.min_by(f64::total_cmp).unwrap_or(f64::MAX)
    };
    let change = |row: &Row| {
        let changes = row.tokens.iter().filter_map(|token| match book(token) {
            BookLookup::Found(view) => Some(view.last_update.millis()),
            _ => None,
        });
        -exact(changes.max().unwrap_or(0))
    };
    let answer = |wanted: &dyn Fn(&&Row) -> bool, key: &dyn Fn(&Row) -> f64, most: usize| {
        let its: Vec<_> = rows.iter().filter(wanted).collect();
        Answer {
            slugs: its.iter().map(|row| row.slug.clone()).collect(),
            keys: its.iter().map(|row| (row.slug.clone(), key(row))).collect(),
            most,
        }
    };
    let most_traded = |row: &Row| -row.volume_day;
    let any = |_: &Row| 0.0;
    let ends_within = |row: &Row, days: u64| (now..=now + days * DAY).contains(&row.end);
    let end = |row: &Row| exact(row.end);
    let all = usize::MAX;
    vec![
        answer(
            &|row| is_followed(row) && row.says("bitcoin") && ends_within(row, 7),
            &spread,
            all,
        ),
        answer(&|row| is_followed(row), &most_traded, 5),
        answer(
            &|row| {
                let is_crypto = row.has_tag("crypto") && !row.has_tag("up-or-down");
                is_followed(row) && is_crypto && row.volume_day >= 10_000.0
            },
            &most_traded,
            all,
        ),
        answer(&|row| is_followed(row) && ends_within(row, 2), &end, all),
        answer(
            &|row| is_followed(row) && row.says("sao") && row.says("paulo"),
            &any,
            all,
        ),
        answer(
            &|row| is_followed(row) && row.event.starts_with("who-will-win-"),
            &any,
            all,
        ),
        answer(
            &|row| is_followed(row) && row.neg_risk,
            &|row| -row.liquidity,
            all,
        ),
        answer(
            &|row| is_left_out(row) && row.has_tag("weather"),
            &most_traded,
            all,
        ),
        answer(
            &|row| row.says("ravens") && row.end > now + 30 * DAY,
            &any,
            all,
        ),
        answer(
            &|row| is_followed(row) && row.volume >= 1_000_000.0,
            &change,
            all,
        ),
    ]
}

impl Answer {
    /// What is wrong with the markets that came.
    fn mistake(&self, came: &[String]) -> Option<String> {
        let known = |slug: &String| self.keys.contains_key(slug);
        if let Some(stranger) = came.iter().find(|slug| !known(slug)) {
            return Some(format!("{stranger} does not belong there"));
        }
        let mut unique = came.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let expected = self.slugs.len().min(self.most);
        if unique.len() != came.len() || came.len() != expected {
            return Some(format!("{} markets came of {expected}", came.len()));
        }
        let key = |slug: &String| self.keys[slug];
        let wrong = came.windows(2).find(|pair| key(&pair[0]) > key(&pair[1]));
        if let Some(pair) = wrong {
            return Some(format!("{} comes before {}", pair[0], pair[1]));
        }
        // Of the first few: none that is left out comes before the last of them.
        let last = came.last().map_or(f64::MAX, key);
        let left_out = self.slugs.iter().filter(|slug| !came.contains(slug));
        let mut ahead = left_out.filter(|slug| key(slug) < last);
        ahead.next().map(|slug| format!("{slug} is missing"))
    }
}

/// A question with the ways in which it is asked.
struct Question {
    title: String,
    curl: String,
    python: String,
    terminal: String,
}

/// The questions of the document.
fn questions() -> Vec<Question> {
    let text = tree::read("docs/questions.md");
    let sections = text.split("\n## ").skip(1);
    let question = |section: &str| {
        let mut blocks = section.split("\n```").skip(1).step_by(2).map(|block| {
            let (kind, code) = block.split_once('\n').expect("a block has lines");
            (kind.to_owned(), code.trim().to_owned())
        });
        let mut next = |kind: &str| {
            let (found, code) = blocks.next().expect("three blocks");
            assert_eq!(found, kind, "{section}");
            code
        };
        Question {
            title: section.lines().next().expect("a title").to_owned(),
            curl: next("sh"),
            python: next("python"),
            terminal: next("sh"),
        }
    };
    sections.map(question).collect()
}

fn lines(mut command: Command) -> Vec<String> {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().map(str::to_owned).collect()
}

/// By a shell, so that quotes count as they do for people; all that there are, of what
/// comes in pages.
fn by_curl(question: &str, server: SocketAddr) -> Vec<String> {
    assert!(question.starts_with("curl '"), "{question}");
    let mut asked = question.replace(DOCUMENTED, &format!("http://{server}"));
    if !asked.contains("limit=") {
        asked = asked.trim_end_matches('\'').to_owned() + "&limit=1000'";
    }
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &asked.replace("curl ", "curl --silent --show-error --fail "),
    ]);
    let answer: Value = serde_json::from_str(&lines(command).join("\n")).expect("JSON");
    let markets = answer["markets"].as_array().expect("a list").iter();
    markets
        .map(|market| market["slug"].as_str().expect("a slug").to_owned())
        .collect()
}

fn by_python(interpreter: &str, question: &str, server: SocketAddr) -> Vec<String> {
    let frame = format!(
        "import asyncio\nfrom polypy_client import Client\n\n\
         async def main() -> None:\n    \
             async with Client('http://{server}') as client:\n        \
                 {question}\n        \
                 found = markets if isinstance(markets, list) else await markets.all()\n        \
                 for market in found:\n            \
                     print(market.slug)\n\n\
         asyncio.run(main())\n"
    );
    let mut command = Command::new(interpreter);
    command
        .args(["-c", &frame])
        .env("PYTHONPATH", tree::root().join("clients/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    lines(command)
}

fn by_terminal(question: &str, server: SocketAddr) -> Vec<String> {
    let rest = question.strip_prefix("polypy ").expect("the program");
    let limit = if rest.contains("--limit") {
        ""
    } else {
        " --limit 1000"
    };
    let mut command = Command::new("sh");
    let program = program::binary().display();
    command.args([
        "-c",
        &format!("{program} {rest}{limit} --json --url http://{server}"),
    ]);
    let slug = |line: &String| {
        let market: Value = serde_json::from_str(line).expect("an object");
        market["slug"].as_str().expect("a slug").to_owned()
    };
    lines(command).iter().map(slug).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_questions_are_answered_alike_over_http_in_python_and_at_a_terminal() {
    let exchange = SimConfig {
        markets: MARKETS,
        ..SimConfig::for_tests()
    };
    let mut config = Config::default();
    config.markets.max_markets = FOLLOWED;
    config.lifecycle.discovery_interval = std::time::Duration::from_secs(2);
    let world = World::configured(exchange, config).await;
    // The flow stands still, so that what is asked one after the other is asked of the same.
    wait::until("all that may be followed is live", SOON, async || {
        let stats = world.stats().await;
        stats["workers"]["books"]["live"] == 2 * FOLLOWED
    })
    .await;
    world.sim.pause();
    let interpreter = std::env::var("POLYPY_PYTHON").ok();
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if interpreter.is_none() || !has_curl {
        println!(
            "left out: python {}, curl {}",
            interpreter.is_none(),
            !has_curl
        );
    }
    let questions = questions();
    assert_eq!(questions.len(), 10);
    let server = world.http();
    // The list is read again every two seconds, and with it the figures of the last trades.
    wait::until("every question is answered rightly", SOON, async || {
        let rows = listing(&world).await;
        let now = polypy_core::Clock::now(&polypy::clock::SystemClock).millis();
        let answers = answers(&world, &rows, now);
        let mut is_right = true;
        for (question, answer) in questions.iter().zip(&answers) {
            assert!(
                !answer.slugs.is_empty(),
                "{}: nothing to find",
                question.title
            );
            let mut ways = vec![("terminal", by_terminal(&question.terminal, server))];
            if has_curl {
                ways.push(("curl", by_curl(&question.curl, server)));
            }
            if let Some(interpreter) = &interpreter {
                ways.push(("python", by_python(interpreter, &question.python, server)));
            }
            for (way, came) in ways {
                if let Some(mistake) = answer.mistake(&came) {
                    println!("{}, by {way}: {mistake}", question.title);
                    is_right = false;
                }
            }
        }
        is_right
    })
    .await;
    world.stop().await;
}
