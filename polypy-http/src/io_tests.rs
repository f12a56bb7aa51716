//! On paused time, over an in-memory pipe.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const LIMITS: Limits = Limits {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    write: Duration::from_secs(30),
    rate: 30 * 4096,
};

fn pair(capacity: usize) -> (DeadlineStream<DuplexStream>, DuplexStream, Arc<Activity>) {
    let (near, far) = duplex(capacity);
    let activity = Arc::new(Activity::default());
    (
        DeadlineStream::new(near, LIMITS, Arc::clone(&activity)),
        far,
        activity,
    )
}

async fn fails_after(started: Instant, expected: Duration, result: io::Result<usize>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let elapsed = started.elapsed();
    assert!(
        elapsed >= expected && elapsed < expected + Duration::from_millis(50),
        "{elapsed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_ends_at_the_head_limit() {
    let (mut stream, _far, activity) = pair(64);
    let started = Instant::now();
    let result = stream.read(&mut [0; 8]).await;
    fails_after(started, LIMITS.head, result).await;
    assert_eq!(activity.expired(), Some(Expired::Head));
    assert!(!activity.is_receiving());
}

#[tokio::test(start_paused = true)]
async fn dripping_bytes_does_not_extend_the_head_limit() {
    let (mut stream, mut far, activity) = pair(64);
    let started = Instant::now();
    let drip = tokio::spawn(async move {
        // Nor does beginning late.
        sleep(Duration::from_secs(5)).await;
        while far.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let result = loop {
        match stream.read(&mut [0; 8]).await {
            Ok(_) => assert!(activity.is_receiving()),
            Err(error) => break Err(error),
        }
    };
    fails_after(started, LIMITS.head, result).await;
    drop(stream);
    drip.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_an_answer_the_idle_limit_runs_and_a_new_head_its_own() {
    let (mut stream, mut far, activity) = pair(64);
    far.write_all(b"one").await.unwrap();
    stream.read_exact(&mut [0; 3]).await.unwrap();
    activity.begin_answering();
    activity.answered();
    stream.write_all(b"answer").await.unwrap();
    stream.flush().await.unwrap();

    // Within the idle limit and long after the first head's.
    sleep(Duration::from_secs(60)).await;
    far.write_all(b"t").await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    let started = Instant::now();
    let result = stream.read(&mut [0; 8]).await;
    fails_after(started, LIMITS.head, result).await;
    assert_eq!(activity.expired(), Some(Expired::Head));

    let (mut stream, _far, activity) = pair(64);
    activity.answered();
    stream.flush().await.unwrap();
    let started = Instant::now();
    let result = stream.read(&mut [0; 8]).await;
    fails_after(started, LIMITS.idle, result).await;
    assert_eq!(activity.expired(), Some(Expired::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_head_after_a_long_wait_has_its_own_limit_and_not_what_is_left_of_the_wait() {
    let (mut stream, mut far, activity) = pair(64);
    activity.answered();
    stream.flush().await.unwrap();
    // Waited for, so that the timer stands for the end of the wait.
    let waited = tokio::time::timeout(LIMITS.head * 2, stream.read(&mut [0; 8])).await;
    assert!(waited.is_err());
    far.write_all(b"t").await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    let started = Instant::now();
    let result = stream.read(&mut [0; 8]).await;
    fails_after(started, LIMITS.head, result).await;
    assert_eq!(activity.expired(), Some(Expired::Head));
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_runs_into_no_deadline() {
    let (mut stream, mut far, activity) = pair(64);
    activity.begin_answering();
    let read = tokio::spawn(async move { stream.read(&mut [0; 8]).await });
    sleep(Duration::from_secs(3_600)).await;
    far.write_all(b"x").await.unwrap();
    assert_eq!(read.await.unwrap().unwrap(), 1);
}

/// Writes until that fails or `total` bytes are out, while the other end takes
/// `lump` bytes in each `pause`.
async fn written(
    total: usize,
    lump: usize,
    pause: Duration,
) -> (io::Result<usize>, Duration, Activity) {
    let (mut stream, mut far, activity) = pair(64 * 1024);
    let started = Instant::now();
    let reader = tokio::spawn(async move {
        let mut taken = vec![0; lump];
        while far.read_exact(&mut taken).await.is_ok() {
            sleep(pause).await;
        }
    });
    let mut out = 0;
    let result = loop {
        if out >= total {
            break stream.flush().await.map(|()| out);
        }
        match stream.write(&vec![0; 64 * 1024]).await {
            Ok(bytes) => out += bytes,
            Err(error) => break Err(error),
        }
    };
    let elapsed = started.elapsed();
    drop(stream);
    reader.await.unwrap();
    (result, elapsed, Arc::try_unwrap(activity).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_too_little_is_given_up_after_the_window() {
    for (lump, pause) in [
        (1, Duration::from_secs(3_600)),
        (16, Duration::from_secs(1)),
        (3_000, Duration::from_secs(1)),
    ] {
        let (result, elapsed, activity) = written(usize::MAX, lump, pause).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(
            elapsed >= LIMITS.write && elapsed < LIMITS.write * 2,
            "{lump} {elapsed:?}"
        );
        assert_eq!(activity.expired(), Some(Expired::Write));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_and_steady_client_is_served_for_as_long_as_it_takes() {
    let total = 3 << 20;
    for (lump, pause) in [
        (20_000, Duration::from_secs(1)),
        // The same in the lumps of a full receive buffer.
        (400_000, Duration::from_secs(20)),
        (5_000, Duration::from_secs(1)),
    ] {
        let (result, elapsed, activity) = written(total, lump, pause).await;
        assert!(result.unwrap() >= total);
        assert!(elapsed > LIMITS.write * 3, "{elapsed:?}");
        assert_eq!(activity.expired(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_given_up_however_well_it_began() {
    let (mut stream, mut far, activity) = pair(1024);
    let reader = tokio::spawn(async move {
        far.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
        (far, Instant::now())
    });
    let result = loop {
        if let Err(error) = stream.write(&[0; 4096]).await {
            break error;
        }
    };
    assert_eq!(result.kind(), io::ErrorKind::TimedOut);
    let (_far, stopped) = reader.await.unwrap();
    let silent = stopped.elapsed();
    assert!(silent <= LIMITS.write * 2, "{silent:?}");
    assert_eq!(activity.expired(), Some(Expired::Write));
}

#[tokio::test(start_paused = true)]
async fn pieces_arrive_in_order_whether_small_or_large() {
    for (first, second) in [(3, 5), (2_000, 48), (2_000, 49), (9_000, 1), (0, 7)] {
        let (mut stream, mut far, _) = pair(4_096);
        let pieces = [vec![1; first], vec![2; second]];
        let whole = pieces.concat();
        let reader = tokio::spawn(async move {
            let mut arrived = vec![0; first + second];
            far.read_exact(&mut arrived).await.map(|_| arrived)
        });
        let mut sent = 0;
        while sent < whole.len() {
            let rest = sent.min(first);
            let slices = [
                IoSlice::new(&pieces[0][rest..]),
                IoSlice::new(&pieces[1][sent - rest..]),
            ];
            sent += stream.write_vectored(&slices).await.unwrap();
        }
        stream.flush().await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fragment_is_seen_in_the_request_line_alone() {
    for (parts, expected) in [
        (&["GET /a#b HTTP/1.1\r\nHost: x\r\n"][..], true),
        (&["GET /a", "#b HTTP/1.1\r\n"], true),
        (&["GET /a HTTP/1.1\r\nX: #b\r\n"], false),
        (&["GET /a HTTP/1.1\r\n", "X: #b\r\n"], false),
    ] {
        let (mut stream, mut far, activity) = pair(1024);
        for part in parts {
            far.write_all(part.as_bytes()).await.unwrap();
            stream.read_exact(&mut vec![0; part.len()]).await.unwrap();
        }
        assert_eq!(activity.take_fragment(), expected, "{parts:?}");
        assert!(!activity.take_fragment());
    }
}
