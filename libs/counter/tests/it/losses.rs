//! Losses: whatever Redis forgets, nothing is admitted for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tenantry_counter::{Closed, Counters, Granted, How, Spent};
use tenantry_testkit::fault_proxy::FaultProxy;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::wait::until;
use tenantry_testkit::{paths, port};

use crate::support::{Access, Open, WITHIN, World, admitted};

/// Spends once Redis answers again.
async fn spend(counters: &Access, open: &Open) -> Spent {
    until("answer of Redis", WITHIN, async || {
        Ok(counters.0.spend(How::Fast, &[open.spend(1)]).await.ok())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_redis_that_was_emptied_admits_nothing() {
    let world = World::start().await;
    let open = world.granted(10).await;
    ask(&world.redis, &["FLUSHALL"]).await;
    assert_eq!(world.spend(How::Fast, &open, 1).await, Spent::Lost(0));
    assert_eq!(world.grant(&open, 20).await, Granted::Lost);
    assert_eq!(world.close(&open).await, Closed::Lost);
    // The functions went too: they are loaded again.
    ask(&world.redis, &["FUNCTION", "FLUSH"]).await;
    let next = world.opened(open.key.clone(), open.window).await;
    world.grant(&next, 1).await;
    assert!(admitted(&world.spend(How::Fast, &next, 1).await));
    assert_eq!(world.spend(How::Fast, &open, 1).await, Spent::Lost(0));
}

#[tokio::test]
async fn a_redis_that_restarts_admits_nothing_of_before_even_with_all_its_data() {
    let world = World::start().await;
    let open = world.granted(10).await;
    world.redis.unit().restart().await.unwrap();
    assert_eq!(spend(&world, &open).await, Spent::Lost(0));
    assert_eq!(world.grant(&open, 20).await, Granted::Lost);
    let next = world.opened(open.key.clone(), open.window).await;
    world.grant(&next, 1).await;
    assert!(admitted(&world.spend(How::Fast, &next, 1).await));
    assert!(!admitted(&world.spend(How::Fast, &next, 1).await));
}

#[tokio::test]
async fn a_redis_that_loads_its_file_anew_admits_nothing_of_before() {
    let world = World::start().await;
    let open = world.granted(10).await;
    ask(&world.redis, &["DEBUG", "LOADAOF"]).await;
    assert_eq!(spend(&world, &open).await, Spent::Lost(0));
}

#[tokio::test]
async fn a_redis_that_starts_from_an_old_file_admits_nothing_of_it() {
    let world = World::start().await;
    let open = world.granted(10).await;
    let dir = paths::scratch("old").unwrap();
    world.redis.unit().stop().await.unwrap();
    copy(world.redis.dir(), &dir);
    world.redis.unit().start().await.unwrap();
    let next = world.opened(open.key.clone(), open.window).await;
    world.grant(&next, 10).await;
    assert!(admitted(&world.spend(How::Fast, &next, 10).await));
    world.redis.unit().kill_9().await.unwrap();
    copy(&dir, world.redis.dir());
    world.redis.unit().start().await.unwrap();
    for old in [&open, &next] {
        assert!(!admitted(&spend(&world, old).await));
    }
}

/// Copies a folder's content over another's.
fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// The same Redis, behind a proxy.
fn through(proxy: &FaultProxy, redis: &Redis) -> Access {
    let direct = format!(":{}", redis.port());
    let url = redis
        .url()
        .replace(&direct, &format!(":{}", proxy.address().port()));
    Access(Counters::alone(&url, WITHIN).unwrap())
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_is_not_sent_again() {
    let world = World::start().await;
    let open = world.granted(10).await;
    let proxy = FaultProxy::start(port::local(world.redis.port()))
        .await
        .unwrap();
    let far = through(&proxy, &world.redis);
    assert!(admitted(&far.spend(How::Fast, &open, 1).await));
    proxy.cut_next_reply_after(0);
    let lost = far.0.spend(How::Fast, &[open.spend(1)]).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(world.counter(&open).await.unwrap().fast, 2);
    assert!(admitted(&spend(&far, &open).await));
    assert_eq!(world.counter(&open).await.unwrap().fast, 3);
}

#[tokio::test]
async fn whoever_is_at_a_redis_that_became_a_replica_finds_the_one_that_took_over() {
    let world = World::start().await;
    let dir = paths::scratch("next").unwrap();
    let log = dir.join("redis.log");
    let next = Redis::prepare_replica(&dir.join("data"), port::free().unwrap(), &log, &world.redis);
    let next = next.unwrap();
    next.unit().start().await.unwrap();
    let proxy = FaultProxy::start(port::local(world.redis.port()))
        .await
        .unwrap();
    let far = through(&proxy, &world.redis);
    let open = world.granted(10).await;
    assert!(admitted(&far.spend(How::Fast, &open, 1).await));
    ask(&next, &["REPLICAOF", "NO", "ONE"]).await;
    ask(
        &world.redis,
        &["REPLICAOF", "127.0.0.1", &next.port().to_string()],
    )
    .await;
    proxy.retarget(port::local(next.port()));
    assert_eq!(spend(&far, &open).await, Spent::Lost(0));
    let opened = far.opened(open.key.clone(), open.window).await;
    far.grant(&opened, 1).await;
    assert!(admitted(&far.spend(How::Fast, &opened, 1).await));
}

#[tokio::test]
async fn a_replica_that_takes_over_is_another_incarnation_and_so_is_who_comes_back_as_its_replica()
{
    let world = World::start().await;
    let dir = paths::scratch("replica").unwrap();
    let port = port::free().unwrap();
    let replica = Redis::prepare_replica(
        &dir.join("redis"),
        port,
        &dir.join("redis.log"),
        &world.redis,
    )
    .unwrap();
    replica.unit().start().await.unwrap();
    let followers = Access(Counters::alone(&replica.url(), WITHIN).unwrap());
    let open = world.granted(10).await;
    until("counter at the replica", WITHIN, async || {
        let there = ask(&replica, &["HGET", open.key.as_str(), "g"]).await;
        Ok((there == "10").then_some(()))
    })
    .await
    .unwrap();

    // Whoever asks it before it takes over changes nothing about it.
    let looked = followers.counter(&open).await;
    assert_eq!(looked, None, "it is no counter of its own");
    ask(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    // It is behind by what was spent last.
    assert!(admitted(&world.spend(How::Fast, &open, 10).await));
    assert_eq!(spend(&followers, &open).await, Spent::Lost(0));

    // The first one follows now, takes all from it without ending, and takes over once more: it knows less than it told.
    for _ in 0..2 {
        ask(&world.redis, &["REPLICAOF", "127.0.0.1", &port.to_string()]).await;
        until("first as a replica", WITHIN, async || {
            let info = ask(&world.redis, &["INFO", "replication"]).await;
            Ok(info.contains("master_link_status:up").then_some(()))
        })
        .await
        .unwrap();
        assert_eq!(world.counter(&open).await, None);
        ask(&world.redis, &["REPLICAOF", "NO", "ONE"]).await;
        assert_eq!(spend(&world, &open).await, Spent::Lost(0));
        // Something of its own, so that it can't go on where they parted.
        ask(&world.redis, &["SET", "own", "1"]).await;
    }
}

pub(crate) async fn ask(redis: &Redis, words: &[&str]) -> String {
    let mut connection = redis.connect().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer: redis::Value = command.query_async(&mut connection).await.unwrap();
    redis::from_redis_value(answer).unwrap_or_default()
}
