//! Processes that the testkit starts: they serve, they crash and come back, and they end with their parent.

use std::time::Duration;

use anyhow::Result;
use sqlx::Connection as _;
use tenantry_testkit::cluster::{Role, SERVICES};
use tenantry_testkit::database::{TestDatabase, private_server};
use tenantry_testkit::fault_proxy::FaultProxy;
use tenantry_testkit::pgbouncer::PgBouncer;
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::wait::until;
use tenantry_testkit::{paths, port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn every_role_of_every_service_connects_and_sees_its_own_schema() -> Result<()> {
    let database = TestDatabase::empty().await?;
    for service in SERVICES {
        for role in [Role::Owner, Role::App, Role::Platform] {
            let mut connection =
                sqlx::PgConnection::connect(database.url(service, role).as_str()).await?;
            let (user, schema): (String, Option<String>) =
                sqlx::query_as("SELECT current_user::text, current_schema()::text")
                    .fetch_one(&mut connection)
                    .await?;
            assert_eq!((user, schema.as_deref()), (role.of(service), Some(service)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_app_role_cannot_make_tables_nor_enter_the_other_service() -> Result<()> {
    let database = TestDatabase::empty().await?;
    let mut app = sqlx::PgConnection::connect(database.url("registry", Role::App).as_str()).await?;
    for forbidden in [
        "CREATE TABLE registry.t (id int)",
        "CREATE TABLE public.t (id int)",
        "CREATE TABLE identity.t ()",
    ] {
        assert!(
            sqlx::query(forbidden).execute(&mut app).await.is_err(),
            "{forbidden}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn migrated_databases_are_copies_and_share_nothing() -> Result<()> {
    let make = || {
        TestDatabase::migrated("notes", async |template: &TestDatabase| {
            let mut owner =
                sqlx::PgConnection::connect(template.url("registry", Role::Owner).as_str()).await?;
            sqlx::query("CREATE TABLE note (id int)")
                .execute(&mut owner)
                .await?;
            Ok(())
        })
    };
    let (one, two) = tokio::try_join!(make(), make())?;
    let mut first = sqlx::PgConnection::connect(one.url("registry", Role::Owner).as_str()).await?;
    sqlx::query("INSERT INTO note VALUES (1)")
        .execute(&mut first)
        .await?;
    let mut second = sqlx::PgConnection::connect(two.url("registry", Role::Owner).as_str()).await?;
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
        .fetch_one(&mut second)
        .await?;
    assert_eq!(notes, 0);
    Ok(())
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_what_was_committed() -> Result<()> {
    let postgres = private_server(Durability::Full).await?;
    let mut connection = postgres.cluster().connect("postgres").await?;
    sqlx::query("CREATE TABLE kept AS SELECT 7 AS n")
        .execute(&mut connection)
        .await?;
    postgres.unit().kill_9().await?;
    assert!(postgres.unit().process().is_none());
    postgres.start().await?;
    let mut connection = postgres.cluster().connect("postgres").await?;
    let n: i32 = sqlx::query_scalar("SELECT n FROM kept")
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(n, 7);
    postgres.unit().stop().await?;
    Ok(())
}

#[tokio::test]
async fn redis_answers_only_with_its_password() -> Result<()> {
    let dir = paths::scratch("redis")?;
    let redis = Redis::prepare(&dir, port::free()?, &dir.join("redis.log"))?;
    redis.unit().start().await?;
    let address = ("127.0.0.1", redis.port());
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\nQUIT\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("-NOAUTH"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn pgbouncer_serves_many_clients_over_one_server_connection() -> Result<()> {
    let database = TestDatabase::empty().await?;
    let pooler = PgBouncer::start(database.cluster(), 1).await?;
    let url = pooler.cluster().url("registry", Role::App, database.name());
    let options: sqlx::postgres::PgConnectOptions = url.as_str().parse()?;
    let options = options.statement_cache_capacity(0);
    let mut one = sqlx::PgConnection::connect_with(&options).await?;
    let mut two = sqlx::PgConnection::connect_with(&options).await?;
    let backend = async |connection: &mut sqlx::PgConnection| -> Result<i32> {
        Ok(sqlx::query_scalar("SELECT pg_backend_pid()")
            .persistent(false)
            .fetch_one(connection)
            .await?)
    };
    assert_eq!(backend(&mut one).await?, backend(&mut two).await?);
    Ok(())
}

#[tokio::test]
async fn children_of_a_killed_process_end_with_it() -> Result<()> {
    // A second copy of this test binary starts a sleeper through the testkit, and is then killed.
    let mut parent = std::process::Command::new(std::env::current_exe()?)
        .args([
            "--ignored",
            "--exact",
            "starts_a_sleeper_and_waits",
            "--nocapture",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let stdout = parent.stdout.take().expect("stdout is piped");
    let line = std::io::BufRead::lines(std::io::BufReader::new(stdout))
        .map_while(std::result::Result::ok)
        .find_map(|line| line.split_once("sleeper ").map(|(_, pid)| pid.to_owned()));
    let pid = line.expect("the pid of the sleeper");
    parent.kill()?;
    parent.wait()?;
    let pid = pid.parse()?;
    until("end of the sleeper", Duration::from_secs(5), async || {
        let alive = port::command_line(pid).contains("sleep");
        Ok((!alive).then_some(()))
    })
    .await
}

#[test]
#[ignore = "helper of children_of_a_killed_process_end_with_it"]
fn starts_a_sleeper_and_waits() {
    use tenantry_testkit::process::{Command, Process};
    let log = paths::scratch("sleeper").expect("a folder").join("log");
    let sleeper =
        Process::spawn("sleeper", &Command::new("/bin/sleep", log).arg("60")).expect("a sleeper");
    println!("\nsleeper {}", sleeper.pid());
    std::thread::sleep(Duration::from_secs(60));
}

/// A server that answers each byte with `reply`.
async fn server(reply: &'static [u8]) -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    #[allow(clippy::disallowed_methods)]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.read_u8().await.is_ok() {
                    if stream.write_all(reply).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn fault_proxy_cuts_a_reply_after_the_bytes_asked_for() -> Result<()> {
    let proxy = FaultProxy::start(server(b"hello").await?).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    let mut reply = [0; 5];
    client.write_all(b"?").await?;
    client.read_exact(&mut reply).await?;
    assert_eq!(&reply, b"hello");
    proxy.cut_next_reply_after(2);
    assert!(proxy.is_armed());
    client.write_all(b"?").await?;
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(rest, b"he");
    assert!(!proxy.is_armed());
    // The next connection is whole again.
    let mut client = TcpStream::connect(proxy.address()).await?;
    client.write_all(b"?").await?;
    client.read_exact(&mut reply).await?;
    Ok(())
}

#[tokio::test]
async fn fault_proxy_cuts_every_connection_and_refuses_new_ones() -> Result<()> {
    let proxy = FaultProxy::start(server(b"!").await?).await?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(proxy.address()).await?;
        client.write_all(b"?").await?;
        client.read_u8().await?;
        clients.push(client);
    }
    proxy.refuse(true);
    proxy.cut_all();
    for client in &mut clients {
        assert!(client.read_u8().await.is_err());
    }
    let mut refused = TcpStream::connect(proxy.address()).await?;
    let _ = refused.write_all(b"?").await;
    assert!(refused.read_u8().await.is_err());
    proxy.refuse(false);
    let mut served = TcpStream::connect(proxy.address()).await?;
    served.write_all(b"?").await?;
    assert_eq!(served.read_u8().await?, b'!');
    Ok(())
}
