//! Judges whether a socket is alive and whether its data still flows. No I/O
//! and no clock of its own: it is told what happened when.
//!
//! Two questions, kept apart. *Alive*: something arrived lately, be it only the
//! answer to a `PING`. *Flowing*: events of subscribed tokens arrived lately,
//! against this connection's own past rate; a `PONG` or a platform-wide
//! announcement is no proof. A silent connection is not condemned but probed:
//! one market is resubscribed, and its snapshot, which even the quietest
//! market has, proves that data flows.
//!
//! Where data used to come often, silence of *everything* is noticed long before
//! the deadline for `PONG`: a `PING` is sent ahead of its time, and if nothing at
//! all follows it the socket is unresponsive. A connection of quiet markets has no past
//! to compare with, so there the plain deadline holds. Time in which this
//! process itself did not run counts for no silence.

use std::time::Duration;

use tokio::time::Instant;

use super::config::ConnectionConfig;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Send a `PING` ahead of its time.
    EarlyPing,
    /// Ask for a snapshot of one market.
    Probe,
    /// Neither `PONG` nor data: give the socket up.
    Dead,
    /// Nothing at all followed an early `PING`: give the socket up.
    Unresponsive,
    /// A probe stayed unanswered: give the socket up.
    Stalled,
}

/// How often data comes, learnt over all lives of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MeanGap {
    mean: Option<Duration>,
}

impl MeanGap {
    fn learn(&mut self, gap: Duration) {
        // An exponential mean over some 16 gaps: a burst does not erase a
        // quiet hour, a changed mood is followed within a minute.
        self.mean = Some(match self.mean {
            None => gap,
            Some(mean) => (mean * 15 + gap) / 16,
        });
    }

    /// Silence of everything that is worth an early `PING`; `None` where the deadline
    /// for `PONG` comes as soon.
    fn idle_threshold(self, config: &ConnectionConfig) -> Option<Duration> {
        let mean = self.mean?;
        let silence = mean
            .saturating_mul(config.silence_factor)
            .max(config.idle_min);
        let judged = silence.saturating_add(config.early_ping_deadline);
        (judged < config.pong_deadline).then_some(silence)
    }

    /// Silence that is worth a probe.
    pub(super) fn probe_threshold(self, config: &ConnectionConfig) -> Duration {
        self.mean.map_or(config.silence_max, |mean| {
            mean.saturating_mul(config.silence_factor)
                .clamp(config.silence_min, config.silence_max)
        })
    }
}

/// The watch over one life of a socket.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// When it was last told the time.
    looked: Instant,
    next_ping: Instant,
    last_frame: Instant,
    /// Last sign that data flows; the opening counts as one.
    last_flow: Instant,
    last_data: Option<Instant>,
    probe: Option<Instant>,
    /// Until when something must follow the last early `PING`.
    early_ping: Option<Instant>,
}

/// A tick this late was ours to send: the machine or the runtime stood still.
const LAPSE: Duration = Duration::from_secs(2);

impl Watchdog {
    pub(super) fn new(now: Instant, config: &ConnectionConfig) -> Self {
        Self {
            looked: now,
            next_ping: now + config.ping_interval,
            last_frame: now,
            last_flow: now,
            last_data: None,
            probe: None,
            early_ping: None,
        }
    }

    /// A tick. After a lapse of our own everything that is measured from the
    /// past moves on by as much: what arrived meanwhile is still to be read.
    pub(super) fn look(&mut self, now: Instant) {
        let lapse = now.saturating_duration_since(self.looked);
        self.looked = now;
        if lapse < LAPSE {
            return;
        }
        self.last_frame = (self.last_frame + lapse).min(now);
        self.last_flow = (self.last_flow + lapse).min(now);
        self.probe = self.probe.map(|deadline| deadline + lapse);
        self.early_ping = self.early_ping.map(|deadline| deadline + lapse);
    }

    /// Any text frame arrived.
    pub(super) fn on_frame(&mut self, now: Instant) {
        self.last_frame = now;
        self.early_ping = None;
    }

    /// Events of subscribed tokens arrived.
    pub(super) fn on_data(&mut self, now: Instant, mean_gap: &mut MeanGap) {
        if let Some(before) = self.last_data.replace(now) {
            mean_gap.learn(now.saturating_duration_since(before));
        }
        self.on_flow(now);
    }

    /// A snapshot frame arrived, be it empty.
    pub(super) fn on_flow(&mut self, now: Instant) {
        self.last_flow = now;
        self.probe = None;
    }

    /// When events of subscribed tokens last arrived in this life.
    pub(super) fn last_data(&self) -> Option<Instant> {
        self.last_data
    }

    /// Whether a `PING` is due; if so the next one is planned.
    pub(super) fn ping_due(&mut self, now: Instant, config: &ConnectionConfig) -> bool {
        let due = now >= self.next_ping;
        if due {
            self.next_ping = now + config.ping_interval;
        }
        due
    }

    /// A `PING` was sent ahead of its time.
    pub(super) fn early_pinged(&mut self, now: Instant, config: &ConnectionConfig) {
        self.early_ping = Some(now + config.early_ping_deadline);
        self.next_ping = now + config.ping_interval;
    }

    /// A probe was sent.
    pub(super) fn probed(&mut self, now: Instant, config: &ConnectionConfig) {
        self.probe = Some(now + config.probe_deadline);
    }

    /// Nothing could be probed: the silence starts over.
    pub(super) fn reset_flow(&mut self, now: Instant) {
        self.on_flow(now);
    }

    /// The judgement as of now.
    pub(super) fn verdict(
        &self,
        now: Instant,
        mean_gap: MeanGap,
        config: &ConnectionConfig,
    ) -> Verdict {
        let since = |then: Instant| now.saturating_duration_since(then);
        if since(self.last_frame) >= config.pong_deadline {
            return Verdict::Dead;
        }
        let is_idle = mean_gap
            .idle_threshold(config)
            .is_some_and(|silence| since(self.last_frame) >= silence);
        match self.early_ping {
            Some(deadline) if now >= deadline => return Verdict::Unresponsive,
            None if is_idle => return Verdict::EarlyPing,
            Some(_) | None => {}
        }
        match self.probe {
            Some(deadline) if now >= deadline => Verdict::Stalled,
            Some(_) => Verdict::Fine,
            None if since(self.last_flow) >= mean_gap.probe_threshold(config) => Verdict::Probe,
            None => Verdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn patience_follows_the_connections_own_past() {
        let config = ConnectionConfig::default();
        for (gap, probe_threshold) in [
            (Duration::from_millis(2), 45),
            (Duration::from_millis(2_250), 45),
            (5 * SECOND, 100),
            (60 * SECOND, 300),
        ] {
            let mut mean_gap = MeanGap::default();
            assert_eq!(mean_gap.probe_threshold(&config), config.silence_max);
            for _ in 0..100 {
                mean_gap.learn(gap);
            }
            let found = mean_gap.probe_threshold(&config).as_secs();
            assert!(found.abs_diff(probe_threshold) <= 1, "{gap:?}: {found}");
        }
    }

    #[test]
    fn pong_keeps_alive_and_proves_nothing_about_data() {
        let config = ConnectionConfig::default();
        let start = Instant::now();
        let (mut watchdog, mut mean_gap) = (Watchdog::new(start, &config), MeanGap::default());
        let mut now = start;
        for _ in 0..200 {
            watchdog.on_frame(now);
            watchdog.on_data(now, &mut mean_gap);
            now += SECOND / 10;
        }
        let mut silent = 0;
        while watchdog.verdict(now, mean_gap, &config) == Verdict::Fine {
            watchdog.on_frame(now);
            now += SECOND;
            silent += 1;
            assert!(silent < 1_000, "never probed");
        }
        assert_eq!(watchdog.verdict(now, mean_gap, &config), Verdict::Probe);
        assert!((44..=46).contains(&silent), "{silent}");
        watchdog.probed(now, &config);
        watchdog.on_frame(now + 14 * SECOND);
        let at = |seconds| watchdog.verdict(now + seconds * SECOND, mean_gap, &config);
        assert_eq!((at(14), at(15)), (Verdict::Fine, Verdict::Stalled));
        watchdog.on_flow(now + 15 * SECOND);
        assert_eq!(
            watchdog.verdict(now + 16 * SECOND, mean_gap, &config),
            Verdict::Fine
        );
    }

    /// A watchdog over a connection with data this far apart, at its last data.
    fn used_to(gap: Duration) -> (Watchdog, MeanGap, Instant) {
        let mut now = Instant::now();
        let mut watchdog = Watchdog::new(now, &ConnectionConfig::default());
        let mut mean_gap = MeanGap::default();
        for _ in 0..100 {
            now += gap;
            watchdog.on_frame(now);
            watchdog.on_data(now, &mut mean_gap);
        }
        watchdog.look(now);
        (watchdog, mean_gap, now)
    }

    #[test]
    fn a_busy_socket_that_goes_silent_is_given_up_early_and_a_quiet_one_at_the_deadline() {
        let config = ConnectionConfig::default();
        for (gap, early_pinged, given_up, verdict) in [
            (SECOND / 100, 5, 15, Verdict::Unresponsive),
            (SECOND / 2, 10, 20, Verdict::Unresponsive),
            (SECOND, 30, 30, Verdict::Dead),
            (20 * SECOND, 30, 30, Verdict::Dead),
        ] {
            let (mut watchdog, mean_gap, start) = used_to(gap);
            let mut found = Vec::new();
            for tick in 0..200 {
                let now = start + tick * (SECOND / 4);
                watchdog.look(now);
                match watchdog.verdict(now, mean_gap, &config) {
                    Verdict::Fine | Verdict::Probe => continue,
                    Verdict::EarlyPing => watchdog.early_pinged(now, &config),
                    verdict => found.push(verdict),
                }
                found.push(Verdict::EarlyPing);
                let at = (now - start).as_secs();
                let due = if found.len() == 1 {
                    early_pinged
                } else {
                    given_up
                };
                assert_eq!(at, due, "{gap:?}: {found:?}");
                if found.contains(&verdict) {
                    break;
                }
            }
            assert!(found.contains(&verdict), "{gap:?}: {found:?}");
        }
    }

    #[test]
    fn an_answer_to_the_early_ping_is_life() {
        let config = ConnectionConfig::default();
        let (mut watchdog, mean_gap, start) = used_to(SECOND / 100);
        let at = |seconds| start + seconds * SECOND;
        assert_eq!(
            watchdog.verdict(at(5), mean_gap, &config),
            Verdict::EarlyPing
        );
        watchdog.early_pinged(at(5), &config);
        assert_eq!(watchdog.verdict(at(14), mean_gap, &config), Verdict::Fine);
        watchdog.on_frame(at(14));
        assert_eq!(watchdog.verdict(at(18), mean_gap, &config), Verdict::Fine);
        assert_eq!(
            watchdog.verdict(at(19), mean_gap, &config),
            Verdict::EarlyPing
        );
    }

    #[test]
    fn a_lapse_of_our_own_is_no_silence_of_the_venue() {
        let config = ConnectionConfig::default();
        let (mut watchdog, mean_gap, start) = used_to(SECOND / 100);
        watchdog.early_pinged(start, &config);
        watchdog.probed(start, &config);
        // The machine stood still; what was sent meanwhile is not read yet.
        let now = start + 60 * SECOND;
        watchdog.look(now);
        assert_eq!(watchdog.verdict(now, mean_gap, &config), Verdict::Fine);
        let later = now + 10 * SECOND;
        assert_eq!(
            watchdog.verdict(later, mean_gap, &config),
            Verdict::Unresponsive
        );
    }

    #[test]
    fn without_any_frame_the_socket_is_dead() {
        let config = ConnectionConfig::default();
        let start = Instant::now();
        let watchdog = Watchdog::new(start, &config);
        let at = |seconds| watchdog.verdict(start + seconds * SECOND, MeanGap::default(), &config);
        assert_eq!((at(29), at(30)), (Verdict::Fine, Verdict::Dead));
    }
}
