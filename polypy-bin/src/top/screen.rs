//! The terminal: taken over while something is shown, and given back whatever happens.

use std::io::{self, Stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind, poll, read,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::draw::draw;
use super::look::Look;
use super::model::{Input, Model};

/// Keys that wait to be looked at: faster than this nobody types.
const KEYS: usize = 64;
/// How long the thread that reads keys looks for one before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// The screen, for as long as it is ours.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    look: Look,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it says anything.
    ///
    /// # Errors
    /// When the terminal does not let itself be taken over.
    pub(super) fn open(look: Look) -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        take_over()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).inspect_err(|_| {
            give_back();
        })?;
        Ok(Self { terminal, look })
    }

    /// Its columns and lines.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// # Errors
    /// When the terminal cannot be written.
    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        let look = self.look;
        self.terminal.draw(|frame| draw(frame, model, look))?;
        Ok(())
    }

    /// Has everything drawn again, whatever stands there.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub(super) fn redraw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.clear()?;
        self.draw(model)
    }

    /// Gives the terminal back and stops, until the shell has this process go on.
    ///
    /// # Errors
    /// When the terminal cannot be taken over again.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::STOP)?;
        take_over()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste).inspect_err(|_| {
        give_back();
    })
}

/// As it was. What cannot be written cannot be helped: nobody is there any more.
fn give_back() {
    let asked = execute!(
        io::stdout(),
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    drop(asked);
    drop(disable_raw_mode());
}

/// The keys, read by a thread of their own: a terminal can only be waited for.
pub(super) struct Keys {
    typed: Receiver<io::Result<Input>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// # Errors
    /// When no thread can be had.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, typed) = channel(KEYS);
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("polypy-keys".to_owned())
            .spawn(move || listen(&sender, &ended))?;
        Ok(Self {
            typed,
            is_over,
            thread: Some(thread),
        })
    }

    /// The next one; `None` once the terminal is gone.
    pub(super) async fn next(&mut self) -> Option<io::Result<Input>> {
        self.typed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // It may wait for room; then it looks whether it is to end within a moment.
        self.typed.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn listen(sender: &Sender<io::Result<Input>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        let event = match poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => read(),
            Err(error) => Err(error),
        };
        let is_last = event.is_err();
        let input = match event {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Ok(Input::Key(key)),
            Ok(Event::Paste(text)) => Ok(Input::Pasted(text)),
            Ok(Event::Resize(columns, lines)) => Ok(Input::Resized(columns, lines)),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        if sender.blocking_send(input).is_err() || is_last {
            return;
        }
    }
}
