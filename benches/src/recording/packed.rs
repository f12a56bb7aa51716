//! The frames of a recording as people keep them: a line of JSON each, packed with gzip.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use super::Failure;

/// What stands before a frame in a line of `polypy cat`: itself, or as text if it has an
/// end of line.
const DATA: [&str; 2] = [",\"data\":", ",\"text\":"];

/// Frames, and the bytes that `gzip -6` makes of lines `{"t_ms":..,"frame":..}` of them.
///
/// # Errors
/// When the program or gzip fails.
pub fn gzipped(program: &str, recording: &Path) -> Result<(u64, u64), Failure> {
    let mut cat = Command::new(program)
        .args(["cat", "--channel", "frames"])
        .arg(recording)
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()?;
    let mut gzip = Command::new("gzip")
        .args(["-6", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let packed = gzip.stdout.take().ok_or("no output")?;
    let counting = thread::spawn(move || count(packed));
    let mut lines = BufReader::with_capacity(1 << 18, cat.stdout.take().ok_or("no output")?);
    let mut out = BufWriter::with_capacity(1 << 18, gzip.stdin.take().ok_or("no input")?);
    let (mut line, mut frames) = (String::new(), 0);
    while lines.read_line(&mut line)? > 0 {
        let found = DATA.into_iter().find_map(|name| line.split_once(name));
        let (head, data) = found.ok_or("a line without data")?;
        let at = head
            .strip_prefix("{\"at\":")
            .and_then(|at| at.split_once(','));
        let nanos: u64 = at.ok_or("a line without a time")?.0.parse()?;
        write!(out, r#"{{"t_ms":{},"frame":{data}"#, nanos / 1_000_000)?;
        frames += 1;
        line.clear();
    }
    drop(out);
    ended(&mut cat)?;
    ended(&mut gzip)?;
    let bytes = counting.join().map_err(|_died| "counting panicked")??;
    Ok((frames, bytes))
}

fn ended(child: &mut Child) -> Result<(), Failure> {
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("a helper ended with {status}").into())
    }
}

fn count(mut packed: ChildStdout) -> std::io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        match packed.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += u64::try_from(read).unwrap_or(u64::MAX),
        }
    }
}
