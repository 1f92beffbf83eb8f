use std::process::{Command, Stdio};

use ring::rsa::KeyPair;

/// A fresh RSA key of 2048 bits, made by `openssl`: no key lies in this repository.
#[derive(Debug)]
pub struct RsaKey {
    pem: String,
    public_der: Vec<u8>,
}

impl RsaKey {
    /// Makes one.
    ///
    /// # Panics
    /// When `openssl` is missing.
    #[must_use]
    pub fn generate() -> Self {
        let pem = openssl(&["genrsa", "-traditional", "2048"], "");
        let der = openssl_bytes(&["rsa", "-outform", "DER", "-traditional"], &pem);
        let pair = KeyPair::from_der(&der).unwrap_or_else(|error| panic!("openssl's key: {error}"));
        Self { pem, public_der: pair.public().as_ref().to_vec() }
    }

    /// `-----BEGIN RSA PRIVATE KEY-----`, as GitHub hands it out.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same key as `-----BEGIN PRIVATE KEY-----`.
    #[must_use]
    pub fn pkcs8_pem(&self) -> String {
        openssl(&["pkcs8", "-topk8", "-nocrypt"], &self.pem)
    }

    pub(super) fn public_der(&self) -> &[u8] {
        &self.public_der
    }
}

fn openssl(args: &[&str], input: &str) -> String {
    String::from_utf8(openssl_bytes(args, input)).unwrap_or_else(|error| panic!("{error}"))
}

fn openssl_bytes(args: &[&str], input: &str) -> Vec<u8> {
    use std::io::Write as _;
    let child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child
        .unwrap_or_else(|error| panic!("openssl is needed ({error}): run `cargo xtask setup`"));
    // A command without input ends without reading it.
    let _broken_pipe = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("openssl: {error}"));
    assert!(output.status.success(), "openssl {args:?}: {output:?}");
    output.stdout
}
