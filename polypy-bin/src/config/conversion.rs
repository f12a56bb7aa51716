//! The parts' own settings, made from the configuration.
//!
//! What has no key keeps the part's own default. A test holds the defaults of
//! keys and parts together, so that a number has one meaning.

use std::num::NonZeroUsize;

#[cfg(feature = "api")]
use polypy_api::StreamConfig;
#[cfg(feature = "archive")]
use polypy_archive::{FlightConfig, RecorderConfig, Retention, WriterConfig};
use polypy_core::ConditionId;
use polypy_core::catalogue::{
    Glob, Kinds, Label, MarketFilter, Names, Phrase, SeatRule, Selection, ShardOf,
};
use polypy_http::HttpConfig;
use polypy_net::audit::AuditConfig;
use polypy_net::connection::ConnectionConfig;
use polypy_net::gamma::GammaConfig;
use polypy_net::lifecycle::LifecycleConfig;
use polypy_net::pool::PoolConfig;
use polypy_net::recycler::RecyclerConfig;
use polypy_net::rest::RestConfig;
use polypy_net::resync::ResyncConfig;
#[cfg(feature = "sim")]
use polypy_sim::SimConfig;
use polypy_workers::{HashChecking, IntegrityConfig, WorkersConfig};

#[cfg(feature = "archive")]
use super::RecordSection;
#[cfg(feature = "sim")]
use super::SimSection;
#[cfg(feature = "api")]
use super::StreamSection;
use super::{
    AuditSection, Config, HttpSection, IntegritySection, List, MetricsSection, Name, PoolSection,
    RecyclerSection, VenueSection, WorkersSection,
};

/// What the folder of the flight recorder's files is called where none is named.
pub(super) const INCIDENTS: &str = "incidents";

/// Settings of the HTTP server.
pub(crate) fn http(section: &HttpSection, metrics: &MetricsSection) -> HttpConfig {
    HttpConfig {
        tcp: section.tcp,
        host: section.host,
        port: section.port,
        max_connections: section.max_connections,
        max_connections_per_peer: section.max_connections_per_peer,
        max_streams: section.max_streams,
        reserved_connections: section.reserved_connections,
        allowed_hosts: section.allowed_hosts.0.clone(),
        cors_origins: section.cors_origins.0.clone(),
        header_read_timeout: section.header_read_timeout,
        idle_timeout: section.idle_timeout,
        write_timeout: section.write_timeout,
        min_send_rate: section.min_send_rate.0,
        answer_memory: section.answer_memory.0,
        send_buffer: section.send_buffer.0,
        answer_timeout: section.answer_timeout,
        drain_deadline: section.drain_deadline,
        max_header_bytes: section.max_header_bytes.0,
        metric_details: metrics.per_connection,
    }
}

/// Settings of the clients of Gamma and the CLOB.
pub(crate) fn rest(section: &VenueSection) -> RestConfig {
    RestConfig {
        deadline: section.request_deadline,
        ..RestConfig::default()
    }
}

/// Which markets are followed.
pub(crate) fn selection(config: &Config) -> Selection {
    let section = &config.markets;
    let kinds = |tags: &List<Label>,
                 categories: &List<Label>,
                 events: &List<Glob>,
                 slugs: &List<Glob>,
                 text: &List<Phrase>,
                 ids: &List<ConditionId>| Kinds {
        tags: tags.0.clone(),
        categories: categories.0.clone(),
        events: events.0.clone(),
        slugs: slugs.0.clone(),
        text: text.0.clone(),
        ids: ids.0.iter().cloned().collect(),
    };
    let also = section.also.0.iter();
    Selection {
        filter: MarketFilter {
            include: kinds(
                &section.tags,
                &section.categories,
                &section.events,
                &section.slugs,
                &section.text,
                &section.ids,
            ),
            exclude: kinds(
                &section.exclude_tags,
                &section.exclude_categories,
                &section.exclude_events,
                &section.exclude_slugs,
                &section.exclude_text,
                &section.exclude_ids,
            ),
            min_volume: section.min_volume,
            min_volume_day: section.min_volume_day,
            min_liquidity: section.min_liquidity,
            ends_after: section.ends_after,
            ends_before: section.ends_before,
            neg_risk: section.neg_risk,
        },
        also: Names {
            ids: also
                .clone()
                .filter_map(|name| match name {
                    Name::Id(id) => Some(id.clone()),
                    Name::Slug(_) => None,
                })
                .collect(),
            slugs: also
                .filter_map(|name| match name {
                    Name::Slug(slug) => Some(slug.clone()),
                    Name::Id(_) => None,
                })
                .collect(),
        },
        seats: NonZeroUsize::new(section.max_markets).map(|most| SeatRule {
            most,
            order: section.order,
        }),
        shard: section.shard,
        ..Selection::default()
    }
}

/// How Gamma is asked for its list. Its limit is by address, and those who divide the
/// venue between them have one in the worst case: each waits so many times as long.
pub(crate) fn gamma(config: &Config) -> GammaConfig {
    let defaults = GammaConfig::default();
    let parts = config.markets.shard.map_or(1, ShardOf::parts);
    GammaConfig {
        page_interval: defaults.page_interval * u32::from(parts),
        ..defaults
    }
}

/// Settings of discovery.
pub(crate) fn lifecycle(config: &Config) -> LifecycleConfig {
    let section = &config.lifecycle;
    LifecycleConfig {
        discovery_interval: section.discovery_interval,
        selection: selection(config),
        forget_after: section.forget_after,
        ..LifecycleConfig::default()
    }
}

/// Settings of the pool.
pub(crate) fn pool(section: &PoolSection, recycler: &RecyclerSection) -> PoolConfig {
    let defaults = PoolConfig::default();
    PoolConfig {
        target: section.target,
        cap: section.cap,
        merge_after: section.merge_after,
        unsubscribe_expired: section.unsubscribe_settled,
        replace_deadline: recycler.deadline,
        replicas: NonZeroUsize::new(section.replicas).unwrap_or(defaults.replicas),
        ..defaults
    }
}

/// Settings of each connection.
pub(crate) fn connection(section: &PoolSection) -> ConnectionConfig {
    ConnectionConfig {
        chunk: section.chunk,
        pace: section.pace,
        handshake_deadline: section.handshake_deadline,
        ping_interval: section.ping_interval,
        pong_deadline: section.pong_deadline,
        silence_min: section.silence_min,
        silence_max: section.silence_max,
        probe_deadline: section.probe_deadline,
        backoff: section.backoff,
        backoff_cap: section.backoff_cap,
        stable_after: section.stable_after,
        first_book_deadline: section.first_book_deadline,
        max_message_bytes: section.max_message.0,
        ..ConnectionConfig::default()
    }
}

/// Settings of the queue of wishes for fresh books.
pub(crate) fn resync(section: &PoolSection) -> ResyncConfig {
    ResyncConfig {
        per_second: section.resyncs_per_second,
        ..ResyncConfig::default()
    }
}

/// Settings of the worker threads on a machine of `cores`.
pub(crate) fn workers(
    section: &WorkersSection,
    checks: &IntegritySection,
    cores: NonZeroUsize,
) -> WorkersConfig {
    let defaults = WorkersConfig::default();
    WorkersConfig {
        count: section.count.resolve(cores),
        queue_events: NonZeroUsize::new(section.queue_events).unwrap_or(defaults.queue_events),
        direct_events: section.direct_events,
        trades_kept: section.trades_kept,
        integrity: integrity(checks),
        ..defaults
    }
}

/// Settings of the checks.
fn integrity(section: &IntegritySection) -> IntegrityConfig {
    IntegrityConfig {
        hash: if section.hash_check {
            HashChecking::All
        } else {
            HashChecking::Off
        },
        hash_cpu_percent: section.hash_cpu_percent,
        hash_failures: section.hash_failures,
        searches_per_second: section.hash_searches_per_second,
        doubt_patience: section.doubt_patience,
        audit_patience: section.audit_patience,
        crossed_patience: section.crossed_patience,
    }
}

/// Bytes of its own that a stream's client may have, beside what it shares with others.
pub(crate) fn own_buffer() -> usize {
    #[cfg(feature = "api")]
    return StreamConfig::default().own_buffer;
    #[cfg(not(feature = "api"))]
    0
}

/// Settings of the streams.
#[cfg(feature = "api")]
pub(crate) fn stream(section: &StreamSection, http: &HttpSection) -> StreamConfig {
    StreamConfig {
        max_clients: http.max_streams + StreamConfig::LIBRARY_CLIENTS,
        buffer: section.buffer.0,
        ring: section.ring.0,
        ring_age: section.ring_age,
        heartbeat: section.heartbeat,
        ..StreamConfig::default()
    }
}

/// Settings of the recycler.
pub(crate) fn recycler(section: &RecyclerSection) -> RecyclerConfig {
    RecyclerConfig {
        check_interval: section.check_interval,
        pollution: section.pollution,
        age: section.age,
        unhealthy_for: section.unhealthy_for,
        concurrency: section.concurrency,
        ..RecyclerConfig::default()
    }
}

/// Settings of the audit.
pub(crate) fn audit(section: &AuditSection) -> AuditConfig {
    AuditConfig {
        period: section.period,
        chunk: section.chunk,
        ..AuditConfig::default()
    }
}

/// Settings of the recorder; `None` if nothing is to be recorded.
#[cfg(feature = "archive")]
pub(crate) fn recorder(section: &RecordSection) -> Option<RecorderConfig> {
    let folder = section.dir.as_deref()?;
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let keep_bytes = bytes(section.keep_bytes.0);
    Some(RecorderConfig {
        queue: section.queue.0,
        writer: WriterConfig {
            rotate_size: bytes(section.rotate_size.0),
            rotate_after: section.rotate_after,
            chunk: section.chunk.0,
            chunk_after: section.chunk_after,
            zstd_level: i32::try_from(section.zstd_level).unwrap_or(1),
            sync: section.sync,
            retention: Retention {
                keep_for: Some(section.keep_for).filter(|keep| !keep.is_zero()),
                keep_bytes: Some(keep_bytes).filter(|keep| *keep > 0),
            },
            disk_reserve: bytes(section.disk_reserve.0),
        },
        ..RecorderConfig::new(folder)
    })
}

/// Settings of the flight recorder; `None` if it is off. A program that names no folder /// anything gets no files either.
#[cfg(feature = "archive")]
pub(crate) fn flight_recorder(config: &Config) -> Option<FlightConfig> {
    let section = &config.flight_recorder;
    let beside = config.record.dir.as_ref().map(|dir| dir.join(INCIDENTS));
    let folder = section.dir.clone().or(beside)?;
    (section.memory.0 > 0).then(|| FlightConfig {
        memory: section.memory.0,
        most_an_hour: section.per_hour,
        most_kept: section.keep,
        ..FlightConfig::new(&folder)
    })
}

/// Bytes that the flight recorder may come to hold.
pub(crate) fn flight_memory(config: &Config) -> usize {
    #[cfg(feature = "archive")]
    return flight_recorder(config).map_or(0, |flight| flight.most_memory());
    #[cfg(not(feature = "archive"))]
    {
        let _nothing_is_kept = config;
        0
    }
}

/// Settings of the embedded exchange.
#[cfg(feature = "sim")]
pub fn exchange(section: &SimSection) -> SimConfig {
    SimConfig {
        listen: section.listen,
        seed: section.seed,
        markets: section.markets,
        events_per_second: section.rate,
        new_markets_per_minute: section.new_markets_per_minute,
        resolve_per_minute: section.resolve_per_minute,
        playback: section.playback.clone(),
        playback_speed: section.playback_speed,
        script: section.script.clone(),
        ..SimConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::thread::available_parallelism;

    use super::*;
    use crate::config::{KEYS, Key};

    fn same(made: &impl Debug, default: &impl Debug) {
        assert_eq!(format!("{made:#?}"), format!("{default:#?}"));
    }

    #[test]
    fn the_defaults_of_keys_are_those_of_the_parts() {
        let config = Config::default();
        let cores = available_parallelism().unwrap();
        same(&http(&config.http, &config.metrics), &HttpConfig::default());
        same(&rest(&config.venue), &RestConfig::default());
        same(
            &stream(&config.stream, &config.http),
            &StreamConfig::default(),
        );
        same(&gamma(&config), &GammaConfig::default());
        same(&lifecycle(&config), &LifecycleConfig::default());
        same(
            &pool(&config.pool, &config.recycler),
            &PoolConfig::default(),
        );
        same(&connection(&config.pool), &ConnectionConfig::default());
        same(&resync(&config.pool), &ResyncConfig::default());
        same(
            &workers(&config.workers, &config.integrity, cores),
            &WorkersConfig::default(),
        );
        same(&recycler(&config.recycler), &RecyclerConfig::default());
        same(&audit(&config.audit), &AuditConfig::default());
        assert_eq!(recorder(&config.record), None);
        let record = RecordSection {
            dir: Some("a".into()),
            ..RecordSection::default()
        };
        let folder = std::path::Path::new("a");
        same(&recorder(&record).unwrap(), &RecorderConfig::new(folder));
        assert_eq!(flight_recorder(&config), None, "there is no folder");
        let mut config = config;
        config.record = record;
        let beside = FlightConfig::new(&folder.join("incidents"));
        same(&flight_recorder(&config).unwrap(), &beside);
        config.flight_recorder.dir = Some("b".into());
        let named = FlightConfig::new(std::path::Path::new("b"));
        same(&flight_recorder(&config).unwrap(), &named);
        config.flight_recorder.memory.0 = 0;
        assert_eq!(flight_recorder(&config), None, "it is off");
        same(&exchange(&config.sim), &SimConfig::default());
    }

    /// Four processes ask no more often than one does.
    #[test]
    fn those_who_divide_the_venue_divide_the_rate_at_which_it_may_be_listed() {
        let mut config = Config::default();
        let whole = gamma(&config).page_interval;
        config.markets.shard = "1/4".parse().ok();
        assert_eq!(gamma(&config).page_interval, whole * 4);
    }

    #[test]
    fn every_key_of_markets_reaches_the_selection() {
        let values = |key: &Key| match key.shape {
            "words" => "crypto",
            "slugs" => "btc-*",
            "phrases" => "fed rate",
            "ids" => "0x1",
            "names" => "0x1, a-slug",
            "dollars" | "number" => "7",
            "date|duration" => "7d",
            "any|true|false" => "true",
            "i/n" => "1/2",
            "order" => "end",
            shape => panic!("no value for {shape}"),
        };
        let mut seen = vec![lifecycle(&Config::default()).selection];
        // Where the overlay is kept says nothing of which markets are followed.
        let is_asked = |key: &&Key| key.section == "markets" && key.field != "overlay_file";
        for key in KEYS.iter().filter(is_asked) {
            let mut config = Config::default();
            // Without a bound an order says nothing.
            if key.field == "order" {
                config.markets.max_markets = 7;
            }
            assert_eq!(key.set(&mut config, values(key)), Ok(()));
            let selection = lifecycle(&config).selection;
            assert!(!seen.contains(&selection), "{} is lost", key.name);
            seen.push(selection);
        }
    }
}
