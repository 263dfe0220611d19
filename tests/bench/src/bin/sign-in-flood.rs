//! Does a flood of sign-ins slow down the gateway's questions? Latency of identity's Check, warm, with and without a flood of
//! logins at the same replica, with right and wrong passwords, in turn; and while something else, which identity knows nothing
//! of, keeps a core as busy at the same low priority as hashing does: what any work beside it costs on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tenantry_bench::{figures, load, question};
use tenantry_proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::identity::v1::LoginRequest;
use tenantry_proto::identity::v1::auth_service_client::AuthServiceClient;
use tenantry_testkit::fleet::Operator;
use tenantry_testkit::keys::GatewayWord;
use tokio::runtime::{Builder, Runtime};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Measured checks of each half of a round, one each so often: a load that leaves the machine room.
const CHECKS: usize = 2_000;
const EVERY: Duration = Duration::from_millis(2);
const WARM_UP: usize = 200;
const ROUNDS: usize = 3;
/// How late the measuring side's own timer may be.
const SLEEP_ERROR: Duration = Duration::from_millis(2);
/// Logins under way at once, of which all but a few are told to wait; each comes again after up to twice this time, so that
/// they don't come in step, which people far from one another don't either.
const LOGINS: usize = 64;
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// How much those who flood give way on this machine (setpriority(2)): they would be elsewhere, so what they cost themselves
/// is not what is asked here.
const FLOOD_NICE: i32 = 19;

/// What keeps the machine busy otherwise: as low a priority and as much memory as hashing a password has.
const BUSY_NICE: i32 = 10;
const BUSY_BYTES: usize = 19 * 1024 * 1024;

/// A connection to identity as the gateway has one.
type Gateway = InterceptedService<Channel, GatewayWord>;

/// What a flood did.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    right: AtomicU64,
    wrong: AtomicU64,
    refused: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    let address = format!("http://{}", fleet.service("identity", 0).address());
    // Envoy has connections of its own for its questions.
    let word = fleet.keys().gateway_word();
    let questions = Channel::from_shared(address.clone())?.connect().await?;
    let elsewhere = elsewhere()?;
    let connect = Channel::from_shared(address)?;
    let logins = elsewhere
        .spawn(async move { connect.connect().await })
        .await??;
    let logins = InterceptedService::new(logins, word.clone());
    let operator = fleet.operator().clone();
    let token = login(&logins, &operator.email, &operator.password, "192.0.2.1").await?;
    measure(&questions, (&token, &word), WARM_UP).await?;

    let (mut calm, mut busy, mut flooded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut right, mut wrong, mut refused) = (0, 0, 0);
    let mut under_flood = Duration::ZERO;
    for _ in 0..ROUNDS {
        calm.extend(measure(&questions, (&token, &word), CHECKS).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let work = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || keep_busy(&stop)
        });
        busy.extend(measure(&questions, (&token, &word), CHECKS).await?);
        stop.store(true, Ordering::Relaxed);
        ensure!(work.join().is_ok(), "what kept the machine busy failed");
        let flood = Arc::new(Flood::default());
        let running: Vec<_> = (0..LOGINS)
            .map(|n| {
                let flood = Arc::clone(&flood);
                elsewhere.spawn(pour(logins.clone(), flood, operator.clone(), n))
            })
            .collect();
        let began = Instant::now();
        flooded.extend(measure(&questions, (&token, &word), CHECKS).await?);
        under_flood += began.elapsed();
        flood.stop.store(true, Ordering::Relaxed);
        for task in running {
            task.await?;
        }
        right += flood.right.load(Ordering::Relaxed);
        wrong += flood.wrong.load(Ordering::Relaxed);
        refused += flood.refused.load(Ordering::Relaxed);
    }
    let per_second = |count: u64| count as f64 / under_flood.as_secs_f64();
    println!(
        "flood: {LOGINS} logins at once; per second {:.0} signed in, {:.0} with a wrong password, {:.0} told to wait",
        per_second(right),
        per_second(wrong),
        per_second(refused)
    );
    for (name, before) in [("calm", &mut calm), ("busy", &mut busy)] {
        figures::head("Check, warm", name, "flooded");
        for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
            let (before, flooded) = (quantile(before, part), quantile(&mut flooded, part));
            figures::line(name, "ms", before * 1e3, flooded * 1e3);
        }
    }
    elsewhere.shutdown_background();
    fleet.stop().await?;
    Ok(())
}

/// Threads for those who flood, and their connection.
fn elsewhere() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(|| give_way(FLOOD_NICE))
        .enable_all()
        .build()
        .context("threads for the flood")
}

fn give_way(nice: i32) {
    if let Err(error) = setpriority_process(Some(gettid()), nice) {
        eprintln!("a thread that should doesn't give way: {error}");
    }
}

/// Works on much memory until it is stopped.
fn keep_busy(stop: &AtomicBool) {
    give_way(BUSY_NICE);
    let mut memory = vec![0_u64; BUSY_BYTES / size_of::<u64>()];
    let mut last = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        for word in &mut memory {
            last = last.wrapping_mul(6_364_136_223_846_793_005) ^ *word;
            *word = last;
        }
    }
    std::hint::black_box(memory);
}

/// Signs in from ever new places, so that no lock ends the flood: half of the tasks with the right password, half as people
/// that don't exist, which costs as much.
async fn pour(channel: Gateway, flood: Arc<Flood>, operator: Operator, task: usize) {
    let mut n = 0;
    while !flood.stop.load(Ordering::Relaxed) {
        n += 1;
        let ip = format!("2001:db8:{task:x}:{n:x}::1");
        let nobody = format!("{task}-{n}@example.com");
        let (email, password) = if task.is_multiple_of(2) {
            (&operator.email, operator.password.as_str())
        } else {
            (&nobody, "not the password")
        };
        match login(&channel, email, password, &ip).await {
            Ok(_) => {
                flood.right.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) if status.code() == Code::Unauthenticated => {
                flood.wrong.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                flood.refused.fetch_add(1, Ordering::Relaxed);
                let [part] = tenantry_core::random::bytes();
                tokio::time::sleep(ROUND_TRIP * u32::from(part) / 128).await;
            }
        }
    }
}

async fn login(channel: &Gateway, email: &str, password: &str, ip: &str) -> Result<String, Status> {
    let mut request = Request::new(LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    });
    let ip = ip.parse().map_err(|_| Status::internal("no address"))?;
    request
        .metadata_mut()
        .insert("x-envoy-external-address", ip);
    let answer = AuthServiceClient::new(channel.clone())
        .login(request)
        .await?;
    Ok(answer.into_inner().access_token)
}

/// Asks what Envoy asks, one question each so often; the time that each answer took, in seconds, from when it was due: a
/// question that waits for the one before counts its wait.
async fn measure(
    channel: &Channel,
    (token, word): (&str, &GatewayWord),
    checks: usize,
) -> Result<Vec<f64>> {
    let mut client = AuthorizationClient::new(channel.clone());
    let began = Instant::now();
    let mut times = Vec::with_capacity(checks);
    for n in 0..checks {
        let due = began + EVERY * u32::try_from(n)?;
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now().min(due + SLEEP_ERROR);
        let answer = client
            .check(question::about(token, word))
            .await?
            .into_inner();
        ensure!(
            matches!(answer.http_response, Some(HttpResponse::OkResponse(_))),
            "refused: {answer:?}"
        );
        times.push(sent.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn quantile(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * part) as usize]
}
