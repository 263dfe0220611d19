use super::*;

const LOGIN: &str = "/tenantry.identity.v1.AuthService/Login";

fn of_network(network: &str, minute: i64) -> Key {
    Key::Requests {
        network: network.to_owned(),
        reason: Reason::BadCredentials,
        method: LOGIN,
        minute: Timestamp::from_second(minute * 60).unwrap(),
    }
}

#[test]
fn what_is_the_same_but_for_the_address_in_a_network_is_counted_together() {
    let mut counts = Counts::new();
    for (network, minute) in [("a", 1), ("a", 1), ("b", 1), ("a", 2)] {
        add(
            &mut counts,
            of_network(network, minute),
            Count::one(network),
        );
    }
    let many = |network, minute| {
        counts
            .get(&of_network(network, minute))
            .map(|count| count.many)
    };
    assert_eq!(
        [many("a", 1), many("b", 1), many("a", 2)],
        [Some(2), Some(1), Some(1)]
    );
}

#[test]
fn beyond_the_bound_requests_are_counted_by_their_reason_alone() {
    let mut counts = Counts::new();
    for n in 0..MOST + 500 {
        let network = n.to_string();
        add(&mut counts, of_network(&network, 1), Count::one(&network));
    }
    let known = of_network("7", 1);
    add(&mut counts, known.clone(), Count::one("7"));
    assert_eq!(counts.len(), MOST + 1);
    let many = |key: &Key| counts.get(key).map(|count| count.many);
    assert_eq!(many(&Key::Others(Reason::BadCredentials)), Some(500));
    assert_eq!(many(&known), Some(2), "one that is there goes on");
}

#[test]
fn a_count_is_told_with_its_minute_and_where_it_came_from() {
    let count = Count {
        many: 50,
        ip: "192.0.2.7".to_owned(),
    };
    let told = event(&of_network("192.0.2.7", 1), &count);
    assert_eq!(
        (&*told.action, &*told.resource.kind),
        ("requests.refused", "request")
    );
    assert_eq!(
        (told.outcome, &*told.reason),
        (Outcome::Denied, "BAD_CREDENTIALS")
    );
    assert_eq!(
        (told.actor, &*told.origin.ip),
        (Principal::anonymous(), "192.0.2.7")
    );
    let after = json!({ "count": 50, "method": LOGIN, "minute": "1970-01-01T00:01:00Z" });
    assert_eq!(told.after, after);

    let others = event(&Key::Others(Reason::InvalidArgument), &count);
    assert_eq!((others.outcome, &*others.origin.ip), (Outcome::Failed, ""));
    assert_eq!(others.after, json!({ "count": 50 }));

    let user = UserId::new();
    let key = Key::SignIns {
        user,
        reason: Reason::SignInLocked,
        minute: Timestamp::UNIX_EPOCH,
    };
    let sign_ins = event(&key, &count);
    assert_eq!(
        (&*sign_ins.action, sign_ins.outcome),
        ("session.denied", Outcome::Denied)
    );
    assert_eq!(
        (&*sign_ins.resource.kind, sign_ins.resource.id),
        ("user", user.uuid())
    );
}
