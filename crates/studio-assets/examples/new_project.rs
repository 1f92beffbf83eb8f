//! The files of a new project, as an agent finds them.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use studio_assets::{ProjectInfo, project_files};

fn main() -> Result<(), Box<dyn Error>> {
    let name = "tea-list".parse()?;
    let info = ProjectInfo {
        name: &name,
        description: "A list of teas that my flat shares",
        app_port: 5173,
        data_variables: &["DATABASE_URL", "ELECTRIC_URL"],
        repository: None,
        production: false,
    };
    for (path, bytes) in project_files(&info) {
        println!("==== {path}\n{}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}
