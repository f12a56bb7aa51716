//! What many clients say came of what they did, counted.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

/// What came of many attempts, by its name.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> usize {
        self.0.values().sum()
    }

    pub(crate) fn text(&self) -> String {
        let each = self.0.iter().map(|(what, count)| format!("{count} {what}"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Runs so many clients at once, and adds what each of them says.
    pub(crate) async fn of<F>(clients: usize, client: impl Fn(usize) -> F) -> Self
    where
        F: Future<Output = Vec<String>> + Send + 'static,
    {
        let mut running = JoinSet::new();
        for number in 0..clients {
            running.spawn(client(number));
        }
        let mut tally = Self::default();
        while let Some(said) = running.join_next().await {
            match said {
                Ok(said) => said.into_iter().for_each(|what| tally.add(what)),
                Err(_) => tally.add("failed here"),
            }
        }
        tally
    }
}
