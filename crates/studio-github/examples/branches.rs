//! The branches of a repository, with a token from the environment:
//! `GH_TOKEN=… cargo run -p studio-github --example branches -- octocat/Hello-World`
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::error::Error;

use studio_github::{GitHub, GitHubOptions, RestGitHub, UserToken};
use studio_ids::Repository;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let repository: Repository =
        std::env::args().nth(1).ok_or("which repository? owner/name")?.parse()?;
    let token = UserToken::new(&std::env::var("GH_TOKEN")?)?;
    let github = RestGitHub::new(GitHubOptions::default())?;
    let found = github.branches(&token, &repository).await?;
    for branch in &found.items {
        println!("{}{}", branch.name, if branch.is_default { " (default)" } else { "" });
    }
    if !found.is_complete {
        println!("… and more");
    }
    Ok(())
}
