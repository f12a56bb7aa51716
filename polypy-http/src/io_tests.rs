//! On paused time, over an in-memory pipe.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const LIMITS: Limits = Limits {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    write: Duration::from_secs(30),
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
async fn a_slow_handler_runs_into_no_deadline() {
    let (mut stream, mut far, activity) = pair(64);
    activity.begin_answering();
    let read = tokio::spawn(async move { stream.read(&mut [0; 8]).await });
    sleep(Duration::from_secs(3_600)).await;
    far.write_all(b"x").await.unwrap();
    assert_eq!(read.await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn reading_a_byte_a_second_does_not_extend_the_write_limit() {
    let (mut stream, mut far, activity) = pair(64);
    let started = Instant::now();
    let sip = tokio::spawn(async move {
        while far.read_u8().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let result = loop {
        match stream.write(&[0; 64]).await {
            Ok(_) => assert!(activity.is_writing()),
            Err(error) => break Err(error),
        }
    };
    fails_after(started, LIMITS.write, result).await;
    assert_eq!(activity.expired(), Some(Expired::Write));
    drop(stream);
    sip.await.unwrap();
}
