//! A recording's lines, made by a thread of their own some way ahead of where it is played,
//! so that memory does not grow with the recording.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::reading::{Line, Reading};

/// Batches that wait.
const AHEAD: usize = 8;

/// Lines as they are made.
#[derive(Debug)]
pub(crate) struct Feed {
    /// `None` once nobody wants more of it.
    lines: Option<Receiver<Vec<Line>>>,
    maker: Option<JoinHandle<()>>,
}

/// What there is at the moment.
#[derive(Debug)]
pub(crate) enum Fed {
    Lines(Vec<Line>),
    /// They are being made.
    Soon,
    /// There are no more.
    Over,
}

impl Feed {
    /// Begins to make lines. `loops`: again and again; an empty batch stands between.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(reading: Reading, loops: bool) -> io::Result<Self> {
        let (give, lines) = sync_channel(AHEAD);
        let maker = Builder::new()
            .name("polypy-replay".to_owned())
            .spawn(move || make(reading, &give, loops))?;
        Ok(Self {
            lines: Some(lines),
            maker: Some(maker),
        })
    }

    pub(crate) fn take(&self) -> Fed {
        match self.lines.as_ref().map(Receiver::try_recv) {
            Some(Ok(lines)) => Fed::Lines(lines),
            Some(Err(TryRecvError::Empty)) => Fed::Soon,
            Some(Err(TryRecvError::Disconnected)) | None => Fed::Over,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Whoever waits to give more finds that nobody takes it.
        self.lines = None;
        if let Some(maker) = self.maker.take()
            && maker.join().is_err()
        {
            tracing::error!("the thread that reads the recording died");
        }
    }
}

fn make(mut reading: Reading, give: &SyncSender<Vec<Line>>, loops: bool) {
    loop {
        let lines = match reading.next_batch() {
            Ok(lines) => lines,
            Err(error) => {
                tracing::error!(%error, "the recording cannot be read on");
                return;
            }
        };
        let is_over = lines.is_empty();
        if is_over && !loops {
            return;
        }
        if give.send(lines).is_err() {
            return;
        }
        if is_over && let Err(error) = reading.rewind() {
            tracing::error!(%error, "the recording cannot be read again");
            return;
        }
    }
}
