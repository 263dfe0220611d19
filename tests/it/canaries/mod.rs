//! Canaries in every field of every request and in headers: what the contracts mark as secret, and what outsiders say of
//! themselves in headers, never shows again anywhere, however it is written; all else never in logs, traces and metrics. And
//! no address but the one that the gateway saw.

mod haystack;
mod needles;
mod plant;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tenantry_proto::methods::{self, Method};
use tenantry_testkit::fleet::FleetConfig;

use self::haystack::{Haystack, logs, mailed, metrics, tables};
use self::needles::{Marks, Needles};
use self::plant::{Place, places, secrets};
use crate::audit_walk::{Caller, Scene, cases};
use crate::support::dynamic::{descriptor, gateway_methods, native, rest};
use crate::support::world::PASSWORD;
use crate::support::{OwnFleet, dns, traces, unique};

/// Methods that are tried at once.
const AT_ONCE: usize = 2;
/// How addresses begin that nobody has (RFC 5737): all that is forged, and nothing else, begins so.
const FORGED: &str = "198.51.100.1";

/// Methods whose every text has to be a secret, an id or an address that is known, so that each canary is refused. Of every other one
/// that changes something, a request with a canary has to succeed.
const TAKE_NONE: &[&str] = &[
    "/tenantry.identity.v1.AuthService/Logout",
    "/tenantry.identity.v1.AuthService/Refresh",
    "/tenantry.identity.v1.ExternalSignInService/FinishExternalSignIn",
    "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn",
    "/tenantry.identity.v1.OperatorService/Bootstrap",
];

/// What every request of the test brings that outsiders have no say in.
struct Headers(Vec<(&'static str, String)>);

impl Headers {
    fn new(marks: &Marks) -> Self {
        let mark = || marks.secret();
        let trace = &format!("{}{:032x}", marks.of_secrets().trim_start_matches("cs"), 1)[..32];
        Self(vec![
            ("cookie", format!("session={}", mark())),
            ("x-forwarded-for", format!("{FORGED}1, {}", mark())),
            ("x-forwarded-host", mark()),
            ("x-envoy-external-address", format!("{FORGED}2")),
            ("x-real-ip", format!("{FORGED}3")),
            ("true-client-ip", format!("{FORGED}4")),
            ("forwarded", format!("for={FORGED}5;host={}", mark())),
            ("x-tenantry-assertion", mark()),
            ("x-tenantry-gateway", mark()),
            ("x-request-id", mark()),
            ("x-client-trace-id", mark()),
            ("traceparent", format!("00-{trace}-{}-01", &trace[..16])),
            ("tracestate", format!("vendor={}", mark())),
            ("baggage", format!("key={}", mark())),
        ])
    }

    /// These, and a caller's credential.
    fn with<'a>(&'a self, by: &'a Caller, at: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let mut all: Vec<_> = self.0.iter().map(|(n, v)| (*n, v.as_str())).collect();
        all.extend(by.header.iter().map(|(n, v)| (*n, v.as_str())));
        all.extend(at.map(|tenant| ("x-tenant-id", tenant)));
        all
    }
}

/// The test, and what it has come to know that nobody may ever see again.
struct Canaries<'a> {
    scene: &'a Scene<'a>,
    marks: Marks,
    headers: Headers,
    secrets: Mutex<BTreeSet<String>>,
    /// Methods that took a canary: what they store was written with it.
    took: Mutex<BTreeSet<&'static str>>,
}

impl Canaries<'_> {
    fn keep(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(secret.to_owned());
    }

    /// Calls as this caller; what the answer shows once is kept. Whether it succeeded.
    async fn call(
        &self,
        path: &str,
        by: &Caller,
        at: Option<&str>,
        request: &Value,
    ) -> Result<Option<Value>> {
        let headers = self.headers.with(by, at);
        let answer = native(&self.scene.channel, path, request, &headers).await?;
        let message = answer.messages.into_iter().next();
        if let Some(message) = &message {
            let mut found = Vec::new();
            secrets(&descriptor(path)?.output(), message, &mut found);
            found.iter().for_each(|secret| self.keep(secret));
        }
        Ok(message)
    }

    /// One canary in each place of a method's request, one after the other, and then all at once: natively in requests that
    /// would succeed without it, and over each REST binding.
    async fn plant_in(&self, method: &'static Method) -> Result<usize> {
        let (path, places, mut sent) = (method.path, places(method.path)?, 0);
        for (by, at, base) in self.bases(path).await? {
            for place in &places {
                let mut request = base.clone();
                place.plant(&mut request, &self.marks);
                let answer = self.call(path, &by, at.as_deref(), &request).await;
                if answer.with_context(|| place.name())?.is_some() {
                    self.took.lock().unwrap().insert(path);
                }
                sent += 1;
            }
            sent += self.all_at_once(method, &by, &places).await?;
        }
        Ok(sent)
    }

    /// The requests that a method is tried with, and whose they are.
    async fn bases(&self, path: &str) -> Result<Vec<(Caller, Option<String>, Value)>> {
        let scene = self.scene;
        if methods::is_read_only(path) || path.ends_with("/Bootstrap") {
            let mut request = json!({});
            if descriptor(path)?
                .input()
                .get_field_by_name("tenant")
                .is_some()
            {
                request["tenant"] = json!(scene.tenant);
            }
            let callers = [&scene.owner, &scene.operator, &scene.nobody];
            return Ok(callers.map(|by| (by.clone(), None, request.clone())).into());
        }
        let cases = cases(scene, path).await?;
        let mut bases: Vec<_> = cases
            .into_iter()
            .map(|case| (case.by, case.at, case.request))
            .collect();
        let request = bases.first().map(|(_, _, request)| request.clone());
        bases.push((scene.viewer.clone(), None, request.unwrap_or_default()));
        Ok(bases)
    }

    async fn all_at_once(&self, method: &Method, by: &Caller, places: &[Place]) -> Result<usize> {
        let mut request = json!({});
        for place in places {
            place.plant(&mut request, &self.marks);
        }
        self.call(method.path, by, None, &request).await?;
        let mut client = self.scene.fleet.rest()?;
        for (name, value) in self.headers.with(by, None) {
            client = client.header(name, value);
        }
        for binding in method.bindings {
            rest(&client, binding, &snake(&request)).await?;
        }
        // Credentials that are none.
        for header in ["authorization", "x-api-key"] {
            let canary = self.marks.secret();
            for value in [format!("Bearer {canary}"), format!("tk_{canary}"), canary] {
                let by = by.with_header(header, value);
                self.call(method.path, &by, None, &request).await?;
            }
        }
        Ok(7 + method.bindings.len())
    }

    /// Straight to the services, with what the gateway would have said of the owner, and of nobody.
    async fn around_the_gateway(&self) -> Result<()> {
        let captured = crate::headers::operator_assertion(self.scene.fleet)?;
        let nobody = &self.scene.nobody;
        for service in self.scene.fleet.services() {
            let channel = crate::support::dynamic::channel(service.address()).await?;
            for method in gateway_methods() {
                let of = method.path.split('.').nth(1);
                if of != Some(service.name()) {
                    continue;
                }
                let mut request = json!({});
                for place in places(method.path)? {
                    place.plant(&mut request, &self.marks);
                }
                let mut headers = self.headers.with(nobody, None);
                headers.retain(|(name, _)| *name != "x-tenantry-assertion");
                headers.push(("x-tenantry-assertion", &captured));
                let answer = native(&channel, method.path, &request, &headers).await?;
                let code = answer.status.code();
                assert_eq!(code, tonic::Code::Unauthenticated, "{}", method.path);
            }
        }
        Ok(())
    }

    /// Paths that lead nowhere, or to what a one-time link opens.
    async fn paths(&self) -> Result<()> {
        let client = self.scene.fleet.rest()?;
        for path in [
            "nonsense/",
            "invitations/ti_",
            "tenants/current?name=",
            "docs/",
        ] {
            let path = format!("/api/v1/{path}{}", self.marks.secret());
            client.get(&path).await?;
        }
        Ok(())
    }

    /// What is looked for: where nothing may be found at all, and where no canary may be.
    fn needles(&self) -> Result<(Needles, Needles)> {
        let mut secrets = Needles::default();
        secrets.add("a secret's canary", &self.marks.of_secrets());
        secrets.add("a forged address", FORGED);
        let word = self.scene.fleet.keys().gateway_word();
        secrets.add("the gateway's word", word.value().to_str()?);
        secrets.add("a password", PASSWORD);
        let shown = self.secrets.lock().unwrap();
        for secret in shown.iter().chain(&mailed(self.scene.fleet)?) {
            secrets.add("what was shown once", random_part(secret)?);
        }
        let mut others = Needles::default();
        others.add("a canary", &self.marks.of_others());
        Ok((secrets, others))
    }
}

/// The same message with the names of the contract, as REST has them.
fn snake(request: &Value) -> Value {
    match request {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let name = name.chars().fold(String::new(), |mut name, c| {
                    if c.is_ascii_uppercase() {
                        name.push('_');
                    }
                    name.push(c.to_ascii_lowercase());
                    name
                });
                (name, snake(value))
            });
            Value::Object(fields.collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(snake).collect()),
        other => other.clone(),
    }
}

/// The part of a secret that nothing else holds: ids and claims are no secrets.
fn random_part(secret: &str) -> Result<&str> {
    let parts = secret.rsplit(['.', '_', '~']);
    let random = |part: &&str| part.len() >= 20 && part.parse::<uuid::Uuid>().is_err();
    let mut parts = parts.filter(random);
    parts
        .next()
        .with_context(|| format!("no random part of {} characters", secret.len()))
}

fn held(needles: &Needles, haystacks: &[Haystack], holds: &mut Vec<String>) {
    for (name, text) in haystacks {
        let found = needles.find(text);
        holds.extend(
            found
                .into_iter()
                .map(|found| format!("{name} holds {found}")),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_never_show_again_and_nothing_of_a_request_is_logged() -> Result<()> {
    let began = Instant::now();
    let (endpoint, received) = traces::receive().await?;
    let log = "info,tenantry=debug,tenantry_rpc=debug,tenantry_runtime=debug,tenantry_store=debug";
    let mut environment: Vec<_> = ["registry", "identity", "audit", "quota"]
        .into_iter()
        .map(|service| {
            let log = format!("{log},tenantry_{service}=debug");
            (service, "TENANTRY_LOG", log)
        })
        .collect();
    let dns = dns()?.address().to_string();
    environment.push(("registry", "TENANTRY_DNS_SERVERS", dns));
    let fleet = OwnFleet::start(FleetConfig {
        otlp_endpoint: Some(endpoint),
        service_environment: environment,
        ..FleetConfig::default()
    })
    .await?;
    let scene = Scene::start(&fleet).await?;
    let marks = Marks::new();
    let canaries = Canaries {
        headers: Headers::new(&marks),
        scene: &scene,
        marks,
        secrets: Mutex::default(),
        took: Mutex::default(),
    };
    for by in [&scene.owner, &scene.viewer, &scene.key, &scene.operator] {
        let (_, credential) = by.header.as_ref().context("a credential")?;
        canaries.keep(credential.trim_start_matches("Bearer "));
    }
    let sent = stream::iter(gateway_methods()).map(|method| {
        let canaries = &canaries;
        async move { canaries.plant_in(method).await.context(method.path) }
    });
    let sent: Vec<usize> = sent.buffer_unordered(AT_ONCE).try_collect().await?;
    let took = std::mem::take(&mut *canaries.took.lock().unwrap());
    let all = gateway_methods();
    let changing = all.iter().filter(|method| !method.read_only);
    let never = changing.map(|method| method.path);
    let never: Vec<_> = never.filter(|path| !took.contains(path)).collect();
    assert_eq!(never, TAKE_NONE, "methods that took no canary");
    canaries.around_the_gateway().await?;
    canaries.paths().await?;

    // What is still under way, as mails and counts of strangers, is written at the latest when the services end.
    let of_services = metrics(&fleet).await?;
    fleet.stop().await?;
    let (tables, logs) = (tables(&fleet).await?, logs(&fleet)?);
    let traces = format!("{:?}", *received.borrow()).into_bytes();
    let mut told = vec![("the traces".to_owned(), traces)];
    told.extend(logs);
    told.extend(of_services);

    let (secrets, others) = canaries.needles()?;
    let mut holds = Vec::new();
    held(&secrets, &tables, &mut holds);
    held(&secrets, &told, &mut holds);
    held(&others, &told, &mut holds);
    ensure!(holds.is_empty(), "{}", holds.join("\n\n"));

    // That the search finds something where something is.
    let mut stored = Vec::new();
    held(&others, &tables, &mut stored);
    for table in [
        "registry.outbox",
        "identity.outbox",
        "quota.outbox",
        "quota.usage_log",
        "audit.events",
    ] {
        assert!(
            stored.iter().any(|held| held.starts_with(table)),
            "{table}: {stored:?}"
        );
    }
    for (what, name) in [
        ("the traces", "CreateTenant"),
        ("envoy.log", "CreateTenant"),
    ] {
        let text = told.iter().find(|(told, _)| told == what).context(what)?;
        let text = String::from_utf8_lossy(&text.1);
        assert!(text.contains(name), "{what} says nothing of {name}");
    }
    let (sent, kept) = (
        sent.iter().sum::<usize>(),
        canaries.secrets.lock().unwrap().len(),
    );
    println!(
        "{sent} requests, {kept} secrets of answers, {:?}",
        began.elapsed()
    );
    Ok(())
}

/// What is measured by a needle must be longer than it.
#[test]
fn the_random_part_of_a_secret_is_none_of_its_ids() {
    let id = uuid::Uuid::from_u128(7);
    let random = "k3v9wq8r7t6y5u4i3o2p1a0s";
    assert_eq!(
        random_part(&format!("tk_{id}_{random}_abc")).unwrap(),
        random
    );
    assert!(random_part(&format!("ti_{id}_{}", unique("x"))).is_err());
}
