//! `polypy cat`: the entries of a recording, a line of JSON each.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use polypy::archive::{Found, RawEntry, Reader};
use polypy::exit::Exit;
use serde_json::value::RawValue;

use super::open;
use super::token_filter::TokenFilter;
use crate::cli;
use crate::terminal;

pub(crate) fn cat(typed: cli::Cat) -> Exit {
    if let Some(why) = typed.span.contradiction() {
        terminal::say(&why);
        return Exit::Usage;
    }
    let mut reader = match open(&typed.recording) {
        Ok(recording) => Reader::new(recording),
        Err(exit) => return exit,
    };
    if let Some(from) = typed.span.from {
        reader.pass_before(from);
    }
    let token = typed.token.clone();
    let output = io::stdout();
    let is_terminal = output.is_terminal();
    let mut printing = Printing {
        wanted: Wanted::new(&typed),
        output: BufWriter::with_capacity(1 << 16, output.lock()),
        line: Vec::new(),
        is_raw: typed.raw,
        is_terminal,
        left: typed.limit.unwrap_or(u64::MAX),
    };
    match printing.all(&mut reader) {
        Ok(Exit::NoInput) => {
            let token = token.map_or_else(String::new, |token| token.to_string());
            let since = typed.span.from.map_or("", |_| " since --from");
            terminal::say(&format_args!("no entry{since} names token {token}"));
            Exit::NoInput
        }
        Ok(exit) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            terminal::say(&format_args!("standard output cannot be written: {error}"));
            Exit::Io
        }
    }
}

/// Which entries are to be shown.
struct Wanted {
    channels: BTreeSet<String>,
    socket: Option<u64>,
    token: Option<TokenFilter>,
    from: u64,
    to: u64,
}

impl Wanted {
    fn new(typed: &cli::Cat) -> Self {
        Self {
            channels: typed.channel.iter().cloned().collect(),
            socket: typed.socket,
            token: typed.token.clone().map(TokenFilter::new),
            from: typed.span.from.unwrap_or(0),
            to: typed.span.to.unwrap_or(u64::MAX),
        }
    }

    fn is(&self, entry: &RawEntry<'_>) -> bool {
        let kind = entry.channel.split('/').next().unwrap_or_default();
        (self.from..=self.to).contains(&entry.at)
            && (self.channels.is_empty() || self.channels.contains(kind))
            && (self.socket.is_none() || entry.socket() == self.socket)
    }

    fn is_of_token(&self, entry: &RawEntry<'_>) -> bool {
        let token = self.token.as_ref();
        token.is_none_or(|token| token.is_named_in(entry.data))
    }
}

struct Printing<W: Write> {
    wanted: Wanted,
    output: BufWriter<W>,
    line: Vec<u8>,
    is_raw: bool,
    is_terminal: bool,
    left: u64,
}

impl<W: Write> Printing<W> {
    fn all(&mut self, reader: &mut Reader) -> io::Result<Exit> {
        let (mut has_entries, mut has_faults) = (false, false);
        // Whether any entry names the token, also one that is not wanted.
        let mut is_token_known = self.wanted.token.is_none();
        while self.left > 0
            && let Some(found) = reader.next_found()
        {
            match found {
                Found::Chunk(chunk) => {
                    has_entries = true;
                    for entry in chunk.raw_entries() {
                        let is_wanted = self.left > 0 && self.wanted.is(&entry);
                        if (is_wanted || !is_token_known) && self.wanted.is_of_token(&entry) {
                            is_token_known = true;
                            if is_wanted {
                                self.print(&entry)?;
                            }
                        }
                    }
                }
                Found::Fault(fault) => {
                    has_faults |= fault.is_damage();
                    self.output.flush()?;
                    terminal::say(&fault);
                }
                _ => {}
            }
        }
        self.output.flush()?;
        Ok(match (has_faults, has_entries) {
            (true, false) => Exit::Unreadable,
            _ if !is_token_known => Exit::NoInput,
            (true, true) => Exit::NotWhole,
            (false, _) => Exit::Clean,
        })
    }

    fn print(&mut self, entry: &RawEntry<'_>) -> io::Result<()> {
        let is_frame = entry.socket().is_some();
        self.line.clear();
        if !self.is_raw {
            self.write(entry, is_frame)?;
        } else if is_frame {
            self.write_raw(entry.data)?;
        } else {
            return Ok(());
        }
        self.left -= 1;
        if self.is_terminal {
            // Nothing of what a stranger sent may steer a terminal.
            let text = String::from_utf8_lossy(&self.line);
            let shown: String = text.chars().map(plain).collect();
            self.output.write_all(shown.as_bytes())?;
        } else {
            self.output.write_all(&self.line)?;
        }
        self.output.write_all(b"\n")
    }

    /// A frame is a line. One that has an end of line in it is a text, as `polypy import`
    /// reads it.
    fn write_raw(&mut self, data: &[u8]) -> io::Result<()> {
        match std::str::from_utf8(data) {
            Ok(text) if text.contains(['\n', '\r']) => {
                let text = serde_json::to_string(text)?;
                write!(self.line, "{{\"frame\":{text}}}")
            }
            _ => self.line.write_all(data),
        }
    }

    fn write(&mut self, entry: &RawEntry<'_>, is_frame: bool) -> io::Result<()> {
        let channel = serde_json::to_string(entry.channel)?;
        write!(self.line, "{{\"at\":{},\"channel\":{channel}", entry.at)?;
        if is_frame {
            write!(self.line, ",\"sequence\":{}", entry.sequence)?;
        }
        match std::str::from_utf8(entry.data) {
            Ok(text) if serde_json::from_str::<&RawValue>(text).is_ok() => {
                // Between the parts of JSON an end of line is a space, and within a text there
                // is none.
                let line = text.trim().replace(['\n', '\r'], " ");
                write!(self.line, ",\"data\":{line}}}")
            }
            Ok(text) => write!(self.line, ",\"text\":{}}}", serde_json::to_string(text)?),
            Err(_) => {
                self.line.extend_from_slice(b",\"binary\":\"");
                for byte in entry.data {
                    write!(self.line, "{byte:02x}")?;
                }
                self.line.write_all(b"\"}")
            }
        }
    }
}

fn plain(letter: char) -> char {
    if letter.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        letter
    }
}
