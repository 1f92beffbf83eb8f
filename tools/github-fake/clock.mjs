// GitHub's own client against a server whose clock is ten minutes behind: its first signature is
// from the future there and is refused, the second one is by the server's clock.
import assert from "node:assert/strict";
import { createAppAuth } from "@octokit/auth-app";
import { Octokit } from "@octokit/rest";

const { GITHUB_API: baseUrl, GITHUB_KEY: privateKey } = process.env;
const [appId, installationId] = [process.env.GITHUB_APP, process.env.GITHUB_INSTALLATION].map(Number);
const log = { debug() {}, info() {}, warn() {}, error() {} };
const auth = { appId, privateKey, installationId };
const app = new Octokit({ baseUrl, log, authStrategy: createAppAuth, auth });
assert.equal((await app.rest.apps.getAuthenticated()).data.id, appId);
