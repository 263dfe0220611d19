//! Random events and random questions, answered over the wire and by a model of the same events.

use std::sync::Arc;

use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::AuditEvent;
use tenantry_proto::internal::audit::v1::AppendRequest;
use tokio::sync::Notify;

use super::model::{Dice, Model, Question, Told};
use super::{ALL, SHORT, all_made, runs};
use crate::support::{World, member, operator, service};

/// Most pages that are followed of one answer.
const PAGES: usize = 5;
/// Events that are appended at once.
const BATCH: usize = 2_048;

/// Whose events are asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Log(TenantId),
    All,
}

/// The first pages of an answer, in events, and whether they are all of it.
async fn answer(
    world: &World,
    asked: Asked,
    question: &Question,
    size: usize,
) -> (Vec<AuditEvent>, bool) {
    let (mut events, mut token) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let page_size = i32::try_from(size).unwrap();
        let (page, next) = match asked {
            Asked::Log(tenant) => {
                let mut request = question.of_log();
                (request.page_size, request.page_token) = (page_size, token);
                let mut client = world.events(&member(tenant, &[Permission::AuditRead]));
                let page = client.list_events(request).await.unwrap().into_inner();
                (page.events, page.next_page_token)
            }
            Asked::All => {
                let mut request = question.of_all();
                (request.page_size, request.page_token) = (page_size, token);
                let mut client = world.events(&operator());
                let page = client.search_events(request).await.unwrap().into_inner();
                (page.events, page.next_page_token)
            }
        };
        assert!(page.len() <= size && (next.is_empty() || page.len() == size));
        events.extend(page);
        token = next;
        if token.is_empty() {
            return (events, true);
        }
    }
    (events, false)
}

/// Asks, and holds the answer against the model; `sizes` are those of the logs before: what was appended since may be in the
/// answer or not.
async fn ask(world: &World, known: &[Told], asked: Asked, question: &Question, size: usize) {
    let (events, whole) = answer(world, asked, question, size).await;
    let mut sizes = std::collections::HashMap::new();
    for told in known {
        sizes.insert(told.tenant.to_string(), told.index + 1);
    }
    let found: Vec<_> = events
        .into_iter()
        .filter(|event| event.index < *sizes.get(&event.tenant_id).unwrap_or(&0))
        .map(|event| (event.tenant_id, event.index))
        .collect();
    let expected = known.iter().rev().filter(|told| match asked {
        Asked::Log(tenant) => told.tenant == tenant && question.is_answered_by(told),
        Asked::All => question.is_answered_by(told),
    });
    let expected: Vec<_> = expected
        .map(|told| (told.tenant.to_string(), told.index))
        .collect();
    if whole {
        assert_eq!(found, expected, "{asked:?} {question:?}");
    } else {
        assert!(
            expected.starts_with(&found),
            "{asked:?} {question:?}: {found:?}"
        );
    }
}

async fn append(world: &World, model: &mut Model, tenants: &[TenantId], count: usize) {
    let streams = tenants.iter().map(|tenant| model.more(*tenant, count));
    for stream in streams.collect::<Vec<_>>() {
        let answer = world.appended("registry", stream).await;
        assert_eq!(answer.outcomes[0].outcome, "taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_questions_find_what_is_there_page_by_page_while_runs_are_made_and_more_comes() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenants = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    let [acme, other] = tenants;
    let mut model = Model::new(1);
    let mut dice = Dice(2);
    for _ in 0..5 {
        append(&world, &mut model, &[acme, acme, other], BATCH / 2).await;
        for _ in 0..3 {
            let question = model.question();
            let asked = *dice.of(&[Asked::Log(acme), Asked::All]);
            ask(
                &world,
                &model.all,
                asked,
                &question,
                *dice.of(&[7, 50, 1_000]),
            )
            .await;
        }
    }
    append(&world, &mut model, &[acme], 700).await;
    all_made(&world).await;
    let short = |count| {
        (1..=count)
            .map(|n| (0, n * SHORT))
            .collect::<Vec<(i16, i64)>>()
    };
    assert_eq!(runs(&world, acme.uuid()).await, short(2));
    assert_eq!(runs(&world, other.uuid()).await, short(1));
    assert_eq!(runs(&world, ALL).await, short(3));

    // From here on more comes all the time, by the other replica.
    let known = model.all.clone();
    let enough = Arc::new(Notify::new());
    let appending = {
        let (enough, mut model) = (Arc::clone(&enough), model);
        let task = async move {
            for n in 0.. {
                let request = AppendRequest {
                    streams: vec![model.more(tenants[n % 2], 40)],
                    request_id: String::new(),
                };
                // Each call has an assertion of its own, which ends before the test may.
                let mut append = second.append(&service("registry"));
                append.append(request).await.unwrap();
                let told =
                    tokio::time::timeout(std::time::Duration::from_millis(50), enough.notified());
                if told.await.is_ok() {
                    return model;
                }
            }
            unreachable!()
        };
        tokio::task::JoinSet::from_iter([task])
    };
    let mut questions = Model::new(3);
    questions.all.clone_from(&known);
    for n in 0..70 {
        let question = if n == 0 {
            Question::default()
        } else {
            questions.question()
        };
        let asked = *dice.of(&[Asked::Log(acme), Asked::Log(other), Asked::All]);
        ask(&world, &known, asked, &question, *dice.of(&[7, 50, 1_000])).await;
    }
    enough.notify_one();
    let model = { appending }.join_next().await.unwrap().unwrap();
    // What came since is found too, at once.
    let last = model.all.last().unwrap();
    let question = Question::of_request(last);
    let (events, _) = answer(&world, Asked::Log(last.tenant), &question, 7).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].index, last.index);
}
