//! The commands that read recordings, as typed.

use std::path::PathBuf;

use clap::Args;
use polypy::recordings::moment;
use polypy_core::AssetId;

/// Which part of a recording.
#[derive(Debug, Args)]
pub(crate) struct Span {
    /// Leave out what is older: RFC 3339, or a Unix time in seconds, milli-, micro- or nanoseconds
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) from: Option<u64>,
    /// Leave out what is younger
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) to: Option<u64>,
}

impl Span {
    /// Why there can be nothing in it, if so.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let is_empty = self.from.zip(self.to).is_some_and(|(from, to)| from > to);
        is_empty.then_some("--from is later than --to: there is nothing between them")
    }
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A folder, or one of its files
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    /// Which sockets carried this token, from when to when, and what is missing of it
    #[arg(long, value_name = "ID")]
    pub(crate) token: Option<AssetId>,
    /// Print all of it as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a recording has channels of.
const CHANNELS: [&str; 10] = [
    "frames",
    "control",
    "sent",
    "rest",
    "socket",
    "catalogue",
    "checkpoint",
    "gap",
    "clock",
    "mark",
];

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// A folder, or one of its files
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    /// Only entries that name this token, in a field of ids
    #[arg(long, value_name = "ID")]
    pub(crate) token: Option<AssetId>,
    /// Only these channels
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',', value_parser = CHANNELS)]
    pub(crate) channel: Vec<String>,
    /// Only frames of this socket
    #[arg(long, value_name = "NUMBER")]
    pub(crate) socket: Option<u64>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// End after so many entries
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// Print frames alone, each as it was received, with an end of line behind it; one that has
    /// an end of line in it is a text, in {"frame": ".."}
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A folder, one of its files, or frames as lines of JSON (.jsonl, .jsonl.gz)
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    /// List this token alone; all are verified
    #[arg(long, value_name = "ID")]
    pub(crate) token: Option<AssetId>,
    /// Not whole also if the recording says itself that something was lost; that it was begun,
    /// stopped or goes on later is no loss
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print all of it as one JSON object: docs/schemas/verify.json
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Frames as lines of JSON, packed with gzip or not, then the folder to add them to
    #[arg(value_name = "FILE.. FOLDER", num_args = 2.., required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// A folder that nobody records to, or one file
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// A folder, or one of its files
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
}

pub(crate) const COMPACT_EXAMPLES: &str = "\
Examples:
  polypy compact recording

Compresses each finished file again, in larger pieces and for longer, and leaves out the index of
its entries: for keeping. Readers of MCAP then read it from its beginning. A file takes its place
only once it was read back and found to hold the same. Somebody may record to the folder meanwhile.
Files that were compacted before are read. Ends with 3 if a file is damaged: it stays as it is.";

pub(crate) const INFO_EXAMPLES: &str = "\
Examples:
  polypy info recording
  polypy info recording --token TOKEN
  polypy info --json recording | jq .gaps

Shows what there is without decoding a frame: files, times, sockets, tokens, bytes, and what is
missing by whose doing it is. `frames` are those that are JSON; the others, as PONG, are `control`.
`polypy verify` looks at the books. Ends with 0 if every file is whole, with 3 if something of them
is damaged or not there, with 65 if no entry can be read and no gap says what is missing, with 66 if
there is no recording, or none of that token.";

pub(crate) const CAT_EXAMPLES: &str = "\
Examples:
  polypy cat recording | head
  polypy cat recording --channel gap,socket
  polypy cat recording --token TOKEN --from 2026-11-29T08:43:00Z
  polypy cat --raw recording > frames.jsonl

An entry a line, as JSON: `at` (nanoseconds since 1970), `channel`, and `data`. A frame has its
number among those of its socket, too (`sequence`). Where it has ends of line between its parts,
they are spaces here; --raw leaves each byte. What is no JSON is in `text`, or in `binary` as
hexadecimal digits. docs/schemas/recording says what each channel holds.

Ends with 0, with 3 if something could not be read (standard error says what), with 65 if nothing
could be, with 66 if there is no recording, or no entry names the token.";

pub(crate) const VERIFY_EXAMPLES: &str = "\
Examples:
  polypy verify recording
  polypy verify --json recording > report.json
  polypy verify recording/00000003-20261129T084300Z.mcap
  polypy verify frames.jsonl.gz

Applies every frame as the server would, on recorded time, and holds each book against the venue's
hashes, its best prices, the market's other token and the checkpoints.

`frames` are those that are JSON; the others, as PONG, are `control`. How long gaps of one reason
lasted is added up: ten tokens that waited two seconds for their first book, at the same time, are
20 s. `no loss` are gaps in which nothing was lost; one that is open lasts until the end of the
recording. A state that was replaced before a check was due, by the next state or another book, is
neither verified nor failed.

Ends with 0 if the recording is whole: nothing is damaged, no file is lost, nothing is missing that
no gap tells of, no check failed. With 3 if it is not, with 65 if no entry can be read and no gap
says what is missing, with 66 if there is no recording, or no book of that token.";

pub(crate) const IMPORT_EXAMPLES: &str = "\
Examples:
  polypy import frames.jsonl.gz recording
  polypy import monday.jsonl tuesday.jsonl recording && polypy verify recording

A line is a frame ({\"event_type\": ..} or an array), a frame with its time
({\"t_ms\": 1795000000123, \"frame\": ..}), or a book of the REST interface. Frames keep their bytes:
`polypy cat --raw` gives them back. Each file becomes a run of its own in the recording. Ends with
3 if lines were left out, or a packed file is cut: what is before that is imported. With 65 if a
file has nothing that could be recorded.";

pub(crate) const REPAIR_EXAMPLES: &str = "\
Examples:
  polypy repair recording

Ends what a kill has cut, in place, and puts a copy without them in the place of files with
damaged parts, which stay beside it as .damaged. What is missing is written into the file, as a
gap: why nothing was written, as far as the recorder could still say so (disk_full and others), or
that it was killed. A recorder does the same for what earlier runs left, when it starts.

A file that is lost is noted in the manifest, with the gap `lost`, which counts until the file is
put back. So is one that can be read to its end and is not the file that was finished, with its new
SHA-256. Nothing that holds an entry is removed, and repairing again changes nothing.

Ends with 0 if nothing is left to repair, with 1 if somebody records to the folder or it cannot be
locked, with 3 if something stays as it is (it says what, and what to do), with 65 if nothing can be
read, with 66 if there is no recording.";
