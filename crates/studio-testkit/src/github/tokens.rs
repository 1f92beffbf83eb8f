//! `POST /app/installations/<id>/access_tokens`: what a token may be narrowed to.

use serde_json::{Value, json};

use super::{
    answer::{Answer, failed, good, invalid, iso_date},
    routes::repo_json,
    world::{Grants, Holder, World},
};

pub(super) fn create(world: &mut World, url: &str, body: &Value) -> Answer {
    let all: Vec<u64> =
        world.repos.iter().filter(|repo| repo.in_installation).map(|repo| repo.id).collect();
    let repos = match narrowed(world, &all, body) {
        Ok(repos) => repos.filter(|_| !world.widens),
        Err(answer) => return answer,
    };
    let permissions = match permissions(&world.granted, &body["permissions"]) {
        Ok(_) if world.widens => world.granted.clone(),
        Ok(permissions) => permissions,
        Err(answer) => return answer,
    };
    let expires_at = world.now() + world.token_life;
    let holder = Holder::Installation { repos: repos.clone(), permissions: permissions.clone() };
    let token = world.issue("ghs_", holder, expires_at);
    let selection = if repos.is_some() { "selected" } else { "all" };
    let mut answer = json!({
        "token": token,
        "expires_at": iso_date(expires_at),
        "permissions": permissions,
        "repository_selection": selection,
    });
    if let Some(repos) = repos {
        let all = repos.iter().filter_map(|id| world.repo(*id));
        answer["repositories"] = all.map(|repo| repo_json(repo, url)).collect();
    }
    good(201, answer)
}

/// The repositories that were named, if any were.
fn narrowed(world: &World, all: &[u64], body: &Value) -> Result<Option<Vec<u64>>, Answer> {
    let unknown = || {
        invalid(
            "There is at least one repository that does not exist or is not accessible to the \
             parent installation.",
            json!([]),
        )
    };
    let mut found = Vec::new();
    let (names, ids) = (&body["repositories"], &body["repository_ids"]);
    if names.is_null() && ids.is_null() {
        return Ok(None);
    }
    for name in names.as_array().into_iter().flatten() {
        // Names come without an owner: they are the installation's account's.
        let name = name.as_str().filter(|name| !name.contains('/')).ok_or_else(unknown)?;
        found.push(world.find(&world.account, name).ok_or_else(unknown)?);
    }
    for id in ids.as_array().into_iter().flatten() {
        found.push(id.as_u64().ok_or_else(unknown)?);
    }
    if found.is_empty() || found.iter().any(|id| !all.contains(id)) {
        return Err(unknown());
    }
    Ok(Some(found))
}

fn permissions(granted: &Grants, asked: &Value) -> Result<Grants, Answer> {
    let Some(asked) = asked.as_object() else { return Ok(granted.clone()) };
    let mut given = Grants::new();
    for (name, access) in asked {
        let Some(access @ ("read" | "write")) = access.as_str() else {
            return Err(failed(422, "Invalid request. The permission level is not known."));
        };
        let enough = granted.get(name).is_some_and(|has| has == "write" || has == access);
        if !enough {
            return Err(failed(
                422,
                "The permissions requested are not granted to this installation.",
            ));
        }
        given.insert(name.clone(), access.to_owned());
    }
    given.insert("metadata".to_owned(), "read".to_owned());
    Ok(given)
}
