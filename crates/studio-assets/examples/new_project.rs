//! The files of a new project, as an agent finds them.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use studio_assets::{Data, Git, Place, ProjectInfo, Scaffold, project_files};

fn main() -> Result<(), Box<dyn Error>> {
    let name = "tea-list".parse()?;
    let repository = "me/tea-list".parse()?;
    let info = ProjectInfo {
        name: &name,
        description: "A list of teas that my flat shares",
        place: Place::Container,
        app_port: 5173,
        scaffold: Scaffold::Small,
        data: Data::Cloud,
        git: Git::Create { repository: &repository, public: false },
        room: false,
        iteration: false,
        production: false,
    };
    for (path, bytes) in project_files(&info) {
        println!("==== {path}\n{}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}
