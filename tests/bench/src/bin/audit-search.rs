//! Does a search cost more in ten million events than in a hundred thousand? Latency of audit's lists over both, in the same run,
//! of one tenant's log (an eighth of the events) and of all logs, by filters of every kind. Where the same question would find more
//! in the larger one, that one is asked a narrower question, which finds as much: how many each found is told.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use prost_types::Timestamp;
use tenantry_bench::{audit_log, figures, load};
use tenantry_core::clock;
use tenantry_proto::audit::v1::audit_event_service_client::AuditEventServiceClient;
use tenantry_proto::audit::v1::{ListEventsRequest, SearchEventsRequest};
use tenantry_rpc::assertion::HEADER;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::keys::GatewayWord;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

const SMALL: i64 = 100_000;
const LARGE: i64 = 10_000_000;
/// Rounds, and requests of each kind in one. What is told is the median of the rounds, because other work on the machine comes
/// and goes.
const ROUNDS: usize = 5;
const MEASURED: usize = 100;
const WARM_UP: usize = 20;
/// How far back events go, in seconds.
const LIFE: i64 = 330 * 86_400;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// What is asked for, whether of one log or of all.
#[derive(Clone, Debug, Default)]
struct Ask {
    request: ListEventsRequest,
    /// How many events are to be found, where that is known.
    expected: Option<usize>,
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.cast_unsigned()).cast_signed()
    }

    fn time(&mut self, length: i64) -> (Option<Timestamp>, Option<Timestamp>) {
        let start = clock::now().as_second() - LIFE + self.below(LIFE - length);
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        (at(start), at(start + length))
    }
}

/// How many times more events than in the smaller log there are: a question that is so much narrower finds as many.
const fn narrower(events: i64) -> i64 {
    events / SMALL
}

/// The place of something so many times rarer, among what is drawn by Zipf's rule.
const fn rarer(place: i64, times: i64) -> i64 {
    (place + 1) * times - 1
}

/// Kinds of questions: how each is asked of a log of so many events.
type Kind = (&'static str, fn(&mut Dice, i64) -> Ask);

const KINDS: &[Kind] = &[
    ("the newest page", |_, _| Ask {
        expected: Some(50),
        ..Ask::default()
    }),
    ("an id that one event has", |dice, events| {
        // Events of the large tenant, which both kinds of lists find.
        let id = (dice.below(events / 8) + 1) * 8;
        asked(Some(1), |request| {
            request.request_id = format!("request-{id}")
        })
    }),
    ("an id that none has", |dice, _| {
        let id = dice.below(1 << 40);
        asked(Some(0), |request| {
            request.request_id = format!("nothing-{id}")
        })
    }),
    ("what one in four has", |_, _| {
        asked(Some(50), |request| request.event_type = "tenant".to_owned())
    }),
    ("a rare word", |dice, events| {
        let n = rarer(100 + dice.below(99), narrower(events));
        asked(None, |request| request.q = format!("word{n}"))
    }),
    ("two words, each common", |dice, events| {
        let each = narrower(events).isqrt();
        let (one, other) = (2 + dice.below(4), 6 + dice.below(40));
        let (one, other) = (rarer(one, each), rarer(other, each));
        asked(None, |request| request.q = format!("word{one} word{other}"))
    }),
    ("five facts, each common, rare together", |dice, events| {
        let each = narrower(events).isqrt();
        let (actor, word) = (2 + dice.below(5), 1 + dice.below(3));
        let (actor, word) = (rarer(actor, each), rarer(word, each));
        asked(None, |request| {
            request.actor = format!("user{actor}@example.com");
            request.event_type = "member".to_owned();
            request.outcome = "denied".to_owned();
            request.q = format!("linux word{word}");
        })
    }),
    ("an hour", |dice, events| {
        let (start, end) = dice.time(HOUR * (LARGE / events));
        asked(None, |request| {
            (request.start_time, request.end_time) = (start, end)
        })
    }),
    ("a rare actor within a day", |dice, events| {
        let actor = 500 + dice.below(1_500);
        let (start, end) = dice.time(DAY * (LARGE / events));
        asked(None, |request| {
            request.actor = format!("user{actor}@example.com");
            (request.start_time, request.end_time) = (start, end);
        })
    }),
    ("a common action within a month", |dice, _| {
        let (start, end) = dice.time(30 * DAY);
        asked(Some(50), |request| {
            request.event_type = "member.updated".to_owned();
            (request.start_time, request.end_time) = (start, end);
        })
    }),
];

fn asked(expected: Option<usize>, fill: impl FnOnce(&mut ListEventsRequest)) -> Ask {
    let mut request = ListEventsRequest::default();
    fill(&mut request);
    Ask { request, expected }
}

/// Whose events.
#[derive(Clone, Copy, Debug)]
enum Of {
    OneLog,
    All,
}

struct Side {
    fleet: Fleet,
    client: AuditEventServiceClient<InterceptedService<Channel, GatewayWord>>,
    events: i64,
    member: MetadataValue<Ascii>,
    operator: MetadataValue<Ascii>,
}

impl Side {
    async fn start(events: i64) -> Result<Self> {
        let fleet = load::fleet().await?;
        audit_log::fill(&fleet, events).await?;
        let address = fleet.service("audit", 0).address();
        Ok(Self {
            client: AuditEventServiceClient::with_interceptor(
                Endpoint::new(format!("http://{address}"))?
                    .connect()
                    .await?,
                fleet.keys().gateway_word(),
            ),
            member: audit_log::assertion(&fleet, Some(audit_log::large_tenant()))?,
            operator: audit_log::assertion(&fleet, None)?,
            events,
            fleet,
        })
    }

    /// The time that one answer takes, and how many events it has.
    async fn time(&self, of: Of, ask: &Ask) -> Result<(Duration, usize)> {
        let mut client = self.client.clone();
        let began = Instant::now();
        let events = match of {
            Of::OneLog => {
                let mut request = Request::new(ask.request.clone());
                request.metadata_mut().insert(HEADER, self.member.clone());
                client.list_events(request).await?.into_inner().events
            }
            Of::All => {
                let mut request = Request::new(of_all(&ask.request));
                request.metadata_mut().insert(HEADER, self.operator.clone());
                client.search_events(request).await?.into_inner().events
            }
        };
        let took = began.elapsed();
        ensure!(
            ask.expected.is_none_or(|expected| events.len() == expected),
            "{of:?} {:?} finds {}",
            ask.request,
            events.len()
        );
        Ok((took, events.len()))
    }
}

fn of_all(request: &ListEventsRequest) -> SearchEventsRequest {
    let request = request.clone();
    SearchEventsRequest {
        actor: request.actor,
        event_type: request.event_type,
        outcome: request.outcome,
        request_id: request.request_id,
        q: request.q,
        start_time: request.start_time,
        end_time: request.end_time,
        ..Default::default()
    }
}

/// What one side took in one round, or more.
#[derive(Clone, Debug, Default)]
struct Took {
    /// Of each request.
    times: Vec<Duration>,
    /// Events of all answers.
    found: usize,
}

impl Took {
    fn at(&self, percent: usize) -> f64 {
        figures::at(&self.times, percent)
    }
}

/// What both sides took in one round, its times in order, one request after the other, in turn: what disturbs the machine disturbs both.
async fn round(
    sides: [&Side; 2],
    of: Of,
    ask: Kind,
    seed: usize,
    requests: usize,
) -> Result<[Took; 2]> {
    let mut took = [Took::default(), Took::default()];
    let mut dice = Dice(seed as u64);
    for n in 0..requests {
        for which in [n % 2, 1 - n % 2] {
            let ask = ask.1(&mut dice, sides[which].events);
            let (time, found) = sides[which].time(of, &ask).await?;
            took[which].times.push(time);
            took[which].found += found;
        }
    }
    for side in &mut took {
        side.times.sort_unstable();
    }
    Ok(took)
}

/// Rounds of both sides.
type Rounds = Vec<[Took; 2]>;

/// The median over the rounds of what a part of one side's answers took.
fn median(rounds: &Rounds, side: usize, percent: usize) -> f64 {
    let mut all: Vec<_> = rounds.iter().map(|round| round[side].at(percent)).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// How many events an answer of one side had.
fn mean_found(rounds: &Rounds, side: usize) -> f64 {
    let answers: usize = rounds.iter().map(|round| round[side].times.len()).sum();
    let events: usize = rounds.iter().map(|round| round[side].found).sum();
    events as f64 / answers as f64
}

fn tell(name: &str, rounds: &Rounds) {
    let [a, b] = [50, 99].map(|percent| [0, 1].map(|side| median(rounds, side, percent)));
    println!(
        "{name:40} {:5.1} {:5.1} {:7.2}ms {:7.2}ms {:6.2} {:7.2}ms {:7.2}ms {:6.2}",
        mean_found(rounds, 0),
        mean_found(rounds, 1),
        a[0],
        a[1],
        a[1] / a[0],
        b[0],
        b[1],
        b[1] / b[0]
    );
}

#[tokio::main]
async fn main() -> Result<()> {
    let small = Side::start(SMALL).await?;
    let large = Side::start(LARGE).await?;
    let sides = [&small, &large];
    let mut all = vec![[Took::default(), Took::default()]; ROUNDS];
    for (of, name) in [(Of::OneLog, "one log"), (Of::All, "all logs")] {
        println!(
            "\n{:40} {:>11} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6}",
            format!("{name}, warm"),
            "found each",
            "p50 100k",
            "p50 10M",
            "ratio",
            "p99 100k",
            "p99 10M",
            "ratio"
        );
        for kind in KINDS {
            round(sides, of, *kind, ROUNDS, WARM_UP).await?;
            let mut rounds = Rounds::new();
            for (seed, all) in all.iter_mut().enumerate() {
                let took = round(sides, of, *kind, seed, MEASURED).await?;
                for (all, took) in all.iter_mut().zip(&took) {
                    all.times.extend(&took.times);
                    all.found += took.found;
                }
                rounds.push(took);
            }
            tell(kind.0, &rounds);
        }
    }
    for side in all.iter_mut().flatten() {
        side.times.sort_unstable();
    }
    println!();
    tell("all of them", &all);
    small.fleet.stop().await?;
    large.fleet.stop().await
}
