// What GitHub's own client does against the test server, at the address in GITHUB_API. The App's
// key is in GITHUB_KEY, a user's token in GITHUB_TOKEN. Any surprise is an exit status of 1.
import assert from "node:assert/strict";
import { createAppAuth } from "@octokit/auth-app";
import { throttling } from "@octokit/plugin-throttling";
import { Octokit } from "@octokit/rest";

const { GITHUB_API: baseUrl, GITHUB_KEY: privateKey, GITHUB_TOKEN: token } = process.env;
const [appId, installationId] = [process.env.GITHUB_APP, process.env.GITHUB_INSTALLATION].map(Number);
const log = { debug() {}, info() {}, warn() {}, error() {} };
const fails = async (status, promise) => {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error, `a status of ${status} was expected`);
  assert.equal(error.status, status, error.message);
  return error;
};

const app = new Octokit({
  baseUrl,
  log,
  authStrategy: createAppAuth,
  auth: { appId, privateKey, installationId },
});

// The App's signature is taken.
assert.equal((await app.rest.apps.getAuthenticated()).data.id, appId);

// A token narrowed to one repository sees that one and may do what it is for.
const narrow = await app.auth({
  type: "installation",
  repositoryNames: ["app"],
  permissions: { contents: "read" },
});
assert.equal(narrow.repositorySelection, "selected");
assert.deepEqual(narrow.permissions, { contents: "read", metadata: "read" });
const narrowed = new Octokit({ baseUrl, log, auth: narrow.token });
assert.equal((await narrowed.rest.repos.get({ owner: "acme", repo: "app" })).data.private, true);
await fails(404, narrowed.rest.repos.get({ owner: "acme", repo: "other" }));
await fails(403, narrowed.rest.repos.createInOrg({ org: "acme", name: "more" }));

// More than the installation has, or what it does not cover, is refused.
const auth = (options) => app.auth({ type: "installation", refresh: true, ...options });
await fails(422, auth({ repositoryNames: ["nothing"] }));
await fails(422, auth({ permissions: { secrets: "write" } }));

// The App makes a repository; the same name again is a conflict.
const made = await app.rest.repos.createInOrg({ org: "acme", name: "made", visibility: "private" });
assert.equal(made.status, 201);
assert.equal(made.data.private, true);
const taken = await fails(422, app.rest.repos.createInOrg({ org: "acme", name: "made" }));
assert.match(taken.message, /name already exists on this account/);
await fails(404, app.rest.repos.createInOrg({ org: "nobody", name: "made" }));

// A token that was given back lets nobody in.
const short = await auth({ permissions: { contents: "read" } });
const once = new Octokit({ baseUrl, log, auth: short.token });
await once.rest.apps.revokeInstallationAccessToken();
await fails(401, once.rest.repos.get({ owner: "acme", repo: "app" }));

// A user's listings, over all pages.
const user = new Octokit({ baseUrl, log, auth: token });
assert.equal((await user.rest.users.getAuthenticated()).data.login, "ada");
const orgs = await user.paginate(user.rest.orgs.listForAuthenticatedUser);
assert.deepEqual(orgs.map((org) => org.login), ["acme"]);
const branches = await user.paginate(user.rest.repos.listBranches, { owner: "acme", repo: "app" });
assert.equal(branches.length, 75);
assert.equal(new Set(branches.map((branch) => branch.name)).size, 75);
const repos = await user.rest.repos.listForAuthenticatedUser({ sort: "updated", per_page: 1 });
assert.equal(repos.data[0].full_name, "acme/made", "the latest first");

// Both limits are told as the client knows them, and it comes through when they lift.
const met = [];
const Patient = Octokit.plugin(throttling);
const patient = new Patient({
  baseUrl,
  log,
  auth: token,
  throttle: {
    onRateLimit: (seconds) => met.push(["primary", seconds]) && true,
    onSecondaryRateLimit: (seconds) => met.push(["secondary", seconds]) && true,
    fallbackSecondaryRateRetryAfter: 1,
  },
});
const limited = { owner: "acme", repo: "limited" };
assert.equal((await patient.rest.repos.get(limited)).data.name, "limited");
assert.deepEqual(met, [["secondary", 1]]);
console.log("octokit is content");
