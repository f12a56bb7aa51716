//! Records, loses the end of the file, repairs it and reads what is there.
//!
//! ```sh
//! cargo run -p polypy-archive --example cut_and_repair -- FOLDER
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;

use polypy_archive::{Header, Piece, Scanner, Segment, SystemDisk, repair};

/// Some November, in nanoseconds since the epoch.
const BEGIN: u64 = 1_795_000_000_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    let path = folder.join("00000001-20261118T110640Z.mcap");
    let header = Header {
        session: "an-example".into(),
        number: 1,
        started: BEGIN,
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let mut segment = Segment::create(&SystemDisk, &path, &header)?;
    for sequence in 0..1_000 {
        let frame = format!(r#"{{"event_type":"price_change","timestamp":"{sequence}"}}"#);
        let at = BEGIN + u64::from(sequence) * 1_000_000;
        segment.frame(("connection-1", 1), sequence, at, frame.as_bytes());
        if sequence % 100 == 99 {
            segment.end_chunk()?;
        }
    }
    segment.sync()?;

    // As after a kill: no ending, and half of what was written last.
    drop(segment);
    let part = folder.join("00000001-20261118T110640Z.mcap.part");
    let file = File::options().write(true).open(&part)?;
    let length = file.metadata()?.len();
    file.set_len(length - 500)?;

    println!(
        "{:#?}",
        repair(&SystemDisk, &part, BEGIN + 3_600_000_000_000)?
    );
    let mut scanner = Scanner::new(File::open(&path)?)?;
    while let Some(piece) = scanner.next_piece()? {
        match piece {
            Piece::Chunk(chunk) => println!("{} entries", chunk.len()),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
