//! The catalogue file is the one that was asked for, and a definition that contradicts itself is told so.

use tenantry_core::LimitPolicy;
use tenantry_core::refusal::Violations;

use super::{Catalogue, Definition, Difference, Limit, Patch};

fn file() -> Catalogue {
    Catalogue::parse(include_str!("../../../../../deploy/plans.json")).unwrap()
}

fn plan(key: &str) -> Definition {
    let mut plans = file().plans.into_iter();
    plans.find(|plan| plan.key == key).unwrap()
}

fn fields_wrong(plan: &Definition) -> Vec<String> {
    let mut wrong = Violations::new();
    plan.check(&file().features, &mut wrong);
    match wrong.check() {
        Ok(()) => Vec::new(),
        Err(refusal) => refusal.violations.into_iter().map(|v| v.field).collect(),
    }
}

/// Key, then the limits on users, devices, classes, storage in GB, API calls and alerts a month; retention, security level,
/// price in whole USD, and the numbers of default and of available features.
type Line = (&'static str, [i64; 6], i32, &'static str, i64, [usize; 2]);

const ASKED_FOR: &[Line] = &[
    ("free", [5, 10, 5, 1, 1_000, 100], 30, "basic", 0, [2, 3]),
    (
        "basic",
        [20, 40, 20, 5, 5_000, 500],
        60,
        "basic",
        99,
        [4, 6],
    ),
    (
        "professional",
        [50, 100, 50, 10, 10_000, 1_000],
        90,
        "standard",
        299,
        [7, 10],
    ),
    (
        "education",
        [500, 1_000, 100, 50, 100_000, 5_000],
        365,
        "standard",
        199,
        [8, 12],
    ),
    (
        "business",
        [500, 1_000, 200, 100, 100_000, 10_000],
        365,
        "advanced",
        799,
        [9, 14],
    ),
    (
        "enterprise",
        [1_000, 5_000, 1_000, 500, 500_000, 50_000],
        730,
        "enterprise",
        1_999,
        [11, 15],
    ),
    (
        "msp",
        [1_000, 10_000, 1_000, 1_000, 1_000_000, 100_000],
        730,
        "enterprise",
        2_999,
        [11, 15],
    ),
];

#[test]
fn the_catalogue_file_holds_the_plans_that_were_asked_for() {
    const GB: i64 = 1_000_000_000;
    let file = file();
    assert_eq!(file.features.len(), 15);
    assert_eq!(file.plans.len(), ASKED_FOR.len());
    for (plan, (key, limits, retention, security, price, features)) in
        file.plans.iter().zip(ASKED_FOR)
    {
        assert_eq!(plan.key, *key);
        let types = [
            "users",
            "devices",
            "classes",
            "storage_bytes",
            "api_calls",
            "alerts",
        ];
        assert_eq!(plan.limits.len(), types.len(), "{key}");
        for (resource_type, limit) in types.into_iter().zip(limits) {
            let unit = if resource_type == "storage_bytes" {
                GB
            } else {
                1
            };
            let monthly = matches!(resource_type, "api_calls" | "alerts");
            let expected = Limit {
                resource_type: resource_type.to_owned(),
                limit: limit * unit,
                reset_period: if monthly { "month" } else { "never" }.to_owned(),
                policy: LimitPolicy::default(),
            };
            assert_eq!(plan.limit(resource_type), Some(&expected), "{key}");
        }
        assert_eq!(plan.retention_days, *retention, "{key}");
        assert_eq!(plan.security_level, *security, "{key}");
        assert_eq!(
            (plan.price_minor, plan.currency.as_str()),
            (price * 100, "USD"),
            "{key}"
        );
        let counts = [plan.default_features.len(), plan.available_features.len()];
        assert_eq!(counts, *features, "{key}");
    }
    assert_eq!(plan("professional").aliases, ["pro"]);
    let [enterprise, msp] = ["enterprise", "msp"].map(plan);
    assert_eq!(
        enterprise.default_features, msp.default_features,
        "msp is as enterprise"
    );
}

#[test]
fn each_plan_starts_with_the_features_that_were_asked_for() {
    let basic = ["ai_chat", "mobile_app", "api_access", "gamification"];
    let professional = [
        &basic[..],
        &["advanced_analytics", "webhooks", "custom_branding"],
    ]
    .concat();
    let business = [&professional[..], &["sso", "assessment_builder"]].concat();
    let enterprise = [&business[..], &["advanced_security", "content_versioning"]].concat();
    let education = [
        "ai_chat",
        "roblox_integration",
        "advanced_analytics",
        "custom_branding",
        "gamification",
        "parent_portal",
        "mobile_app",
        "live_classes",
    ];
    for (key, features) in [
        ("free", &basic[..2]),
        ("basic", &basic),
        ("professional", &professional),
        ("education", &education),
        ("business", &business),
        ("enterprise", &enterprise),
    ] {
        assert_eq!(plan(key).default_features, features, "{key}");
    }
    let besides = |key| {
        let plan = plan(key);
        let mut more = plan.available_features;
        more.retain(|feature| !plan.default_features.contains(feature));
        more
    };
    assert_eq!(besides("free"), ["gamification"]);
    assert_eq!(besides("basic"), ["parent_portal", "webhooks"]);
    assert_eq!(
        besides("professional"),
        ["assessment_builder", "content_versioning", "live_classes"]
    );
    assert_eq!(
        besides("education"),
        [
            "assessment_builder",
            "content_versioning",
            "api_access",
            "sso"
        ]
    );
    let business = [
        "advanced_security",
        "content_versioning",
        "live_classes",
        "video_conferencing",
        "parent_portal",
    ];
    assert_eq!(besides("business"), business);
}

#[test]
fn a_file_that_contradicts_itself_is_refused_with_what_is_wrong() {
    let text = include_str!("../../../../../deploy/plans.json");
    for (from, to, said) in [
        (
            "\"retention_days\": 30,",
            "\"retention_days\": 31,",
            "plan free: retention_days",
        ),
        (
            "\"default_plan\": \"free\"",
            "\"default_plan\": \"fre\"",
            "default_plan names fre",
        ),
        (
            "\"key\": \"msp\"",
            "\"key\": \"free\"",
            "two plans are called free",
        ),
        ("\"aliases\": [],", "\"alias\": [],", "plans.0.alias"),
        (
            "\"plan\": \"free\"",
            "\"plan\": \"fee\"",
            "plan basic: after_trial.plan",
        ),
    ] {
        let why = Catalogue::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn all_wrong_fields_are_told_at_once() {
    let mut plan = plan("free");
    plan.key = "F".to_owned();
    plan.aliases = vec!["same".to_owned(), "same".to_owned()];
    plan.name.clear();
    plan.limits[0].limit = -1;
    plan.limits[1].reset_period = "week".to_owned();
    plan.limits[2].resource_type = "Classes".to_owned();
    plan.limits[4].resource_type = "alerts".to_owned();
    plan.default_features.push("sso".to_owned());
    plan.available_features.push("time_travel".to_owned());
    plan.retention_days = 7;
    plan.security_level = "none".to_owned();
    plan.price_minor = -1;
    plan.currency = "usd".to_owned();
    plan.after_trial.status = tenantry_core::TenantStatus::Deleted;
    let expected = [
        "key",
        "aliases",
        "name",
        "limits[0].limit",
        "limits[1].reset_period",
        "limits[2].resource_type",
        "limits[5].resource_type",
        "available_features",
        "default_features",
        "retention_days",
        "security_level",
        "price_minor",
        "currency",
        "after_trial.status",
    ];
    assert_eq!(fields_wrong(&plan), expected);
}

#[test]
fn a_difference_names_what_a_move_changes_and_nothing_else() {
    let [free, basic] = ["free", "basic"].map(plan);
    let up = Difference::between(&free, &basic);
    let fields = [
        "key",
        "name",
        "limits",
        "default_features",
        "available_features",
        "retention_days",
        "price_minor",
        "after_trial",
    ];
    assert_eq!(up.fields, fields);
    assert_eq!(up.limits.len(), 6);
    assert_eq!(
        up.features_gained,
        ["api_access", "parent_portal", "webhooks"]
    );
    assert!(up.features_lost.is_empty());
    let down = Difference::between(&basic, &free);
    assert_eq!(down.features_lost, up.features_gained);

    let mut unlimited = free.clone();
    unlimited
        .limits
        .retain(|limit| limit.resource_type != "alerts");
    unlimited.available_features.reverse();
    let lifted = Difference::between(&free, &unlimited);
    assert_eq!(
        lifted.fields,
        ["limits"],
        "the order of features says nothing"
    );
    assert_eq!(lifted.limits.len(), 1);
    assert!(lifted.limits[0].from.is_some() && lifted.limits[0].to.is_none());
    assert_eq!(Difference::between(&free, &free), Difference::default());
}

#[test]
fn a_patch_sets_what_it_carries_and_keeps_the_rest() {
    let free = plan("free");
    let patch = Patch {
        price_minor: Some(100),
        aliases: Some(vec!["gratis".to_owned()]),
        ..Patch::default()
    };
    let next = patch.apply(&free);
    let expected = Definition {
        price_minor: 100,
        aliases: vec!["gratis".to_owned()],
        ..free.clone()
    };
    assert_eq!(next, expected);
    assert!(Patch::default().is_empty() && !patch.is_empty());
    assert_eq!(Patch::default().apply(&free), free);
}
