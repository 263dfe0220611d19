//! Sessions and passwords: what people do to their own, and how they come by them.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::{Value, json};

use super::case::{ANY, Case, Left, PLATFORM, changed, made, person};
use super::scene::{Person, Scene, address, bearer};
use crate::support::world::{PASSWORD, text};

pub(super) const METHODS: &[&str] = &[
    "/tenantry.identity.v1.AuthService/Login",
    "/tenantry.identity.v1.AuthService/Logout",
    "/tenantry.identity.v1.AuthService/Refresh",
    "/tenantry.identity.v1.PasswordService/ChangePassword",
    "/tenantry.identity.v1.PasswordService/RequestPasswordReset",
    "/tenantry.identity.v1.PasswordService/ResetPassword",
    "/tenantry.identity.v1.SessionService/RevokeSession",
    "/tenantry.identity.v1.SessionService/RevokeSessions",
];

const LOGIN: &str = "/tenantry.identity.v1.AuthService/Login";
const OTHER_PASSWORD: &str = "purple lantern seldom walks";
const STRANGERS: &str = "nobody who is known calls it: wrong attempts of strangers are counted";

/// A member of the scene's tenant in a session for that tenant, and that session's tokens.
async fn signed_in(scene: &Scene<'_>, who: &Person) -> Result<(Value, String)> {
    let login = json!({"email": who.email, "password": PASSWORD, "tenant": scene.slug});
    let pair = scene.ask(LOGIN, &scene.nobody, login).await?;
    let session = session_of(&text(&pair, "accessToken"))?;
    Ok((pair, session))
}

/// The session of an access token, by what anybody can read of it.
fn session_of(token: &str) -> Result<String> {
    let payload = token.split('.').nth(1).context("a token")?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?;
    let claims: Value = serde_json::from_slice(&payload)?;
    Ok(text(&claims, "sid"))
}

fn of_session(log: &str, action: &'static str, session: &str, after: Value) -> Left {
    Left::new(log, action, ("session", session), made(after))
}

fn of_user(log: &str, action: &'static str, user: &str, after: Value) -> Left {
    Left::new(log, action, ("user", user), made(after))
}

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    let tenant = scene.tenant.clone();
    let who = scene.person(&tenant, "member").await?;
    let (pair, session) = signed_in(scene, &who).await?;
    let (user, by) = (who.id.clone(), person(&who.id, &who.email));
    Ok(match method {
        "Login" => {
            let login =
                |tenant: &str| json!({"email": who.email, "password": PASSWORD, "tenant": tenant});
            let leaves = |log: String| {
                let (user, by) = (user.clone(), by.clone());
                move |answer: &Value| {
                    let session = session_of(&text(answer, "accessToken")).unwrap();
                    let after = json!({"user_id": user});
                    vec![of_session(&log, "session.started", &session, after).by(by.clone())]
                }
            };
            let nowhere = Case::new(&scene.nobody, login(""), leaves(PLATFORM.to_owned()));
            let there = Case::new(&scene.nobody, login(&scene.slug), leaves(tenant));
            vec![nowhere, there.never_denied(STRANGERS)]
        }
        "Refresh" => {
            let request = json!({"refreshToken": pair["refreshToken"]});
            let case = Case::new(&scene.nobody, request, move |_| {
                let fields = changed(&[("expires_at", json!(ANY), json!(ANY))]);
                let kind = ("session", session.as_str());
                vec![Left::new(&tenant, "session.refreshed", kind, fields).by(by.clone())]
            });
            vec![case.never_denied(STRANGERS)]
        }
        "Logout" => {
            let caller = bearer(&text(&pair, "accessToken"), &user, &who.email, &tenant);
            let case = Case::new(&caller, json!({}), move |_| {
                let after = json!({"user_id": user, "why": "logout"});
                vec![of_session(&tenant, "session.ended", &session, after)]
            });
            vec![case.denied_to(&scene.key, json!({}), "")]
        }
        "RevokeSession" => {
            let request = json!({"session": session});
            let (denied, named) = (request.clone(), session.clone());
            let case = Case::new(&who.caller, request, move |_| {
                let after = json!({"user_id": user, "why": "revoked"});
                vec![of_session(&tenant, "session.ended", &session, after)]
            });
            vec![case.denied_to(&scene.key, denied, &named)]
        }
        "RevokeSessions" => {
            let case = Case::new(&who.caller, json!({}), move |_| {
                let after = json!({"number": 1, "sessions": [session], "why": "revoked"});
                vec![of_user(&tenant, "user.sessions_ended", &user, after)]
            });
            vec![case.denied_to(&scene.key, json!({}), "")]
        }
        "ChangePassword" => {
            let request = json!({"currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD});
            let denied = request.clone();
            let case = Case::new(&who.caller, request, move |_| {
                let ended = json!({"number": 1, "sessions": [session], "why": "password_changed"});
                let after = json!({"email": who.email, "sessions_ended": 1});
                vec![
                    of_user(&tenant, "user.sessions_ended", &user, ended),
                    of_user(PLATFORM, "user.password_changed", &user, after),
                ]
            });
            vec![case.denied_to(&scene.key, denied, "")]
        }
        "RequestPasswordReset" => {
            let request = json!({"email": who.email});
            let email = who.email.clone();
            let case = Case::new(&scene.nobody, request, move |_| {
                let after = json!({"email": email});
                let action = "user.password_reset_requested";
                vec![of_user(PLATFORM, action, &user, after)]
            });
            // Nobody learns from the log, either, whether an address signs in.
            let unknown = json!({"email": address("unknown")});
            let unknown = Case::new(&scene.nobody, unknown, |_| Vec::new());
            vec![case.never_denied(STRANGERS), unknown]
        }
        _ => {
            let forgot = json!({"email": who.email});
            let path = "/tenantry.identity.v1.PasswordService/RequestPasswordReset";
            scene.ask(path, &scene.nobody, forgot).await?;
            // A welcome came first.
            let mail = scene.fleet.post().nth(&who.email, 2).await?;
            let request = json!({"token": mail.token(), "newPassword": OTHER_PASSWORD});
            let case = Case::new(&scene.nobody, request, move |_| {
                let in_tenant =
                    json!({"number": 1, "sessions": [session], "why": "password_reset"});
                let in_none = json!({"number": 1, "sessions": ANY, "why": "password_reset"});
                let after = json!({"email": who.email, "sessions_ended": 2});
                let ended = "user.sessions_ended";
                vec![
                    of_user(&tenant, ended, &user, in_tenant).by(by.clone()),
                    of_user(PLATFORM, ended, &user, in_none).by(by.clone()),
                    of_user(PLATFORM, "user.password_reset", &user, after).by(by.clone()),
                ]
            });
            vec![case.never_denied(STRANGERS)]
        }
    })
}
