//! Prints every route and who may use it: `cargo run -p studio-http --example routes`.

#[expect(clippy::print_stdout, reason = "an example that shows something")]
fn main() {
    for route in studio_http::routes() {
        println!("{:6} {:36} {:?}", route.method.as_str(), route.path, route.policy);
    }
}
