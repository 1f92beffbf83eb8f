//! Who asks: what the real server checks of an App's signature and of a token.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::{
    GitHubServer,
    answer::{Answer, failed},
    world::{Holder, World},
};

/// Longest time from now to the end of an App's signature, in seconds.
const SIGNATURE_SECS_MAX: i64 = 600;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    Nobody,
    App,
    Token(String, Holder),
}

impl Caller {
    /// For the log of requests and for limits.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::App => "app".to_owned(),
            Self::Token(_, Holder::User { login, .. }) => login.clone(),
            Self::Token(_, Holder::Installation { .. }) => "installation".to_owned(),
        }
    }
}

pub(super) fn caller(world: &World, headers: &HeaderMap) -> Result<Caller, Answer> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(Caller::Nobody) };
    let value = value.to_str().unwrap_or("");
    let (scheme, secret) = value.split_once(' ').unwrap_or((value, ""));
    if !matches!(scheme.to_ascii_lowercase().as_str(), "bearer" | "token") {
        return Err(failed(401, "Bad credentials"));
    }
    if secret.split('.').count() == 3 {
        return signature(world, secret).map(|()| Caller::App);
    }
    match world.holder(secret) {
        Some(holder) => Ok(Caller::Token(secret.to_owned(), holder)),
        None => Err(failed(401, "Bad credentials")),
    }
}

fn signature(world: &World, text: &str) -> Result<(), Answer> {
    let undecodable = || failed(401, "A JSON web token could not be decoded");
    let (signed, tag) = text.rsplit_once('.').ok_or_else(undecodable)?;
    let (head, claims) = signed.split_once('.').ok_or_else(undecodable)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_bad| undecodable());
    let json =
        |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|_bad| undecodable());
    if json(head)?["alg"] != "RS256" {
        return Err(undecodable());
    }
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &world.public_der)
        .verify(signed.as_bytes(), &bytes(tag)?)
        .map_err(|_bad| undecodable())?;
    let (claims, now) = (json(claims)?, world.now());
    match claims["iat"].as_i64() {
        Some(issued) if issued <= now => {}
        _ => {
            return Err(failed(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the \
                 assertion was issued",
            ));
        }
    }
    match claims["exp"].as_i64() {
        Some(end) if now + SIGNATURE_SECS_MAX < end => {
            return Err(failed(401, "'Expiration time' claim ('exp') is too far in the future"));
        }
        Some(end) if now < end => {}
        _ => {
            return Err(failed(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future \
                 time at which the assertion expires",
            ));
        }
    }
    let issuer = &claims["iss"];
    let issuer = issuer.as_str().map_or_else(|| issuer.to_string(), str::to_owned);
    if issuer != GitHubServer::APP_ID.to_string() {
        return Err(failed(404, "Integration not found"));
    }
    Ok(())
}
