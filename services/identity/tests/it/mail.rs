//! Mails, as they arrive.

use tenantry_proto::identity::v1 as wire;

use crate::caller::Who;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_is_welcomed_in_plain_text_and_in_html() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let request = wire::CreateMemberRequest {
        email: "ann@example.com".to_owned(),
        name: "Ann <b>O'Hara</b>".to_owned(),
        ..Default::default()
    };
    let operator = Who::bearer(&world.operator).at(acme);
    let request = world.ask(&operator, request).await.unwrap();
    world.members().create_member(request).await.unwrap();
    let mail = world.post.nth("ann@example.com", 1).await.unwrap();
    assert!(mail.head.contains("Subject: You were added to acme"));
    assert!(mail.text.contains("Hello Ann <b>O'Hara</b>,"));
    assert!(
        mail.html
            .contains("Hello Ann &#60;b&#62;O&#39;Hara&#60;/b&#62;,")
    );
}
