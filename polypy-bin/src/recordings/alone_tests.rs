//! A recorder beside real workers, and what a reader makes of its last file alone.
//!
//! Two sockets bring what a venue says. What they have read is recorded at once; it is
//! delivered to the workers later, within two seconds, and applied later still. Time is
//! the test's own.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_archive::queue::queue;
use polypy_archive::testing::FaultyDisk;
use polypy_archive::{Disk as _, Folder, Inlet, Numbers, Piece, Scanner, Writer, WriterConfig};
use polypy_core::{
    Asked, BookOrigin, Checkpoint, CheckpointSource, Component as _, Copied, EventSink as _,
    FrameSink as _, Lane, MarketChange, Opened, ResyncSink, SocketId, SocketSink, Token,
};
use polypy_core::{CatalogueSink as _, Market};
use polypy_workers::{MessageRouter, WorkerManager};
use proptest::prelude::*;

use super::*;

const MARKETS: usize = 3;
/// What a thread takes at most from reading a frame to delivering it.
const DELIVERY: Duration = Duration::from_millis(1_900);
/// What a worker takes at most to apply what was delivered. A book that is in doubt all the
/// while is stale for less than the ten seconds in which its copy is asked for again.
const APPLYING: Duration = Duration::from_secs(3);
/// What a socket lags at most. A state whose second frame came later than a second behind
/// the first would be a contradiction, and so would a checkpoint that another socket has
/// led to for two.
const LAG: Duration = Duration::from_millis(800);

#[derive(Debug, Clone)]
enum Step {
    /// The venue takes an order, and tells both sockets.
    Order(usize, u32, u32),
    /// The same in two frames, both with the hash of the second.
    TwoFrames(usize, u32),
    /// A socket reads so many frames.
    Read(usize, usize),
    /// What it read last is delivered.
    Deliver(usize),
    /// What was delivered is applied.
    Apply,
    /// A socket closes and another one opens.
    Reopen(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let (market, socket) = (0..MARKETS, 0..2usize);
    prop_oneof![
        10 => (market.clone(), 40..48u32, 0..9u32).prop_map(|(market, cents, size)| Order(market, cents, size)),
        3 => (market, 1..9u32).prop_map(|(market, size)| TwoFrames(market, size)),
        10 => (socket.clone(), 1..4usize).prop_map(|(socket, frames)| Read(socket, frames)),
        6 => socket.clone().prop_map(Deliver),
        4 => Just(Apply),
        1 => socket.prop_map(Reopen),
        6 => prop::sample::select(vec![20, 200, 1_000, 2_500, 8_000]).prop_map(Pass),
    ]
}

/// The test's time, and at which real moments it was what.
struct Time(Mutex<Vec<(Instant, Instant)>>);

impl Time {
    fn of(&self, real: Instant) -> Instant {
        let log = self.0.lock();
        let later = log.partition_point(|(at, _)| *at <= real);
        log[later.saturating_sub(1)].1
    }

    fn set(&self, now: Instant) {
        self.0.lock().push((Instant::now(), now));
    }
}

/// The workers' books, on the test's time.
struct Books {
    real: Arc<dyn CheckpointSource>,
    time: Arc<Time>,
    /// Since when the oldest delivery waits to be applied.
    waits: Arc<Mutex<Option<Instant>>>,
}

impl CheckpointSource for Books {
    fn lanes(&self) -> u16 {
        self.real.lanes()
    }

    fn copy(
        &self,
        lane: Lane,
        from: usize,
        wanted: &dyn Fn(AssetKey, BookPosition) -> bool,
        out: &mut Vec<Checkpoint>,
    ) -> Option<Copied> {
        let copied = self.real.copy(lane, from, wanted, out)?;
        for copy in out.iter_mut() {
            copy.whole.received = self.time.of(copy.whole.received);
        }
        let now = self.time.of(copied.applied_before);
        Some(Copied {
            applied_before: self.waits.lock().map_or(now, |since| since.min(now)),
            ..copied
        })
    }
}

struct Nobody;

impl ResyncSink for Nobody {
    fn resync(&self, _scope: Scope, _assets: &[AssetKey], _reason: StaleReason) {}
}

struct Socket {
    number: u64,
    sink: Box<dyn SocketSink>,
    /// Said by the venue, and not read yet.
    said: VecDeque<(Instant, String)>,
    /// Read and recorded, and not delivered yet.
    read: VecDeque<(Instant, Vec<String>)>,
}

struct Program {
    disk: FaultyDisk,
    inlet: Inlet,
    writer: Option<Writer>,
    manager: WorkerManager,
    router: MessageRouter,
    tokens: Tokens,
    wire: WireStats,
    venues: Vec<Venue>,
    sockets: Vec<Socket>,
    opened: u64,
    /// Delivered, and not applied yet.
    delivered: VecDeque<(Instant, u64, Vec<String>)>,
    time: Arc<Time>,
    waits: Arc<Mutex<Option<Instant>>>,
    began: Instant,
    now: Instant,
}

impl Program {
    async fn start() -> Self {
        let disk = FaultyDisk::default();
        let (inlet, outlet) = queue(64 << 20, Arc::default());
        let folder = Path::new("recording");
        let shared = Arc::new(disk.clone());
        let folder = Folder::open(shared, folder, ("a-session", "0"), BEGAN).unwrap();
        let mut config = WorkersConfig::default();
        config.integrity.searches_per_second = 1_000_000;
        config.integrity.doubt_patience = Duration::from_secs(3_600);
        let manager = WorkerManager::new(config, Arc::new(Nobody));
        manager.start().await.unwrap();
        let router = MessageRouter::new(&manager);
        router.start().await.unwrap();
        let now = Instant::now();
        let time = Arc::new(Time(Mutex::new(vec![(now, now)])));
        let waits = Arc::default();
        let books = Arc::new(Books {
            real: manager.checkpoints(),
            time: Arc::clone(&time),
            waits: Arc::clone(&waits),
        });
        let config = WriterConfig {
            // While the flow goes on a file ends, and none while it rests at the end.
            rotate_size: 56 << 10,
            rotate_after: Duration::from_secs(3_600),
            disk_reserve: 0,
            ..WriterConfig::default()
        };
        let numbers = Arc::<Numbers>::default();
        let clocks = (now, BEGAN);
        let mut writer = Writer::new(config, folder, outlet, Some(books), numbers, clocks);
        writer.begin(now).unwrap();
        let mut program = Self {
            disk,
            inlet,
            writer: Some(writer),
            manager,
            router,
            tokens: Tokens::default(),
            wire: WireStats::default(),
            venues: (1..=MARKETS as u64).map(Venue::new).collect(),
            sockets: Vec::new(),
            opened: 0,
            delivered: VecDeque::new(),
            time,
            waits,
            began: now,
            now,
        };
        for venue in &program.venues {
            let condition = &venue.infos[0].condition_id;
            let tokens = venue.ids().map(|token_id| {
                program.tokens.note(&token_id, condition);
                Token {
                    token_id,
                    outcome: "Yes".into(),
                }
            });
            let market = Market::new(condition.clone(), tokens.to_vec());
            program.inlet.changed(MarketChange::New(Arc::new(market)));
        }
        for _ in 0..2 {
            let socket = program.open();
            program.sockets.push(socket);
        }
        program
    }

    fn infos(&self) -> Vec<Arc<AssetInfo>> {
        let ids = self.venues.iter().flat_map(Venue::ids);
        let keys = ids.map(|id| self.tokens.key(&id).unwrap());
        keys.map(|key| Arc::clone(self.tokens.info(key).unwrap()))
            .collect()
    }

    /// A socket that is sent all books as they are.
    fn open(&mut self) -> Socket {
        self.opened += 1;
        let number = self.opened;
        let mut sink = self.inlet.opened(&Opened {
            socket: SocketId(number),
            connection: "conn-1",
            is_replacement: false,
            at: self.now,
        });
        sink.delivers(FeedId(number), self.now);
        sink.sent("{}", Asked::Subscribe, &self.infos(), self.now);
        self.router.feed_opened(FeedId(number));
        let openings = self.venues.iter().map(Venue::opening);
        Socket {
            number,
            sink,
            said: openings.map(|frame| (self.now, frame)).collect(),
            read: VecDeque::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Order(market, cents, size) => {
                let frame = self.venues[market].order(cents, size);
                self.say([frame]);
            }
            Step::TwoFrames(market, size) => {
                let (first, second) = in_two_frames_of(&mut self.venues[market], size);
                self.say([first, second]);
            }
            Step::Read(socket, frames) => self.read(socket, frames),
            Step::Deliver(socket) => self.deliver(socket),
            Step::Apply => self.apply(),
            Step::Reopen(socket) => {
                self.deliver(socket);
                self.apply();
                let new = self.open();
                let mut old = std::mem::replace(&mut self.sockets[socket], new);
                old.sink.closed("dropped", Owner::Network, self.now);
                let feed = FeedId(old.number);
                self.router.feed_closed(feed, StaleReason::Disconnected);
            }
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
        }
    }

    fn say<const N: usize>(&mut self, frames: [String; N]) {
        for socket in &mut self.sockets {
            let frames = frames.iter().cloned();
            socket.said.extend(frames.map(|frame| (self.now, frame)));
        }
    }

    fn read(&mut self, socket: usize, most: usize) {
        let (now, keys) = (self.now, self.infos());
        let keys: Vec<_> = keys.iter().map(|info| info.key).collect();
        let socket = &mut self.sockets[socket];
        let frames = socket.said.drain(..most.min(socket.said.len()));
        let frames: Vec<_> = frames.map(|(_, frame)| frame).collect();
        if frames.is_empty() {
            return;
        }
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for frame in &frames {
            bytes.extend_from_slice(frame.as_bytes());
            ends.push(bytes.len());
        }
        socket.sink.received(&bytes, &ends, true, now);
        for (market, keys) in keys.chunks(2).enumerate() {
            let condition = self.venues[market].infos[0].condition_id.as_str();
            let is_opening = |frame: &String| frame.starts_with('[') && frame.contains(condition);
            if frames.iter().any(is_opening) {
                socket.sink.first_books(keys, BookOrigin::Snapshot, now);
            }
        }
        socket.read.push_back((now, frames));
    }

    fn deliver(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        for (_, frames) in socket.read.drain(..) {
            self.delivered.push_back((self.now, socket.number, frames));
        }
        *self.waits.lock() = self.delivered.front().map(|(at, ..)| *at);
    }

    fn apply(&mut self) {
        for (_, socket, frames) in self.delivered.drain(..) {
            let mut decoded = Decoded::default();
            for frame in frames {
                let interner = self.tokens.interner();
                wire::decode(frame.as_bytes(), interner, &self.wire, &mut decoded);
            }
            self.router.deliver(FeedId(socket), &mut decoded.events);
        }
        while self.router.backlog() > 0 {
            std::thread::yield_now();
        }
        *self.waits.lock() = None;
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for socket in 0..self.sockets.len() {
                let waits = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| self.now - at);
                let of = &self.sockets[socket];
                let said = waits(of.said.front().map(|(at, _)| *at));
                let read = waits(of.read.front().map(|(at, _)| *at));
                if said >= LAG {
                    self.read(socket, usize::MAX);
                }
                if read >= DELIVERY {
                    self.deliver(socket);
                }
            }
            let waits = self.delivered.front().map(|(at, ..)| self.now - *at);
            if waits.is_some_and(|waits| waits >= APPLYING) {
                self.apply();
            }
            let next = self.step();
            let next = next.max(self.now + Duration::from_millis(1)).min(end);
            // No delivery may be late.
            let next = next.min(self.now + Duration::from_millis(90));
            self.now = next;
            self.time.set(next);
        }
        self.step();
    }

    fn step(&mut self) -> Instant {
        let passed = u64::try_from((self.now - self.began).as_nanos()).unwrap();
        let writer = self.writer.as_mut().unwrap();
        writer.step(self.now, BEGAN + passed)
    }

    /// All is read, delivered and applied, and the recorder stops.
    async fn finish(mut self) -> (FaultyDisk, Vec<Checkpoint>) {
        for socket in 0..self.sockets.len() {
            self.read(socket, usize::MAX);
            self.deliver(socket);
        }
        self.apply();
        self.pass(Duration::from_secs(15));
        let mut copies = Vec::new();
        let books = self.manager.checkpoints();
        for lane in 0..books.lanes() {
            books
                .copy(Lane(lane), 0, &|_, _| true, &mut copies)
                .unwrap();
        }
        let passed = u64::try_from((self.now - self.began).as_nanos()).unwrap();
        let writer = self.writer.take().unwrap();
        writer.stop(self.now, BEGAN + passed);
        self.router.stop().await;
        self.manager.stop().await;
        (self.disk, copies)
    }
}

/// One state in two frames, both of which have its hash.
fn in_two_frames_of(venue: &mut Venue, size: u32) -> (String, String) {
    let first = venue.order(45, 10 + size);
    venue.now -= 1_000;
    let second = venue.order(44, 20 + size);
    let hashes: Value = serde_json::from_str(&second).unwrap();
    let mut frame: Value = serde_json::from_str(&first).unwrap();
    for token in [0, 1] {
        frame["price_changes"][token]["hash"] = hashes["price_changes"][token]["hash"].clone();
    }
    (frame.to_string(), second)
}

/// What the files of these names say, until the recorder stopped.
fn verifier(disk: &FaultyDisk, names: &[String]) -> Verifier {
    let mut verifier = None;
    let mut header = None;
    for name in names {
        let bytes = disk.content(&Path::new("recording").join(name)).unwrap();
        let mut scanner = Scanner::new(std::io::Cursor::new(bytes)).unwrap();
        while let Some(piece) = scanner.next_piece().unwrap() {
            match piece {
                Piece::Header(found) => header = Some(found),
                Piece::Chunk(chunk) => {
                    for entry in chunk.entries() {
                        let entry = entry.unwrap();
                        let verifier = verifier.get_or_insert_with(|| Verifier::new(entry.at));
                        if let Some(header) = header.take() {
                            verifier.file(&header);
                        }
                        if !matches!(&entry.entry, Entry::Gap(gap) if &*gap.reason == "stopped") {
                            verifier.take(&entry);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    verifier.unwrap()
}

fn shown(copy: &Checkpoint) -> (BookState, u64, Option<BookHash>, OrderBook) {
    let whole = &copy.whole;
    let state = whole.status.state;
    (state, whole.at.millis(), whole.hash, whole.book.clone())
}

fn cases() -> u32 {
    let said = std::env::var("POLYPY_HISTORIES");
    said.map_or(200, |text| text.parse::<u32>().expect("is a number") / 50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_last_file_alone_leads_to_the_books_of_the_program(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        leads_alone(&steps)?;
    }
}

/// Whether the last file of what these steps record leads to the books of the program.
fn leads_alone(steps: &[Step]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (disk, copies) = runtime.block_on(async {
        let mut program = Program::start().await;
        for step in steps {
            program.take(step);
        }
        program.finish().await
    });
    let files = disk
        .list(Path::new("recording"))
        .unwrap()
        .into_iter()
        .map(|(name, _)| name);
    let names: Vec<_> = files.filter(|name| name.ends_with(".mcap")).collect();

    let mut all = verifier(&disk, &names);
    all.flush();
    let mut alone = verifier(&disk, &names[names.len() - 1..]);
    alone.flush();
    let live: HashMap<_, _> = copies
        .iter()
        .filter(|copy| copy.whole.status.state == BookState::Live)
        .map(|copy| (copy.whole.info.asset_id.clone(), shown(copy)))
        .collect();
    prop_assert_eq!(live.len(), 2 * MARKETS, "the venue has told all there is");
    for (token, expected) in &live {
        for (name, verifier) in [("all", &all), ("alone", &alone)] {
            let key = verifier.tokens.key(token);
            let book = key.and_then(|key| verifier.books.book(key));
            prop_assert_eq!(
                book.as_ref().map(shown),
                Some(expected.clone()),
                "{} {}",
                name,
                token
            );
        }
    }
    for (name, verifier) in [("all", all), ("alone", alone)] {
        let report = verifier.finish();
        let is_contradicted = report.contradicted().next().is_some();
        prop_assert!(!is_contradicted, "{}: {}", name, report.page());
        prop_assert_eq!(report.findings.audits_failed, 0, "{}", name);
        prop_assert_eq!(report.missing_frames, 0, "{}", name);
    }
    Ok(())
}
