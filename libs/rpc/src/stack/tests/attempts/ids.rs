//! What an attempt was at, as far as its request says.

use bytes::{BufMut as _, Bytes, BytesMut};
use tenantry_proto::registry::v1::{CreateTenantRequest, UpdateTenantRequest};

use super::*;

const CREATE: &str = "/tenantry.registry.v1.TenantService/CreateTenant";

/// A message as gRPC frames it.
fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    framed.freeze()
}

/// A body that comes in parts of this many bytes.
fn in_parts(mut whole: Bytes, size: usize) -> Body {
    struct Parts(Vec<Bytes>);
    impl http_body::Body for Parts {
        type Data = Bytes;
        type Error = Status;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop().map(|part| Ok(http_body::Frame::data(part))))
        }
    }
    let mut parts = Vec::new();
    while !whole.is_empty() {
        parts.push(whole.split_to(size.min(whole.len())));
    }
    parts.reverse();
    Body::new(Parts(parts))
}

fn update_of(tenant: impl ToString) -> UpdateTenantRequest {
    UpdateTenantRequest {
        tenant: tenant.to_string(),
        name: Some("a name".to_owned()),
        email: Some("secret@example.com".to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_event_names_what_the_request_names_by_id_and_nothing_else_of_it() {
    let (fleet, log) = watched();
    let (tenant, foreign) = (TenantId::new(), TenantId::new());
    let own = fleet.acts_in(tenant);
    let beyond = fleet.says(&Claims {
        no_tenant: "not_found".to_owned(),
        ..person()
    });
    let mut twice = framed(&update_of(tenant)).to_vec();
    twice.extend(&framed(&update_of(foreign))[5..]);
    let length = u32::try_from(twice.len() - 5).unwrap();
    twice[1..5].copy_from_slice(&length.to_be_bytes());
    let mut compressed = framed(&update_of(foreign)).to_vec();
    compressed[0] = 1;
    let long = UpdateTenantRequest {
        timezone: Some("x".repeat(70_000)),
        ..update_of(foreign)
    };
    let nobody = Uuid::nil();
    for (case, assertion, body, expected) in [
        (
            "an id",
            &beyond,
            framed(&update_of(foreign)),
            foreign.uuid(),
        ),
        (
            "a slug beyond reach",
            &beyond,
            framed(&update_of("acme")),
            nobody,
        ),
        (
            "a slug of the chosen one",
            &own,
            framed(&update_of("acme")),
            tenant.uuid(),
        ),
        ("none", &own, framed(&update_of("")), tenant.uuid()),
        (
            "two ids, of which the last counts",
            &beyond,
            twice.into(),
            foreign.uuid(),
        ),
        ("compressed", &beyond, compressed.into(), nobody),
        ("too large to look at", &beyond, framed(&long), nobody),
        (
            "no message",
            &beyond,
            Bytes::from_static(b"\0\0\0\0\x03\xff\xff\xff"),
            nobody,
        ),
        ("nothing", &beyond, Bytes::new(), nobody),
    ] {
        for size in [1, 7, 1_000, 100_000] {
            let asked = refused(UPDATE, assertion, Reason::TenantNotFound);
            let asked = asked.map(|_| in_parts(body.clone(), size));
            fleet.ask(asked).await.unwrap();
            let told = log.told();
            let [attempt] = &told[..] else {
                panic!("{case}: {told:?}")
            };
            assert_eq!(attempt.resource, expected, "{case}, in parts of {size}");
            let told = serde_json::to_string(&attempt.event()).unwrap();
            assert!(!told.contains("secret@"), "{told}");
        }
    }
}

#[tokio::test]
async fn what_was_to_be_made_has_no_id() {
    let (fleet, log) = watched();
    let request = refused(
        CREATE,
        &fleet.acts_in(TenantId::new()),
        Reason::PermissionDenied,
    );
    let new = CreateTenantRequest {
        name: TenantId::new().to_string(),
        ..Default::default()
    };
    fleet.ask(request.map(|_| in_parts(framed(&new), 10))).await;
    let resources: Vec<_> = log.told().iter().map(|told| told.resource).collect();
    assert_eq!(resources, [Uuid::nil()]);
}
