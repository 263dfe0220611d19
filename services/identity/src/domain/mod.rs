//! Identity's rules, pure: no store, no transport, no clock of its own.

pub(crate) mod api_key;
pub(crate) mod external_sign_in;
pub(crate) mod field;
pub(crate) mod home;
pub(crate) mod host;
pub(crate) mod identity_provider;
pub(crate) mod invitation;
pub(crate) mod lockout;
pub(crate) mod mail;
pub(crate) mod member;
pub(crate) mod operator;
pub(crate) mod outside;
pub(crate) mod password;
pub(crate) mod principal;
pub(crate) mod rights;
pub(crate) mod role;
pub(crate) mod seat;
pub(crate) mod secret;
pub(crate) mod selection;
pub(crate) mod service_account;
pub(crate) mod session;
pub(crate) mod sign_up;
pub(crate) mod transfer;
